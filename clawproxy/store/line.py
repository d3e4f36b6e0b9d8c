"""A child process's end of what :mod:`clawproxy.store.supervisor` watches it by: :class:`Line`, and
:class:`LineObserver`, which sends the log there.

The proxy nudges on standard input and is told on standard output, a JSON object a line.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer


class Line(Protocol):
    """A child's standard input and output.

    :param nudged: called for each piece that comes.
    :param ended: called when the journal is closed.
    :param gone: called when the proxy is gone.
    """

    def __init__(
        self, nudged: Callable[[], None], ended: Callable[[], None], gone: Callable[[], None]
    ) -> None:
        self._nudged = nudged
        self._ended = ended
        self._gone = gone

    def dataReceived(self, data: bytes) -> None:
        """Take nudges."""
        if b"E" in data:
            self._ended()
        self._nudged()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Notice that the proxy is gone."""
        self._gone()

    def say(self, **what: object) -> None:
        """Write one line."""
        if self.transport is not None:
            self.transport.write(msgspec.json.encode(what) + b"\n")


@implementer(ILogObserver)
class LineObserver:
    """Hand log events to the proxy, whose log they belong in.

    :param line: to write to.
    """

    def __init__(self, line: Line) -> None:
        self._line = line

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        level: LogLevel = event.get("log_level", LogLevel.info)
        if level is LogLevel.debug or (level is LogLevel.info and "log_legacy" in event):
            return
        text = formatEvent(event)
        failure = event.get("log_failure")
        if failure is not None:
            text += "\n" + failure.getTraceback()
        self._line.say(log=level.name, text=text)
