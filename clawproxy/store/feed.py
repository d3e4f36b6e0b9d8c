"""What all proxies on one PostgreSQL do, as it is recorded: ``/feed`` on the reader's socket.

Every indexer notifies what it has brought in (:data:`~clawproxy.store.postgres_ingest.CHANNEL`). While somebody
subscribes, the reader listens, looks the exchanges up and gives each as an event of the live view: ``started`` for
those that run, ``finished`` for the others.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.resource import Resource

from clawproxy.core.record import Exchange
from clawproxy.dashboard.api_record import listed
from clawproxy.store.compression import Packer
from clawproxy.store.pool import StorePool
from clawproxy.store.postgres_ingest import CHANNEL
from clawproxy.store.postgres_link import Link, Session
from clawproxy.store.protocol import Store, StoreRefused, StoreUnavailable
from clawproxy.store.reading import LISTED, stored

CHECK_EVERY = 5.0
"""Seconds after which a connection that was lost is noticed and made again."""
_changes = msgspec.json.Decoder(list[tuple[str, str]]).decode


def event(exchange: Exchange) -> bytes:
    """Word an event of the live view."""
    name = b"started" if exchange.outcome == "running" else b"finished"
    return b"event: %s\ndata: %s\n\n" % (name, msgspec.json.encode(listed(exchange)))


class Feed(Resource):
    """The resource. ``?except=NAME`` leaves out what the proxy of that instance name recorded.

    :param url: of the PostgreSQL database.
    :param pool: to look exchanges up in.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, reactor: Any, url: str, pool: StorePool) -> None:
        super().__init__()
        self._reactor = reactor
        self._pool = pool
        self._link = Link(reactor, url, self._listen)
        self._subscribers: dict[Any, str] = {}
        self._check: IDelayedCall | None = None

    def render_GET(self, request: Any) -> int:
        """Begin to subscribe."""
        query = parse_qs(request.uri.partition(b"?")[2].decode("latin-1"))
        self._subscribers[request] = query.get("except", [""])[0]
        request.notifyFinish().addErrback(self._left, request)
        request.setHeader("Content-Type", "text/event-stream")
        request.write(b": listening\n\n")
        if self._check is None:
            self._look()
        return server.NOT_DONE_YET

    def _left(self, _: Failure, request: Any) -> None:
        del self._subscribers[request]
        if not self._subscribers and self._check is not None:
            self._check.cancel()
            self._check = None
            self._link.close()

    def _look(self) -> None:
        self._check = self._reactor.callLater(CHECK_EVERY, self._look)
        asking = Deferred.fromCoroutine(self._link.query(_nothing))
        asking.addErrback(self._away)

    def _away(self, failure: Failure) -> None:
        failure.trap(StoreUnavailable, StoreRefused)
        self._log.info("the live view sees this proxy alone: {error}", error=str(failure.value))

    async def _listen(self, session: Session) -> None:
        """Hear of changes; called on each new connection."""
        await self._link.listen(CHANNEL, self._heard)

    def _heard(self, payload: str) -> None:
        try:
            ids = [id for id, _ in _changes(payload.encode())]
        except msgspec.MsgspecError:
            return  # somebody else's word on our channel
        if ids and self._subscribers:
            telling = Deferred.fromCoroutine(self._tell(ids))
            telling.addErrback(self._away)

    async def _tell(self, ids: list[str]) -> None:
        packer = Packer()
        marks = ", ".join("?" * len(ids))

        async def fetch(store: Store) -> Any:
            return await store.rows(
                f"SELECT {LISTED}, e.instance FROM exchange e JOIN record r ON r.exchange = e.id"
                f" WHERE e.uid IN ({marks}) ORDER BY e.id",
                ids,
            )

        for *row, instance in await self._pool.run(fetch):
            data = event(stored(tuple(row), packer).exchange)
            for request, left_out in self._subscribers.items():
                if instance != left_out:
                    request.write(data)


async def _nothing(session: Session) -> None:
    await session.rows("SELECT 1")
