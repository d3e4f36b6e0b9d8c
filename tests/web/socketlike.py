"""A transport in memory that fills, drains and closes as a socket's does: :class:`SocketLike`."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ITransport, IPushProducer, IConsumer)
class SocketLike:
    """One end, with a caller behind it who sends and takes what a test says.

    :param room: bytes that may wait before the producer is paused.
    :ivar got: what the caller has taken.
    """

    def __init__(self, reactor: Any, site: Any, room: int) -> None:
        self.reactor, self.room = reactor, room
        self.incoming = self.waiting = self.got = b""
        self.producer: Any = None
        self.full = self.disconnecting = self.lost = self.fin = False
        self.reading = self.connected = True
        self.protocol = site.buildProtocol(self.getPeer())
        self.protocol.makeConnection(self)

    # What the caller does.

    def deliver(self, most: int) -> None:
        """Have the proxy read, if it does, what was sent; and then the FIN."""
        if not self.reading or self.lost or self.disconnecting:
            return
        data, self.incoming = self.incoming[:most], self.incoming[most:]
        if data:
            self.protocol.dataReceived(data)
        elif self.fin:
            self._lose(ConnectionDone())

    def take(self, most: int) -> None:
        """Take what the proxy has sent."""
        self.got += self.waiting[:most]
        self.waiting = self.waiting[most:]
        if self.waiting or self.lost:
            return
        if self.producer is not None and self.full:
            self.full = False
            self.producer.resumeProducing()
        elif self.disconnecting:
            self._lose(ConnectionDone())

    def leave(self) -> None:
        """Send a FIN behind all else."""
        self.fin = True
        if not self.incoming:
            self.deliver(0)

    def _lose(self, reason: Exception) -> None:
        if not self.lost:
            self.lost, self.connected = True, False
            self.protocol.connectionLost(Failure(reason))

    # What the proxy does.

    def write(self, data: bytes) -> None:
        if self.lost:
            return
        self.waiting += data
        if self.producer is not None and len(self.waiting) > self.room:
            self.full = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = self.connected and not self.disconnecting

    def stopProducing(self) -> None:
        self.loseConnection()

    def loseConnection(self) -> None:
        if not self.disconnecting and not self.lost:
            self.disconnecting, self.reading = True, False
            if not self.waiting:
                self.reactor.callLater(0, self._lose, ConnectionDone())

    def abortConnection(self) -> None:
        self.reading = False
        self.reactor.callLater(0, self._lose, ConnectionAborted())

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 50000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8080)
