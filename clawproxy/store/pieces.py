"""A recorded answer: the bytes, and when each piece of them came.

:class:`Pieces` are what the journal, the stores and the API hand on; :func:`encode` makes one blob of them for a store.

Pieces of a stream are alike but for a few letters in the middle: ``data: {…"text":"`` those letters ``"}}``. So each
is told by how much of its beginning and of its end is the same as its predecessor's, and what stands between. Nothing
has to be known of the dialect for that, and compression sees one text and not the same frame around every word.

Layout before compression: 0, 2, count, then columns: the deltas of the arrival times in hundredths of a millisecond,
lengths of the common beginnings, of the common ends, of what is between, and that itself. Columns of like numbers
compress well; all numbers are varints. The first layout began with the count, had the lengths of the pieces, and the
bytes; it is still read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import pairwise

from attrs import frozen

from clawproxy.store import varint

TICKS = 100
"""Ticks per millisecond that arrival times are kept in."""
_MORE = 8
"""Bytes that are worth other lengths than the last piece's."""
_SECOND = b"\x00\x02"  # no blob of the first layout: one of no pieces ends with the zero


class Side(IntEnum):
    """Whose bytes: ``SENT`` went to the caller, ``RECEIVED`` came from the upstream (where the two
    differ). ``ASKED``, which is no side of an answer, went to the upstream.
    """

    SENT = 0
    RECEIVED = 1
    ASKED = 2


@frozen
class Pieces:
    """Pieces of one side of an answer, with their arrival times in ms after the exchange's start."""

    times: tuple[float, ...] = ()
    data: tuple[bytes, ...] = ()

    def __add__(self, other: Pieces) -> Pieces:
        return Pieces(self.times + other.times, self.data + other.data)

    def after(self, count: int) -> Pieces:
        """All pieces but the first ones."""
        return Pieces(self.times[count:], self.data[count:])

    @property
    def body(self) -> bytes:
        """All pieces as one."""
        return b"".join(self.data)


def joined(runs: Iterable[Pieces]) -> Pieces:
    """Put together what came of one side in several runs, first to last."""
    runs = list(runs)
    return Pieces(
        tuple(time for run in runs for time in run.times),
        tuple(data for run in runs for data in run.data),
    )


def encode(pieces: Pieces) -> bytes:
    """Give pieces as one blob, not yet compressed."""
    ticks = [max(0, round(time * TICKS)) for time in pieces.times]
    deltas = [varint.zigzag(later - earlier) for earlier, later in pairwise([0, *ticks])]
    starts, ends, middles = _apart(pieces.data)
    return b"".join(
        (
            _SECOND,
            varint.pack([len(ticks)]),
            varint.pack(deltas),
            varint.pack(starts),
            varint.pack(ends),
            varint.pack(map(len, middles)),
            *middles,
        )
    )


def _apart(data: Sequence[bytes]) -> tuple[list[int], list[int], list[bytes]]:
    """Tell pieces by their predecessors.

    What two have in common by chance the next has not: lengths that fit still are kept, unless there is much more, as
    where another kind of event has begun.
    """
    starts, ends, middles = [], [], []
    last, start, end = b"", 0, 0
    for piece in data:
        shorter = min(len(last), len(piece))
        was, now = len(last) - end, len(piece) - end
        if (
            start + end > shorter
            or last[:start] != piece[:start]
            or last[was:] != piece[now:]
            or (
                start + end + _MORE <= shorter
                and (
                    last[start : start + _MORE] == piece[start : start + _MORE]
                    or last[was - _MORE : was] == piece[now - _MORE : now]
                )
            )
        ):
            start = _beginning(last, piece, shorter)
            end = _end(last, piece, shorter - start)
            now = len(piece) - end
        starts.append(start)
        ends.append(end)
        middles.append(piece[start:now])
        last = piece
    return starts, ends, middles


def _beginning(one: bytes, other: bytes, most: int) -> int:
    """Measure what two have in common at their beginnings, by halving."""
    same, differs = 0, most + 1
    while differs - same > 1:
        middle = (same + differs) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            differs = middle
    return same


def _end(one: bytes, other: bytes, most: int) -> int:
    """Measure what two have in common at their ends, by halving."""
    same, differs = 0, most + 1
    while differs - same > 1:
        middle = (same + differs) // 2
        if (
            one[len(one) - middle : len(one) - same]
            == other[len(other) - middle : len(other) - same]
        ):
            same = middle
        else:
            differs = middle
    return same


def decode(blob: bytes) -> Pieces:
    """Undo :func:`encode`; times come back in steps of 0.01 ms."""
    if blob[:2] != _SECOND:
        return _first(blob)
    (count,), offset = varint.unpack(blob, 1, len(_SECOND))
    deltas, offset = varint.unpack(blob, count, offset)
    starts, offset = varint.unpack(blob, count, offset)
    ends, offset = varint.unpack(blob, count, offset)
    lengths, offset = varint.unpack(blob, count, offset)
    data, last = [], b""
    for start, end, length in zip(starts, ends, lengths, strict=True):
        last = last[:start] + blob[offset : offset + length] + last[len(last) - end :]
        data.append(last)
        offset += length
    return Pieces(_times(deltas), tuple(data))


def _first(blob: bytes) -> Pieces:
    (count,), offset = varint.unpack(blob, 1)
    deltas, offset = varint.unpack(blob, count, offset)
    lengths, offset = varint.unpack(blob, count, offset)
    data = []
    for length in lengths:
        data.append(blob[offset : offset + length])
        offset += length
    return Pieces(_times(deltas), tuple(data))


def _times(deltas: Sequence[int]) -> tuple[float, ...]:
    times, now = [], 0
    for delta in deltas:
        now += varint.unzigzag(delta)
        times.append(now / TICKS)
    return tuple(times)
