"""From segments to the store, whatever the store does meanwhile.

:class:`Indexing` is what the indexer's process runs: it reads the segments of its own proxy as they
grow and takes over those of proxies that are gone, has an :class:`~clawproxy.store.ingestion.Ingestion`
bring batches into the store, and removes a segment once all of it is safely in. All of it may be
killed at any moment and begun again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from clawproxy.store import instance as instances
from clawproxy.store.assembly import Assembly, Work
from clawproxy.store.entry import Entry
from clawproxy.store.inbox import Inbox
from clawproxy.store.ingestion import Ingestion, Recall
from clawproxy.store.preparation import Enrich
from clawproxy.store.progress import Progress
from clawproxy.store.protocol import Store
from clawproxy.store.retrying import Retrying
from clawproxy.store.segment import SegmentError

BATCH = 200
"""Exchanges brought in by one transaction."""
BREATHE_EVERY = 0.5
"""Seconds of uninterrupted work after which timers, signals and standard input have their turn: a
store that is a file never waits, and a long backlog would keep the process from telling how it fares
and from leaving."""


class Indexing:
    """Bring segments into a store.

    :param reactor: gives the time and the waits.
    :param store: open or not; it is opened again whenever that is needed.
    :param directory: the journal's.
    :param own: the instance of the proxy that this indexer belongs to; ``None`` if it only takes
        over others'.
    :param enrich: see :data:`~clawproxy.store.preparation.Enrich`.
    :param recall: see :data:`~clawproxy.store.ingestion.Recall`.

    :ivar progress: how it fares.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        store: Store,
        directory: Path,
        own: str | None,
        enrich: Enrich | None = None,
        recall: Recall | None = None,
    ) -> None:
        self.progress = Progress()
        self._reactor = reactor
        self._store = store
        self._directory = directory
        self._own = own
        self._retrying = Retrying(reactor, store, self.progress)
        self._ingestion = Ingestion(reactor, store, self._retrying, self.progress, enrich, recall)
        self._ended = False
        self._lock: instances.Lock | None = None
        self._work: tuple[Inbox, Assembly] | None = None
        self._breathed = 0.0
        self._untouchable: set[str] = set()

    def leave(self) -> None:
        """Stop waiting for a store that is away: whatever is not in stays in its segments."""
        self._retrying.leave()

    @property
    def leaving(self) -> bool:
        """Whether :meth:`leave` was called."""
        return self._retrying.leaving

    async def open(self) -> bool:
        """Open the store, and so bring its schema up to date, before the first record comes.

        :returns: false if that was given up because the process is leaving.
        """
        return await self._retrying.open()

    async def own(self, ended: bool = False) -> bool:
        """Bring in what there is of the proxy that this indexer belongs to.

        :param ended: that proxy has closed its journal.
        :returns: whether all that is on disk now is in.
        """
        if self._own is None:
            return True
        self._ended = ended
        if self._lock is None:
            lock = instances.Lock(self._directory / (self._own + instances.INDEXER_SUFFIX))
            if not lock.acquire():
                return False  # an indexer before this one is still leaving
            self._lock = lock
            self._work = Inbox(self._directory, self._own), Assembly(self._own)
        assert self._work is not None
        if not await self._drain(*self._work, dead=ended):
            return False
        if ended:
            if not await self._interrupt(self._work[1]):
                return False
            self._lock.release(remove=True)
            self._lock = None
        return True

    def close(self) -> None:
        """Let go of the proxy's segments: whoever comes next takes over what is left."""
        if self._lock is not None:
            # Behind a proxy that has ended it may be all that tells of rows that still say "running".
            self._lock.release(remove=not self._ended)
            self._lock = None

    async def orphans(self) -> None:
        """Bring in what proxies left that are gone, and call what was running in them interrupted."""
        for name in instances.instances(self._directory):
            if name == self._own or self.leaving:
                continue
            try:
                await self._take_over(name)
            except OSError as error:
                # As one leaves them who ran the proxy as another user: nobody else's records wait for that.
                if name not in self._untouchable:
                    self._untouchable.add(name)
                    self._log.error(
                        "What proxy {name} left cannot be taken over: {error}",
                        name=name,
                        error=str(error),
                    )

    async def _take_over(self, name: str) -> None:
        indexer = instances.Lock(self._directory / (name + instances.INDEXER_SUFFIX))
        proxy = instances.Lock(self._directory / (name + instances.PROXY_SUFFIX))
        if not indexer.acquire():
            return
        done = False
        try:
            if proxy.acquire():
                if name not in self._untouchable:
                    self._log.info("Taking over what proxy {name} left", name=name)
                inbox, assembly = Inbox(self._directory, name), Assembly(name)
                done = await self._drain(inbox, assembly, dead=True, between=self.own)
                done = done and await self._interrupt(assembly)
        finally:
            # The proxy's lock file stands for rows that may still say "running": it goes last.
            proxy.release(remove=done)
            indexer.release(remove=True)

    async def _drain(
        self,
        inbox: Inbox,
        assembly: Assembly,
        dead: bool,
        between: Callable[[], Awaitable[bool]] | None = None,
    ) -> bool:
        while not self.leaving:
            over = inbox.finished(dead)
            try:
                records = inbox.read()
            except SegmentError as error:
                inbox.reject(error)
                continue
            for record in records:
                assembly.take(record)
                if assembly.ready >= BATCH:
                    if not await self._bring(assembly, inbox):
                        return False
                    await self._breathe()
            if not await self._bring(assembly, inbox):
                return False
            await self._breathe()
            if between is not None:
                await between()  # a large inheritance must not delay what happens now
            if records:
                continue
            if not (over or inbox.sealed):
                self.progress.catch_up()
                return True
            pieces = assembly.spill(inbox.number)
            if pieces and not await self._retrying.until_taken(
                partial(self._store.keep_partial, pieces)
            ):
                return False
            inbox.remove(rejected=inbox.spoiled)
        return False

    async def _breathe(self) -> None:
        now = self._reactor.seconds()
        if now - self._breathed < BREATHE_EVERY:
            return
        self.progress.look(now)
        await deferLater(self._reactor, 0)
        self._breathed = self._reactor.seconds()

    async def _interrupt(self, assembly: Assembly) -> bool:
        assembly.interrupt()
        if not await self._bring(assembly):
            return False
        left: list[Work] = []

        async def find() -> None:
            running = await self._store.running(assembly.instance)
            left.clear()
            for exchange in running:
                exchange.interrupt()
                left.append(Work(Entry(exchange, assembly.instance, True), continued=True))

        if not await self._retrying.until_taken(find):
            return False
        return await self._ingestion.bring(left)

    async def _bring(self, assembly: Assembly, inbox: Inbox | None = None) -> bool:
        before = self.progress.rejected
        done = await self._ingestion.bring(assembly.batch())
        if inbox is not None and self.progress.rejected > before:
            inbox.spoiled = True
        return done
