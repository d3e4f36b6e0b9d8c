"""``/api/`` and ``/ui/`` in the proxy's own process: :class:`Backstage` checks who asks, answers the little that only
this process knows, and carries everything else to the reader's process and back.

None of these requests counts as in flight, and each is dropped when its caller leaves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.client import ResponseDone
from twisted.web.http import RESPONSES
from twisted.web.resource import Resource

from clawproxy.core.errors import ProxyError
from clawproxy.core.headers import end_to_end
from clawproxy.dashboard.access import Refusal, facts_of
from clawproxy.dashboard.gate import Gate
from clawproxy.dashboard.login import LOGIN, Login, login_target, refused_page, send_page
from clawproxy.dashboard.process import ReaderAway, ReaderProcess
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.response import H1Response

Local = Callable[[Any, str], Awaitable[None]]
"""Answers a request in this process. It is given the request and what stands behind the path it is known by; it raises
:class:`~clawproxy.dashboard.access.Refusal` or :class:`~clawproxy.core.errors.ProxyError` for the caller to see."""

RECORDING_OFF = (
    "nothing is recorded here (storage.url is none); only /api/live and /api/status answer"
)

_STYLES = {
    "base.css": b"text/css; charset=utf-8",
    "page.css": b"text/css; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}
"""What the pages of this process need, given by it where there is no reader."""

_TO_READER = frozenset(
    {
        b"accept",
        b"accept-language",
        b"content-type",
        b"if-none-match",
        b"if-modified-since",
        b"range",
    }
)
_NOT_BACK = frozenset({b"server", b"date"})


class Backstage(Resource):
    """What stands at ``/api`` and at ``/ui``; one object serves both.

    :param gate: lets callers in.
    :param reader: answers what needs the store; ``None`` where nothing is recorded.
    :param local: what is answered here, by path, e.g. ``/api/live``, with all that stands below it.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        gate: Gate,
        login: Login,
        reader: ReaderProcess | None,
        local: Mapping[str, Local] | None = None,
    ) -> None:
        super().__init__()
        self._gate = gate
        self._login = login
        self._reader = reader
        self._local = dict(local or {})

    def render(self, request: Any) -> int:
        """Begin to answer."""
        working = Deferred.fromCoroutine(self._answer(request))
        request.notifyFinish().addErrback(lambda _: working.cancel())
        working.addErrback(self._broken, request)
        return server.NOT_DONE_YET

    def _broken(self, failure: Failure, request: Any) -> None:
        if failure.check(CancelledError):
            return
        self._log.failure("bug: the dashboard failed", failure)
        if not request.gone:
            if request.startedWriting:
                request.break_off()
            else:
                self._refuse(request, Refusal(500, "the proxy failed; its log says more"))

    async def _answer(self, request: Any) -> None:
        path = "/" + request.path.decode("latin-1").lstrip("/")
        facts = facts_of(request)
        page = path == "/ui" or path.startswith("/ui/")
        try:
            login = path in (LOGIN, "/api/login")
            public = login or path.startswith("/ui/static/")
            await self._gate.admit(facts, page=page, public=public)
            if login:
                await self._login.login(request, facts)
            elif path in ("/ui/logout", "/api/logout"):
                await self._login.logout(request, facts)
            elif path in ("/ui", "/api"):
                self._go(request, 308, path + "/")
            else:
                await self._dispatch(request, path)
        except Refusal as refusal:
            if request.gone:
                return
            if page and refusal.status == 401 and not facts.changes:
                self._go(request, 303, login_target(request.uri.decode("latin-1")))
            else:
                self._refuse(request, refusal)
        except ProxyError as error:
            if not request.gone:
                self._refuse(request, Refusal(error.http_status, error.message))

    async def _dispatch(self, request: Any, path: str) -> None:
        for known, answer in self._local.items():
            if path == known or path.startswith(known + "/"):
                await answer(request, path[len(known) :])
                return
        if self._reader is None:
            name = path.removeprefix("/ui/static/")
            if name in _STYLES and path != name:
                self._give(request, _style(name), _STYLES[name])
                return
            raise Refusal(503, RECORDING_OFF)
        await self._carry(request, self._reader)

    async def _carry(self, request: Any, reader: ReaderProcess) -> None:
        """Pass a request to the reader and its answer back."""
        headers = [
            (name, value)
            for name, values in request.requestHeaders.getAllRawHeaders()
            for value in values
            if name.lower() in _TO_READER
        ]
        # So that pages know whether to offer a way out.
        headers.append((b"x-clawproxy-guarded", b"1" if self._gate.guarded else b"0"))
        target = b"/" + request.uri.lstrip(b"/")
        body = request.body if request.method not in (b"GET", b"HEAD") else None
        try:
            response = await reader.ask(request.method, target, headers, body)
        except (ReaderAway, UpstreamFailure) as error:
            raise Refusal(503, f"the dashboard is not up: {error}", 2) from None
        lines = [
            line for line in end_to_end(response.raw_headers) if line[0].lower() not in _NOT_BACK
        ]
        request.send_head(response.code, response.phrase, lines)
        carrier = _Carrier(request, response)
        response.deliverBody(carrier)
        try:
            await carrier.done
        except CancelledError:
            response.stopProducing()
            raise

    def _give(self, request: Any, body: bytes, kind: bytes) -> None:
        lines = [
            (b"Content-Type", kind),
            (b"Content-Length", b"%d" % len(body)),
            (b"X-Content-Type-Options", b"nosniff"),
        ]
        request.send_head(200, b"OK", lines)
        if request.method != b"HEAD":
            request.write(body)
        request.finish()

    def _go(self, request: Any, status: int, target: str) -> None:
        lines = [
            (b"Location", target.encode("latin-1")),
            (b"Cache-Control", b"no-store"),
            (b"Content-Length", b"0"),
        ]
        request.send_head(status, RESPONSES.get(status, b"Status"), lines)
        request.finish()

    def _refuse(self, request: Any, refusal: Refusal) -> None:
        headers = [(b"Cache-Control", b"no-store")]
        if refusal.status == 401:
            headers.append((b"WWW-Authenticate", b'Bearer realm="clawproxy dashboard"'))
        if refusal.retry_after is not None:
            headers.append((b"Retry-After", b"%d" % refusal.retry_after))
        if refusal.allow is not None:
            headers.append((b"Allow", refusal.allow.encode("ascii")))
        accepts = request.requestHeaders.getRawHeaders("accept") or [""]
        if request.path.lstrip(b"/").startswith(b"ui") and "text/html" in accepts[0]:
            page = refused_page(refusal, off=self._reader is None and refusal.status == 503)
            send_page(request, refusal.status, page, headers)
            return
        phrase = RESPONSES.get(refusal.status, b"Error").decode("latin-1")
        error = {"status": refusal.status, "type": phrase, "message": refusal.message}
        request.answer_json(refusal.status, {"error": error}, headers)


class _Carrier(Protocol):
    """Carries an answer's body to the caller, no faster than the caller reads."""

    def __init__(self, request: Any, response: H1Response) -> None:
        self._request = request
        self._response = response
        self.done: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        if not self._request.gone:
            self._request.registerProducer(self._response, True)

    def dataReceived(self, data: bytes) -> None:
        self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if not self._request.gone:
            self._request.unregisterProducer()
            if reason.check(ResponseDone):
                self._request.finish()
            else:
                self._request.break_off()
        self.done.callback(None)


@cache
def _style(name: str) -> bytes:
    return (files("clawproxy.dashboard") / "static" / name).read_bytes()
