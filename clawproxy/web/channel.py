"""A caller's HTTP/1 connection: Twisted's, with this program's way of reading requests and of refusing them.

1. An ordinary request is taken in one go; all else goes through Twisted's careful parser.
2. It raises Twisted's 16 KiB header limit, and answers what it refuses instead of just closing.
3. A refused connection drops what still comes, until there are :data:`LINGER` seconds without: a close
   while bytes are unread would destroy the answer on its way (RFC 9112 §9.6).

What leads to the caller is in :mod:`~clawproxy.web.delivery`, what a caller sends too early in
:mod:`~clawproxy.web.readahead`.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.requesthead import MAX_NAME, Head, parse
from clawproxy.web.readahead import ReadAhead

if TYPE_CHECKING:
    from clawproxy.web.request import ProxyRequest

MAX_HEAD = 131_072
"""Bytes of a caller's request line and headers; OpenAI's header budget is 64 KiB."""

TLS_HELLO = b"\x16\x03"
"""How a TLS connection begins (RFC 8446 §5.1); there may be no line end in it to wait for."""

LINGER = 5.0
"""Seconds without a byte for which the rest of a refused request is read and dropped, so that the answer arrives."""

LINGER_MOST = 30.0
"""Seconds for which it is dropped at most, however much of it still comes."""


class ProxyChannel(ReadAhead):
    """A caller's connection.

    :ivar opened: when, seconds on the reactor's clock.
    :ivar used: an answer was given on it.
    """

    __slots__ = ("_host", "_lingering", "_peer", "opened", "used")

    totalHeadersSize = MAX_HEAD
    MAX_LENGTH = MAX_HEAD
    _log = Logger()

    def connectionMade(self) -> None:
        """Join the site's connections."""
        self._lingering: IDelayedCall | None = None
        self.used = False
        self.opened = self.site.reactor.seconds()
        self._peer, self._host = self.transport.getPeer(), self.transport.getHost()
        super().connectionMade()
        self.site.channels.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the site's connections and end what was being answered."""
        self.site.channels.discard(self)
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        super().connectionLost(reason)

    def requestDone(self, request: http.Request) -> None:
        """An answer is complete."""
        self.used = True
        super().requestDone(request)

    def loseConnection(self) -> None:
        """Close after what was written, or when a refused request has had its time."""
        if self._lingering is None:
            super().loseConnection()
        else:
            self.flush()

    def getPeer(self) -> Any:
        """Give the caller's address without asking the kernel again for each request."""
        return self._peer

    def getHost(self) -> Any:
        """Give our address without asking the kernel again for each request."""
        return self._host

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

    def resetTimeout(self) -> None:
        """Take note that something came; from a head's first line on, all of it has to come within one period."""
        if self.timeOut and (self._HTTPChannel__first_line or not self.line_mode):
            self._idle_until = self.site.reactor.seconds() + self.timeOut

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
        for name in (b"Host", b"Transfer-Encoding"):
            if len(request.requestHeaders.getRawHeaders(name) or ()) > 1:
                # RFC 9112 §3.2, §6.1: whoever was in front of us may have looked at the other one.
                words = f"there is more than one {name.decode()}"
                self._refuse(ProxyError(Kind.INVALID_REQUEST, words))
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
