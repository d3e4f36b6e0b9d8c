"""How late the reactor is: what a turn that took too long does to every stream."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clawproxy.metrics.counts import Counts

EVERY = 1.0
"""Seconds between two measurements."""


class LagMeter:
    """Measures how late the reactor is, as a part of the service: once a second, a timer's delay."""

    def __init__(self, reactor: IReactorTime, counts: Counts) -> None:
        self._reactor = reactor
        self._counts = counts
        self._call: IDelayedCall | None = None
        self._due = 0.0

    async def start(self) -> None:
        """Begin."""
        self._due = self._reactor.seconds() + EVERY
        self._call = self._reactor.callLater(EVERY, self._measure)

    def _measure(self) -> None:
        now = self._reactor.seconds()
        self._counts.lag.observe(max(now - self._due, 0.0))
        self._due = now + EVERY
        self._call = self._reactor.callLater(EVERY, self._measure)

    async def stop(self) -> None:
        """End."""
        if self._call is not None and self._call.active():
            self._call.cancel()
