"""A child process that the proxy needs: started, watched, started again, and told to leave in good
order."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

FIRST_DELAY = 0.5
"""Seconds until a child that ended is started again."""
LAST_DELAY = 30.0
"""The longest such wait; it doubles each time, and starts over once a child has lived for
:data:`HEALTHY`."""
HEALTHY = 60.0
LINE_LIMIT = 1 << 20
_LEVELS = {level.name: level for level in LogLevel.iterconstants()}


def detach() -> None:
    """Leave the parent's process group, as the first thing that a child does.

    A Ctrl-C in a terminal goes to the whole group; the children have to outlive the parent's drain, and
    go by themselves when their standard input ends.
    """
    with suppress(OSError):  # a session leader already has a group of its own
        os.setpgid(0, 0)


class Supervisor:
    """Keep a Python module running as a child process.

    The child reads standard input, whose end tells it that its parent is gone, and writes JSON
    lines: ``{"status": …}``, kept in :attr:`status`, and ``{"log": level, "text": …}``, which go
    into this process's log.

    :param reactor: runs the process.
    :param name: what to call it in the log.
    :param module: the module to run.
    :param arguments: its command line.
    :param environment: added to this process's environment.
    :param said: called with every line that is neither status nor log.

    :ivar status: the last status that the child told.
    :ivar restarts: how often it had to be started again.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        name: str,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        said: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        self.status: dict[str, Any] = {}
        self.restarts = 0
        self._reactor = reactor
        self._name = name
        self._argv = [sys.executable, "-P", "-m", module, *arguments]
        self._environment = {**os.environ, **(environment or {})}
        self._said = said
        self._child: _Child | None = None
        self._stopping = False
        self._delay = FIRST_DELAY
        self._started_at = 0.0
        self._timer: IDelayedCall | None = None
        self._ended: list[Deferred[None]] = []

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._child is not None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._child.transport.pid if self._child is not None else None

    def start(self) -> None:
        """Start the child; where that cannot be now, for want of descriptors or memory, it is tried again."""
        self._timer = None
        self._started_at = self._reactor.seconds()
        self._child = _Child(self)
        try:
            self._reactor.spawnProcess(
                self._child,
                sys.executable,
                self._argv,
                env=self._environment,
                childFDs={0: "w", 1: "r", 2: "r"},
            )
        except OSError:
            self.ended(Failure())

    def send(self, data: bytes) -> None:
        """Write to the child's standard input, if it lives."""
        if self._child is not None and self._child.transport is not None:
            self._child.transport.write(data)

    def stop(self, last_words: bytes = b"", within: float = 10.0) -> Deferred[None]:
        """Have the child leave.

        :param last_words: written to it first.
        :param within: seconds until it is terminated, and the same again until it is killed.
        :returns: fires when it is gone.
        """
        self._stopping = True
        gone: Deferred[None] = Deferred()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._child is None:
            gone.callback(None)
            return gone
        self._ended.append(gone)
        child = self._child
        child.transport.write(last_words)
        child.transport.closeStdin()
        timers = [
            self._reactor.callLater(within, child.signal, "TERM"),
            self._reactor.callLater(within + 2, child.signal, "KILL"),
        ]

        def disarm(result: None) -> None:
            for timer in timers:
                if timer.active():
                    timer.cancel()

        gone.addCallback(disarm)
        return gone

    def line(self, data: bytes) -> None:
        """Take a line that the child wrote."""
        try:
            line = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.MsgspecError:
            self.stray(data)
            return
        if "status" in line:
            self.status = line["status"]
        elif "log" in line:
            level = _LEVELS.get(line["log"], LogLevel.info)
            self._log.emit(level, "{process}: {text}", process=self._name, text=line.get("text"))
        else:
            self._said(line)

    def stray(self, data: bytes) -> None:
        """Take a line that is not of the agreed form: a traceback, most likely."""
        text = data.decode("utf-8", "replace").rstrip()
        self._log.error("{process}: {text}", process=self._name, text=text)

    def ended(self, reason: Failure) -> None:
        """Hear that the child has ended."""
        self._child = None
        if self._stopping:
            waiting, self._ended = self._ended, []
            for one in waiting:
                one.callback(None)
            return
        if self._reactor.seconds() - self._started_at >= HEALTHY:
            self._delay = FIRST_DELAY
        self._log.error(
            "The {process} ended ({reason}); starting it again in {delay} s",
            process=self._name,
            reason=reason.getErrorMessage(),
            delay=self._delay,
        )
        self.restarts += 1
        self._timer = self._reactor.callLater(self._delay, self.start)
        self._delay = min(self._delay * 2, LAST_DELAY)


class _Child(ProcessProtocol):
    transport: Any

    def __init__(self, owner: Supervisor) -> None:
        self._owner = owner
        self._lines = {1: b"", 2: b""}

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        *lines, rest = (self._lines[childFD] + data).split(b"\n")
        take = self._owner.line if childFD == 1 else self._owner.stray
        for line in lines:
            if line:
                take(line)
        self._lines[childFD] = rest[-LINE_LIMIT:]

    def processEnded(self, reason: Failure) -> None:
        self._owner.ended(reason)

    def signal(self, name: str) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(name)
