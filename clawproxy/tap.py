"""What ``twistd clawproxy`` calls: its options, and the making of the service.

Everything here belongs to the process rather than to the service: the configuration's sources, signals, the
log, the exit code. A program that embeds the proxy uses :mod:`clawproxy.service` alone.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from clawproxy import __version__
from clawproxy.config import Config, ConfigError, Loaded, load
from clawproxy.log import Observer, stream_of
from clawproxy.service import CannotListen, ClawProxyService

COLLECT_AFTER = 10_000
"""Objects, as many as 150 exchanges, that are made before the garbage collector looks through the new ones."""


class Options(usage.Options):
    """``twistd clawproxy``'s own options."""

    synopsis = "[options]"
    longdesc = (
        "ClawProxy, an event-driven LLM proxy. `clawproxy check` shows the effective configuration."
    )
    optParameters = [  # noqa: RUF012 - usage.Options reads it from the class
        ["config", "c", None, "The configuration file (YAML)."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.listen: list[str] = []
        self.sets: list[str] = []
        self.loaded: Loaded | None = None

    def opt_listen(self, endpoint: str) -> None:
        """A Twisted endpoint to listen on, e.g. tcp:8080; may be repeated."""
        self.listen.append(endpoint)

    opt_l = opt_listen

    def opt_set(self, assignment: str) -> None:
        """A configuration value, dotted.key=value; may be repeated."""
        self.sets.append(assignment)

    def opt_version(self) -> None:
        """Print ClawProxy's version."""
        print(f"ClawProxy {__version__}")  # noqa: T201
        sys.exit(0)

    def read(self) -> Loaded:
        """Read the configuration from all its sources; once a file was read, it is that one again.

        A file that is gone while somebody saves it, or that is looked for in a daemon's directory, must not make
        the defaults take its place.

        :raise ConfigError: with every mistake.
        """
        file = self.loaded.file if self.loaded is not None else None
        return load(file or self["config"], listen=self.listen, sets=self.sets)

    def postOptions(self) -> None:
        """Check the configuration before anything else happens."""
        try:
            self.loaded = self.read()
        except ConfigError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(1)


class Process(Service):
    """The proxy as the business of a whole process: signals, log level, exit code.

    * The first SIGTERM or SIGINT stops the reactor, and so drains; a second one gives the drain up.
    * SIGHUP reads the configuration again; SIGUSR1 rotates the log file, as twistd does it.
    * A drain that was given up, or ran out of time, makes the process exit with 1.
    """

    _log = Logger()

    def __init__(self, options: Options, reactor: Any) -> None:
        self.setName("clawproxy-process")
        self._options = options
        self._reactor = reactor
        assert options.loaded is not None
        self._loaded = options.loaded
        self._warned = self._loaded.warnings
        self.proxy = ClawProxyService(self._loaded.config, reactor)
        self._observer: Observer | None = None
        self._leaving = False

    def setServiceParent(self, parent: Any) -> None:
        """Join twistd's application, and give it the log that the configuration asks for."""
        twistd = getattr(self._options, "parent", None)
        if isinstance(parent, Componentized) and parent.getComponent(ILogObserver, None) is None:
            try:
                stream = stream_of(twistd)
            except OSError as error:
                sys.stderr.write(f"{error.filename}: {(error.strerror or 'error').lower()}\n")
                sys.exit(1)
            if stream is not None:
                self._observer = Observer(self._loaded.config.log, stream, self._reactor)
                self.proxy.log_access_with(self._observer.access)
                parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Bind the endpoints; what cannot be bound ends the process with 1 and a plain sentence."""
        super().privilegedStartService()
        try:
            self.proxy.privilegedStartService()
        except CannotListen as error:
            self._end_before_start(error)

    def _end_before_start(self, error: CannotListen) -> NoReturn:
        self._log.error("{error}", error=error)
        twistd = getattr(self._options, "parent", None) or {}
        if twistd.get("logfile") and twistd.get("nodaemon") and sys.__stderr__ is not None:
            sys.__stderr__.write(f"clawproxy: {error}\n")  # the log is not what is on the terminal
        pipe = twistd.get("statusPipe")
        if pipe is not None:
            # The process that started the daemon waits for a word, and for ever if there is none.
            os.write(pipe, b"1 " + str(error).encode()[:98])
            os.close(pipe)
        if twistd.get("pidfile"):
            Path(twistd["pidfile"]).unlink(missing_ok=True)
        sys.exit(1)

    def startService(self) -> None:
        """Start the proxy and take over the signals."""
        super().startService()
        for warning in self._warned:
            self._log.warn("{warning}", warning=warning)
        self.proxy.cannot_start = self._cannot_start
        self.proxy.startService()
        # After the reactor has installed its own handlers, which happens as it begins to run.
        self._reactor.callWhenRunning(self._take_signals)
        self._reactor.callWhenRunning(_settle_memory)

    def _cannot_start(self, failure: Failure) -> None:
        atexit.register(_exit_with_failure)
        self._leaving = True
        self._reactor.callWhenRunning(self._reactor.stop)

    def _take_signals(self) -> None:
        def from_thread(method: Any) -> Any:
            return lambda number, frame: self._reactor.callFromThread(method)

        for name in ("SIGTERM", "SIGINT"):
            signal.signal(getattr(signal, name), from_thread(self._leave))
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, from_thread(self._reload))
        if self._observer is not None and self._observer.rotates:
            signal.signal(signal.SIGUSR1, from_thread(self._observer.rotate))

    def _leave(self) -> None:
        if self._leaving:
            self._log.warn("a second signal: leaving at once")
            self.proxy.drain.give_up()
            return
        self._leaving = True
        self._reactor.stop()

    def _reload(self) -> None:
        read: list[Loaded] = []

        def load_again() -> Config:
            read.append(self._options.read())
            return read[0].config

        if not self.proxy.reload(load_again):
            return
        if self._observer is not None:
            self._observer.change_level(self.proxy.config.log.level)
        # What waits for a restart, another endpoint for instance, is nothing to warn of yet.
        in_effect = evolve(read[0], config=self.proxy.config).warnings
        for warning in in_effect:
            if warning not in self._warned:
                self._log.warn("{warning}", warning=warning)
        self._warned = in_effect

    async def _stop(self) -> None:
        await self.proxy.stopService()
        if self._observer is not None:
            self._observer.flush()
        if not self.proxy.whole:
            # twistd knows no exit code of a service; its own clean-up comes first.
            atexit.register(_exit_with_failure)

    def stopService(self) -> Deferred[None]:
        """Stop the proxy; fires when it is drained and stopped."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())


def _settle_memory() -> None:
    """Take what was made at the start out of the garbage collector's sight, for good.

    A full collection goes over every object it knows and stops every stream meanwhile; modules and
    tables, most of what there is, never become garbage. Nor does an exchange, which is freed as soon as nobody has
    it: collecting after each 700 objects, a dozen requests, finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _exit_with_failure() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def makeService(options: Options) -> Process:
    """Make what ``twistd clawproxy`` runs."""
    from twisted.internet import reactor

    return Process(options, reactor)
