"""``/api/live``: what happens, as it happens (server-sent events).

``started`` and ``finished`` carry the exchange as lists show it; ``progress`` carries its id and the text so far. A
stream that somebody watches gives away nothing but a reference to each piece; the pieces of all streams are read
together, a few times a second and within a budget. While nobody watches, :attr:`Live.watching` is false and nothing
is done at all. Each who watches is a :class:`~clawproxy.dashboard.live_watcher.Watcher`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from clawproxy.core.record import Exchange
from clawproxy.dashboard.access import Refusal
from clawproxy.dashboard.api_record import listed
from clawproxy.dashboard.growing import Growing
from clawproxy.dashboard.live_watcher import Watcher, event
from clawproxy.dashboard.status import expect
from clawproxy.store.reading import coding

ROUND = 0.15
"""Seconds between two rounds of progress."""
ROUND_BYTES = 256 << 10
"""Bytes of streams that one round reads, and of events that it writes; the rest waits for the next."""
PENDING_BYTES = 1 << 20
"""Bytes of one stream that wait to be read; what is beyond is not shown."""
FOLLOWED = 200
"""Streams whose text is followed at a time."""
WATCHERS = 50
HEARTBEAT = 15.0
"""Seconds of silence after which a comment shows that the connection lives."""


class _Stream:
    """A stream that is followed.

    :ivar since: so many bytes had gone to the caller before; ``None`` where they are coded, and what is read is not
        what was sent.
    """

    __slots__ = ("exchange", "growing", "pending", "since", "size")

    def __init__(self, exchange: Exchange, data: bytes) -> None:
        self.exchange = exchange
        coded = coding(exchange, "response")
        self.since = None if coded else exchange.response_bytes - len(data)
        self.growing = Growing(exchange.dialect)
        self.pending: list[bytes] = []
        self.size = 0

    def add(self, data: bytes) -> None:
        if self.size < PENDING_BYTES:
            self.pending.append(data)
            self.size += len(data)

    def read(self) -> None:
        data = b"".join(self.pending)
        self.pending, self.size = [], 0
        self.growing.feed(data)

    def event(self) -> bytes:
        growing, exchange = self.growing, self.exchange
        text = growing.text
        return event(
            "progress",
            {
                "id": exchange.id,
                "text": text,
                "offset": growing.offset,
                "thinking": growing.thinking,
                "tools": growing.tools,
                "call": growing.call,
                "since": self.since,
                "provider": exchange.provider,
                "routed_model": exchange.routed_model,
                "ttft_ms": exchange.ttft_ms,
                "response_bytes": exchange.response_bytes,
            },
        )


class Live:
    """Show exchanges to whoever watches; an :class:`~clawproxy.relay.observer.Observer`.

    :param reactor: gives the time.
    :param running: gives the exchanges under way, for those who begin to watch.
    :param discreet: whether no text of an answer may be shown, because none may be kept.
    :ivar watching: whether anybody watches.
    :ivar on_watching: is told when somebody begins to watch and when nobody does any more.
    """

    def __init__(
        self,
        reactor: Any,
        running: Callable[[], Iterable[Exchange]],
        discreet: Callable[[], bool] = lambda: False,
    ) -> None:
        self.on_watching: Callable[[bool], None] = lambda watching: None
        self.watching = False
        self._reactor = reactor
        self._running = running
        self._discreet = discreet
        self._watchers: set[Watcher] = set()
        self._streams: dict[str, _Stream] = {}
        self._fresh: dict[str, _Stream] = {}
        self._round: IDelayedCall | None = None
        self._beat: IDelayedCall | None = None
        self._quiet = True

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    # Watching.

    async def answer(self, request: Any, rest: str) -> None:
        """Answer ``GET /api/live``."""
        expect(request, "GET")
        if rest.strip("/"):
            raise Refusal(404, "nothing is served below /api/live")
        if len(self._watchers) >= WATCHERS:
            raise Refusal(503, f"{WATCHERS} watch already", 30)
        watcher = Watcher(request, self._left)
        self._watchers.add(watcher)
        if not self.watching:
            self.watching = True
            self.on_watching(True)
        if self._beat is None:
            self._beat = self._reactor.callLater(HEARTBEAT, self._heartbeat)
        running = sorted(self._running(), key=lambda each: each.id)
        if running:
            # As one: thousands would be more than a watcher may leave waiting before it has read anything.
            watcher.send(b"".join(event("started", listed(exchange)) for exchange in running))
        # What others have seen already.
        self._fresh.update(self._streams)
        self._soon()

    def _left(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        if self._watchers:
            return
        self.watching = False
        self.on_watching(False)
        self._streams.clear()
        self._fresh.clear()
        for call in (self._round, self._beat):
            if call is not None and call.active():
                call.cancel()
        self._round = self._beat = None

    def _heartbeat(self) -> None:
        self._beat = self._reactor.callLater(HEARTBEAT, self._heartbeat)
        if self._quiet:
            self.tell(b": still here\n\n")
        self._quiet = True

    def tell(self, data: bytes) -> None:
        """Send an event to all."""
        self._quiet = False
        for watcher in list(self._watchers):
            watcher.send(data)

    async def start(self) -> None:
        """Do nothing: watchers come by themselves."""

    async def stop(self) -> None:
        """Send all watchers away."""
        for watcher in list(self._watchers):
            watcher.end()

    # Being told.

    def started(self, exchange: Exchange) -> None:
        """Show an exchange that begins."""
        if self.watching:
            self.tell(event("started", listed(exchange)))

    def progress(self, exchange: Exchange, data: bytes) -> None:
        """Take a piece of an answer, to be read in the next round."""
        stream = self._streams.get(exchange.id)
        if stream is None:
            if not exchange.stream or len(self._streams) >= FOLLOWED:
                return
            stream = self._streams[exchange.id] = _Stream(exchange, data)
        if not self._discreet():
            stream.add(data)
        self._fresh[exchange.id] = stream
        self._soon()

    def finished(self, exchange: Exchange) -> None:
        """Show an exchange that is over."""
        if not self.watching:
            return
        self._fresh.pop(exchange.id, None)
        stream = self._streams.pop(exchange.id, None)
        if stream is not None and stream.pending:
            stream.read()
            self._tell_progress(stream)
        self.tell(event("finished", listed(exchange)))

    def _soon(self) -> None:
        if self._fresh and self._round is None:
            self._round = self._reactor.callLater(ROUND, self._go_round)

    def _go_round(self) -> None:
        self._round = None
        room = ROUND_BYTES
        while self._fresh and room > 0:
            # In the order in which they became fresh: each gets its turn.
            id = next(iter(self._fresh))
            stream = self._fresh.pop(id)
            room -= stream.size
            stream.read()
            room -= self._tell_progress(stream)
        self._soon()

    def _tell_progress(self, stream: _Stream) -> int:
        listening = [watcher for watcher in self._watchers if not watcher.slow]
        if not listening:
            return 0
        self._quiet = False
        data = stream.event()
        for watcher in listening:
            watcher.send(data, droppable=True)
        return len(data)
