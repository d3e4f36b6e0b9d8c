"""Exchanges put together again from the records of a journal, in the order in which they stand
there.

:meth:`Assembly.take` gets each record; :meth:`Assembly.batch` gives what can go into the store:
exchanges that are final, and those seen for the first time that still run. When a segment has been
read to its end, :meth:`Assembly.spill` gives the pieces of running exchanges, so that the segment
can go before they are final.

Everything may happen twice: after a crash the segments that are still there are read from their
beginning.
"""

from __future__ import annotations

from attrs import define, field

from clawproxy.core.record import Exchange
from clawproxy.store.entry import Entry
from clawproxy.store.pieces import Pieces, Side, joined
from clawproxy.store.protocol import Partial
from clawproxy.store.segment_record import (
    End,
    PieceRun,
    Record,
    Seal,
    Start,
    Unreadable,
    UpstreamRequest,
    Whole,
)

REQUESTS_KEPT = 64 << 20
"""Bytes of running exchanges' requests that are kept to save fetching them again when they end."""


@define
class _Open:
    exchange: Exchange | None
    request: bytes | None
    known: bool  # the store has it as running
    spilled: bool  # the store may have pieces of it
    upstream_request: bytes | None = None
    pieces: dict[Side, list[Pieces]] = field(factory=dict)

    def joined(self, side: Side) -> Pieces:
        return joined(self.pieces.get(side, ()))


@define
class Work:
    """One exchange for the store.

    :ivar entry: what is known of it; its ``request`` is ``None`` if the store has it already.
    :ivar continued: the store may hold pieces that come before the entry's.
    :ivar request: the request again, for those who read it; ``None`` if it has to be fetched (or
        there is none).
    """

    entry: Entry
    continued: bool = False
    request: bytes | None = None


class Assembly:
    """The exchanges of one instance that have begun in what was read so far, and not ended.

    :param instance: whose journal it is.
    """

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self._open: dict[str, _Open] = {}
        self._ready: list[Work] = []
        self._kept = 0

    def take(self, record: Record) -> None:
        """Take the next record."""
        match record:
            case Whole(exchange, request, upstream, sent, received, truncated):
                entry = Entry(
                    exchange, self.instance, True, request, upstream, sent, received, truncated
                )
                self._ready.append(Work(entry, request=request))
            case Start(exchange, request):
                if exchange.id not in self._open:
                    self._open[exchange.id] = _Open(exchange, request, False, False)
                    self._kept += len(request)
            case UpstreamRequest(id, body):
                self._at(id).upstream_request = body
            case PieceRun(id, side, run):
                self._at(id).pieces.setdefault(side, []).append(run)
            case End(exchange, truncated, superseded):
                self._end(exchange, truncated, superseded)
            case Seal() | Unreadable():
                pass

    def _at(self, id: str) -> _Open:
        found = self._open.get(id)
        if found is None:
            # Its START was in a segment that is in the store.
            found = self._open[id] = _Open(None, None, True, True)
        return found

    def _end(self, exchange: Exchange, truncated: bool, superseded: int = 0) -> None:
        opened = self._open.pop(exchange.id, None) or _Open(None, None, True, True)
        self._kept -= len(opened.request or b"")
        entry = Entry(
            exchange,
            self.instance,
            True,
            None if opened.known else opened.request,
            opened.upstream_request,
            opened.joined(Side.SENT),
            opened.joined(Side.RECEIVED),
            truncated,
            superseded,
        )
        self._ready.append(Work(entry, opened.spilled, opened.request))

    def batch(self) -> list[Work]:
        """Give what is to go into the store now. It counts as stored: whoever takes it tries until
        it is."""
        work, self._ready = self._ready, []
        for opened in self._open.values():
            if not opened.known and opened.exchange is not None:
                entry = Entry(opened.exchange, self.instance, False, opened.request)
                work.append(Work(entry, request=opened.request))
                opened.known = True
        if self._kept > REQUESTS_KEPT:
            for opened in self._open.values():
                opened.request = None
            self._kept = 0
        return work

    @property
    def ready(self) -> int:
        """How many exchanges have ended and wait to be taken."""
        return len(self._ready)

    def spill(self, number: int) -> list[Partial]:
        """Give the pieces of all running exchanges, and forget them. Take :meth:`batch` before.

        :param number: of the segment that has been read to its end.
        """
        partials = []
        for id, opened in self._open.items():
            for side in opened.pieces:
                partials.append(Partial(id, number, side, opened.joined(side)))
            if opened.upstream_request is not None:
                body = Pieces((0.0,), (opened.upstream_request,))
                partials.append(Partial(id, number, Side.ASKED, body))
            opened.pieces = {}
            opened.upstream_request = None
            opened.spilled = True
        return partials

    def interrupt(self) -> None:
        """Call all running exchanges interrupted: their process is gone, and nothing more will
        come."""
        for opened in list(self._open.values()):
            if opened.exchange is not None:
                opened.exchange.interrupt()
                self._end(opened.exchange, False)
        self._open.clear()
