"""Work on large bodies, in a thread: the reactor must not stand still for one caller's 32 MB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.threads import deferToThreadPool

LARGE = 1_048_576
"""Bytes up to which a body is read in the reactor's own thread: it takes a millisecond or less."""

TRANSLATED = 8
"""How many times as long it takes to translate a byte as to read one, or longer: an agent's request
takes some 10 µs a kilobyte, one of nothing but empty messages 150. A thread costs 40 µs, and holds the reactor up
for 5 ms at most, the interpreter's turn.
"""

P = ParamSpec("P")
R = TypeVar("R")


async def offload(
    reactor: Any, size: int, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Do some work here if it is small, else in the reactor's thread pool.

    :param size: bytes that the work goes over.
    """
    if size <= LARGE:
        return work(*args, **kwargs)
    result: R = await deferToThreadPool(reactor, reactor.getThreadPool(), work, *args, **kwargs)
    return result
