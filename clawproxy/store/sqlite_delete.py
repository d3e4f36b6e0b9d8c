"""Deleting from SQLite, within a transaction that the caller holds: rows, the words of the search
index, and parts that nobody refers to any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from clawproxy.store import text
from clawproxy.store.compression import Packer
from clawproxy.store.plan import unpack_ids
from clawproxy.store.sqlite_rows import chunks, marks, parts

MERGED_PAGES = 250
"""Pages of the search index that are merged by one step."""
STALE = 5
"""The index is merged when one of so many exchanges in it is gone."""
_TABLES = ("record", "body", "answer", "finished", "tool")


def delete_exchanges(db: sqlite3.Connection, packer: Packer, numbers: Sequence[int]) -> None:
    """Delete exchanges by number, and what only they needed."""
    for some in chunks(numbers):
        listed = marks(some)
        _unindex(db, packer, some)
        lineages = db.execute(
            f"SELECT DISTINCT lineage FROM body WHERE exchange IN ({listed})", some
        ).fetchall()
        for table in _TABLES:
            db.execute(f"DELETE FROM {table} WHERE exchange IN ({listed})", some)
        db.execute(
            f"DELETE FROM partial WHERE uid IN (SELECT uid FROM exchange WHERE id IN ({listed}))",
            some,
        )
        db.execute(f"DELETE FROM exchange WHERE id IN ({listed})", some)
        collect(db, [lineage for (lineage,) in lineages])
    db.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
    db.execute("UPDATE meta SET value = value - ? WHERE name = 'exchanges'", (len(numbers),))
    db.execute(
        "INSERT INTO meta VALUES ('unmerged', ?)"
        " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        (len(numbers),),
    )


def collect(db: sqlite3.Connection, lineages: Iterable[int]) -> None:
    """Delete the spans in which no body is left, then the parts that no span names."""
    orphans: set[int] = set()
    for lineage in lineages:
        rows = db.execute(
            "DELETE FROM span WHERE lineage = ? AND NOT EXISTS (SELECT 1 FROM body b"
            " WHERE b.lineage = span.lineage"
            " AND b.position >= span.first AND b.position < span.last) RETURNING part",
            (lineage,),
        )
        orphans.update(part for (part,) in rows.fetchall())
    for some in chunks(sorted(orphans)):
        db.execute(
            f"DELETE FROM part WHERE id IN ({marks(some)})"
            " AND NOT EXISTS (SELECT 1 FROM span WHERE span.part = part.id)",
            some,
        )


def _unindex(db: sqlite3.Connection, packer: Packer, numbers: Sequence[int]) -> None:
    rows = db.execute(
        f"SELECT exchange, message, indexed FROM finished WHERE exchange IN ({marks(numbers)})"
        " ORDER BY exchange",
        numbers,
    ).fetchall()
    for number, message, indexed in rows:
        ids = unpack_ids(indexed)
        contents = parts(db, packer, ids)
        finished = packer.unpack(message) if message else None
        words = text.document([contents[id] for id in ids], finished)
        if words:
            db.execute(
                "INSERT INTO search (search, rowid, text) VALUES ('delete', ?, ?)", (number, words)
            )


def merge_words(db: sqlite3.Connection, merging: int) -> tuple[bool, int]:
    """Give the place of deleted words back, a step at a time.

    FTS5 deletes by adding that a word is gone, and forgets both when it merges what it has: by
    itself that happens when enough has been added, and never when things only go.

    :param merging: what the last step gave.
    :returns: whether there is more to merge, and what to give the next step: how many exchanges
        were gone when the merge began, 0 while there is none.
    """
    pages = MERGED_PAGES
    if not merging:
        counts = dict(db.execute("SELECT name, value FROM meta").fetchall())
        merging = counts.get("unmerged", 0)
        if not merging or merging * STALE < counts["exchanges"] + merging:
            return False, 0
        pages = -pages  # begin to merge everything
    before = db.total_changes
    db.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (pages,))
    if db.total_changes - before >= 2:  # https://sqlite.org/fts5.html#the_merge_command
        return True, merging
    db.execute("UPDATE meta SET value = value - ? WHERE name = 'unmerged'", (merging,))
    return False, 0
