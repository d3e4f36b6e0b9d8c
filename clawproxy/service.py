"""The service: it starts its parts in order, and leaves in the reverse order, the drain first.

:class:`ClawProxyService` is what ``twistd clawproxy`` runs and what another Twisted program embeds::

    from clawproxy.config import Config
    from clawproxy.service import ClawProxyService

    proxy = ClawProxyService(Config(), reactor)
    proxy.setServiceParent(application)

``stopService`` gives a Deferred that fires once the drain is over and everything recorded is on disk. It
is deliberately no :class:`~twisted.application.service.MultiService`: that stops its children all at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

from OpenSSL import SSL, crypto
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy import notify
from clawproxy.assembly import Assembly, assemble
from clawproxy.config import reload
from clawproxy.config.model import Config
from clawproxy.core.record import Exchange
from clawproxy.drain import Drain
from clawproxy.store.protocol import StoreRefused
from clawproxy.web.address import dashboard_url, url

LOOK_FOR_FRESH = 0.02
"""Seconds between two looks whether the last callers have sent what they came for."""


class Part(Protocol):
    """Something that runs beside the web server: the recorder, a gateway's connection."""

    async def start(self) -> None:
        """Begin; called once, while the reactor may not be running yet."""

    async def stop(self) -> None:
        """End; called once, after the drain."""


class CannotListen(Exception):
    """An endpoint of ``server.listen`` cannot be bound."""


def _why(endpoint: str, error: BaseException | None) -> str:
    """Say in words for operators why an endpoint cannot be had; short, as twistd shows 100 bytes of it."""
    if isinstance(error, LookupError) and endpoint.startswith("systemd:"):
        return "systemd has handed over no such socket (see LISTEN_FDS)"
    if isinstance(error, CannotListenError) and isinstance(error.socketError, OSError):
        error = error.socketError
    if isinstance(error, OSError) and error.strerror:
        # Of a link, as a Unix socket's lock is one, only the second name means anything to anybody.
        name = error.filename2 or error.filename
        file = f": {os.fsdecode(name)}" if isinstance(name, str | bytes) else ""
        return error.strerror.lower() + file
    if isinstance(error, SSL.Error | crypto.Error) and isinstance(error.args[0], list):
        reasons = ", ".join(str(each[-1]) for each in error.args[0]) or "nothing there"
        return f"no key and certificate in PEM in its files ({reasons})"
    return str(error) or type(error).__name__


class ClawProxyService(Service):
    """The whole proxy as one Twisted service.

    :param config: a checked configuration.
    :param reactor: TCP, time, threads and processes; never imported here.
    :param parts: beside the configured ones, for those who embed the proxy.
    :ivar cannot_start: is called with what kept a part from starting.
    :ivar whole: after the stop, whether everything in flight had ended by itself.
    """

    _log = Logger()

    def __init__(self, config: Config, reactor: Any, parts: Sequence[Part] = ()) -> None:
        self.setName("clawproxy")
        self.config = config
        self.whole = True
        self.cannot_start: Callable[[Failure], object] = bool
        self._reactor = reactor
        self._extra = list(parts)
        self._assembly: Assembly | None = None
        self._bound = False
        self._open = False
        self._ports: list[IListeningPort] = []
        self._endpoints: list[str] = []
        self._starting: Deferred[None] | None = None
        self._started: list[Part] = []
        self._trigger: object | None = None
        self._stopping: Deferred[None] | None = None

    @property
    def drain(self) -> Drain:
        """What counts the requests in flight."""
        return self._assembled.drain

    @property
    def _assembled(self) -> Assembly:
        if self._assembly is None:
            self._assembly = assemble(self.config, self._reactor)
        return self._assembly

    @property
    def addresses(self) -> list[object]:
        """Where it listens, as Twisted addresses, in the order of ``server.listen``."""
        return [port.getHost() for port in self._ports]

    def log_access_with(self, write: Callable[[Exchange], None]) -> None:
        """Have access lines written by something faster than Twisted's log."""
        self._assembled.board.access_log = write

    # Starting.

    def privilegedStartService(self) -> None:
        """Bind the endpoints, while privileges last.

        :raise CannotListen: one of them cannot be bound.
        """
        super().privilegedStartService()
        self._bound = True
        for words in self.config.server.listen:
            try:
                endpoint = serverFromString(self._reactor, words)
            except Exception as error:  # noqa: BLE001 - each kind of endpoint raises what it likes
                self._refuse(words, error)
            listening = endpoint.listen(self._assembled.site)
            outcome: list[IListeningPort | Failure] = []
            listening.addBoth(outcome.append)
            if outcome and isinstance(outcome[0], Failure):
                self._refuse(words, outcome[0].value)
            if outcome:
                listening_port: Any = outcome[0]
                self._ports.append(listening_port)
                self._endpoints.append(words)
                # Callers wait in the backlog until the parts have started: no exchange goes
                # unrecorded.
                listening_port.stopReading()

    def _refuse(self, endpoint: str, error: BaseException | None) -> NoReturn:
        for port in self._ports:
            port.stopListening()
        raise CannotListen(f"cannot listen on {endpoint!r}: {_why(endpoint, error)}")

    def startService(self) -> None:
        """Start the parts, and say that the proxy is ready."""
        super().startService()
        if not self._bound:
            self.privilegedStartService()  # whoever embeds it may know of no privileges
        self._trigger = self._reactor.addSystemEventTrigger(
            "before", "shutdown", self._leave_with_reactor
        )
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._cannot_start)

    async def _start(self) -> None:
        for part in [*self._assembled.parts, *self._extra]:
            await part.start()
            self._started.append(part)
        for port in self._ports:
            port.startReading()  # type: ignore[attr-defined]
        self._open = True
        self._say_where()
        self._reactor.callWhenRunning(notify.ready)

    def _say_where(self) -> None:
        places = list(zip(self._endpoints, self.addresses, strict=True))
        for words, host in places:
            self._log.info("ClawProxy listens on {url}", url=url(words, host))
        found = (dashboard_url(words, host) for words, host in places)
        here = next((each for each in found if each), None)
        if here and self.config.dashboard.enabled:
            self._log.info("the dashboard is at {url}", url=here)

    def _cannot_start(self, failure: Failure) -> None:
        refused = failure.check(StoreRefused)
        if refused:
            self._log.error("cannot start: {error}", error=failure.getErrorMessage())
        else:
            self._log.failure("a part of the proxy cannot start", failure)
        self.cannot_start(failure)

    # Leaving.

    def _leave_with_reactor(self) -> Deferred[None]:
        self._trigger = None
        return self.stopService()

    def stopService(self) -> Deferred[None]:
        """Drain, then stop everything in the reverse order of its start.

        :return: fires when all is done; more than one caller may ask.
        """
        super().stopService()
        if self._stopping is None:
            self._stopping = Deferred.fromCoroutine(self._stop())
        waiting: Deferred[None] = Deferred()

        def passed(result: object) -> object:
            waiting.callback(None)
            return result

        self._stopping.addBoth(passed)
        return waiting

    async def _stop(self) -> None:
        notify.stopping()
        draining = self.drain.start()
        if self._starting is not None:
            await self._starting  # no part is left behind that a late start would bring up
        self.whole = await draining
        trigger, self._trigger = self._trigger, None
        if trigger is not None:
            self._reactor.removeSystemEventTrigger(trigger)
        for port in self._ports:
            if self.whole and self._open:
                # Whoever is connected already, as far as the kernel is concerned, came in time.
                port.doRead()  # type: ignore[attr-defined]
            stopped = port.stopListening()
            if stopped is not None:
                await stopped
        site = self._assembled.site
        while self.whole and site.fresh():
            await deferLater(self._reactor, LOOK_FOR_FRESH)
        site.close_idle()
        # A request may have come while the ports were being closed.
        self.whole = await self.drain.start() and self.whole
        # A request whose head is complete only from now on would begin while the parts stop, and be cut.
        site.close_all()
        for part in reversed(self._started):
            try:
                await part.stop()
            except Exception:  # noqa: BLE001 - the other parts must be stopped all the same
                self._log.failure("a part of the proxy did not stop well")

    # While running.

    def reload(self, load: Callable[[], Config]) -> bool:
        """Read the configuration again and use what of it can change; a wrong one changes nothing.

        :param load: gives the new configuration; what it raises is logged.
        :return: whether the new one is in use.
        """
        notify.reloading()
        try:
            config = load()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the old one stays
            self._log.error(
                "the configuration is unchanged, the new one is wrong:\n{error}", error=error
            )
            notify.ready()
            return False
        for change in reload.ignored(self.config, config):
            self._log.warn("{change}", change=change)
        kept = reload.keep(self.config, config)
        try:
            self._assembled.rewire(kept)
        except Exception:  # noqa: BLE001 - a bug here must not end a process that serves
            self._log.failure("bug: the new configuration could not be put in place")
            return False
        finally:
            notify.ready()
        self.config = kept
        self._log.info("the configuration was read again")
        return True
