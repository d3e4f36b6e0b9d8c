"""The one timer of a connection: :class:`Redial` says when the gateway is tried again.

It waits as :mod:`.backoff` says, and a caller that waits pulls the timer forward. That is all that
keeps a gateway that is away from being stormed, so every attempt comes from here.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clawproxy.upstream.openclaw.backoff import Backoff

PATIENCE = 5.0
"""Seconds that a caller waits for the next attempt to begin; if that is further away, it hears at
once."""


class Redial:
    """Try again in time.

    :param random: gives floats in [0, 1). :param attempt: makes an attempt.
    """

    def __init__(
        self, reactor: IReactorTime, random: Callable[[], float], attempt: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._backoff = Backoff(random)
        self._attempt = attempt
        self._timer: IDelayedCall | None = None

    def now(self) -> None:
        """Try at once."""
        self.cancel()
        self._backoff.attempted(self._reactor.seconds())
        self._attempt()

    def cancel(self) -> None:
        """Try no more until told."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def succeeded(self) -> None:
        """The gateway is connected: the next loss begins with the short delay again."""
        self._backoff.succeeded()

    def later(self, retry_after: float | None) -> float:
        """Try again after a failure or a loss.

        :param retry_after: seconds that the gateway asked for.
        :returns: seconds until then.
        """
        delay = self._backoff.failed(self._reactor.seconds(), retry_after)
        self._arm(delay)
        return delay

    def hurry(self, *, pairing: bool) -> bool:
        """Have the next attempt as early as it may be: a caller waits.

        :param pairing: the last attempt was refused because this device is not paired.
        :returns: whether that is soon enough to wait for.
        """
        now = self._reactor.seconds()
        wait = self._backoff.earliest(now, pairing=pairing)
        if wait > PATIENCE:
            return False
        if self._timer is None or not self._timer.active():
            self._arm(wait)
        elif self._timer.getTime() - now > wait:
            self._timer.reset(wait)
        return True

    def _arm(self, delay: float) -> None:
        self.cancel()
        self._timer = self._reactor.callLater(delay, self.now)
