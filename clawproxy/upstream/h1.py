"""One HTTP/1.1 connection to an upstream, parsed by llhttp (``httptools``).

Twisted's own client parser costs more than all the rest of a forwarded request, limits a header
line to 16 KiB, and withholds an early streaming answer until the request body is up. This one:

1. :meth:`H1Connection.send` writes head and body at once and gives a Deferred of :class:`H1Response`.
2. :class:`~clawproxy.upstream.response.H1Response` is an :class:`~twisted.web.iweb.IResponse`, so that treq can
   carry it; its ``raw_headers`` hold the header section as it came.
3. What one read brought is given to the response in one piece, in that same turn.

What is read of an answer is in :mod:`.reading`, and what takes too long in :mod:`.clocks`.

States: IDLE → BUSY (request written) → HEAD (headers known) → IDLE | CLOSED.
"""

from __future__ import annotations

from collections.abc import Callable

import httptools
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from clawproxy.sending import hear_out, send, unsent
from clawproxy.upstream.clocks import TimedConnection
from clawproxy.upstream.failure import UpstreamFailure, loss_words
from clawproxy.upstream.response import DONE, H1Response

MAX_HEAD = 262_144
"""Bytes of status line and headers that an upstream may send; OpenAI's own budget is 64 KiB."""

SMALL = 65_536
"""Bytes of a request body up to which it leaves in one packet with its head."""

_SWITCHED = "it switched protocols without being asked to"


@implementer(IHandshakeListener)
class H1Connection(TimedConnection):
    """A connection that carries one request at a time and may be kept for the next.

    :param reactor: for the clocks.
    :param on_idle: called with the connection when it can take another request.
    :param on_closed: called with the connection once, when it is gone.
    """

    __slots__ = (
        "_head_bytes",
        "_large",
        "_no_body",
        "_on_closed",
        "_on_idle",
        "_until_close",
        "in_turn",
        "pooled",
        "reused",
        "secured",
        "used_at",
    )

    def __init__(
        self,
        reactor: IReactorTime,
        on_idle: Callable[[H1Connection], None],
        on_closed: Callable[[H1Connection], None],
    ) -> None:
        super().__init__(reactor)
        self._on_idle = on_idle
        self._on_closed = on_closed
        self.in_turn = False
        self._parser = None
        self.complete = False
        self.reused = False
        self.secured: Deferred[H1Connection] | None = None
        self.used_at = 0.0
        self.pooled = False

    # The connection's life.

    def handshakeCompleted(self) -> None:
        """Tell that TLS stands (only called on TLS transports)."""
        secured, self.secured = self.secured, None
        if secured is not None:
            secured.callback(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End whatever was under way; a body that ends with its connection is whole."""
        self.closed = True
        self._alarm.stop()
        secured, self.secured = self.secured, None
        waiting, self._waiting = self._waiting, None
        response, self._response = self._response, None
        self._on_closed(self)
        if secured is not None:
            secured.errback(reason)
        if waiting is not None:
            stale = self.reused and not self._head_bytes
            waiting.errback(
                Failure(
                    UpstreamFailure(
                        "headers", loss_words(reason) + " before its answer", stale=stale
                    )
                )
            )
        if response is not None:
            if self._until_close and reason.check(ConnectionDone):
                response.end(DONE)
            else:
                words = loss_words(reason) + " before the end of its answer"
                response.end(Failure(UpstreamFailure("body", words)))

    # One request.

    def send(
        self,
        method: bytes,
        head: bytes,
        body: bytes,
        header_timeout: float,
        idle_timeout: float,
    ) -> Deferred[H1Response]:
        """Write a request and wait for the head of its answer.

        :param head: request line and headers, complete with the empty line.
        :param body: the bytes behind the head.
        :param header_timeout: seconds until the answer's head must be there; 0 for no limit.
        :param idle_timeout: seconds that may pass between two body pieces; 0 for no limit.
        :return: fires with the response; fails with :class:`UpstreamFailure`. Cancelling aborts.
        """
        self._begin_answer()
        self._no_body = method == b"HEAD"
        self._head_bytes = 0
        self._until_close = False
        self._header_timeout = header_timeout
        self._idle_timeout = idle_timeout
        waiting = self._waiting = Deferred(self._not_wanted)
        if header_timeout:
            self._head_until = self._reactor.seconds() + header_timeout
            self._alarm.within(header_timeout)
        if len(body) < SMALL:
            send(self.transport, head + body if body else head)
        else:
            hear_out(self.transport)
            self.transport.write(head)  # type: ignore[union-attr]
            self.transport.write(body)  # type: ignore[union-attr]
        self._large = len(body) >= SMALL
        return waiting

    def _not_wanted(self, _: Deferred[H1Response]) -> None:
        self.abort()

    def dataReceived(self, data: bytes) -> None:
        """Parse what came; deliver head, piece and end after the parser has returned."""
        if self._waiting is None and self._response is None:
            # Bytes that nobody asked for: such a connection is not to be trusted again.
            self.abort()
            return
        self._last_byte = self._reactor.seconds()
        self.in_turn = True
        if self._response is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except httptools.HttpParserUpgrade:
            # 101 to a request that asked for no other protocol
            self._fail(_SWITCHED)
            return
        except httptools.HttpParserError as error:
            if not self.complete:
                self._fail(f"its answer is not HTTP: {error}")
                return
            self._keep = False
        if self._waiting is not None:
            if self._head_complete and self._status == 101:
                # The parser takes it for an ordinary answer where "Connection: Upgrade" is missing.
                self._fail(_SWITCHED)
                return
            if self._head_complete and self.complete and not self._no_body:
                self._deliver_whole()
                return
            if self._head_complete:
                self._deliver_head()
            elif self._head_bytes > MAX_HEAD:
                self._fail(f"its response headers exceed {MAX_HEAD} bytes")
                return
        response = self._response
        if response is None:
            return
        if self._pieces:
            pieces = self._pieces
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            response.piece(data)
        if self._response is not None and self.complete:
            self._finish(response)
        self.in_turn = False
        if response.turn_over is not None:
            response.turn_over()

    def _deliver_whole(self) -> None:
        """Deliver an answer that one read brought whole; its connection is free before it is looked at."""
        response = H1Response(self, self._status, self._phrase, self._headers)
        response.take_whole(self._pieces)
        waiting, self._waiting = self._waiting, None
        self.in_turn = False
        self._let_go(response)
        waiting.callback(response)  # type: ignore[union-attr]

    def _deliver_head(self) -> None:
        response = H1Response(self, self._status, self._phrase, self._headers)
        framed = b"content-length" in response.first
        if b"transfer-encoding" in response.first:
            # Any other coding ends with the connection (RFC 9112 §6.3, rule 4).
            framed = framed or any(
                name.lower() == b"transfer-encoding" and b"chunked" in value.lower()
                for name, value in self._headers
            )
        self._until_close = not framed and not self.complete
        self._response = response
        waiting, self._waiting = self._waiting, None
        if self._no_body:
            self.complete = True
            self._keep = False
        if self._idle_timeout and not self.complete:
            self._alarm.within(self._idle_timeout)
        waiting.callback(response)  # type: ignore[union-attr]

    def _finish(self, response: H1Response) -> None:
        self._response = None
        self._let_go(response)
        response.end(DONE)

    def _let_go(self, response: H1Response) -> None:
        """Give the connection back, if it can take another request."""
        self._parser = None
        if self._throttled:
            self.unthrottle()
        if self._large and response.code >= 400:
            # It may have come before all of the body was sent, and a close would go on sending that.
            self.abort()
        elif self._keep and not self.closed and not (self._large and unsent(self.transport)):
            # (Behind a body that was answered early, another request would wait until its server has read all of it.)
            self.reused = True
            self._on_idle(self)
        else:
            self.close_idle()

    def _fail(self, words: str) -> None:
        if self._response is not None and self._pieces:
            # What was good of this read is the caller's all the same.
            self._response.piece(b"".join(self._pieces))
        waiting, self._waiting = self._waiting, None
        response, self._response = self._response, None
        self.abort()
        if waiting is not None:
            waiting.errback(Failure(UpstreamFailure("headers", words)))
        if response is not None:
            response.end(Failure(UpstreamFailure("body", words)))
