"""Moments as records show them: RFC 3339 in UTC with milliseconds."""

from __future__ import annotations

from functools import lru_cache
from time import gmtime, strftime


@lru_cache(maxsize=8)
def _second(whole: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(whole))


def rfc3339(seconds: float) -> str:
    """Write a moment, e.g. ``2026-11-21T09:30:00.123Z`` (RFC 3339 §5.6).

    :param seconds: since the epoch.
    """
    milliseconds = int(seconds * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"
