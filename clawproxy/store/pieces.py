"""A recorded answer as one blob: the bytes, and when each piece of them came.

Layout before compression: count, data length, then three columns: the deltas of the arrival times
in hundredths of a millisecond, the pieces' lengths, the bytes. Columns of like numbers compress
well; times and lengths are varints.
"""

from __future__ import annotations

from itertools import pairwise

from clawproxy.store import varint
from clawproxy.store.segment import Pieces

TICKS = 100
"""Ticks per millisecond that arrival times are kept in."""


def encode(pieces: Pieces) -> bytes:
    """Give pieces as one blob, not yet compressed."""
    ticks = [max(0, round(time * TICKS)) for time in pieces.times]
    deltas = [varint.zigzag(later - earlier) for earlier, later in pairwise([0, *ticks])]
    return b"".join(
        (
            varint.pack([len(ticks)]),
            varint.pack(deltas),
            varint.pack(map(len, pieces.data)),
            *pieces.data,
        )
    )


def decode(blob: bytes) -> Pieces:
    """Undo :func:`encode`; times come back in steps of 0.01 ms."""
    (count,), offset = varint.unpack(blob, 1)
    deltas, offset = varint.unpack(blob, count, offset)
    lengths, offset = varint.unpack(blob, count, offset)
    times, data, now = [], [], 0
    for delta, length in zip(deltas, lengths, strict=True):
        now += varint.unzigzag(delta)
        times.append(now / TICKS)
        data.append(blob[offset : offset + length])
        offset += length
    return Pieces(tuple(times), tuple(data))


def body(blob: bytes) -> bytes:
    """Give the bytes alone."""
    (count,), offset = varint.unpack(blob, 1)
    _, offset = varint.unpack(blob, count, offset)
    _, offset = varint.unpack(blob, count, offset)
    return blob[offset:]
