"""A proxy, an upstream and callers on real sockets, all in the test's own reactor.

Faults need every byte and every end of a connection in the test's hand, which a client library would
hide: a :class:`Caller` writes and reads plain bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from clawproxy.config import load
from clawproxy.core.record import Exchange
from clawproxy.service import ClawProxyService
from clawproxy.testing import ScriptedUpstream
from tests.wire import ASK, Reply, replies

reactor: Any = _reactor

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Caller(Protocol):
    """A connection to the proxy."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost: Failure | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []
        self.transport: Any = None

    def dataReceived(self, data: bytes) -> None:
        """Keep what comes."""
        self.data += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Remember the end."""
        self.lost = reason
        self._look()

    def _look(self) -> None:
        for condition, waiting in self._waiting[:]:
            if condition():
                self._waiting.remove((condition, waiting))
                waiting.callback(None)

    def _until(self, condition: Callable[[], bool]) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._waiting.append((condition, waiting))
        self._look()
        return waiting

    async def until(self, data: bytes) -> None:
        """Wait until these bytes have come.

        :raise AssertionError: the connection ended before.
        """
        await self._until(lambda: data in self.data or self.lost is not None)
        assert data in self.data, f"the end came before {data!r}: {self.data[-500:]!r}"

    async def end(self) -> None:
        """Wait for the end of the connection."""
        await self._until(lambda: self.lost is not None)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    def post(self, path: str, body: bytes = ASK, *headers: str, method: str = "POST") -> None:
        """Send a request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: proxy", *headers]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        self.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    async def reply(self) -> Reply:
        """Wait for the next whole answer, or for a cut one's end, and take it."""

        def there() -> bool:
            if self.lost is not None:
                return True
            head = self.data.find(b"\r\n\r\n")
            if head < 0:
                return False
            # Parsing is for what can be whole: large answers come in many pieces.
            length = _LENGTH.search(self.data, 0, head + 4)
            if length is not None:
                return len(self.data) >= head + 4 + int(length[1])
            return self.data.endswith(b"\r\n\r\n") and replies(bytes(self.data))[0].whole

        await self._until(there)
        found = replies(bytes(self.data), closed=self.lost is not None)
        assert len(found) == 1, found
        self.data.clear()
        return found[0]

    def leave(self) -> None:
        """Go away with a reset, if not gone already."""
        if self.lost is None:
            self.transport.abortConnection()


class LiveCase(TestCase):
    """Starts what a test asks for and sees to it that nothing is left in flight."""

    timeout = 30

    def setUp(self) -> None:
        """Have an upstream."""
        self.upstream = ScriptedUpstream(reactor)
        self.base_url = self.upstream.listen()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.upstream.stop()))
        self.exchanges: list[Exchange] = []
        self.lowest = 0

    async def proxy(
        self, *sets: str, listen: str = "tcp:0:interface=127.0.0.1"
    ) -> ClawProxyService:
        """Start a proxy before the upstream, for both APIs."""
        base = [
            "storage.url=none",
            f"providers.anthropic.base_url={self.base_url}",
            f"providers.openai.base_url={self.base_url}",
        ]
        nowhere = Path(os.devnull)
        config = load(
            listen=[listen],
            sets=[*base, *sets],
            environ={},
            cwd=nowhere,
            home=nowhere,
            system=nowhere / "none",
        ).config
        service = ClawProxyService(config, reactor)
        service.log_access_with(self.exchanges.append)
        drain = service.drain
        leave = drain.leave

        def checked() -> None:
            leave()
            self.lowest = min(self.lowest, drain.in_flight)

        drain.leave = checked  # type: ignore[method-assign]
        service.privilegedStartService()
        service.startService()
        self.service = service
        self.addCleanup(self._stop, service)
        return service

    def _stop(self, service: ClawProxyService) -> Deferred[None]:
        async def stop() -> None:
            await self.eventually(lambda: service.drain.in_flight == 0)
            self.assertEqual(self.lowest, 0, "the count of what is in flight went below 0")
            await service.stopService()
            # Connections of callers and upstreams end in the turns after.
            await self.eventually(lambda: not service._assembled.site.channels)
            await self.pause(0.01)

        return Deferred.fromCoroutine(stop())

    async def caller(self, endpoint: Any = None) -> Caller:
        """Connect to the proxy."""
        from twisted.internet.endpoints import TCP4ClientEndpoint

        address: Any = self.service.addresses[0]
        where = endpoint or TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)
        caller: Caller = await connectProtocol(where, Caller())
        self.addCleanup(caller.leave)
        return caller

    async def pause(self, seconds: float) -> None:
        """Let the reactor run."""
        await deferLater(reactor, seconds)

    async def eventually(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Wait until a condition holds; fail if it does not in time."""
        deadline = reactor.seconds() + seconds
        while not condition():
            if reactor.seconds() > deadline:
                self.fail("what was waited for did not happen")
            await self.pause(0.005)

    @property
    def in_flight(self) -> int:
        """What the proxy counts."""
        return self.service.drain.in_flight
