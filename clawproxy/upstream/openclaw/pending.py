"""What was asked over a connection and not answered yet: :class:`PendingRequests`.

A request leaves the table before anybody hears its answer, since who hears it may stop the service
or lose the connection.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.frames import Response


@define(eq=False)
class _Pending:
    method: str
    respond: Callable[[Response], None]
    fail: Callable[[ProxyError], None]
    repeats: Callable[[Response], bool]
    timer: IDelayedCall | None = None

    def release(self) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()


class PendingRequests:
    """Bring each response to who asked, and a failure where none will come."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._pending: dict[str, _Pending] = {}

    def add(
        self,
        request_id: str,
        method: str,
        respond: Callable[[Response], None],
        fail: Callable[[ProxyError], None],
        repeats: Callable[[Response], bool],
        timeout: float | None,
    ) -> Callable[[], None]:
        """Note a request.

        :param repeats: whether another response follows this one.
        :param timeout: seconds until the last response, or ``None``.
        :returns: a function that forgets the request.
        """
        pending = _Pending(method, respond, fail, repeats)
        if timeout is not None:
            pending.timer = self._reactor.callLater(timeout, self._unanswered, request_id)
        self._pending[request_id] = pending

        def forget() -> None:
            gone = self._pending.pop(request_id, None)
            if gone is not None:
                gone.release()

        return forget

    def respond(self, response: Response) -> None:
        """Take a response; one that nobody waits for is passed over."""
        pending = self._pending.pop(response.id, None)
        if pending is None:
            return
        if pending.repeats(response):
            self._pending[response.id] = pending
        else:
            pending.release()
        pending.respond(response)

    def fail(self, error: ProxyError) -> None:
        """Fail all: the connection is gone."""
        pending, self._pending = self._pending, {}
        for each in pending.values():
            each.release()
            each.fail(error)

    def _unanswered(self, request_id: str) -> None:
        pending = self._pending.pop(request_id, None)
        if pending is not None:
            words = f"the OpenClaw gateway did not answer {pending.method}"
            pending.fail(ProxyError(Kind.UPSTREAM_TIMEOUT, words))
