"""A caller's request: :class:`ProxyRequest` is Twisted's, with this program's limits and counting.

It keeps the body in memory up to ``max_body`` and answers 413 beyond, reads none of a body that is refused for its
head, and counts as in flight from its complete head to its end. How it is answered is told in :mod:`.answer`.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.headers import RawHeaders, firsts
from clawproxy.web.answer import AnsweredRequest
from clawproxy.web.channel import ProxyChannel


class ProxyRequest(AnsweredRequest):
    """A caller's request.

    :ivar started: when its head was complete, seconds on the reactor's clock.
    :ivar counted: whether it counts as in flight.
    :ivar caller_gone: is called when the caller's connection is lost before the answer's end; as
        :meth:`notifyFinish` does, without a Deferred for each request.
    """

    # Beside what Twisted puts into the instance's dictionary, which takes three times the room from its 31st name on.
    __slots__ = (
        "_announced",
        "_first",
        "_headers",
        "_held",
        "_lines",
        "_most",
        "caller_gone",
        "counted",
        "refused",
        "started",
    )

    _log = Logger()
    content: Any

    def __init__(self, channel: Any, queued: Any = False, *_: Any, **__: Any) -> None:
        # All that Twisted's own three constructors set (a test compares), at a third of what they cost.
        self.notifications = []
        self.channel = channel
        self.client, self.host = channel.getPeer(), channel.getHost()
        self._headers: Headers | None = None
        self._lines: RawHeaders | None = None
        self._first: dict[bytes, bytes] | None = None
        self.responseHeaders = Headers()
        self.received_cookies = {}
        self.cookies = []
        self.transport = channel.transport
        self.queued = queued
        self._parsePOSTFormSubmission = False
        self._adapterCache: dict[object, object] = {}
        self.site = channel.site
        self.started = 0.0
        self.counted = False
        self.refused = False
        self.caller_gone: Callable[[Failure], object] | None = None
        self._held = 0
        self._most = -1
        self._bodyless = False

    # Reading.

    @property
    def lines(self) -> RawHeaders:
        """The head's lines in their order; where Twisted read the head, those of one name together."""
        if self._lines is None:
            self._lines = [
                (name, value)
                for name, values in self.requestHeaders.getAllRawHeaders()
                for value in values
            ]
        return self._lines

    @lines.setter
    def lines(self, lines: RawHeaders) -> None:
        self._lines, self._headers = lines, None

    @property
    def first(self) -> dict[bytes, bytes]:
        """Each header's first value by its name in lower case."""
        if self._first is None:
            self._first = firsts(self.lines)
        return self._first

    @first.setter
    def first(self, first: dict[bytes, bytes]) -> None:
        self._first = first

    @property
    def requestHeaders(self) -> Headers:
        """The head as Twisted knows it, made of :attr:`lines` when somebody asks."""
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers()
            for name, value in self._lines or ():
                headers.addRawHeader(name, value)
        return headers

    @requestHeaders.setter
    def requestHeaders(self, headers: Headers) -> None:
        self._headers, self._lines, self._first = headers, None, None

    def begin(self) -> None:
        """The head is complete: count it."""
        self.started = self.site.reactor.seconds()
        if not self.counted and self.site.counts(getattr(self.channel, "path", None) or self.uri):
            self.counted = True
            self.site.drain.enter()

    def gotLength(self, length: int | None) -> None:
        """The head is complete and its body is not: refuse one that nobody will want, before any of it is kept."""
        self.begin()
        self.content = BytesIO()
        self._announced = length
        # An HTTP/2 stream can be answered only after its head has been dealt with: at its first piece, then.
        if length != 0 and isinstance(self.channel, ProxyChannel):
            self._expect_body()

    def _expect_body(self) -> None:
        if not isinstance(self.channel, ProxyChannel):
            self.uri, self.method = self.channel.path, self.channel.command
        try:
            self._most = self.site.welcome(self)
        except ProxyError as error:
            self.refuse(error)
            return
        if self._announced is not None and self._announced > self._most:
            self._too_large()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a run of body bytes, and refuse the body once it, or all there are, become too large."""
        if self._most < 0 and not self.refused:
            self._expect_body()
        if self.refused:
            return
        site = self.site
        self._held += len(data)
        site.held += len(data)
        if self._held > self._most:
            self._too_large()
        elif site.held > site.max_bodies:
            words = (
                "too many bytes of request bodies are held at the moment (server.max_bodies);"
                " try again"
            )
            self.refuse(ProxyError(Kind.UNAVAILABLE, words, headers=(("retry-after", "1"),)))
        else:
            self.content.write(data)

    def _too_large(self) -> None:
        limit = self._most
        key = " (server.max_body)" if limit == self.site.max_body else ""
        words = f"the request body exceeds the limit of {limit} bytes{key}"
        self.refuse(ProxyError(Kind.TOO_LARGE, words))

    def _let_go(self) -> None:
        self.site.held -= self._held
        self._held = 0

    def refuse(self, error: ProxyError) -> None:
        """Answer a request that was not read to its end, and read no more of it than has to be."""
        channel = self.channel
        self.refused = True
        self.content = BytesIO()
        self._let_go()
        if isinstance(channel, ProxyChannel):
            self.uri = getattr(channel, "_path", b"/")
            self.method = getattr(channel, "_command", b"GET")
            self.clientproto = b"HTTP/1.1"
            channel.linger()
        else:
            self.uri, self.method, self.clientproto = channel.path, channel.command, b"HTTP/2"
        self.path = self.uri.partition(b"?")[0]
        self.site.refuse(self, error)

    @property
    def body(self) -> bytes:
        """The whole request body as it came."""
        content: BytesIO = self.content
        return content.getvalue()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The body is complete too."""
        if not self.refused:
            self.method, self.uri, self.clientproto = command, path, version
            self.path = path.partition(b"?")[0]
            self.process()

    def process(self) -> None:
        """Find the resource and let it answer; no header is set yet, the upstream's go out."""
        try:
            if self.path.startswith(b"/v1/"):
                self.site.api.render(self)
                return
            self.prepath = []
            self.postpath = [unquote_to_bytes(part) for part in self.path[1:].split(b"/")]
            self.render(self.site.getResourceFor(self))
        except Exception:  # noqa: BLE001 - as Twisted does: a bug in a resource becomes a 500
            self.processingFailed(Failure())

    def processingFailed(self, reason: Failure) -> Failure:
        """Log a bug in a resource, and tell the caller no more than that there is one."""
        self._log.failure("bug: a request to {path} failed", reason, path=self.path)
        if self.startedWriting:
            self.break_off()
        elif not self.gone:
            self.site.refuse(self, ProxyError(Kind.INTERNAL, "the proxy failed; its log says more"))
        return reason

    @property
    def caller(self) -> str:
        """The caller's address, as records show it."""
        host = getattr(self.client, "host", None)
        return str(host) if host is not None else "unix"

    # Ending.

    def connectionLost(self, reason: Failure) -> None:
        """The caller is gone."""
        super().connectionLost(reason)
        self._uncount()
        if self.caller_gone is not None:
            self.caller_gone(reason)

    def _uncount(self) -> None:
        if self.counted:
            self.counted = False
            self.site.drain.leave()
        if self._held:
            self._let_go()
