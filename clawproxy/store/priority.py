"""How the indexer makes way for the proxy where both have to share a processor: :func:`make_way` once, and
:func:`give_way` as often as it can.

Niceness says how much of a busy processor a process gets, and not how soon another one gets it back. Since Linux 6.6
a process that runs is left alone for its slice (3 ms, with more processors less) even when one of a higher priority
wakes up, and an event that arrives meanwhile waits. So besides the lowest priority it asks for the shortest slice,
0.1 ms (Linux 6.12, ``sched(7)``; ``sched_setattr(2)`` has no function in older C libraries, nor in Python).

A proxy that always has something to do never wakes up, so nothing interrupts the indexer for it but the next tick, up
to 4 ms later. So the indexer offers its place after each piece of work: next to no cost where nobody wants it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable

SLICE = 100_000
"""Nanoseconds; the kernel takes no less."""

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "ppc64le": 355, "s390x": 345}
_ATTRIBUTES = struct.Struct("=IIQiIQQQII")


give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: None)
"""Let others go first, if there are any: ``sched_yield(2)``."""


def make_way() -> None:
    """Let every process come first that has anything to do; some of the processor is left all the same."""
    niceness = os.nice(19)
    if sys.platform == "linux":
        shorten_slice(niceness)


def shorten_slice(niceness: int) -> bool:
    """Ask the kernel for a short slice.

    :param niceness: that the process has; the same call sets it.
    :return: whether the kernel agreed: an older one does not know slices, and a sandbox may forbid the question.
        Nothing is lost then but some milliseconds now and then.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None or sys.maxsize < 1 << 32:  # a program of 32 bits has other numbers
        return False
    policy = os.sched_getscheduler(0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, policy, 0, niceness, 0, SLICE, 0, 0, 0, 0)
    call = ctypes.CDLL(None, use_errno=True).syscall
    return int(call(ctypes.c_long(number), 0, attributes, 0)) == 0
