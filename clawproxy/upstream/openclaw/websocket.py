"""A WebSocket client on any Twisted transport, by wsproto: text messages in and out, and why it
ended.

1. :class:`WebSocketClient` is built with its URL's parts and a :class:`Listener`, and connected by
   an endpoint.
2. It upgrades, then hands whole text messages to the listener.
3. Whatever ends it, the listener hears of it once, with the close code and reason or the HTTP
   status.

``twisted.web.websocket`` is not used: it tells neither the close code (which says what a gateway
means) nor what came instead of an upgrade, sends ``Host`` without the port, has no limit on a
message's size, and its ``connect`` never fires when the connection is lost during the handshake.
"""

from __future__ import annotations

from typing import Protocol as Interface

from attrs import frozen
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

MAX_MESSAGE = 64 * 1024 * 1024
"""Characters; a message that grows longer than this closes the connection (code 1009)."""

MAX_REJECTION = 4096
"""Bytes kept of the body that came instead of an upgrade."""


@frozen
class Ending:
    """Why a WebSocket is over.

    :ivar code: the close code, ``None`` where the connection just broke.
    :ivar status: the HTTP status that came instead of an upgrade.
    :ivar reason: the close reason, the HTTP body's beginning, or the transport's words.
    """

    code: int | None = None
    reason: str = ""
    status: int | None = None


class Listener(Interface):
    """Who owns a :class:`WebSocketClient`."""

    def opened(self, socket: WebSocketClient) -> None:
        """The upgrade succeeded."""

    def received(self, message: str) -> None:
        """A whole text message came."""

    def closed(self, ending: Ending) -> None:
        """It is over; called once."""


class WebSocketClient(Protocol):
    """One WebSocket: CONNECTING until the upgrade, OPEN until either side closes, then CLOSED.

    No ``Origin`` header is sent: gateways take a client that sends one for a browser.

    :param host: what ``Host`` says, with the port.
    :param target: path and query.
    """

    transport: ITransport

    def __init__(self, host: str, target: str, listener: Listener) -> None:
        self._host = host
        self._target = target
        self._listener = listener
        self._wire = WSConnection(ConnectionType.CLIENT)
        self._pieces: list[str] = []
        self._length = 0
        self._ending: Ending | None = None
        self._rejection = b""
        self._lost = False

    def connectionMade(self) -> None:
        self.transport.write(self._wire.send(Request(host=self._host, target=self._target)))

    def dataReceived(self, data: bytes) -> None:
        try:
            self._wire.receive_data(data)
            for event in self._wire.events():
                self._handle(event)
        except RemoteProtocolError as error:
            self._end(Ending(reason=f"not a WebSocket: {error}"))
            self._abort()

    def _handle(self, event: Event) -> None:
        if self._lost or (self._ending is not None and not isinstance(event, RejectData)):
            return
        match event:
            case TextMessage():
                self._gather(event)
            case AcceptConnection():
                self._listener.opened(self)
            case Ping():
                self.transport.write(self._wire.send(event.response()))
            case CloseConnection():
                self._end(Ending(int(event.code), event.reason or ""))
                if self._wire.state is ConnectionState.REMOTE_CLOSING:
                    self.transport.write(self._wire.send(event.response()))
                self.transport.loseConnection()
            case RejectConnection():
                self._end(Ending(status=event.status_code))
                if not event.has_body:
                    self.transport.loseConnection()
            case RejectData():
                self._rejection = (self._rejection + bytes(event.data))[:MAX_REJECTION]
                if event.body_finished:
                    self.transport.loseConnection()
            case BytesMessage():
                # Gateways send text alone; a binary message says that this is something else.
                self.close(1003, "text only")
            case _:
                pass

    def _gather(self, event: TextMessage) -> None:
        self._pieces.append(event.data)
        self._length += len(event.data)
        if self._length > MAX_MESSAGE:
            self.close(1009, "message too long")
        elif event.message_finished:
            message = "".join(self._pieces)
            self._pieces, self._length = [], 0
            self._listener.received(message)

    def send(self, text: str) -> None:
        """Send a text message; silently nothing once the connection is closing."""
        if self._lost or self._ending is not None:
            return
        try:
            self.transport.write(self._wire.send(TextMessage(text)))
        except LocalProtocolError:
            # The peer has begun to close; closed() is about to say so.
            return

    def close(self, code: int, reason: str = "") -> None:
        """Close from this side, and do not wait for the other."""
        if self._ending is not None or self._lost:
            return
        self._end(Ending(code, reason))
        if self._wire.state is ConnectionState.OPEN:
            self.transport.write(self._wire.send(CloseConnection(code, reason)))
        self.transport.loseConnection()

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending

    def abort(self) -> None:
        """Drop the connection at once: the other side does not answer."""
        self._end(Ending(reason="given up"))
        self._abort()

    def _abort(self) -> None:
        abort = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()
        else:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._lost:
            return
        self._lost = True
        ending = self._ending or Ending(
            reason="" if reason.check(ConnectionDone) else reason.getErrorMessage()
        )
        if ending.status is not None:
            ending = Ending(status=ending.status, reason=self._rejection.decode("utf-8", "replace"))
        self._listener.closed(ending)
