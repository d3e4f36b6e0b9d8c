"""Callers that wait for the gateway's connection: :class:`Waiters`.

Each waits no longer than it said. All that are left hear at once when the connection is there, or
when it is clear that there will be none for now.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from clawproxy.core.errors import ProxyError
from clawproxy.upstream.openclaw.handshake import Hello


class Waiters:
    """Let callers wait.

    :param late: words what a caller hears whose time is up.
    """

    def __init__(self, reactor: IReactorTime, late: Callable[[], ProxyError]) -> None:
        self._reactor = reactor
        self._late = late
        self._waiting: list[Deferred[Hello]] = []

    def wait(self, timeout: float) -> Deferred[Hello]:
        """Give what fires with the gateway's hello, or fails with a ``ProxyError``.

        :param timeout: seconds.
        """
        waiting: Deferred[Hello] = Deferred(self._given_up)
        self._waiting.append(waiting)
        late = self._reactor.callLater(timeout, self._too_late, waiting)

        def release(result: Hello | Failure) -> Hello | Failure:
            if late.active():
                late.cancel()
            return result

        waiting.addBoth(release)
        return waiting

    def _given_up(self, waiting: Deferred[Hello]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _too_late(self, waiting: Deferred[Hello]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            waiting.errback(Failure(self._late()))

    def welcome(self, hello: Hello) -> None:
        """Tell all that the gateway is connected."""
        for waiter in self._take():
            waiter.callback(hello)

    def dismiss(self, error: ProxyError) -> None:
        """Tell all that waiting is of no use."""
        for waiter in self._take():
            waiter.errback(Failure(error))

    def _take(self) -> list[Deferred[Hello]]:
        waiting, self._waiting = self._waiting, []
        return waiting
