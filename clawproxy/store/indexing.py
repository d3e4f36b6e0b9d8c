"""From segments to the store, whatever the store does meanwhile.

:class:`Indexing` is what the indexer's process runs: it reads the segments of its own proxy as they
grow and takes over those of proxies that are gone, brings batches into the store, waits where the
store cannot take them, and removes a segment once all of it is safely in. All of it may be killed
at any moment and begun again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from clawproxy.core.record import Exchange
from clawproxy.store import instance as instances
from clawproxy.store.assembly import Assembly, Work
from clawproxy.store.entry import Entry, Prepared
from clawproxy.store.inbox import Inbox
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.preparation import Enrich, bare, prepare
from clawproxy.store.priority import give_way
from clawproxy.store.protocol import Store, StoreRefused, StoreUnavailable
from clawproxy.store.segment import SegmentError

BATCH = 200
"""Exchanges brought in by one transaction."""
BREATHE_EVERY = 0.5
"""Seconds of uninterrupted work after which timers, signals and standard input have their turn: a
store that is a file never waits, and a long backlog would keep the process from telling how it fares
and from leaving."""
Recall = Callable[[Store, Exchange, bytes | None], Awaitable[None]]
FIRST_DELAY = 0.2
"""Seconds until a store that did not take a batch is asked again."""
LAST_DELAY = 5.0
"""The longest such wait."""


@define
class Progress:
    """How indexing fares, for ``/health`` and ``/metrics``.

    :ivar state: ``idle``, ``working`` or ``waiting`` (for a store that cannot take anything now).
    :ivar error: what the store says while it is waited for.
    :ivar stored: exchanges brought in since the start.
    :ivar rejected: exchanges that the store cannot take at all; their segments are kept as
        ``*.rejected``.
    :ivar behind: seconds since the oldest exchange that is not in came to notice.
    """

    state: str = "idle"
    error: str | None = None
    stored: int = 0
    rejected: int = 0
    behind: float = 0.0


class Indexing:
    """Bring segments into a store.

    :param reactor: gives the time and the waits.
    :param store: open or not; it is opened again whenever that is needed.
    :param directory: the journal's.
    :param own: the instance of the proxy that this indexer belongs to; ``None`` if it only takes
        over others'.
    :param enrich: see :data:`~clawproxy.store.preparation.Enrich`.
    :param recall: called before ``enrich`` with the store, the exchange and the caller's body, to look up what
        ``enrich`` will need.
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
        self._enrich = enrich
        self._recall = recall
        self._opened = False
        self._leaving = False
        self._sleep: Deferred[None] | None = None
        self._lock: instances.Lock | None = None
        self._work: tuple[Inbox, Assembly] | None = None
        self._since: float | None = None
        self._breathed = 0.0
        self._untouchable: set[str] = set()

    def leave(self) -> None:
        """Stop waiting for a store that is away: whatever is not in stays in its segments."""
        self._leaving = True
        if self._sleep is not None:
            self._sleep.cancel()

    @property
    def leaving(self) -> bool:
        """Whether :meth:`leave` was called."""
        return self._leaving

    async def own(self, ended: bool = False) -> bool:
        """Bring in what there is of the proxy that this indexer belongs to.

        :param ended: that proxy has closed its journal.
        :returns: whether all that is on disk now is in.
        """
        if self._own is None:
            return True
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

    async def orphans(self) -> None:
        """Bring in what proxies left that are gone, and call what was running in them interrupted."""
        for name in instances.instances(self._directory):
            if name == self._own or self._leaving:
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
        while not self._leaving:
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
                self._since = None
                self.progress.behind = 0.0
                return True
            pieces = assembly.spill(inbox.number)
            if pieces and not await self._persist(partial(self._store.keep_partial, pieces)):
                return False
            inbox.remove(rejected=inbox.spoiled)
        return False

    async def _breathe(self) -> None:
        now = self._reactor.seconds()
        if now - self._breathed < BREATHE_EVERY:
            return
        if self._since is not None:
            self.progress.behind = now - self._since
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
                exchange.outcome = "interrupted"
                left.append(Work(Entry(exchange, assembly.instance, True), continued=True))

        if not await self._persist(find):
            return False
        return await self._ingest(left)

    async def _bring(self, assembly: Assembly, inbox: Inbox | None = None) -> bool:
        before = self.progress.rejected
        done = await self._ingest(assembly.batch())
        if inbox is not None and self.progress.rejected > before:
            inbox.spoiled = True
        return done

    async def _ingest(self, work: list[Work]) -> bool:
        if not work:
            return True
        self.progress.state = "working"
        if self._since is None:
            self._since = self._reactor.seconds()
        prepared: list[Prepared] = []
        for one in work:
            if not await self._persist(partial(self._complete, one)):
                return False
            prepared.append(self._prepare(one))
            give_way()
        if not await self._persist(lambda: self._attempt(prepared)):
            return False
        self.progress.state = "idle"
        return True

    async def _complete(self, work: Work) -> None:
        try:
            await self._look_up(work)
        except (StoreUnavailable, StoreRefused):
            raise
        except Exception:  # noqa: BLE001 - one odd exchange must not stop all others
            # Without the pieces that came first it must not pass for whole.
            work.entry.truncated = work.entry.truncated or work.continued
            work.continued = False
            self._log.failure("Exchange {id} is not looked up", id=work.entry.exchange.id)

    async def _look_up(self, work: Work) -> None:
        entry = work.entry
        if work.continued:
            earlier = await self._store.partials(entry.exchange.id)
            entry.sent = earlier.get(Side.SENT, Pieces()) + entry.sent
            entry.received = earlier.get(Side.RECEIVED, Pieces()) + entry.received
            asked = earlier.get(Side.ASKED)
            if entry.upstream_request is None and asked is not None:
                entry.upstream_request = asked.data[-1]
            work.continued = False
        if work.request is None and entry.request is None and entry.final:
            work.request = await self._store.body(entry.exchange.id, "request")
        if self._recall is not None and entry.final:
            await self._recall(self._store, entry.exchange, work.request or entry.request)

    def _prepare(self, work: Work) -> Prepared:
        try:
            return prepare(work.entry, work.request, self._enrich)
        except Exception:  # noqa: BLE001 - one odd exchange must not stop all others
            self._log.failure(
                "Exchange {id} is kept without its finished message", id=work.entry.exchange.id
            )
            return bare(work.entry)

    async def open(self) -> bool:
        """Open the store, and so bring its schema up to date, before the first record comes.

        :returns: false if that was given up because the process is leaving.
        """

        async def nothing() -> None:
            pass

        return await self._persist(nothing)

    async def _attempt(self, prepared: list[Prepared]) -> None:
        try:
            self.progress.stored += await self._store.ingest(prepared)
        except (StoreUnavailable, StoreRefused):
            raise
        except Exception:  # noqa: BLE001 - as above
            if len(prepared) == 1:
                self.progress.rejected += 1
                self._log.failure(
                    "Exchange {id} cannot be stored; its segment is kept",
                    id=prepared[0].entry.exchange.id,
                )
                return
            for one in prepared:
                await self._attempt([one])

    async def _persist(self, attempt: Callable[[], Awaitable[None]]) -> bool:
        """Try until the store takes it.

        :returns: false if that was given up because the process is leaving.
        """
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
                if self.progress.error is not None:
                    self._log.info("The store takes records again")
                    self.progress.error = None
                return True
            if self._leaving:
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
        self.progress.state = "waiting"
        if self._since is not None:
            self.progress.behind = self._reactor.seconds() - self._since
        if str(error) != self.progress.error:
            self._log.warn("Segments wait for the store: {error}", error=str(error))
            self.progress.error = str(error)
