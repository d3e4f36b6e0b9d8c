"""The connections of one upstream: :class:`Pool` opens, lends, keeps and closes them, and counts them exactly.

1. :meth:`Pool.kept` lends an idle connection, :meth:`Pool.fresh` opens one; beyond ``max_connections`` requests
   wait in line, within ``connect_timeout``.
2. A connection gives itself back when its answer is whole, and takes itself off the count when it is gone.
"""

from __future__ import annotations

from collections import deque
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from clawproxy.upstream.failure import UpstreamFailure, connect_failure
from clawproxy.upstream.h1 import H1Connection

IDLE_KEPT = 50.0
"""Seconds that an unused connection is kept: below the 60 s at which many servers close theirs."""


@frozen
class Origin:
    """Where a provider lives: what connections are pooled by."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: bytes) -> Origin:
        """Read the origin of a URL."""
        parsed = urlsplit(url.decode("ascii"))
        host = parsed.hostname or ""
        return cls(parsed.scheme, host, parsed.port or (443 if parsed.scheme == "https" else 80))

    @property
    def authority(self) -> bytes:
        """The ``Host`` header's value (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return (host if self.port == default else f"{host}:{self.port}").encode("ascii")


class Pool:
    """The connections of one origin, most recently used first: the freshest is the least likely stale."""

    def __init__(
        self,
        reactor: IReactorTime,
        origin: Origin,
        endpoint: IStreamClientEndpoint,
        connect_timeout: float,
        max_connections: int,
    ) -> None:
        self._reactor = reactor
        self._origin = origin
        self.authority = origin.authority
        self._endpoint = endpoint
        self._connect_timeout = connect_timeout
        self._max = max_connections
        self._idle: list[H1Connection] = []
        self._waiting: deque[Deferred[None]] = deque()
        self._sweep: object | None = None
        self._closed = False
        self.open = 0

    def kept(self) -> H1Connection | None:
        """Lend an idle connection, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    async def fresh(self) -> H1Connection:
        """Open a connection, waiting in line while ``max_connections`` are open.

        :raise UpstreamFailure: when there is none within the connect timeout, or it is refused.
        """
        deadline = self._reactor.seconds() + self._connect_timeout
        while self.open >= self._max:
            turn: Deferred[None] = Deferred()
            self._waiting.append(turn)
            try:
                await turn.addTimeout(self._until(deadline), self._reactor)
            except Exception as error:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                if isinstance(error, CancelledError):
                    raise
                words = f"all {self._max} connections to {self._where} stayed busy for {self._connect_timeout:g} s"
                raise UpstreamFailure("connect", words, timeout=True) from None
            connection = self.kept()
            if connection is not None:
                return connection
        self.open += 1
        try:
            return await self._connect(deadline)
        except BaseException:
            self.open -= 1
            self._next()
            raise

    @property
    def _where(self) -> str:
        return f"{self._origin.host}:{self._origin.port}"

    def _until(self, deadline: float) -> float:
        return max(deadline - self._reactor.seconds(), 0.001)

    def _late(self, *_: object) -> Failure:
        words = f"no connection to {self._where} within {self._connect_timeout:g} s"
        return Failure(UpstreamFailure("connect", words, timeout=True))

    async def _connect(self, deadline: float) -> H1Connection:
        connection = H1Connection(self._reactor, self._back, self._gone)
        secured: Deferred[H1Connection] | None = None
        if self._origin.scheme == "https":
            secured = connection.secured = Deferred()
        factory = Factory.forProtocol(lambda: connection)
        factory.noisy = False
        left = False

        def leave(_: Deferred[IProtocol]) -> None:
            nonlocal left
            left = True
            connecting.cancel()

        connecting = self._endpoint.connect(factory)
        waiting: Deferred[IProtocol] = Deferred(leave)
        connecting.chainDeferred(waiting)
        try:
            await waiting.addTimeout(self._until(deadline), self._reactor, self._late)
            if secured is not None:
                await secured.addTimeout(self._until(deadline), self._reactor, self._late)
        except UpstreamFailure:
            connection.abort()
            raise
        except Exception as error:  # noqa: BLE001 - endpoints fail in many ways, all worded in one place
            connection.abort()
            if left or isinstance(error, CancelledError):
                # The caller left, whatever the endpoint calls it: one takes it for a failed look-up.
                raise CancelledError from None
            raise connect_failure(Failure(), self._origin.host, self._origin.port) from None
        connection.pooled = True
        return connection

    def _back(self, connection: H1Connection) -> None:
        if self._closed:
            connection.close_idle()
            return
        connection.used_at = self._reactor.seconds()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._reactor.callLater(IDLE_KEPT, self._close_old)
        self._next()

    def _gone(self, connection: H1Connection) -> None:
        if connection.pooled:
            connection.pooled = False
            self.open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        self._next()

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.called:
                turn.callback(None)
                return

    def _close_old(self) -> None:
        self._sweep = None
        limit = self._reactor.seconds() - IDLE_KEPT
        for connection in [each for each in self._idle if each.used_at <= limit]:
            self._idle.remove(connection)
            connection.close_idle()
        if self._idle:
            self._sweep = self._reactor.callLater(
                max(self._idle[0].used_at - limit, 0.1), self._close_old
            )

    def close(self) -> None:
        """Close the idle ones and keep none from now on."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close_idle()
        if self._sweep is not None:
            self._sweep.cancel()  # type: ignore[attr-defined]
            self._sweep = None
