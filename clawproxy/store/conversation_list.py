"""The list of conversations, the one that was spoken in last first."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from clawproxy.store import query
from clawproxy.store.conversation_query import chunks, marks
from clawproxy.store.conversation_summary import Summary, summaries
from clawproxy.store.protocol import Filter, Store

SCANNED = 1000
"""Exchanges that are looked at in one go."""
PART = 500
SEARCHED = 20
"""Parts of so many exchanges that a search looks at: conversations beyond are not found."""


@frozen
class ConversationPage:
    """Part of the list.

    :ivar cursor: gives the next part, ``None`` in the last.
    """

    items: list[Summary]
    cursor: str | None
    total: int


async def page(
    store: Store, filter: Filter, cursor: str | None = None, limit: int = 50
) -> ConversationPage:
    """Give the conversations of which an exchange passes a filter.

    :param cursor: of the page before.
    :raises ValueError: for a cursor that is none.
    """
    before = query.cursor_number(cursor)
    if filter.text is not None:
        found, total = await _searched(store, filter, before)
    else:
        found, total = await _filtered(store, filter, before, limit + 1)
    more = len(found) > limit
    shown = list(found)[:limit]
    told = await summaries(store, shown)
    return ConversationPage(
        [told[id] for id in shown if id in told],
        str(found[shown[-1]]) if more else None,
        total,
    )


async def _searched(store: Store, filter: Filter, before: int | None) -> tuple[dict[str, int], int]:
    """Find conversations by the newest exchange that a search finds; and how many there are in all."""
    found: dict[str, int] = {}
    passed: set[str] = set()
    cursor = None
    for _ in range(SEARCHED):
        part = await store.list(filter, cursor, PART, count=False)
        for item in part.items:
            id = item.exchange.conversation_id
            if id is None or id in passed or id in found:
                continue
            if before is not None and item.number >= before:
                passed.add(id)
            else:
                found[id] = item.number
        cursor = part.cursor
        if cursor is None:
            break
    return found, len(found) + len(passed)


async def _filtered(
    store: Store, filter: Filter, before: int | None, wanted: int
) -> tuple[dict[str, int], int]:
    where = query.where(filter, "?")
    # Said so that no index of conversations is used: the order is that of the table.
    where.conditions.append("COALESCE(e.conversation_id, '') <> ''")
    if filter.tool is not None:
        where.conditions.append(
            "EXISTS (SELECT 1 FROM tool t WHERE t.name = ? AND t.exchange = e.id)"
        )
        where.parameters.append(filter.tool)
    [(total,)] = await store.rows(
        f"SELECT COUNT(DISTINCT e.conversation_id) FROM exchange e WHERE {where.sql}",
        where.parameters,
    )
    return await _newest(store, where, before, wanted), int(total)


async def _newest(
    store: Store, where: query.Where, before: int | None, wanted: int
) -> dict[str, int]:
    """Find conversations by their newest exchange below a number, the newest first."""
    found: dict[str, int] = {}
    passed: set[str] = set()
    at = before if before is not None else 2**63 - 1
    while len(found) < wanted:
        rows = await store.rows(
            f"SELECT e.id, e.conversation_id FROM exchange e WHERE {where.sql} AND e.id < ?"
            " ORDER BY e.id DESC LIMIT ?",
            (*where.parameters, at, SCANNED),
        )
        if not rows:
            break
        fresh = [id for _, id in rows if id not in found and id not in passed]
        if before is not None:
            passed |= await _seen(store, where, list(dict.fromkeys(fresh)), before)
        for number, id in rows:
            if id not in passed and id not in found and len(found) < wanted:
                found[id] = number
        at = rows[-1][0]
    return found


async def _seen(store: Store, where: query.Where, ids: Sequence[str], before: int) -> set[str]:
    """Find those that were on an earlier page."""
    seen: set[str] = set()
    for some in chunks(ids):
        rows = await store.rows(
            "SELECT DISTINCT e.conversation_id FROM exchange e"
            f" WHERE e.conversation_id IN ({marks(some)}) AND e.id >= ? AND {where.sql}",
            (*some, before, *where.parameters),
        )
        seen.update(id for (id,) in rows)
    return seen
