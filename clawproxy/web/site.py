"""The HTTP server that callers meet: Twisted's, with this program's limits and counting.

1. :class:`ProxySite` makes a :class:`ProxyChannel` per connection and knows them all, so that a drain
   can close the idle ones.
2. :class:`ProxyChannel` raises Twisted's 16 KiB header limit, answers what it refuses, and notices a
   caller's disconnect even behind pipelined bytes.
3. :class:`ProxyRequest` keeps the body in memory up to ``max_body`` and answers 413 beyond, counts as in
   flight from its complete head to its end, and writes heads as the upstream spelled them.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.http import NO_BODY_CODES, RESPONSES, HTTPChannel
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource

from clawproxy.core.errors import Kind, ProxyError, render
from clawproxy.drain import Drain
from clawproxy.sending import send

RawHeaders = list[tuple[bytes, bytes]]

MAX_HEAD = 131_072
"""Bytes of a caller's request line and headers; OpenAI's header budget is 64 KiB."""

MAX_PIPELINED = 1_048_576
"""Bytes of further requests that are read ahead while one is answered, so that a disconnect shows."""

LINGER = 5.0
"""Seconds during which the rest of a refused body is read and dropped, so that the 413 arrives."""

_TCP_STATES_GONE = (7, 8)  # TCP_CLOSE and TCP_CLOSE_WAIT of Linux's tcp_states.h


class ProxyChannel(HTTPChannel):
    """A caller's connection."""

    totalHeadersSize = MAX_HEAD
    MAX_LENGTH = MAX_HEAD
    _optimisticEagerReadSize = MAX_PIPELINED
    _log = Logger()
    site: ProxySite
    transport: Any

    def connectionMade(self) -> None:
        """Join the site's connections."""
        self._lingering: IDelayedCall | None = None
        self._watch: Any = None
        self._out: list[bytes] = []
        self.corked = False
        self._peer, self._host = self.transport.getPeer(), self.transport.getHost()
        super().connectionMade()
        self.site.channels.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave the site's connections and end what was being answered."""
        self.site.channels.discard(self)
        for call in (self._watch, self._lingering):
            if call is not None and call.active():
                call.cancel()
        super().connectionLost(reason)

    def getPeer(self) -> Any:
        """Give the caller's address without asking the kernel again for each request."""
        return self._peer

    def getHost(self) -> Any:
        """Give our address without asking the kernel again for each request."""
        return self._host

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

    def loseConnection(self) -> None:
        """Close after what was written, or when a refused body has had its time."""
        self.flush()
        if self._lingering is None:
            super().loseConnection()

    def requestDone(self, request: http.Request) -> None:
        """An answer is complete: let it go, and take up the next request."""
        self.corked = False
        self.flush()
        super().requestDone(request)

    @property
    def idle(self) -> bool:
        """Whether nothing is being read or answered here."""
        return not self.requests and not self._handlingRequest

    def dataReceived(self, data: bytes) -> None:
        """Read a request, or drop what comes after a refusal."""
        if self._lingering is None:
            super().dataReceived(data)

    def rawDataReceived(self, data: bytes) -> None:
        """Read body bytes, or keep pipelined ones for later and go on noticing a disconnect."""
        super().rawDataReceived(data)
        if (
            self._handlingRequest
            and self._watch is None
            and sum(map(len, self._dataBuffer)) > MAX_PIPELINED
        ):
            # Reading is paused now, so a FIN would go unseen (Twisted's own note 2 at notifyFinish).
            self._look_for_fin()

    def _look_for_fin(self) -> None:
        self._watch = None
        if not self._handlingRequest:
            return
        if self._peer_is_gone():
            self.transport.abortConnection()
            return
        self._watch = self.site.reactor.callLater(0.5, self._look_for_fin)

    def _peer_is_gone(self) -> bool:
        handle = getattr(self.transport, "getHandle", lambda: None)()
        option = getattr(socket, "TCP_INFO", None)
        if option is None or not isinstance(handle, socket.socket):
            return False
        try:
            state: int = struct.unpack("B", handle.getsockopt(socket.IPPROTO_TCP, option, 1))[0]
        except OSError:
            return False
        return state in _TCP_STATES_GONE

    def allHeadersReceived(self) -> None:
        """Tell the request its target before its body is read, since counting begins with the head."""
        self.requests[-1].uri = self._path
        self.requests[-1].method = self._command
        super().allHeadersReceived()

    def _send100Continue(self) -> None:
        if self._lingering is None:
            super()._send100Continue()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Answer a header line beyond the limit instead of just closing."""
        self._refuse(
            431, b"Request Header Fields Too Large", f"the request's head exceeds {MAX_HEAD} bytes"
        )

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._receivedHeaderSize > self.totalHeadersSize:
            self.lineLengthExceeded(b"")
            return
        self._refuse(400, b"Bad Request", "this is not an HTTP request that can be read")

    def _refuse(self, status: int, reason: bytes, message: str) -> None:
        body = render(ProxyError(Kind.INVALID_REQUEST, message), None, "")
        head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        self.transport.write(head % (status, reason, len(body)) + body)
        self.linger()

    def linger(self) -> None:
        """Drop what still comes, for a while, and then close: a close now could destroy the answer."""
        if self._lingering is not None:
            return
        self.persistent = 0
        self.setTimeout(None)
        self._lingering = self.site.reactor.callLater(LINGER, self._end_linger)

    def _end_linger(self) -> None:
        self._lingering = None
        self.loseConnection()


class ProxyRequest(server.Request):
    """A caller's request.

    :ivar started: when its head was complete, seconds on the reactor's clock.
    :ivar counted: whether it counts as in flight.
    """

    defaultContentType = None
    channel: Any
    site: ProxySite
    content: Any

    def __init__(self, channel: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(channel, *args, **kwargs)
        self.site = channel.site
        self.started = 0.0
        self.counted = False
        self.refused = False
        self._received = 0

    # Reading.

    def gotLength(self, length: int | None) -> None:
        """The head is complete: count it, and refuse a body that announces itself too large."""
        self.started = self.site.reactor.seconds()
        self.content = BytesIO()
        uri = getattr(self.channel, "path", None) or self.uri
        if self.site.counts(uri):
            self.counted = True
            self.site.drain.enter()
        if length is not None and length > self.site.max_body:
            self._too_large()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a run of body bytes, and refuse the body once it is too large."""
        if self.refused:
            return
        self._received += len(data)
        if self._received > self.site.max_body:
            self._too_large()
        else:
            self.content.write(data)

    def _too_large(self) -> None:
        self.refused = True
        self.content = BytesIO()
        uri = getattr(self.channel, "path", None) or self.uri
        self.uri, self.clientproto = uri, getattr(self.channel, "_version", b"HTTP/2")
        self.path = uri.partition(b"?")[0]
        self.method = getattr(self.channel, "command", None) or self.method
        self.site.too_large(self)

    @property
    def body(self) -> bytes:
        """The whole request body as it came."""
        content: BytesIO = self.content
        return content.getvalue()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The body is complete too."""
        if not self.refused:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Find the resource and let it answer; no header is set yet, the upstream's go out."""
        self.prepath = []
        self.postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
        try:
            self.render(self.site.getResourceFor(self))
        except BaseException:  # noqa: BLE001 - as Twisted does: a bug in a resource becomes a 500
            self.processingFailed(Failure())

    # Writing.

    @property
    def gone(self) -> bool:
        """Whether the caller's connection is no more, or the answer is complete."""
        return bool(self._disconnected or self.finished)

    def send_head(self, status: int, reason: bytes, headers: RawHeaders) -> None:
        """Write status and headers as they are given, with the framing that the caller understands.

        :param headers: end-to-end headers; a ``Content-Length`` among them is kept.
        """
        if self._disconnected:
            return
        self.code, self.code_message = status, reason
        if self.site.drain.draining:
            headers = [*headers, (b"Connection", b"close")]
            self.channel.persistent = 0
        if not isinstance(self.channel, HTTPChannel):
            for name, value in headers:
                if name.lower() != b"connection":
                    self.responseHeaders.addRawHeader(name, value)
            self.write(b"")
            return
        bodyless = self.method == b"HEAD" or status in NO_BODY_CODES
        sized = False
        lines = [b"%s %d %s" % (self.clientproto, status, reason)]
        for name, value in headers:
            if name.lower() == b"content-length":
                sized = True
            lines.append(name + b": " + value)
        if self.clientproto != b"HTTP/1.1":
            self.channel.persistent = 0
        elif not sized and not bodyless:
            lines.append(b"Transfer-Encoding: chunked")
            self.chunked = 1
        if (
            not self.channel.persistent
            and self.clientproto == b"HTTP/1.1"
            and not self.site.drain.draining
        ):
            lines.append(b"Connection: close")
        lines.append(b"\r\n")
        self.startedWriting = 1
        self._bodyless = bodyless
        self.channel.write(b"\r\n".join(lines))
        if bodyless:
            self.write = lambda data: None  # type: ignore[method-assign]

    def write(self, data: bytes) -> None:
        """Write a piece of the body; before the first, see to a drain's ``Connection: close``."""
        if not self.startedWriting and self.site.drain.draining and not self._disconnected:
            self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            self.channel.persistent = 0
        super().write(data)

    def finish(self) -> None:
        """End the answer."""
        super().finish()
        self._uncount()

    def cork(self) -> None:
        """Keep what is written until :meth:`flush`, so that one turn's pieces leave as one packet."""
        if not self._disconnected:
            self.channel.corked = True

    def flush(self) -> None:
        """Send what was kept."""
        if not self._disconnected and not self.finished and isinstance(self.channel, ProxyChannel):
            self.channel.flush()

    def uncork(self) -> None:
        """Send what was kept and keep nothing from now on."""
        if not self._disconnected and not self.finished:
            self.channel.corked = False
            self.flush()

    def break_off(self) -> None:
        """End an answer so that nobody takes it for whole: close without the final chunk."""
        if self._disconnected or self.finished:
            return
        channel = self.channel
        if isinstance(channel, HTTPChannel):
            channel.loseConnection()
        else:
            channel.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        """The caller is gone."""
        super().connectionLost(reason)
        self._uncount()

    def _uncount(self) -> None:
        if self.counted:
            self.counted = False
            self.site.drain.leave()

    def answer_json(self, status: int, value: object, headers: RawHeaders | None = None) -> None:
        """Answer with a small JSON document of the proxy's own."""
        body = value if isinstance(value, bytes) else msgspec.json.encode(value)
        lines = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
        self.send_head(status, RESPONSES.get(status, b"Status"), lines + (headers or []))
        self.write(body)
        self.finish()


class ProxySite(server.Site):
    """The tree of resources with what all of its requests share.

    :param drain: counts what is in flight and knows whether the process is leaving.
    :param max_body: bytes.
    :param idle_timeout: seconds that a connection may stay without a request.
    :param counts: whether a request target counts as in flight.
    :param too_large: answers 413 to a request whose body is beyond ``max_body``.
    """

    requestFactory = ProxyRequest
    noisy = False

    def __init__(
        self,
        resource: IResource,
        reactor: IReactorTime,
        drain: Drain,
        max_body: int,
        idle_timeout: float,
        counts: Callable[[bytes], bool],
        too_large: Callable[[ProxyRequest], None],
    ) -> None:
        super().__init__(
            resource, timeout=idle_timeout, reactor=reactor, parsePOSTFormSubmission=False
        )
        self.drain = drain
        self.max_body = max_body
        self.counts = counts
        self.too_large = too_large
        self.channels: set[ProxyChannel] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make a connection's protocol: Twisted's switch between HTTP/1.1 and HTTP/2 over our channel."""
        protocol = http._GenericHTTPChannelProtocol(ProxyChannel())
        protocol.factory = self
        protocol.callLater = self.reactor.callLater
        protocol.timeOut = self.timeOut
        protocol.requestFactory = self.requestFactory
        protocol.site = self
        return protocol

    def log(self, request: http.Request) -> None:
        """Keep Twisted's access log silent: it would show queries, keys and all."""

    def close_idle(self) -> None:
        """Close the connections that carry no request."""
        for channel in [each for each in self.channels if each.idle]:
            channel.loseConnection()


__all__ = ["Headers", "ProxyChannel", "ProxyRequest", "ProxySite"]
