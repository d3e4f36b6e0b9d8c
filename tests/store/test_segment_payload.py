"""The journal's records as bytes: each is read back as it was made, and bytes that are none are refused."""

from __future__ import annotations

import contextlib
import struct

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store import segment_payload as payload
from clawproxy.store.pieces import Pieces
from clawproxy.store.segment_record import Kind, Record
from tests.store.segments import EXCHANGE, built, records

_UNREADABLE = (msgspec.MsgspecError, struct.error, ValueError, IndexError)


class PayloadTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=100)
    @given(records)
    def test_comes_back(self, record: Record) -> None:
        kind, chunks = built(record)
        self.assertEqual(payload.read(kind, memoryview(b"".join(chunks))), record)

    @settings(deadline=None, max_examples=100)
    @given(st.sampled_from(Kind), st.binary(max_size=60))
    def test_any_bytes_are_read_or_refused(self, kind: Kind, data: bytes) -> None:
        """Whoever reads a segment knows by these errors alone that a record is unreadable."""
        with contextlib.suppress(*_UNREADABLE):
            payload.read(kind, memoryview(data))

    def test_an_end_that_superseded_nothing_has_no_count(self) -> None:
        self.assertEqual(b"".join(payload.end(EXCHANGE, True))[:2], b"\x01{")

    def test_a_single_piece_looks_like_one_of_many(self) -> None:
        one = b"".join(payload.block([1.5], [b"abc"]))
        self.assertEqual(one, b"\1\0\0\0" + struct.pack("<dI", 1.5, 3) + b"abc")
        self.assertEqual(payload._read_block(memoryview(one), 0), (Pieces((1.5,), (b"abc",)), 19))
