"""The tree of resources: which first path segment leads where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote_to_bytes

from twisted.web import server
from twisted.web.resource import IResource, Resource

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.relay.switchboard import Switchboard
from clawproxy.web.operations import refuse_method
from clawproxy.web.request import ProxyRequest
from clawproxy.web.v1 import Local, V1Resource, refuse

_OFF = "the dashboard is switched off (dashboard.enabled)"
_SIGNPOST = {
    "service": "clawproxy",
    "api": "/v1/",
    "health": "/health",
    "metrics": "/metrics",
    "openapi": "/openapi.json",
    "dashboard": None,
}


class Root(Resource):
    """``/``: the API, the operations' paths, the dashboard, and each provider's own ``/{provider}/v1``.

    :param local: what is answered here of ``/v1``.
    :param local_of: the same of ``/{provider}/v1``, by the provider's name.
    :param pages: further resources by first path segment (``health``, ``api``, ``ui``, …).
    :ivar api: what stands under ``/v1``.
    """

    def __init__(
        self,
        board: Switchboard,
        pages: Mapping[bytes, IResource],
        local: Mapping[str, Local] | None = None,
        local_of: Callable[[str], Mapping[str, Local]] = lambda name: {},
    ) -> None:
        super().__init__()
        self._board = board
        self._local_of = local_of
        self.api = V1Resource(board, None, local)
        for name, page in pages.items():
            self.putChild(name, page)

    def getChild(self, path: bytes, request: ProxyRequest) -> IResource:
        """Find what no fixed name leads to: doubled slashes, the API, a provider's name."""
        parts = request.postpath or []
        if path == b"" and parts:
            # //v1/messages, as clients send whose base URL ends in a slash. All in one step: a head has room for
            # a hundred thousand slashes.
            named = next((at for at, part in enumerate(parts) if part), len(parts) - 1)
            path = parts[named]
            del parts[: named + 1]
            if path in self.children:
                found: IResource = self.children[path]
                return found
        if path == b"v1":
            return self.api
        if path == b"":
            return Front(dashboard=b"ui" in self.children)
        name = path.decode("latin-1")
        if name in self._board.wiring.config.providers:
            rest = next(filter(None, request.postpath or []), b"")
            if rest == b"v1":
                return V1Resource(self._board, name, self._local_of(name))
        off = path in (b"ui", b"api") and b"ui" not in self.children
        return Missing(self._board, _OFF if off else "the API is under /v1/")


class Front(Resource):
    """``/`` itself: Claude Code's probe, and the way to the dashboard.

    :param dashboard: there is one; without, it is told what is here instead.
    """

    isLeaf = True

    def __init__(self, *, dashboard: bool) -> None:
        super().__init__()
        self._dashboard = dashboard

    def render(self, request: ProxyRequest) -> int:
        """Answer HEAD with 200 and lead GET to ``/ui/``, if that is there."""
        if refuse_method(request):
            return server.NOT_DONE_YET
        if request.method == b"HEAD":
            request.send_head(200, b"OK", [(b"Content-Length", b"0")])
        elif not self._dashboard:
            request.answer_json(200, _SIGNPOST)
            return server.NOT_DONE_YET
        else:
            request.send_head(302, b"Found", [(b"Location", b"/ui/"), (b"Content-Length", b"0")])
        request.finish()
        return server.NOT_DONE_YET


class Missing(Resource):
    """A path that leads nowhere.

    :param hint: where else to look, or why.
    """

    isLeaf = True

    def __init__(self, board: Switchboard, hint: str) -> None:
        super().__init__()
        self._board = board
        self._hint = hint

    def render(self, request: ProxyRequest) -> int:
        """Answer 404 in the caller's dialect."""
        path = request.path.decode("latin-1")
        words = f"nothing is served at {path[:200]!r}; {self._hint}"
        refuse(self._board, request, path, ProxyError(Kind.NOT_FOUND, words))
        return server.NOT_DONE_YET


def counts_of(board: Switchboard) -> Callable[[bytes], bool]:
    """Make what tells whether a request target counts as in flight."""

    def counts(uri: bytes) -> bool:
        if uri.startswith(b"/v1/"):
            return True
        path = uri.partition(b"?")[0].lstrip(b"/")
        if b"%" in path:
            path = unquote_to_bytes(path)
        first, _, rest = path.partition(b"/")
        if first == b"v1":
            return True
        rest = rest.lstrip(b"/")
        return (rest == b"v1" or rest.startswith(b"v1/")) and first.decode(
            "latin-1"
        ) in board.wiring.config.providers

    return counts
