"""When to try the gateway again: delays that grow, and a budget that no number of callers can
overdraw.

Values only: :class:`Backoff` is told the time and answers in seconds. What owns the one timer is
:class:`~clawproxy.upstream.openclaw.redial.Redial`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

FIRST_DELAY = 1.0
"""Seconds before the second attempt; each further one doubles it."""

MAX_DELAY = 30.0
"""Seconds; the delay grows no longer than this, jitter included."""

WINDOW = 60.0
BUDGET = 16
"""At most so many attempts in any :data:`WINDOW` seconds, whoever asks for them."""

EAGER_SPACING = 4.0
"""Seconds between two attempts that waiting callers cause; the first few come closer together (1,
2, 3 s), since most losses are short. Spread so that the budget lasts the whole window: a gateway
that is back is found."""

PAIRING_SPACING = 60.0
"""Seconds between two attempts of callers while a person has yet to pair this device."""


class Backoff:
    """Decide when to connect.

    :param random: gives floats in [0, 1): the jitter that keeps many proxies from knocking
        together.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0
        self._attempts: deque[float] = deque(maxlen=BUDGET)

    def attempted(self, now: float) -> None:
        """Note that an attempt begins."""
        self._attempts.append(now)

    def succeeded(self) -> None:
        """Note that the gateway is connected: the next loss begins with the short delay again."""
        self._failures = 0

    def failed(self, now: float, retry_after: float | None = None) -> float:
        """Note that an attempt failed or a connection was lost.

        :param retry_after: what the gateway asked for, in seconds.
        :returns: seconds until the next attempt: half fixed, half jitter, within the budget.
        """
        ceiling = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(self._failures, 16))
        self._failures += 1
        delay = ceiling / 2 + self._random() * ceiling / 2
        if retry_after is not None:
            delay = max(min(retry_after, MAX_DELAY), 0.1)
        return max(delay, self._until_allowed(now))

    def earliest(self, now: float, *, pairing: bool = False) -> float:
        """Seconds until an attempt may begin because a caller is waiting; 0 means at once.

        :param pairing: the last attempt was refused because this device is not paired.
        """
        if not self._attempts:
            return 0.0
        spacing = PAIRING_SPACING if pairing else min(EAGER_SPACING, FIRST_DELAY * self._failures)
        return max(0.0, self._attempts[-1] + spacing - now, self._until_allowed(now))

    def _until_allowed(self, now: float) -> float:
        if len(self._attempts) < BUDGET:
            return 0.0
        return max(0.0, self._attempts[0] + WINDOW - now)
