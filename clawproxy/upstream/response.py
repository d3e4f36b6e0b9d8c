"""An upstream's answer as treq and the relay get it: :class:`H1Response`, which streams its body.

``deliverBody`` streams: what one ``recv`` brought is delivered as one piece in that same turn. The receiver's
transport *is* the response: pause, resume, and ``stopProducing`` which aborts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse
from zope.interface import implementer

from clawproxy.core.headers import RawHeaders

if TYPE_CHECKING:
    from clawproxy.upstream.h1 import H1Connection


DONE = Failure(ResponseDone())
"""The good end of a body."""


@implementer(IResponse, IPushProducer)
class H1Response:
    """An upstream's answer whose head is known and whose body is still on its way.

    :ivar code: the HTTP status.
    :ivar raw_headers: the header section, in order and spelling as it came.
    :ivar first: each header's first value by its name in lower case.
    :ivar turn_over: called when all that one read brought has been delivered, so that what it caused can
        leave in one packet.
    :ivar sent_at: when the request had been written, on the reactor's clock.
    :ivar headers: left empty on purpose: nothing that wraps a response finds anything to act on.
    """

    # A thousand streams have a thousand of each of these: without an instance's dictionary they take a tenth less.
    __slots__ = (
        "_connection",
        "_early",
        "_end",
        "_paused",
        "_receiver",
        "code",
        "first",
        "length",
        "phrase",
        "raw_headers",
        "sent_at",
        "turn_over",
    )

    version = (b"HTTP", 1, 1)
    request = None
    previousResponse = None

    headers = Headers()

    def __init__(
        self, connection: H1Connection, code: int, phrase: bytes, raw_headers: RawHeaders
    ) -> None:
        self.code = code
        self.phrase = phrase
        self.raw_headers = raw_headers
        self.first = {name.lower(): value for name, value in reversed(raw_headers)}
        length = self.first.get(b"content-length", b"")
        self.length: int | object = int(length) if length.isdigit() else UNKNOWN_LENGTH
        self.sent_at = 0.0
        self._connection: H1Connection | None = connection
        self._receiver: IProtocol | None = None
        self._early: list[bytes] = []
        self._end: Failure | None = None
        self._paused = False
        self.turn_over: Callable[[], None] | None = None

    @property
    def whole(self) -> bool:
        """Whether all of it is here already: then there is nothing to slow down."""
        return self._connection is None or self._connection.complete

    @property
    def in_turn(self) -> bool:
        """Whether more of what one read brought is still to be delivered in this turn."""
        return self._connection is not None and self._connection.in_turn

    def setPreviousResponse(self, response: IResponse) -> None:
        """Refuse: redirects are never followed here."""
        raise NotImplementedError("redirects are not followed")

    def deliverBody(self, protocol: IProtocol) -> None:
        """Start streaming the body into ``protocol``; its transport is this object."""
        self._receiver = protocol
        protocol.makeConnection(self)  # type: ignore[arg-type]
        early, self._early = self._early, []
        for piece in early:
            protocol.dataReceived(piece)
        if self._end is not None and self._receiver is not None:
            self._receiver = None
            protocol.connectionLost(self._end)
        elif self._connection is not None and not self._paused:
            self._connection.unthrottle()

    # What the connection calls.

    def take_whole(self, pieces: list[bytes]) -> None:
        """Take all of a body at once, for whoever will read it."""
        self._connection = None
        self._early = [b"".join(pieces)] if len(pieces) > 1 else pieces
        self._end = DONE

    def piece(self, data: bytes) -> None:
        """Take what one read brought."""
        if self._receiver is not None:
            self._receiver.dataReceived(data)
        else:
            # Nobody reads yet: keep what this read brought and ask for no more.
            self._early.append(data)
            if self._connection is not None:
                self._connection.throttle()

    def end(self, reason: Failure) -> None:
        """Take the end of the body, good (``ResponseDone``) or bad; nothing comes after it."""
        self._connection = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connectionLost(reason)
        else:
            self._end = reason

    # IPushProducer, towards whoever reads the body.

    def pauseProducing(self) -> None:
        """Stop reading from the upstream: the caller is slower than it."""
        self._paused = True
        if self._connection is not None:
            self._connection.throttle()

    def resumeProducing(self) -> None:
        """Read on."""
        self._paused = False
        if self._connection is not None:
            self._connection.unthrottle()

    def stopProducing(self) -> None:
        """Abort the connection at once: nobody wants the rest."""
        self._receiver = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    loseConnection = stopProducing
    abortConnection = stopProducing
