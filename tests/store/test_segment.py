"""The journal's file format: what is framed is read back, at any torn tail."""

from __future__ import annotations

import contextlib
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store import segment
from clawproxy.store.segment_record import End, Kind, Record, Seal, Unreadable
from tests.store.segments import EXCHANGE, built, framed, records


class SegmentTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=60)
    @given(st.lists(records, max_size=5))
    def test_reads_back(self, given: list[Record]) -> None:
        data = b"".join(map(framed, given))
        self.assertEqual([record for record, _ in segment.scan(data)], given)

    @settings(deadline=None, max_examples=60)
    @given(st.lists(records, min_size=1, max_size=3), st.data())
    def test_torn_tail_gives_what_is_whole(self, given: list[Record], draw: st.DataObject) -> None:
        frames = list(map(framed, given))
        data = b"".join(frames)
        cut = draw.draw(st.integers(0, len(data) - 1))
        read = list(segment.scan(data[:cut]))
        whole = 0
        while sum(map(len, frames[: whole + 1])) <= cut:
            whole += 1
        self.assertEqual([record for record, _ in read], given[:whole])
        if read:
            self.assertEqual(read[-1][1], sum(map(len, frames[:whole])))

    @given(records)
    def test_chunks_are_framed_as_if_they_were_one(self, record: Record) -> None:
        kind, chunks = built(record)
        self.assertEqual(segment.frame_chunks(kind, chunks), segment.frame(kind, b"".join(chunks)))

    def test_stops_at_a_flipped_bit(self) -> None:
        first, second = (
            framed(End(EXCHANGE, False)),
            bytearray(framed(End(EXCHANGE, True))),
        )
        second[-3] ^= 4
        self.assertEqual(len(list(segment.scan(first + bytes(second)))), 1)

    def test_header(self) -> None:
        data = segment.header("018f-a")
        self.assertEqual(segment.read_header(data + b"rest"), ("018f-a", len(data)))
        for cut in range(len(data)):
            self.assertIsNone(segment.read_header(data[:cut]))

    def test_foreign_files_are_refused(self) -> None:
        self.assertRaises(segment.SegmentError, segment.read_header, b"SQLite format 3\0")
        newer = bytearray(segment.header("a"))
        newer[8] = 9
        self.assertRaises(segment.SegmentError, segment.read_header, bytes(newer))

    def test_a_header_with_a_flipped_bit_is_refused_too(self) -> None:
        """Any other error would end the indexer, and every one that is started in its place."""
        whole = segment.header("018f-a")
        for at in range(len(whole) * 8):
            flipped = bytearray(whole)
            flipped[at // 8] ^= 1 << at % 8
            with contextlib.suppress(segment.SegmentError):
                segment.read_header(bytes(flipped))

    def test_seal(self) -> None:
        self.assertEqual([r for r, _ in segment.scan(framed(Seal()))], [Seal()])

    def test_content_that_cannot_be_read_hides_nothing_behind_it(self) -> None:
        payload = b'\0{"id": 7}'
        odd = segment.frame(Kind.END, payload) + payload
        found = [r for r, _ in segment.scan(odd + framed(End(EXCHANGE, False)))]
        assert isinstance(found[0], Unreadable)
        self.assertIn("Expected `str`", found[0].reason)
        self.assertEqual(found[1], End(EXCHANGE, False))

    def test_unknown_kind(self) -> None:
        data = segment.frame(cast(Kind, 99), b"")
        self.assertRaises(segment.SegmentError, list, segment.scan(data))
