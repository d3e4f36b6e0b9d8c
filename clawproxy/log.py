"""How log events become lines: text for people, JSON objects for machines, both filtered by level."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from typing import Any, TextIO

import msgspec
from twisted.internet.interfaces import IReactorTime
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
from twisted.python.logfile import LogFile
from zope.interface import implementer

from clawproxy.config.model import LogConfig
from clawproxy.core.record import Exchange
from clawproxy.core.timestamp import rfc3339
from clawproxy.relay.accesslog import MOST_SHOWN, AccessLine

ACCESS_DELAY = 0.1
"""Seconds that an access line may wait for others to be written with."""

_ACCESS_FIELDS = (
    "id",
    "request_id",
    "dialect",
    "provider",
    "model",
    "routed_model",
    "status",
    "outcome",
    "stream",
    "tries",
    "usage",
    "ttft_ms",
    "duration_ms",
    "request_bytes",
    "response_bytes",
    "error",
)

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
    line: dict[str, object] = {
        "time": rfc3339(event.get("log_time") or 0.0),
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
    return _json(line)


def _json(line: Mapping[str, object]) -> str:
    try:
        text = msgspec.json.encode(line).decode("utf-8", "replace")
    except UnicodeEncodeError:  # a lone surrogate: of a file's name, or of somebody's JSON
        return json.dumps(line) + "\n"
    return (text if text.isascii() else text.translate(_SEPARATORS)) + "\n"


def _bounded(value: object) -> object:
    return value[:MOST_SHOWN] + "…" if isinstance(value, str) and len(value) > MOST_SHOWN else value


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


_SEPARATORS = {code: f"\\u{code:04x}" for code in (*range(0x80, 0xA0), 0x2028, 0x2029)}
"""What JSON takes as it is, and many a reader of lines (Python's ``splitlines``) for the end of one."""

_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}
"""Controls, spelled out. What an upstream or a caller said may stand in a line, and a terminal would obey it; of
line ends only Twisted's own are left, which it follows by a tab."""


def text_line(event: LogEvent) -> str | None:
    """Write an event as Twisted does, fit for a terminal."""
    line = formatEventAsClassicLogText(event)
    return None if line is None else line.translate(_CONTROLS)


@implementer(ILogObserver)
class Observer:
    """The process's log, whose level can be changed while it runs.

    :param stream: where lines go.
    """

    def __init__(self, config: LogConfig, stream: TextIO, reactor: IReactorTime) -> None:
        self._stream = stream
        self._reactor = reactor
        self._json = config.format == "json"
        if isinstance(stream, TextIOWrapper):
            # A terminal may know less than UTF-8; JSON is in UTF-8 wherever it goes (RFC 8259, section 8.1).
            encoding = "utf-8" if self._json else stream.encoding
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
        self._lines: list[str] = []
        self._predicate = LogLevelFilterPredicate(LogLevel.levelWithName(config.level))
        line: Callable[[LogEvent], str | None] = json_line if self._json else text_line
        self._observer = FilteringLogObserver(FileLogObserver(stream, line), [self._predicate])

    def __call__(self, event: LogEvent) -> None:
        """Write an event, if its level is worth it, behind the access lines that were before it."""
        self.flush()
        self._observer(event)

    def access(self, exchange: Exchange) -> None:
        """Write an exchange's access line, a tenth of a second later and many at a time.

        Through Twisted's log a line costs more than parsing a request does.
        """
        if self._predicate.defaultLogLevel > LogLevel.info:
            return
        moment = rfc3339(self._reactor.seconds())
        if self._json:
            fields = msgspec.to_builtins(exchange)
            line: dict[str, object] = {
                "time": moment,
                "level": "info",
                "logger": "clawproxy.access",
                "message": str(AccessLine(exchange)),
            }
            line.update((name, _bounded(fields[name])) for name in _ACCESS_FIELDS)
            self._lines.append(_json(line))
        else:
            self._lines.append(
                f"{moment[:19]}+0000 [clawproxy.access#info] {AccessLine(exchange)}\n"
            )
        if len(self._lines) == 1:
            self._reactor.callLater(ACCESS_DELAY, self.flush)

    def flush(self) -> None:
        """Write the access lines that wait."""
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write("".join(lines))
            self._stream.flush()

    @property
    def rotates(self) -> bool:
        """Whether lines go to a file that can be rotated."""
        return isinstance(self._stream, LogFile)

    def rotate(self) -> None:
        """Go on in a new file."""
        self.flush()
        assert isinstance(self._stream, LogFile)
        self._stream.rotate()

    def change_level(self, level: str) -> None:
        """Log what is of this level or above from now on."""
        self._predicate.defaultLogLevel = LogLevel.levelWithName(level)
        self._predicate.clearLogLevels()  # only here does it look at its default again


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
    opened: TextIO = LogFile.fromFullPath(name, rotateLength=None)
    return opened
