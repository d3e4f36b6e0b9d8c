"""One timer for a connection's whole life: :class:`Alarm` makes a deadline cost nothing to move.

A connection's deadlines move with each request and each piece. A timer cancelled and made anew each time, as Twisted's
``TimeoutMixin`` has it, cost 6 µs of a forwarded request; this one rings when the earliest deadline would have been and
asks how long it still is.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Alarm:
    """Have somebody look at the time, no later than it is due.

    :param look: does what is due, and gives the seconds until the next look, ``None`` for none.
    """

    __slots__ = ("_call", "_look", "_reactor")

    def __init__(self, reactor: IReactorTime, look: Callable[[], float | None]) -> None:
        self._reactor = reactor
        self._look = look
        self._call: IDelayedCall | None = None

    def within(self, seconds: float) -> None:
        """Look after so many seconds, or before."""
        call = self._call
        if call is not None and call.getTime() > self._reactor.seconds() + seconds:
            self.stop()
            call = None
        if call is None:
            self._call = self._reactor.callLater(seconds, self._ring)

    def stop(self) -> None:
        """Look no more, until told again."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _ring(self) -> None:
        self._call = None
        left = self._look()
        if left is not None:
            self.within(left)
