"""What is answered here of ``/v1`` rather than upstream: lists that a coroutine gathers from several places.

:func:`answer_with` is one such answer's life: the caller's key, the value as JSON or the error in the
caller's dialect, and an end as soon as the caller leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.headers import RawHeaders
from clawproxy.relay.switchboard import Switchboard
from clawproxy.web.request import ProxyRequest
from clawproxy.web.v1 import origin_of, refuse

Gather = Callable[[RawHeaders], Coroutine[Deferred[Any], Any, object]]
"""Gathers an answer for a caller with this head; raises :class:`ProxyError` where there is none."""

_log = Logger()


def answer_with(board: Switchboard, request: ProxyRequest, path: str, gather: Gather) -> None:
    """Answer a request once what it asks for has been gathered, if its caller may ask.

    :param path: from ``/v1`` on, for the log and for an error's dialect.
    """

    async def answer() -> None:
        lines = request.lines
        try:
            board.wiring.callers.authenticate(lines)
            value = await gather(lines)
        except ProxyError as error:
            refuse(board, request, path, error)
            return
        if not request.gone:
            cors = board.wiring.cors
            request.answer_json(200, value, cors.answer(origin_of(request)) if cors else None)

    def failed(failure: Failure) -> None:
        if failure.check(CancelledError) or request.gone:
            return
        _log.failure("bug: {path} could not be answered", failure, path=path)
        words = ProxyError(Kind.INTERNAL, "the proxy failed; its log says more")
        refuse(board, request, path, words)

    answering = Deferred.fromCoroutine(answer())
    request.notifyFinish().addErrback(lambda _: answering.cancel())
    answering.addErrback(failed)
