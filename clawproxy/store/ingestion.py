"""One batch on its way into a store: completed by what the store has of it already, read, and stored.

Whatever is wrong with one exchange stays its own: one that cannot be completed or read is kept exactly as it came, one
that cannot be stored is left out, and all others go in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from clawproxy.core.record import Exchange
from clawproxy.store.assembly import Work
from clawproxy.store.entry import Prepared
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.preparation import Enrich, bare, prepare
from clawproxy.store.priority import give_way
from clawproxy.store.progress import Progress
from clawproxy.store.protocol import Store, StoreRefused, StoreUnavailable
from clawproxy.store.retrying import Retrying

Recall = Callable[[Store, Exchange, bytes | None], Awaitable[None]]
"""Looks up in the store what :data:`~clawproxy.store.preparation.Enrich` will need of a final exchange; it is given the
caller's body, too."""


class Ingestion:
    """Bring exchanges into a store, a batch at a time.

    :param reactor: gives the time.
    :param store: where to.
    :param retrying: waits for it.
    :param progress: counts what is stored and what cannot be.
    :param enrich: see :data:`~clawproxy.store.preparation.Enrich`.
    :param recall: called before ``enrich``.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        store: Store,
        retrying: Retrying,
        progress: Progress,
        enrich: Enrich | None = None,
        recall: Recall | None = None,
    ) -> None:
        self._reactor = reactor
        self._store = store
        self._retrying = retrying
        self._progress = progress
        self._enrich = enrich
        self._recall = recall

    async def bring(self, work: list[Work]) -> bool:
        """Bring a batch in.

        :returns: false if that was given up because the process is leaving.
        """
        if not work:
            return True
        self._progress.begin(self._reactor.seconds())
        prepared: list[Prepared] = []
        for one in work:
            if not await self._retrying.until_taken(partial(self._complete, one)):
                return False
            prepared.append(self._prepare(one))
            give_way()
        if not await self._retrying.until_taken(partial(self._attempt, prepared)):
            return False
        self._progress.rest()
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

    async def _attempt(self, prepared: list[Prepared]) -> None:
        try:
            self._progress.stored += await self._store.ingest(prepared)
        except (StoreUnavailable, StoreRefused):
            raise
        except Exception:  # noqa: BLE001 - as above
            if len(prepared) == 1:
                self._progress.rejected += 1
                self._log.failure(
                    "Exchange {id} cannot be stored; its segment is kept",
                    id=prepared[0].entry.exchange.id,
                )
                return
            while prepared:
                await self._attempt(prepared[:1])
                del prepared[:1]  # it is not tried again, should the store be away for the next one
