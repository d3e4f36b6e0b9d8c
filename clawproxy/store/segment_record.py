r"""What the journal says of exchanges, record by record: values, whatever the file looks like.

An exchange that began and ended between two flushes is one :class:`Whole`. One that lived longer is a :class:`Start`,
any number of :class:`UpstreamRequest`\ s and :class:`PieceRun`\ s, and an :class:`End`, all with other exchanges'
records in between. :mod:`clawproxy.store.segment_payload` turns them into bytes and back.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

from clawproxy.core.record import Exchange
from clawproxy.store.pieces import Pieces, Side


class Kind(IntEnum):
    """What a record says."""

    START = 1
    UPSTREAM_REQUEST = 2
    PIECES = 3
    END = 4
    WHOLE = 5
    SEAL = 6


@frozen
class Start:
    """An exchange that had not ended when the journal was flushed."""

    exchange: Exchange
    request: bytes


@frozen
class UpstreamRequest:
    """The body that was sent upstream, where it differs from the caller's."""

    id: str
    body: bytes


@frozen
class PieceRun:
    """Pieces of a running exchange, since the last flush."""

    id: str
    side: Side
    pieces: Pieces


@frozen
class End:
    """A started exchange, final now.

    :ivar truncated: pieces were dropped on the way (memory, disk budget or the limit of one
        answer).
    :ivar superseded: how many of the first pieces received are of targets that were given up for
        the next one.
    """

    exchange: Exchange
    truncated: bool
    superseded: int = 0


@frozen
class Whole:
    """An exchange that began and ended between two flushes: the ordinary short one."""

    exchange: Exchange
    request: bytes
    upstream_request: bytes | None
    sent: Pieces
    received: Pieces
    truncated: bool


@frozen
class Seal:
    """Nothing follows in this segment."""


@frozen
class Unreadable:
    """A whole record whose content nobody can read: a fault of whoever wrote it.

    :ivar reason: what is wrong with it.
    """

    reason: str


Record = Start | UpstreamRequest | PieceRun | End | Whole | Seal | Unreadable
