"""Deleting from PostgreSQL, within a transaction that the caller holds; see
:mod:`clawproxy.store.sqlite_delete`."""

from __future__ import annotations

from collections.abc import Sequence

from clawproxy.store.postgres_link import Session

_TABLES = ("record", "body", "answer", "finished", "tool", "search")


async def delete_exchanges(session: Session, numbers: Sequence[int]) -> None:
    """Delete exchanges by number, and what only they needed."""
    listed = (list(numbers),)
    rows = await session.rows(
        "SELECT DISTINCT lineage FROM body WHERE exchange = ANY(%s::bigint[])", listed
    )
    for table in _TABLES:
        await session.do(f"DELETE FROM {table} WHERE exchange = ANY(%s::bigint[])", listed)
    await session.do(
        "DELETE FROM partial WHERE uid IN (SELECT uid FROM exchange WHERE id = ANY(%s::bigint[]))",
        listed,
    )
    await session.do("DELETE FROM exchange WHERE id = ANY(%s::bigint[])", listed)
    orphans = await session.rows(
        "DELETE FROM span WHERE lineage = ANY(%s::bigint[]) AND NOT EXISTS ("
        " SELECT 1 FROM body b WHERE b.lineage = span.lineage"
        " AND b.position >= span.first AND b.position < span.last) RETURNING part",
        ([lineage for (lineage,) in rows],),
    )
    await session.do(
        "DELETE FROM part WHERE id = ANY(%s::bigint[])"
        " AND NOT EXISTS (SELECT 1 FROM span WHERE span.part = part.id)",
        (sorted({part for (part,) in orphans}),),
    )
    await session.do("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
    await session.do("UPDATE meta SET value = value - %s WHERE name = 'exchanges'", (len(numbers),))
