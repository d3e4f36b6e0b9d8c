"""A body that the reader's process sent, whole: :func:`collected`."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from clawproxy.dashboard.access import Refusal
from clawproxy.upstream.response import H1Response


class _Collector(Protocol):
    def __init__(self) -> None:
        self._data: list[bytes] = []
        self.done: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._data.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(b"".join(self._data))
        else:
            self.done.errback(Failure(Refusal(503, "the dashboard broke off; try again", 2)))


async def collected(response: H1Response) -> bytes:
    """Read a body whole.

    :raises Refusal: 503 if it broke off.
    """
    collector = _Collector()
    response.deliverBody(collector)
    return await collector.done
