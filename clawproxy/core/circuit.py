"""Spare a dead provider, and callers the wait for it: one :class:`Circuit` for each provider.

States:

``CLOSED``
    Requests pass. :data:`FAILURES_TO_OPEN` counted failures in a row open it.
``OPEN``
    Nothing passes until :data:`OPEN_FOR` seconds are over (twice as long after each failed probe,
    at most :data:`OPEN_AT_MOST`).
``HALF_OPEN``
    One request passes as the probe; its success closes the circuit, its failure opens it again. A
    probe that ends without a verdict, as when its caller leaves, lets the next request be one.

Only routes with somewhere else to go ask the circuit (:meth:`Circuit.admit`): for a provider
without an alternative, its own error is worth more to a caller than ours, and the caller's SDK
backs off by itself. What happened is noted for every request, so that the state is known when it
matters.
"""

from __future__ import annotations

import math
from enum import Enum

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.policy import Cause, Failure

FAILURES_TO_OPEN = 10
"""Counted failures in a row. A provider under load answers some requests in between, and one short
fault may strike a handful of requests that ran at the same time."""

OPEN_FOR = 15.0
"""Seconds that a circuit stays open the first time."""

OPEN_AT_MOST = 120.0
"""Seconds that it stays open at most, however many probes failed."""


class State(Enum):
    """What a circuit lets through; the values are those of metrics and the dashboard."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


def counts(failure: Failure) -> bool:
    """Tell whether a failure is the provider's and not one request's or one account's.

    Connection failures, silence and 500 upwards (529 among them) are. 408, 409 and 429 are not:
    they speak of one request or one account. No other 4xx is, so a 404 of count_tokens can never
    suspend a provider. An error as a stream's first event is none either: the head was an answer.
    """
    return failure.cause is not Cause.STATUS or failure.status >= 500


class Circuit:
    """Remember how a provider has done lately. All times are seconds on one clock.

    :param name: the provider's, for messages.
    """

    __slots__ = ("_failures", "_name", "_open_for", "_opened_at", "_probing")

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0
        self._open_for = OPEN_FOR
        self._opened_at: float | None = None
        self._probing = False

    def state(self, now: float) -> State:
        """Tell the state, for metrics and the dashboard; asking changes nothing."""
        if self._opened_at is None:
            return State.CLOSED
        if now - self._opened_at < self._open_for:
            return State.OPEN
        return State.HALF_OPEN

    def admit(self, now: float) -> bool:
        """Tell whether a request may pass; in the half-open state this makes it the probe.

        Whoever was admitted says how it went, by one of :meth:`succeeded`, :meth:`failed` and
        :meth:`undecided`.
        """
        state = self.state(now)
        if state is State.HALF_OPEN and not self._probing:
            self._probing = True
            return True
        return state is State.CLOSED

    def refusal(self, now: float) -> ProxyError:
        """Word the 503 for a caller whose route has no target left that is not open."""
        wait = 1.0
        if self._opened_at is not None:
            wait = max(self._open_for - (now - self._opened_at), wait)
        return ProxyError(
            Kind.UNAVAILABLE,
            f"the provider {self._name!r} keeps failing and is given a rest",
            headers=(("retry-after", str(math.ceil(wait))),),
        )

    def succeeded(self) -> None:
        """Note an answer: any head that is no counted failure shows a live provider, even a 4xx."""
        self._failures = 0
        self._open_for = OPEN_FOR
        self._opened_at = None
        self._probing = False

    def failed(self, failure: Failure, now: float) -> None:
        """Note a failed try."""
        if not counts(failure):
            self.succeeded()
            return
        if self._opened_at is None:
            self._failures += 1
            if self._failures >= FAILURES_TO_OPEN:
                self._opened_at = now
        elif self.state(now) is State.HALF_OPEN:
            # Also where the failure is not the probe's: a route without an alternative asked.
            self._open_for = min(self._open_for * 2, OPEN_AT_MOST)
            self._opened_at = now
        self._probing = False

    def undecided(self) -> None:
        """Note that an admitted request ended without telling anything, as when its caller left."""
        self._probing = False
