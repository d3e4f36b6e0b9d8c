"""How a coroutine answers a request of Twisted's: what ``/api/`` and ``/ui/`` have in common.

1. :meth:`Answering.call` makes what the coroutine gets of the request; only here is anything known of Twisted's.
2. A caller that goes away cancels its coroutine; a bug is logged and answered.
3. Nothing is kept by a browser unless its answer says so, and an answer that the browser has is not sent again.
"""

from __future__ import annotations

from abc import abstractmethod
from time import time
from typing import Any, ClassVar, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.resource import Resource

from clawproxy.dashboard.api_answer import Answer, Call
from clawproxy.store.pool import StorePool

Asked = TypeVar("Asked", bound=Call)


class Answering(Resource, Generic[Asked]):
    """A resource whose answers are found by a coroutine.

    :param reactor: gives others their turn.
    :param pool: the stores to ask.
    :cvar place: where it is served, for the log.
    :cvar protection: headers that every answer has, unless it says otherwise itself.
    """

    isLeaf = True
    place: ClassVar[str]
    protection: ClassVar[tuple[tuple[str, str], ...]]
    _log = Logger()

    def __init__(self, reactor: Any, pool: StorePool) -> None:
        super().__init__()
        self._reactor = reactor
        self._pool = pool

    @abstractmethod
    def call(self, request: Any, call: Call) -> Asked:
        """Add what else is to be known of a request."""

    @abstractmethod
    async def answer(self, call: Asked) -> Answer:
        """Find the answer; faults that can be foreseen are answers, too."""

    @abstractmethod
    def bug(self, call: Asked) -> Answer:
        """Answer where :meth:`answer` failed."""

    def render(self, request: Any) -> int:
        """Begin to answer."""
        path = "/".join(part.decode("utf-8", "replace") for part in request.postpath)
        query: bytes = request.uri.partition(b"?")[2]
        method = request.method.decode("latin-1")
        plain = Call(self._pool, method, path, query.decode("latin-1"), time(), self._pause)
        call = self.call(request, plain)
        working = Deferred.fromCoroutine(self.answer(call))

        def gone(_: Failure) -> None:
            working.cancel()

        request.notifyFinish().addErrback(gone)
        working.addErrback(self._broken, call)
        working.addCallback(self._send, request)
        return server.NOT_DONE_YET

    async def _pause(self, seconds: float = 0) -> None:
        await deferLater(self._reactor, seconds)

    def _broken(self, failure: Failure, call: Asked) -> Answer | None:
        if failure.check(CancelledError):
            return None
        self._log.failure("bug: {place}{path} failed", failure, place=self.place, path=call.path)
        return self.bug(call)

    def _send(self, answer: Answer | None, request: Any) -> None:
        if answer is None or request._disconnected:
            return
        request.setResponseCode(answer.status)
        request.setHeader("Content-Type", answer.kind)
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("X-Content-Type-Options", "nosniff")
        for name, value in (*self.protection, *answer.headers):
            request.setHeader(name, value)
        tag = next((value for name, value in answer.headers if name == "ETag"), "")
        if tag and request.setETag(tag.encode("ascii")) is not None:
            request.finish()
            return
        request.setHeader("Content-Length", str(len(answer.body)))
        if request.method != b"HEAD":
            request.write(answer.body)
        request.finish()
