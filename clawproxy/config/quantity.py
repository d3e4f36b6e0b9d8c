"""Durations and sizes as people write them: ``300``, ``5m``, ``1h30m``; ``1000``, ``32 MiB``."""

from __future__ import annotations

import math
import re

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,  # micro sign
    "\u03bcs": 1e-6,  # Greek mu: Go takes both
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)


def seconds(text: str) -> float:
    """Read a duration: a plain number of seconds, or Go's notation and ``d`` for days.

    The notation is that of https://pkg.go.dev/time#ParseDuration, without signs.

    :raises ValueError: it is neither.
    """
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        number = 0.0
        end = 0
        for part in _DURATION_PART.finditer(text):
            if part.start() != end:
                break
            number += float(part.group(1)) * _SECONDS[part.group(2)]
            end = part.end()
        if not text or end != len(text):
            raise ValueError("not a duration") from None
    if not math.isfinite(number):
        raise ValueError("not a duration")
    return number


def size(text: str) -> int:
    """Read a number of bytes: plain, or with a unit (``k``, ``MB``, ``GiB``; only ``i`` means
    1024).

    :raises ValueError: it is neither, or not a whole number of bytes.
    """
    found = _SIZE.fullmatch(text.strip().replace("_", ""))
    if found is None:
        raise ValueError("not a size")
    number, unit, binary = found.groups()
    base = 1024 if binary else 1000
    scale = base ** ("kmgt".index(unit.lower()) + 1) if unit else 1
    whole, _, fraction = number.partition(".")
    bytes_ = int(whole) * scale
    if fraction:
        part, rest = divmod(int(fraction) * scale, 10 ** len(fraction))
        if rest:
            raise ValueError("not a whole number of bytes")
        bytes_ += part
    return bytes_
