"""A connection to an upstream without a socket, for the tests of its parts."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.h1 import H1Connection
from clawproxy.upstream.response import H1Response


class Transport(StringTransport):
    """A transport whose end reaches its protocol, as a socket's does."""

    protocol: Any = None
    aborted = False

    def loseConnection(self) -> None:
        super().loseConnection()
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        self.aborted = True
        self.protocol.connectionLost(Failure(ConnectionLost()))

    @property
    def paused(self) -> bool:
        return self.producerState == "paused"


class Reader(Protocol):
    """Keeps the pieces and how they ended."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.end: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.end is None, "an end came twice"
        self.end = reason

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def whole(self) -> bool:
        return self.end is not None and self.end.check(ResponseDone) is not None

    @property
    def failure(self) -> UpstreamFailure:
        assert self.end is not None, "no end yet"
        error = self.end.value
        assert isinstance(error, UpstreamFailure), error
        return error


class ConnectionCase(SynchronousTestCase):
    """A connection on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.idle: list[H1Connection] = []
        self.gone: list[H1Connection] = []
        self.connection, self.transport = self.connect()

    def connect(self) -> tuple[H1Connection, Transport]:
        connection = H1Connection(self.clock, self.idle.append, self.gone.append)
        transport = Transport()
        transport.protocol = connection
        connection.makeConnection(transport)
        return connection, transport

    def ask(
        self,
        method: bytes = b"POST",
        body: bytes = b"{}",
        header_timeout: float = 300.0,
        idle_timeout: float = 300.0,
    ) -> Deferred[H1Response]:
        return self.connection.send(method, b"HEAD\r\n\r\n", body, header_timeout, idle_timeout)

    def read(self, asking: Deferred[H1Response]) -> tuple[H1Response, Reader]:
        response = self.successResultOf(asking)
        reader = Reader()
        response.deliverBody(reader)
        return response, reader

    def failed(self, asking: Deferred[H1Response]) -> UpstreamFailure:
        error: UpstreamFailure = self.failureResultOf(asking, UpstreamFailure).value
        return error
