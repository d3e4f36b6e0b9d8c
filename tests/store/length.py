"""How long tests of faults last: seconds by default, so that a run of all tests stays short, and
their full length with ``CLAWPROXY_TEST_FULL=1`` in the environment."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

VARIABLE = "CLAWPROXY_TEST_FULL"
FULL = os.environ.get(VARIABLE, "0") not in ("", "0")


def length(short: T, full: T) -> T:
    """Give the one that is wanted in this run."""
    return full if FULL else short
