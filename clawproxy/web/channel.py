"""A caller's HTTP/1 connection: Twisted's, with this program's limits and its way of refusing.

1. It raises Twisted's 16 KiB header limit, and answers what it refuses instead of just closing.
2. A refused connection drops what still comes, until there are :data:`LINGER` seconds without: a close
   while bytes are unread would destroy the answer on its way (RFC 9112 §9.6).
3. It notices a caller's disconnect even behind pipelined bytes, and a caller that takes nothing any more.
4. It takes up no further request as long as its caller does not take the answers that there are.
5. It keeps what is written while corked, so that what one turn brings leaves as one packet.
6. Its idle clock is one timer that re-arms itself: a request costs none.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.requesthead import MAX_NAME, Head, parse
from clawproxy.sending import hang_up, send, unsent
from clawproxy.web.stall import CallerStalled, Stall, outstanding

if TYPE_CHECKING:
    from clawproxy.web.request import ProxyRequest
    from clawproxy.web.site import ProxySite

MAX_HEAD = 131_072
"""Bytes of a caller's request line and headers; OpenAI's header budget is 64 KiB."""

MAX_PIPELINED = 1_048_576
"""Bytes of further requests that are read ahead in any case while one is answered, so that a disconnect shows."""

MAX_PIECES = 256
"""Pieces in which read-ahead bytes are kept; more are joined, or counting them would take ever longer."""

AT_ONCE = 65_536
"""Bytes of what was read ahead that are taken up in one turn, as one read brings them: each request in it copies
what stands behind it, and a caller may send thousands."""

TLS_HELLO = b"\x16\x03"
"""How a TLS connection begins (RFC 8446 §5.1); there may be no line end in it to wait for."""

CLOSE_WITHIN = 1.0
"""Seconds that a caller has to agree to the end of TLS once all has been sent; many never do."""

LINGER = 5.0
"""Seconds without a byte for which the rest of a refused request is read and dropped, so that the answer arrives."""

LINGER_MOST = 30.0
"""Seconds for which it is dropped at most, however much of it still comes."""

LAST_WORDS = 0.1
"""Seconds between the last bytes of a broken answer and the end of its connection: HTTP clients that learn of both at
once tell their program of the end alone, and the error event is lost."""


class ProxyChannel(http.HTTPChannel):
    """A caller's connection.

    :ivar refused: what still comes is dropped.
    """

    # Beside what Twisted puts into the instance's dictionary, which takes three times the room from its 31st name on.
    __slots__ = (
        "_ahead",
        "_close_until",
        "_closing",
        "_host",
        "_idle_clock",
        "_idle_until",
        "_later",
        "_lingering",
        "_out",
        "_partial",
        "_peer",
        "_stall",
        "_stalled",
        "_watch",
        "corked",
        "opened",
        "refused",
        "used",
    )

    totalHeadersSize = MAX_HEAD
    MAX_LENGTH = MAX_HEAD
    _log = Logger()
    site: ProxySite
    transport: Any

    def connectionMade(self) -> None:
        """Join the site's connections."""
        self._lingering: IDelayedCall | None = None
        self._watch: IDelayedCall | None = None
        self._closing: IDelayedCall | None = None
        self._later: IDelayedCall | None = None
        self._partial = 0
        self._idle_clock: IDelayedCall | None = None
        self._idle_until = 0.0
        self._stall: Stall | None = None
        self._stalled = False
        # A whole further request: a FIN that waits on the caller's side behind a part of one is seen by nobody.
        self._optimisticEagerReadSize = max(MAX_PIPELINED, self.site.max_body + MAX_HEAD)
        self._out: list[bytes] = []
        self._ahead = 0
        self.corked = False
        self.refused = False
        self.used = False
        self.opened = self.site.reactor.seconds()
        self._peer, self._host = self.transport.getPeer(), self.transport.getHost()
        super().connectionMade()
        self.site.channels.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the site's connections and end what was being answered."""
        self.site.channels.discard(self)
        self._let_go()
        for call in (self._watch, self._lingering, self._closing, self._later):
            if call is not None and call.active():
                call.cancel()
        self.stop_idle_clock()
        if self._stall is not None:
            self._stall.end()
        if self._stalled:
            reason = Failure(CallerStalled(self.site.send_timeout))
        super().connectionLost(reason)

    def getPeer(self) -> Any:
        """Give the caller's address without asking the kernel again for each request."""
        return self._peer

    def getHost(self) -> Any:
        """Give our address without asking the kernel again for each request."""
        return self._host

    # The idle clock.

    def setTimeout(self, period: float | None) -> float | None:
        """Close the connection when nothing has come for ``period`` seconds; never, where it is ``None``.

        :return: the period that was in force.
        """
        before: float | None = self.timeOut
        self.timeOut = period  # type: ignore[assignment]
        if period:
            self._idle_until = self.site.reactor.seconds() + period
            clock = self._idle_clock
            if clock is not None and clock.getTime() > self._idle_until:
                self.stop_idle_clock()
                clock = None
            if clock is None:
                self._idle_clock = self.site.reactor.callLater(period, self._look_at_idle_clock)
        return before

    def resetTimeout(self) -> None:
        """Take note that something came; from a head's first line on, all of it has to come within one period."""
        if self.timeOut and (self._HTTPChannel__first_line or not self.line_mode):
            self._idle_until = self.site.reactor.seconds() + self.timeOut

    def _look_at_idle_clock(self) -> None:
        self._idle_clock = None
        if not self.timeOut:
            return
        left = self._idle_until - self.site.reactor.seconds()
        if left > 0.001:
            self._idle_clock = self.site.reactor.callLater(left, self._look_at_idle_clock)
        elif self._untaken:
            # However slowly an answer is taken, it is waited for, and so are the requests behind it.
            self._look_for_stall()
            self.setTimeout(self.timeOut)
        else:
            self.timeoutConnection()

    def stop_idle_clock(self) -> None:
        """Let go of the timer, as a connection does that ends here or becomes another protocol's."""
        clock, self._idle_clock = self._idle_clock, None
        if clock is not None and clock.active():
            clock.cancel()

    # Writing.

    def write(self, data: bytes) -> None:
        """Send at once, or with what else belongs to this turn while corked."""
        if self.corked:
            self._out.append(data)
        else:
            send(self.transport, data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send at once, or with what else belongs to this turn while corked."""
        self._out.extend(iovec)
        if not self.corked:
            self.flush()

    def flush(self) -> None:
        """Send what was kept while corked, in one piece."""
        out = self._out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            self._out = []
            send(self.transport, data)

    # Flow control.

    def pauseProducing(self) -> None:
        """Write no more until the caller has taken what waits, and look whether it takes anything."""
        super().pauseProducing()
        self._look_for_stall()

    def _look_for_stall(self) -> None:
        if self._stall is None:
            if not self.site.send_timeout:
                return
            self._stall = Stall(
                self.site.reactor, self.site.send_timeout, self._left, self._caller_stalls
            )
        self._stall.begin()

    def resumeProducing(self) -> None:
        """Write on."""
        super().resumeProducing()
        if self._stall is not None:
            # Not at a pause: a transport that is full asks for one again with each ping that is written.
            self._stall.moved = True
        if self.paused:
            self._take_up()

    def _left(self) -> int | None:
        return outstanding(self.transport) if self._untaken else None

    @property
    def _untaken(self) -> bool:
        return self._waitingForTransport or unsent(self.transport)

    def _caller_stalls(self) -> None:
        self._stalled = True
        self.transport.abortConnection()

    # Ending.

    def loseConnection(self) -> None:
        """Close after what was written, or when a refused request has had its time."""
        self.flush()
        if self._lingering is None:
            super().loseConnection()
            if self._closing is None and self in self.site.channels:
                reactor = self.site.reactor
                # What was written is sent first, and a caller who reads no more would hold it here for ever.
                self._close_until = reactor.seconds() + (self.site.timeOut or float("inf"))
                self._closing = reactor.callLater(CLOSE_WITHIN, self._look_at_closing)

    def _look_at_closing(self) -> None:
        if not unsent(self.transport):
            hang_up(self.transport)
        if self.site.reactor.seconds() >= self._close_until:
            self._closing = None
            self.transport.abortConnection()
            return
        self._closing = self.site.reactor.callLater(CLOSE_WITHIN, self._look_at_closing)

    def break_off(self) -> None:
        """Send what was written, and close when the caller has had a moment to read it."""
        self.corked = False
        self.flush()
        if self._closing is None:
            self._closing = self.site.reactor.callLater(LAST_WORDS, self._end_broken)

    def _end_broken(self) -> None:
        self._closing = None
        self.loseConnection()

    def requestDone(self, request: http.Request) -> None:
        """An answer is complete: let it go, and take up the next request."""
        self.corked = False
        self.used = True
        self.flush()
        much = self._ahead > AT_ONCE
        if self.site.drain.draining and not any(self._dataBuffer):
            self.persistent = 0
        if (much or self._waitingForTransport) and self.persistent:
            # Hundreds of requests fit into one read, and their answers would all wait here for a caller who takes none.
            self.paused = True
            super().requestDone(request)
            self._networkProducer.pauseProducing()
            if much:
                self._take_up()
            return
        if self._ahead:
            self._let_go()
        super().requestDone(request)

    def _take_up(self) -> None:
        """Go on with what waits, a little of it in each turn, as long as the caller takes the answers."""
        if self._waitingForTransport or not self.paused or self.refused:
            return
        if self._later is not None and self._later.active():
            self._later.cancel()
        self._later = None
        self.paused = False
        self._networkProducer.resumeProducing()  # first: what is taken up may be too much again, or the last
        self._let_go()
        waiting, self._buffer = self._buffer, b""
        # A line that is longer than this is not begun with again and again.
        end = self._partial + AT_ONCE
        self.dataReceived(waiting[:end])
        rest = waiting[end:]
        if self._handlingRequest:
            # Nothing is wanted that stands behind a last request.
            if rest and self.persistent:
                self.rawDataReceived(rest)
        elif rest and not self.refused:
            self._partial = 0 if self.paused else len(self._buffer)
            self._buffer += rest
            self._ahead = len(self._buffer)
            self.site.held += self._ahead
            self.paused = True
            self._networkProducer.pauseProducing()
            if not self._waitingForTransport:
                self._later = self.site.reactor.callLater(0, self._take_up)

    def _let_go(self) -> None:
        """What was read ahead is taken up now, or never."""
        self.site.held -= self._ahead
        self._ahead = 0

    @property
    def unsent(self) -> int:
        """Whether answers that are finished still have to be sent, and nothing else is under way here."""
        return int(not self.answering and unsent(self.transport))

    @property
    def answering(self) -> bool:
        """Whether a request is being read or answered here; a whole answer may still have to be sent."""
        return bool(self.requests)

    @property
    def idle(self) -> bool:
        """Whether nothing is being read or answered here."""
        return not self.requests and not self._handlingRequest and not self._buffer

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        """Take ordinary requests in one go each; all else goes through Twisted's careful parser."""
        while (
            self.line_mode
            and not self._buffer
            and not self.requests
            and self.persistent
            and not self.paused
        ):
            head = parse(data, MAX_HEAD, self.maxHeaders)
            if head is None:
                if data.startswith(TLS_HELLO):
                    words = (
                        "this is TLS, and plain HTTP is spoken here: the URL begins with http://"
                    )
                    self._refuse(ProxyError(Kind.INVALID_REQUEST, words))
                    return
                break
            self._take(head, data)
            data = data[head.size + head.length :]
            if not data or self.refused:
                return
        super().dataReceived(data)

    def _take(self, head: Head, data: bytes) -> None:
        """Do what Twisted does line by line and header by header, all at once."""
        request: Any = self.requestFactory(self, 0)
        self.requests.append(request)
        self._HTTPChannel__first_line = 0
        request.lines, request.first = head.lines, head.first
        end = head.size + head.length
        if end <= len(data) and head.length <= self.site.max_body:
            self._answer_whole(request, head, data[head.size : end])
            return
        self._command, self._path, self._version = head.method, head.target, head.version
        self.length = head.length
        self.allHeadersReceived()
        if not self.refused:
            self._transferDecoder = http._IdentityTransferDecoder(
                head.length, request.handleContentChunk, self._finishRequestBody
            )
            self.setRawMode()
            self._transferDecoder.dataReceived(data[head.size : end])

    def _answer_whole(self, request: ProxyRequest, head: Head, body: bytes) -> None:
        """Have a request answered whose body is here too, as nearly every one's is."""
        self.persistent = head.version == b"HTTP/1.1"
        request.uri = head.target
        if b"cookie" in head.first:
            request.parseCookies()
        request.begin()
        request.content = BytesIO(body)
        self._HTTPChannel__first_line = 1
        if self.timeOut:
            self._savedTimeOut = self.setTimeout(None)
        self._handlingRequest = True
        self.setRawMode()
        request.requestReceived(head.method, head.target, head.version)

    def rawDataReceived(self, data: bytes) -> None:
        """Read body bytes, or keep pipelined ones for later and go on noticing a disconnect."""
        if not self._handlingRequest:
            super().rawDataReceived(data)
            return
        # Twisted's own goes on reading, without a bound, as long as the caller takes nothing of a stream.
        self._dataBuffer.append(data)
        self._ahead += len(data)
        self.site.held += len(data)
        if len(self._dataBuffer) > MAX_PIECES:
            self._dataBuffer = [b"".join(self._dataBuffer)]
        if self.site.held > self.site.max_bodies or self._ahead > self._optimisticEagerReadSize:
            self._networkProducer.pauseProducing()
            if self._watch is None:
                # A FIN would go unseen now (Twisted's own note 2 at notifyFinish).
                self._look_for_fin()

    def _look_for_fin(self) -> None:
        self._watch = None
        if not self._handlingRequest:
            return
        if _peer_is_gone(self.transport):
            self.transport.abortConnection()
            return
        self._watch = self.site.reactor.callLater(0.5, self._look_for_fin)

    def headerReceived(self, line: bytes) -> bool:
        """Take a header, unless its name is longer than any may be."""
        if line.find(b":") > MAX_NAME:
            words = f"the name of a header exceeds {MAX_NAME} bytes"
            self._refuse(ProxyError(Kind.INVALID_REQUEST, words, status=431))
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """Tell the request its target before its body is read, since counting begins with the head."""
        if not self._path.startswith(b"/"):
            self._path = origin_form(self._path)
        request = self.requests[-1]
        request.uri = self._path
        request.method = self._command
        if len(request.requestHeaders.getRawHeaders(b"host") or ()) > 1:
            # RFC 9112 §3.2: whoever was in front of us may have looked at the other one.
            self._refuse(ProxyError(Kind.INVALID_REQUEST, "there is more than one Host"))
            return
        super().allHeadersReceived()

    def checkPersistence(self, request: http.Request, version: bytes) -> bool:
        """Tell whether the connection may outlive the request (RFC 9112 §9.3)."""
        if version != b"HTTP/1.1":
            return False
        values = request.requestHeaders.getRawHeaders(b"connection")
        return values is None or not any(
            option.strip().lower() == b"close" for value in values for option in value.split(b",")
        )

    def allContentReceived(self) -> None:
        """Have the request answered, unless it was refused while it was being read."""
        if not self.refused:
            super().allContentReceived()

    def _send100Continue(self) -> None:
        if not self.refused:
            super()._send100Continue()
            if self._waitingForTransport:
                # It made the transport full, and nobody would read on while the request is answered.
                self._networkProducer.resumeProducing()

    # Refusing.

    def lineLengthExceeded(self, line: bytes) -> None:
        """Answer a header line beyond the limit instead of just closing."""
        words = f"the request's head exceeds {MAX_HEAD} bytes or {self.maxHeaders} headers"
        self._refuse(ProxyError(Kind.INVALID_REQUEST, words, status=431))

    def _respondToBadRequestAndDisconnect(self) -> None:
        if (
            self._receivedHeaderSize > self.totalHeadersSize
            or self._receivedHeaderCount > self.maxHeaders
        ):
            self.lineLengthExceeded(b"")
            return
        words = "this is not an HTTP request that can be read"
        self._refuse(ProxyError(Kind.INVALID_REQUEST, words))

    def _refuse(self, error: ProxyError) -> None:
        if self.refused:
            return
        if not self.requests:
            self.requests.append(self.requestFactory(self))
        self.requests[-1].refuse(error)

    def linger(self) -> None:
        """Drop what still comes, for a while, and then close: a close now could destroy the answer."""
        if self.refused:
            return
        self.refused = True
        self.persistent = 0
        clock = self.site.reactor.seconds
        self._lingers_until = clock() + LINGER_MOST
        dropped = self._dropped = [clock()]

        def drop(_: bytes) -> None:
            dropped[0] = clock()

        # On the instance, as Twisted does it itself: so nothing is paid for it per line.
        for name in ("dataReceived", "lineReceived", "rawDataReceived"):
            setattr(self, name, drop)
        self.clearLineBuffer()
        self.setTimeout(None)
        self._lingering = self.site.reactor.callLater(LINGER, self._end_linger)

    def _end_linger(self) -> None:
        now = self.site.reactor.seconds()
        left = min(self._dropped[0] + LINGER, self._lingers_until) - now
        if left > 0:
            self._lingering = self.site.reactor.callLater(left, self._end_linger)
            return
        self._lingering = None
        self.loseConnection()

    def leave(self) -> None:
        """Close the connection whatever comes on it: nothing that came whole is still to be answered."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self.loseConnection()


def origin_form(target: bytes) -> bytes:
    """Give path and query of a request target in absolute form, which every server must accept.

    RFC 9112 §3.2.2; other forms are given back as they are.
    """
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return target
    _, slash, path = rest.partition(b"/")
    return slash + path if slash else b"/"


def _peer_is_gone(transport: Any) -> bool:
    """Ask the kernel whether the other side has closed, without reading what it sent before."""
    hung_up = getattr(select, "POLLRDHUP", None)
    while not isinstance(handle := getattr(transport, "socket", None), socket.socket):
        transport = getattr(transport, "transport", None)  # below TLS
        if transport is None:
            return False
    if hung_up is None or handle.fileno() < 0:
        return False
    looking = select.poll()
    looking.register(handle, hung_up)  # errors and a whole hang-up are told unasked
    return bool(looking.poll(0))
