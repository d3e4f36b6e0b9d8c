"""Where an axis has its marks, so that it can be read: at round numbers (:func:`axis`) and at round times
(:func:`time_step`).
"""

from __future__ import annotations

from math import ceil, floor, log10


def axis(largest: float, *, whole: bool = False) -> list[float]:
    """Give the marks of an axis from 0 to a round number that is at least this large.

    :param whole: no mark stands between whole numbers, as which it would be written.
    """
    if largest <= 0:
        return [0.0, 1.0]
    unit = 10 ** floor(log10(largest / 4))
    factors: tuple[float, ...] = (1, 2, 2.5, 5, 10)
    if whole and unit <= 1:
        unit, factors = 1, (1, 2, 5, 10)
    factor = next((factor for factor in factors if unit * factor * 4 >= largest * 0.999), 10)
    distance = unit * factor
    count = ceil(largest / distance - 0.001)
    return [number * distance for number in range(max(1, count) + 1)]


_STEPS = (
    *(60_000 * minutes for minutes in (1, 5, 10, 15, 30)),
    *(3_600_000 * hours for hours in (1, 3, 6, 12)),
    *(86_400_000 * days for days in (1, 2, 7, 14, 30, 91, 365)),
)


def time_step(whole: int, most: int = 8) -> int:
    """Give a round distance between the marks of a stretch of time, both in milliseconds."""
    return next((each for each in _STEPS if whole / each <= most), _STEPS[-1])
