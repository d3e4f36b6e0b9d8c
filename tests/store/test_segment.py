"""The journal's file format: what is framed is read back, at any torn tail."""

from __future__ import annotations

from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.record import Client, Exchange, Usage
from clawproxy.store import segment
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.segment import Kind

EXCHANGE = Exchange(
    id="x1",
    path="/v1/messages",
    usage=Usage(1, 2),
    client=Client("127.0.0.1", "ua"),
    request_headers=[("a", "b")],
)

pieces = st.lists(st.tuples(st.floats(0, 1e9), st.binary(max_size=40)), max_size=6).map(
    lambda rows: Pieces(tuple(t for t, _ in rows), tuple(d for _, d in rows))
)
wholes = st.builds(
    segment.Whole,
    st.just(EXCHANGE),
    st.binary(max_size=60),
    st.none() | st.binary(max_size=30),
    pieces,
    pieces,
    st.booleans(),
)
records = st.one_of(
    wholes,
    st.builds(segment.Start, st.just(EXCHANGE), st.binary(max_size=60)),
    st.builds(segment.UpstreamRequest, st.text(max_size=20), st.binary(max_size=30)),
    st.builds(segment.PieceRun, st.text(max_size=20), st.sampled_from(Side), pieces),
    st.builds(segment.End, st.just(EXCHANGE), st.booleans(), st.integers(0, 2**32 - 1)),
)


def framed(record: segment.Record) -> bytes:
    match record:
        case segment.Whole(exchange, request, upstream, sent, received, truncated):
            kind = Kind.WHOLE
            chunks = segment.whole_payload(
                exchange,
                request,
                upstream,
                segment.block(sent.times, sent.data),
                segment.block(received.times, received.data),
                truncated,
            )
        case segment.Start(exchange, request):
            kind, chunks = Kind.START, segment.start_payload(exchange, request)
        case segment.UpstreamRequest(id, body):
            kind, chunks = Kind.UPSTREAM_REQUEST, segment.upstream_payload(id, body)
        case segment.PieceRun(id, side, run):
            kind, chunks = Kind.PIECES, segment.pieces_payload(id, side, run.times, run.data)
        case segment.End(exchange, truncated, superseded):
            kind, chunks = Kind.END, segment.end_payload(exchange, truncated, superseded)
        case _:
            kind, chunks = Kind.SEAL, []
    payload = b"".join(chunks)
    head = segment.frame(kind, payload)
    assert head == segment.frame_chunks(kind, chunks)
    return head + payload


class SegmentTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=60)
    @given(st.lists(records, max_size=5))
    def test_reads_back(self, given: list[segment.Record]) -> None:
        data = b"".join(map(framed, given))
        self.assertEqual([record for record, _ in segment.scan(data)], given)

    @settings(deadline=None, max_examples=60)
    @given(st.lists(records, min_size=1, max_size=3), st.data())
    def test_torn_tail_gives_what_is_whole(
        self, given: list[segment.Record], draw: st.DataObject
    ) -> None:
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

    def test_stops_at_a_flipped_bit(self) -> None:
        first, second = (
            framed(segment.End(EXCHANGE, False)),
            bytearray(framed(segment.End(EXCHANGE, True))),
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

    def test_seal(self) -> None:
        self.assertEqual([r for r, _ in segment.scan(framed(segment.Seal()))], [segment.Seal()])

    def test_content_that_cannot_be_read_hides_nothing_behind_it(self) -> None:
        payload = b'\0{"id": 7}'
        odd = segment.frame(Kind.END, payload) + payload
        found = [r for r, _ in segment.scan(odd + framed(segment.End(EXCHANGE, False)))]
        assert isinstance(found[0], segment.Unreadable)
        self.assertIn("Expected `str`", found[0].reason)
        self.assertEqual(found[1], segment.End(EXCHANGE, False))

    def test_unknown_kind(self) -> None:
        data = segment.frame(cast(Kind, 99), b"")
        self.assertRaises(segment.SegmentError, list, segment.scan(data))
