"""Bringing a batch into SQLite, within a transaction that the caller holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from clawproxy.store import columns, plan, text
from clawproxy.store.compression import Packer
from clawproxy.store.entry import Prepared
from clawproxy.store.plan import Answer, Known, Plan, Question
from clawproxy.store.planner import Planner
from clawproxy.store.priority import give_way
from clawproxy.store.sqlite_rows import chunks, marks, parts

_EXCHANGE = (
    f"INSERT INTO exchange ({', '.join(columns.COLUMNS)})"
    f" VALUES ({', '.join('?' * len(columns.COLUMNS))}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in columns.COLUMNS[1:])
)


def ingest(
    db: sqlite3.Connection, planner: Planner, packer: Packer, batch: Sequence[Prepared]
) -> int:
    """Write a batch.

    :returns: how many exchanges were new or became final.
    """
    (generation,) = db.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()
    planner.generation(generation)
    made = planner.plan(batch, _answer(db, planner.question(batch)))
    _write(db, packer, made)
    return made.done


def _answer(db: sqlite3.Connection, question: Question) -> Answer:
    exchanges: dict[str, Known] = {}
    for uids in chunks(question.uids):
        rows = db.execute(
            "SELECT e.uid, e.id, e.outcome, f.indexed FROM exchange e"
            f" LEFT JOIN finished f ON f.exchange = e.id WHERE e.uid IN ({marks(uids)})",
            uids,
        )
        for uid, number, outcome, indexed in rows:
            exchanges[uid] = Known(number, outcome != "running", indexed or b"")
    numbers: set[int] = set()
    for number in question.numbers:
        rows = db.execute(
            "SELECT id FROM exchange WHERE id >= ? AND id < ?", (number, number + plan.WINDOW)
        )
        numbers.update(id for (id,) in rows)
    found: dict[bytes, int] = {}
    for hashes in chunks(question.hashes):
        found.update(
            db.execute(f"SELECT hash, id FROM part WHERE hash IN ({marks(hashes)})", hashes)
        )
    (newest,) = db.execute("SELECT max(id) FROM part").fetchone()
    (last,) = db.execute("SELECT max(lineage) FROM body").fetchone()
    return Answer(exchanges, numbers, found, (newest or 0) + 1, (last or 0) + 1)


def _write(db: sqlite3.Connection, packer: Packer, made: Plan) -> None:
    db.executemany(_EXCHANGE, made.exchanges)
    db.executemany("INSERT OR REPLACE INTO record VALUES (?, ?)", made.records)
    db.executemany("INSERT INTO part VALUES (?, ?, ?)", made.parts)
    db.executemany("INSERT INTO body VALUES (?, ?, ?, ?, ?)", made.bodies)
    db.executemany("INSERT INTO span VALUES (?, ?, ?, ?)", made.spans)
    db.executemany(
        "UPDATE span SET last = ? WHERE lineage = ? AND part = ? AND first = ?", made.closed
    )
    db.executemany("INSERT INTO answer VALUES (?, ?, ?)", made.answers)
    db.executemany("INSERT OR REPLACE INTO finished VALUES (?, ?, ?)", made.finished)
    db.executemany("INSERT OR IGNORE INTO tool VALUES (?, ?)", made.tools)
    db.executemany("DELETE FROM partial WHERE uid = ?", [(uid,) for uid in made.partials])
    _index(db, packer, made)
    if made.created:
        db.execute("UPDATE meta SET value = value + ? WHERE name = 'exchanges'", (made.created,))


def _index(db: sqlite3.Connection, packer: Packer, made: Plan) -> None:
    missing = {id for _, ids, _ in made.documents for id in ids} - made.contents.keys()
    contents = {**made.contents, **parts(db, packer, list(missing))}
    # In the order of rowids: FTS5 starts a new segment for each that goes backwards.
    for number, ids, finished in sorted(made.documents, key=lambda document: document[0]):
        words = text.document([contents[id] for id in ids], finished)
        if words:
            db.execute("INSERT INTO search (rowid, text) VALUES (?, ?)", (number, words))
        give_way()
