"""The API's resources: everything under ``/v1/`` and ``/{provider}/v1/`` becomes a forwarded exchange.

``/v1/models`` and ``/v1/tools`` are answered here; a request for a WebSocket is answered 426 at once, so
that its client falls back to HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

from twisted.web import server
from twisted.web.resource import Resource

from clawproxy.core import requestid
from clawproxy.core.errors import Kind, ProxyError, render
from clawproxy.core.headers import RawHeaders
from clawproxy.relay.exchange import Forward
from clawproxy.relay.inbound import ENDPOINTS, dialect_of
from clawproxy.relay.switchboard import Switchboard
from clawproxy.web.answer import AnsweredRequest, phrase
from clawproxy.web.request import ProxyRequest

_UPGRADE = (("Upgrade", "HTTP/1.1"), ("Connection", "Upgrade"))
"""What a 426 has to name (RFC 9110 §15.5.22): the protocol that is wanted, which is the one spoken already."""

_NOT_PASSED = frozenset({b"TRACE", b"CONNECT"})
"""Methods whose answers would show a caller the operator's key, or make a kept connection a tunnel of one caller's."""

Local = Callable[[ProxyRequest, bytes], bool]
"""Answers a request on a path of its own; false passes it through after all."""


class V1Resource(Resource):
    """All that stands under a ``/v1``.

    :param pinned: the provider whose name stands in front, if one does.
    :param local: paths that are answered here rather than upstream, e.g. ``/v1/models``.
    """

    isLeaf = True

    def __init__(
        self,
        board: Switchboard,
        pinned: str | None = None,
        local: Mapping[str, Local] | None = None,
    ) -> None:
        super().__init__()
        self._board = board
        self._pinned = pinned
        self._local = local or {}

    def render(self, request: ProxyRequest) -> int:
        """Answer a preflight, refuse what cannot be, and forward everything else."""
        target = self._target(request)
        path = target.partition(b"?")[0].decode("latin-1")
        local = None
        if path not in ENDPOINTS:
            local = self._find_local(path)
            if local is None and (meant := self._meant(path)) is not None:
                target = meant.encode() + target[len(path) :]
                path, local = meant, self._find_local(meant)
        endpoint = ENDPOINTS.get(path)
        known = endpoint is not None or local is not None
        if request.method == b"OPTIONS" and self._preflight(request, known=known):
            return server.NOT_DONE_YET
        if _wants_websocket(request):
            words = "WebSockets are not spoken here; use HTTP with stream: true"
            error = ProxyError(Kind.UPGRADE_REQUIRED, words, headers=_UPGRADE)
            self.refuse(request, path, error)
        elif not known and climbs(path):
            words = "the path's .. lead out of the API"
            self.refuse(request, path, ProxyError(Kind.INVALID_REQUEST, words))
        elif not known and request.method in _NOT_PASSED:
            words = f"{request.method.decode('latin-1')} is not passed on"
            allow = (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)
            self.refuse(request, path, ProxyError(Kind.METHOD_NOT_ALLOWED, words, headers=allow))
        elif endpoint is not None and request.method != b"POST":
            words = f"{path} takes POST, not {request.method.decode('latin-1')[:40]}"
            allow = (("Allow", "POST, OPTIONS"),)
            self.refuse(request, path, ProxyError(Kind.METHOD_NOT_ALLOWED, words, headers=allow))
        elif local is None or not local(request, target):
            Forward(self._board, request, target, self._pinned).begin()
        return server.NOT_DONE_YET

    def _target(self, request: ProxyRequest) -> bytes:
        """Give path and query from ``/v1`` on, byte for byte as the caller sent them."""
        target: bytes = request.uri.lstrip(b"/")
        if self._pinned is not None:
            target = target.partition(b"/")[2].lstrip(b"/")
        return b"/" + target

    def _find_local(self, path: str) -> Local | None:
        """Find what answers a path here; models' names have slashes in them."""
        return self._local.get(path) or self._local.get("/".join(path.split("/", 3)[:3]) + "/*")

    def _meant(self, path: str) -> str | None:
        """Give the path of ours that is meant by another spelling of it, if one is.

        A base URL that ends in a slash doubles one, some clients append one, and RFC 3986 §6.2.2 lets
        anybody escape letters. What is passed through goes as it came; these would miss their route.
        """
        plain = plain_path(path)
        return plain if plain in ENDPOINTS or plain in self._local else None

    def _preflight(self, request: ProxyRequest, *, known: bool) -> bool:
        """Answer a preflight; to a page, so is one that forgot to say which method it is for, on a path of ours."""
        cors = self._board.wiring.cors
        headers = request.requestHeaders
        asked = headers.hasHeader(b"access-control-request-method")
        if not cors or not (asked or (known and headers.hasHeader(b"origin"))):
            return False
        names = request.requestHeaders.getRawHeaders(b"access-control-request-headers")
        private = request.requestHeaders.getRawHeaders(b"access-control-request-private-network")
        lines = cors.preflight(
            origin_of(request),
            b", ".join(names) if names else None,
            private_network=private is not None and private[0] == b"true",
        )
        request.send_head(204, b"No Content", lines)
        request.finish()
        return True

    def refuse(self, request: ProxyRequest, path: str, error: ProxyError) -> None:
        """Answer with an error, and ask nobody."""
        refuse(self._board, request, path, error)


def plain_path(path: str) -> str:
    """Spell a path without doubled slashes, one at its end, or escapes."""
    if "//" not in path and "%" not in path and not path.endswith("/"):
        return path
    return "/" + "/".join(filter(None, unquote(path, "latin-1").split("/")))


def climbs(path: str) -> bool:
    """Tell whether a path's ``..`` lead out of ``/v1``, in the reading that leads furthest.

    Many a server follows them, and the operator's key would go where no caller was meant to get with it.

    :param path: from ``/v1`` on.
    """
    if ".." not in path and "%" not in path:
        return False
    depth = 0
    for part in path.split("/")[2:]:
        # Some read an escaped slash or a backslash as a slash, and nothing behind a semicolon.
        pieces = unquote(part, "latin-1").replace("\\", "/").split("/")
        names = [piece.partition(";")[0] for piece in pieces]
        ups = names.count("..")
        depth += -ups if ups else not {"", "."}.issuperset(names)
        if depth < 0:
            return True
    return False


def refuse(board: Switchboard, request: ProxyRequest, path: str, error: ProxyError) -> None:
    """Answer a request with an error in its dialect, and ask nobody.

    One that counts is an exchange like any other: who gets a 413 looks for it in the records.

    :param path: from ``/v1`` on.
    """
    if request.counted:
        _, mark, query = request.uri.partition(b"?")
        Forward(board, request, plain_path(path).encode("latin-1") + mark + query).refuse(error)
        return
    first = request.first
    own = board.new_id()
    caller = first.get(b"x-request-id")
    chosen = requestid.request_id(None, caller.decode("latin-1") if caller else None, own)
    body = render(error, dialect_of(path, first), chosen)
    answer = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers]
    answer += [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
    answer = requestid.stamp(answer, own_id=own, request_id=chosen, stream=False)
    if board.wiring.cors:
        answer += board.wiring.cors.answer(first.get(b"origin"))
    request.send_head(error.http_status, phrase(error.http_status), answer)
    request.write(body)
    request.finish()


def refuse_method(board: Switchboard, request: ProxyRequest, path: str, *methods: str) -> None:
    """Answer 405 on a path that is to be read, and takes no more than some further methods."""
    taken = ", ".join(("GET", *methods))
    words = f"{path[:200]} takes {taken}, not {request.method.decode('latin-1')[:40]}"
    allow = (("Allow", ", ".join(("GET", "HEAD", *methods, "OPTIONS"))),)
    refuse(board, request, path, ProxyError(Kind.METHOD_NOT_ALLOWED, words, headers=allow))


def refusal(board: Switchboard) -> Callable[[ProxyRequest, ProxyError], None]:
    """Make what refuses requests that no resource gets to see."""

    def answer(request: ProxyRequest, error: ProxyError) -> None:
        path = plain_path(request.path.decode("latin-1"))
        at = path.find("/v1")
        refuse(board, request, path[at:] if at >= 0 else path, error)

    return answer


def stamping(board: Switchboard) -> Callable[[AnsweredRequest], RawHeaders]:
    """Make what gives both ids to an answer that belongs to no exchange, so that every answer has them."""

    def stamp(request: AnsweredRequest) -> RawHeaders:
        caller = request.first.get(b"x-request-id")
        own = board.new_id()
        chosen = requestid.request_id(None, caller.decode("latin-1") if caller else None, own)
        return requestid.stamp([], own_id=own, request_id=chosen, stream=False)

    return stamp


def origin_of(request: ProxyRequest) -> bytes | None:
    """Give the origin of the page that calls, if a page does."""
    found = request.requestHeaders.getRawHeaders(b"origin")
    return found[-1] if found else None


def _wants_websocket(request: ProxyRequest) -> bool:
    return b"websocket" in request.first.get(b"upgrade", b"").lower()
