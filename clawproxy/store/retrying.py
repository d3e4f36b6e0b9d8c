"""Asking a store until it takes what it is given, so that no record is lost for a store that is away.

A store that is locked, full, away or hanging, or that somebody has to see to first, is asked again and again, less and
less often, and opened anew where that is needed. Meanwhile nothing else happens: what is to be brought in waits in its
segments.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from clawproxy.store.progress import Progress
from clawproxy.store.protocol import Store, StoreRefused, StoreUnavailable

FIRST_DELAY = 0.2
"""Seconds until a store that did not take a batch is asked again."""
LAST_DELAY = 5.0
"""The longest such wait."""


class Retrying:
    """Ask a store until it answers, or until :meth:`leave`.

    :param reactor: gives the time and the waits.
    :param store: open or not; it is opened again whenever that is needed.
    :param progress: is told of the waits.

    :ivar leaving: whether :meth:`leave` was called.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, store: Store, progress: Progress) -> None:
        self.leaving = False
        self._reactor = reactor
        self._store = store
        self._progress = progress
        self._opened = False
        self._sleep: Deferred[None] | None = None

    def leave(self) -> None:
        """Wait no more for a store that is away."""
        self.leaving = True
        if self._sleep is not None:
            self._sleep.cancel()

    async def open(self) -> bool:
        """Open the store, and so bring its schema up to date, before there is anything for it.

        :returns: false if that was given up because the process is leaving.
        """

        async def nothing() -> None:
            pass

        return await self.until_taken(nothing)

    async def until_taken(self, attempt: Callable[[], Awaitable[None]]) -> bool:
        """Try until the store takes it.

        :returns: false if that was given up because the process is leaving.
        """
        state = self._progress.state
        delay = FIRST_DELAY
        while True:
            try:
                if not self._opened:
                    await self._store.open()
                    self._opened = True
                await attempt()
            except (StoreUnavailable, StoreRefused) as error:
                self._note(error)
                if isinstance(error, StoreRefused):
                    self._opened = False
                    delay = LAST_DELAY
            else:
                if self._progress.error is not None:
                    self._log.info("The store takes records again")
                    self._progress.go_on(state)
                return True
            if self.leaving:
                return False
            self._sleep = deferLater(self._reactor, delay)
            try:
                await self._sleep
            except CancelledError:  # by `leave`
                pass
            finally:
                self._sleep = None
            delay = min(delay * 1.7, LAST_DELAY)

    def _note(self, error: Exception) -> None:
        self._progress.wait(self._reactor.seconds())
        if str(error) != self._progress.error:
            self._log.warn("Segments wait for the store: {error}", error=str(error))
            self._progress.error = str(error)
