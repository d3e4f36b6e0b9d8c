"""How log events become lines: text for people, JSON objects for machines, both filtered by level."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    formatEventAsClassicLogText,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from clawproxy.config.model import LogConfig

_SKIPPED = frozenset(
    {
        "log_format",
        "log_level",
        "log_logger",
        "log_namespace",
        "log_source",
        "log_time",
        "log_failure",
        "log_trace",
        "log_flattened",
        "log_system",
        "log_legacy",
        "log_text",
        "isError",
        "format",
        "message",
        "system",
        "time",
        "why",
        "failure",
    }
)


def json_line(event: LogEvent) -> str:
    """Write an event as one JSON object on a line of its own."""
    level = event.get("log_level")
    moment = datetime.fromtimestamp(event.get("log_time") or 0, UTC)
    line: dict[str, object] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level.name if level is not None else "info",
        "logger": event.get("log_namespace") or event.get("log_system") or "-",
        "message": formatEvent(event),
    }
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        line["traceback"] = failure.getTraceback()
    for name, value in event.items():
        if name not in _SKIPPED and name not in line and not name.startswith("log_"):
            line[name] = _plain(value)
    return msgspec.json.encode(line).decode("utf-8", "replace") + "\n"


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def text_line(event: LogEvent) -> str | None:
    """Write an event as Twisted does."""
    return formatEventAsClassicLogText(event)


@implementer(ILogObserver)
class Observer:
    """The process's log, whose level can be changed while it runs.

    :param stream: where lines go.
    """

    def __init__(self, config: LogConfig, stream: TextIO) -> None:
        self._predicate = LogLevelFilterPredicate(LogLevel.levelWithName(config.level))
        line: Callable[[LogEvent], str | None] = json_line if config.format == "json" else text_line
        self._observer = FilteringLogObserver(FileLogObserver(stream, line), [self._predicate])

    def __call__(self, event: LogEvent) -> None:
        """Write an event, if its level is worth it."""
        self._observer(event)

    def change_level(self, level: str) -> None:
        """Log what is of this level or above from now on."""
        self._predicate.defaultLogLevel = LogLevel.levelWithName(level)


def stream_of(twistd: Any) -> TextIO | None:
    """Open what twistd's own options say about the log.

    :param twistd: its options (``logfile``, ``nodaemon``, ``syslog``, ``logger``), ``None`` when there is none.
    :return: ``None`` where another logger was asked for.
    """
    if twistd is None or twistd.get("syslog") or twistd.get("logger"):
        return None
    name = twistd.get("logfile") or ("-" if twistd.get("nodaemon") else "twistd.log")
    if name == "-":
        return sys.stdout
    from twisted.python.logfile import LogFile

    opened: TextIO = LogFile.fromFullPath(name, rotateLength=None)
    return opened
