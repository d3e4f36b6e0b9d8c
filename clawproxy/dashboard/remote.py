"""What other proxies on the same PostgreSQL do, for those who watch this one: :class:`Remote`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.sse import SSEDecoder
from clawproxy.dashboard.process import ReaderAway, ReaderProcess
from clawproxy.upstream.failure import UpstreamFailure

AGAIN_AFTER = 2.0
"""Seconds after which a feed that ended is asked for again."""
FRAME_LIMIT = 1 << 20


class Remote:
    """Read the reader's feed while somebody watches.

    :param instance: this proxy's own name, whose exchanges are shown already.
    :param tell: is given each event, framed.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        reader: ReaderProcess,
        instance: str,
        tell: Callable[[bytes], None],
    ) -> None:
        self._reactor = reactor
        self._reader = reader
        self._target = f"/feed?except={quote(instance, safe='')}".encode("ascii")
        self._tell = tell
        self._running: Deferred[None] | None = None

    def watch(self, watching: bool) -> None:
        """Begin to read, or stop."""
        if watching and self._running is None:
            self._running = Deferred.fromCoroutine(self._run())
            self._running.addErrback(self._ended)
        elif not watching and self._running is not None:
            running, self._running = self._running, None
            running.cancel()

    def _ended(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("bug: other proxies' traffic is not shown", failure)

    async def _run(self) -> None:
        while True:
            try:
                response = await self._reader.ask(b"GET", self._target, [], None)
            except (ReaderAway, UpstreamFailure):
                pass
            else:
                feed = _Feed(self._tell)
                response.deliverBody(feed)
                try:
                    await feed.done
                except CancelledError:
                    response.stopProducing()
                    raise
            await deferLater(self._reactor, AGAIN_AFTER)


class _Feed(Protocol):
    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._decoder = SSEDecoder(FRAME_LIMIT)
        self._tell = tell
        self.done: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        for event in self._decoder.feed(data):
            if event.event in ("started", "finished"):
                self._tell(b"event: %s\ndata: %s\n\n" % (event.event.encode(), event.data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.done.called:
            self.done.callback(None)
