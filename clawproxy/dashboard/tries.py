"""How often somebody may try a password: few enough that guessing is hopeless."""

from __future__ import annotations

import math
from collections import OrderedDict, deque

MOST = 10
"""Failed tries of one caller within :data:`WINDOW`."""
MOST_IN_ALL = 100
"""Failed tries of all callers together within :data:`WINDOW`: addresses are cheap."""
WINDOW = 60.0
"""Seconds."""
REMEMBERED = 10_000
"""Callers whose tries are remembered."""


class Tries:
    """Failed tries, by caller. Time is an argument, seconds on any clock that goes forward."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=MOST_IN_ALL)

    def wait(self, caller: str, now: float) -> int:
        """Give the seconds until the caller may try again; 0 if it may now."""
        waits = [0.0]
        for failed, most in ((self._failed.get(caller), MOST), (self._all, MOST_IN_ALL)):
            if failed is not None and len(failed) >= most:
                waits.append(failed[-most] + WINDOW - now)
        return max(0, math.ceil(max(waits)))

    def begin(self, caller: str, now: float) -> None:
        """Note a try; it counts as failed unless :meth:`passed` says otherwise, so that many at once are no
        way around the limit."""
        times = self._failed.pop(caller, None)
        if times is None:
            times = deque(maxlen=MOST)
        times.append(now)
        self._failed[caller] = times
        self._all.append(now)
        while len(self._failed) > REMEMBERED:
            self._failed.popitem(last=False)

    def passed(self, caller: str) -> None:
        """Note that the caller knows the password."""
        self._failed.pop(caller, None)
        if self._all:
            self._all.pop()
