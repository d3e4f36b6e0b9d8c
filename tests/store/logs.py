"""Catch what is logged, so that a test can look at it and trial does not count it as an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer


@contextmanager
def captured() -> Iterator[list[LogEvent]]:
    """Collect the log events of a block, from any thread."""
    events: list[LogEvent] = []

    @implementer(ILogObserver)
    def collect(event: LogEvent) -> None:
        events.append(event)

    globalLogPublisher.addObserver(collect)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(collect)
