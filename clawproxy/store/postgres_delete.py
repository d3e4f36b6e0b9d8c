"""Deleting from PostgreSQL, within a transaction that the caller holds; see
:mod:`clawproxy.store.sqlite_delete`.

A deletion leaves its space to the next rows; only a rewrite of the tables gives it back to the file
system. How much that would be is estimated from the blobs' bytes, of which ``meta`` keeps count.
"""

from __future__ import annotations

from collections.abc import Sequence

from clawproxy.store.postgres_link import SCHEMA, Session

_BLOBS = {
    "record": "octet_length(data)",
    "body": "octet_length(manifest)",
    "answer": "octet_length(pieces)",
    "finished": "coalesce(octet_length(message), 0) + octet_length(indexed)",
    "tool": "0",
    "search": "0",
}
REWRITE_BYTES = 32 << 20
"""Less space than this is not worth a rewrite,"""
REWRITE_SHARE = 4
"""nor is less than one part in so many of what the tables take."""
REWRITE_TIMEOUT = 3600.0
"""Seconds that the rewrite of one table may take. Records wait in the journal meanwhile."""


async def delete_exchanges(session: Session, numbers: Sequence[int]) -> None:
    """Delete exchanges by number, and what only they needed."""
    listed = (list(numbers),)
    await _calibrate(session)
    rows = await session.rows(
        "SELECT DISTINCT lineage FROM body WHERE exchange = ANY(%s::bigint[])", listed
    )
    gone = 0
    for table, size in _BLOBS.items():
        gone += await _delete(session, f"{table} WHERE exchange = ANY(%s::bigint[])", size, listed)
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
    gone += await _delete(
        session,
        "part WHERE id = ANY(%s::bigint[])"
        " AND NOT EXISTS (SELECT 1 FROM span WHERE span.part = part.id)",
        "octet_length(data) + 16",
        (sorted({part for (part,) in orphans}),),
    )
    await session.do("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
    await session.do("UPDATE meta SET value = value - %s WHERE name = 'exchanges'", (len(numbers),))
    await session.do("UPDATE meta SET value = value - %s WHERE name = 'bytes'", (gone,))


async def _delete(session: Session, what: str, size: str, parameters: Sequence[object]) -> int:
    [(gone,)] = await session.rows(
        f"WITH gone AS (DELETE FROM {what} RETURNING {size} AS size)"
        " SELECT coalesce(sum(size), 0)::bigint FROM gone",
        parameters,
    )
    return int(gone)


async def measure(session: Session) -> tuple[int, int]:
    """Measure the tables.

    :returns: the bytes they take on disk, and an estimate of how many of these hold nothing.
    """
    [(disk,)] = await session.rows(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
        " WHERE relnamespace = %s::regnamespace AND relkind = 'r'",
        (SCHEMA,),
    )
    meta: dict[str, int] = dict(await session.rows("SELECT name, value FROM meta"))
    if not meta["deleted"]:
        return disk, 0
    return disk, max(0, disk - meta["bytes"] * meta["per_mille"] // 1000)


async def _calibrate(session: Session) -> None:
    """Find what a byte of a blob takes on disk.

    Before the first deletion all of the disk is in use. Later no byte takes more than its share of all of it: a
    database that was almost empty at its first deletion, and took a hundred times the room of its blobs, would never
    seem to have any room to give back.
    """
    meta: dict[str, int] = dict(await session.rows("SELECT name, value FROM meta"))
    disk, _ = await measure(session)
    found = disk * 1000 // max(1, meta["bytes"])
    if not meta["deleted"] or found < meta["per_mille"]:
        await session.do(
            "UPDATE meta SET value = CASE name WHEN 'deleted' THEN 1 ELSE %s END"
            " WHERE name IN ('deleted', 'per_mille')",
            (found,),
        )


async def rewrite(session: Session) -> bool:
    """Give the space of deleted rows back, if it is enough to be worth it. Not within a
    transaction.

    :returns: whether it was.
    """
    disk, free = await measure(session)
    if free < REWRITE_BYTES or free < disk // REWRITE_SHARE:
        return False
    tables = await session.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'",
        (SCHEMA,),
    )
    await session.do("SET statement_timeout = 0")
    try:
        for (table,) in tables:
            await session.do(f"VACUUM (FULL, ANALYZE) {SCHEMA}.{table}", within=REWRITE_TIMEOUT)
    finally:
        await session.restore()
    await session.do("UPDATE meta SET value = 0 WHERE name = 'deleted'")
    return True
