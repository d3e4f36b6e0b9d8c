"""A recorded exchange with all its bytes, for those who write it out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from attrs import field, frozen

from clawproxy.core.record import Exchange
from clawproxy.store import columns, query
from clawproxy.store.compression import Packer
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.protocol import Detail, Filter, Store, Stored
from clawproxy.store.reading import LISTED, coding, stored

CHUNK = 200
"""Exchanges whose ids are fetched at a time."""


@frozen
class Recorded:
    """An exchange and its bytes.

    :ivar request: the caller's body as it came; ``None`` where none was kept.
    :ivar plain_request: the same with its content coding undone.
    :ivar upstream_request: where it differs.
    :ivar sent: the answer's pieces as the caller got them.
    :ivar received: as the upstream sent them, where they differ.
    """

    stored: Stored
    request: bytes | None = None
    plain_request: bytes | None = None
    upstream_request: bytes | None = None
    sent: Pieces = field(factory=Pieces)
    received: Pieces = field(factory=Pieces)
    finished: bytes | None = None
    tools: list[str] = field(factory=list)

    @property
    def exchange(self) -> Exchange:
        """What is known of it."""
        return self.stored.exchange

    @property
    def detail(self) -> Detail:
        """It as the store gives it to be shown."""
        return Detail(self.stored, self.request, self.finished, self.tools)


async def recorded(store: Store, id: str) -> Recorded | None:
    """Fetch an exchange with all its bytes; ``None`` if there is none."""
    detail = await store.get(id)
    if detail is None:
        return None
    uid = detail.stored.exchange.id
    plain = detail.request
    if plain and coding(detail.stored.exchange, "request"):
        plain = await store.body(uid, "request", decoded=True)
    found = Recorded(
        detail.stored,
        detail.request,
        plain,
        await store.body(uid, "upstream-request"),
        await store.events(uid, Side.SENT) or Pieces(),
        await store.events(uid, Side.RECEIVED) or Pieces(),
        detail.finished,
        detail.tools,
    )
    # Deleted meanwhile it would look like one that had no answer.
    there = await store.rows("SELECT 1 FROM exchange e WHERE e.uid = ?", (columns.clean(uid),))
    return found if there else None


async def known(store: Store, ids: Sequence[str]) -> list[Stored]:
    """Give what is known of exchanges without their bytes, the oldest first."""
    if not ids:
        return []
    packer = Packer()
    marks = ", ".join("?" * len(ids))
    rows = await store.rows(
        f"SELECT {LISTED} FROM exchange e JOIN record r ON r.exchange = e.id"
        f" WHERE e.uid IN ({marks}) ORDER BY e.id",
        ids,
    )
    return [stored(row, packer) for row in rows]


async def ids(store: Store, filter: Filter) -> AsyncIterator[str]:
    """Give the ids of the exchanges that pass a filter, the oldest first, in chunks as they are asked for."""
    if filter.text is not None:
        # The search index counts backwards only; ids alone are small.
        found, cursor = [], None
        while True:
            page = await store.list(filter, cursor, CHUNK, count=False)
            found += [item.exchange.id for item in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        for id in reversed(found):
            yield id
        return
    after = -1
    while True:
        where = query.where(filter, "?")
        if filter.tool is not None:
            where.conditions.append(
                "EXISTS (SELECT 1 FROM tool t WHERE t.name = ? AND t.exchange = e.id)"
            )
            where.parameters.append(filter.tool)
        rows = await store.rows(
            f"SELECT e.id, e.uid FROM exchange e WHERE {where.sql} AND e.id > ? ORDER BY e.id LIMIT ?",
            (*where.parameters, after, CHUNK),
        )
        for _, uid in rows:
            yield uid
        if len(rows) < CHUNK:
            return
        after = rows[-1][0]
