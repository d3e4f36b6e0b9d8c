"""``/openapi.json`` and ``/openapi.yaml``: the API's description of itself, for whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.resource import Resource

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.web.cors import Cors
from clawproxy.web.operations import refuse_method
from clawproxy.web.request import ProxyRequest

_TYPES = {"json": b"application/json", "yaml": b"application/yaml"}  # RFC 9512


def render(form: str) -> bytes:
    """Write the description.

    :param form: ``json`` or ``yaml``.
    """
    # What it is made from is otherwise needed in other processes only.
    from clawproxy.web.openapi_document import document

    if form == "json":
        return msgspec.json.encode(document())
    # The same lists and mappings stand in many places; references to them would be hard to read.
    return msgspec.yaml.encode(msgspec.json.decode(msgspec.json.encode(document())))


class OpenAPI(Resource):
    """The description in one form; it is written when first asked for, in a thread, and kept.

    :param reactor: gives threads.
    :param form: ``json`` or ``yaml``.
    :param cors: gives which pages of other origins may read it, now: a reload may change that.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, reactor: Any, form: str, cors: Callable[[], Cors]) -> None:
        super().__init__()
        self._reactor = reactor
        self._form = form
        self._cors = cors
        self._body: bytes | None = None
        self._writing: Deferred[bytes] | None = None

    def render(self, request: ProxyRequest) -> int:
        """Answer GET and HEAD."""
        if refuse_method(request):
            return server.NOT_DONE_YET
        if self._body is not None:
            self._send(request, self._body)
            return server.NOT_DONE_YET
        if self._writing is None:
            pool = self._reactor.getThreadPool()
            self._writing = deferToThreadPool(self._reactor, pool, render, self._form)
            self._writing.addBoth(self._written)
        self._writing.addCallbacks(self._pass, self._failed, (request,), errbackArgs=(request,))
        return server.NOT_DONE_YET

    def _written(self, result: bytes | Failure) -> bytes | Failure:
        self._writing = None
        if isinstance(result, Failure):
            self._log.failure("bug: the description of the API could not be written", result)
        else:
            self._body = result
        return result

    def _pass(self, body: bytes, request: ProxyRequest) -> bytes:
        self._send(request, body)
        return body

    def _failed(self, failure: Failure, request: ProxyRequest) -> None:
        if not request.gone:
            words = "the proxy failed; its log says more"
            request.site.refuse(request, ProxyError(Kind.INTERNAL, words))

    def _send(self, request: ProxyRequest, body: bytes) -> None:
        if request.gone:
            return
        origin = request.requestHeaders.getRawHeaders(b"origin")
        cors = self._cors()
        lines = [
            (b"Content-Type", _TYPES[self._form]),
            (b"Content-Length", b"%d" % len(body)),
            (b"Cache-Control", b"no-cache"),
            *(cors.answer(origin[-1] if origin else None) if cors else ()),
        ]
        request.send_head(200, b"OK", lines)
        request.write(body)
        request.finish()
