"""A whole proxy in memory, on a clock that a test turns: :class:`MemoryProxy`.

Nothing here opens a socket or waits: callers write requests as bytes and read answers as bytes, upstreams
are connections that a test takes from :meth:`MemoryProxy.upstream` and answers by hand.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from clawproxy.assembly import Assembly, assemble
from clawproxy.config import load
from clawproxy.config.model import Config
from clawproxy.core.record import Exchange


class _Transport(StringTransport):
    """A string transport that an abort or a close really ends."""

    def __init__(self) -> None:
        super().__init__(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 8080),
            peerAddress=IPv4Address("TCP", "127.0.0.1", 50000),
        )
        self.protocol: Any = None
        self.aborted = False
        self.lost = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Take the option."""

    def lose(self, reason: Failure) -> None:
        """End the connection."""
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(reason)

    def loseConnection(self) -> None:
        """Close after what was written."""
        super().loseConnection()
        self.lose(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        """Close at once."""
        self.aborted = True
        self.lose(Failure(ConnectionLost()))


class MemoryCaller:
    """A caller's connection."""

    def __init__(self, proxy: MemoryProxy) -> None:
        self.transport = _Transport()
        self.protocol = proxy.assembly.site.buildProtocol(self.transport.getPeer())
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def write(self, data: bytes) -> None:
        """Send bytes to the proxy."""
        self.protocol.dataReceived(data)

    def post(
        self,
        path: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        method: str = "POST",
        version: str = "HTTP/1.1",
    ) -> None:
        """Send a request."""
        lines = [f"{method} {path} {version}", "Host: proxy", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def read(self) -> bytes:
        """Take what the proxy has sent since the last time."""
        sent: bytes = self.transport.value()
        self.transport.clear()
        return sent

    def pause(self) -> None:
        """Read no further, so that the proxy's buffer counts as full."""
        producer: Any = self.transport.producer
        producer.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        producer: Any = self.transport.producer
        producer.resumeProducing()

    def leave(self) -> None:
        """Go away without a word."""
        self.transport.lose(Failure(ConnectionLost()))

    @property
    def closed(self) -> bool:
        """Whether the proxy closed the connection."""
        return self.transport.lost


class MemoryUpstream:
    """A connection that the proxy made to an upstream."""

    def __init__(self, factory: Any) -> None:
        self.transport = _Transport()
        self.protocol = factory.buildProtocol(self.transport.getPeer())
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)

    def request(self) -> bytes:
        """Take what the proxy has sent since the last time."""
        sent: bytes = self.transport.value()
        self.transport.clear()
        return sent

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        self.protocol.dataReceived(data)

    def close(self) -> None:
        """End the connection properly."""
        self.transport.lose(Failure(ConnectionDone()))

    def reset(self) -> None:
        """End the connection with a reset."""
        self.transport.lose(Failure(ConnectionLost()))

    @property
    def aborted(self) -> bool:
        """Whether the proxy dropped the connection."""
        return self.transport.aborted

    @property
    def paused(self) -> bool:
        """Whether the proxy reads no further."""
        return self.transport.producerState == "paused"


class MemoryProxy:
    """A proxy on a clock.

    :param sets: configuration as ``--set`` takes it; the upstreams are ``http://127.0.0.1:1`` (Anthropic)
        and ``:2`` (OpenAI) unless it says otherwise.
    :ivar exchanges: what was finished, in order.
    """

    def __init__(self, *sets: str, config: Config | None = None) -> None:
        self.reactor = MemoryReactorClock()
        base = [
            "storage.url=none",
            "providers.anthropic.base_url=http://127.0.0.1:1",
            "providers.openai.base_url=http://127.0.0.1:2",
        ]
        if config is None:
            # Nothing of this machine's own configuration may leak into a test.
            nowhere = Path(os.devnull)
            config = load(
                sets=[*base, *sets], environ={}, cwd=nowhere, home=nowhere, system=nowhere / "none"
            ).config
        self.config = config
        self.assembly: Assembly = assemble(config, self.reactor)
        self.exchanges: list[Exchange] = []
        self.assembly.board.access_log = self.exchanges.append
        self.refused = False

    def caller(self) -> MemoryCaller:
        """Connect a caller."""
        return MemoryCaller(self)

    def upstream(self) -> MemoryUpstream:
        """Accept the connection that the proxy is making.

        :raise IndexError: it makes none.
        """
        return MemoryUpstream(self._attempt())

    def refuse(self) -> None:
        """Refuse the connection that the proxy is making."""
        failure = Failure(ConnectionRefusedError())
        self._attempt().clientConnectionFailed(cast(Any, None), failure)

    @property
    def connecting(self) -> int:
        """How many connections it is making; those that it has given up are not counted."""
        made = self.reactor.connectors[
            -len(self.reactor.tcpClients) or len(self.reactor.connectors) :
        ]
        return sum(not connector.stoppedConnecting for connector in made)

    def _attempt(self) -> Any:
        while True:
            *_, factory, _timeout, _bind = self.reactor.tcpClients.pop(0)
            connector = self.reactor.connectors[-1 - len(self.reactor.tcpClients)]
            if not connector.stoppedConnecting:
                return factory

    def advance(self, seconds: float) -> None:
        """Let time pass, in steps small enough for timers that re-arm themselves."""
        while seconds > 0:
            step = min(seconds, 0.5)
            self.reactor.advance(step)
            seconds -= step
