"""Bringing a batch into PostgreSQL, within a transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from psycopg2 import Binary

from clawproxy.store import columns, plan, text
from clawproxy.store.compression import Packer
from clawproxy.store.entry import Prepared
from clawproxy.store.plan import Answer, Known, Plan, Question
from clawproxy.store.planner import Planner
from clawproxy.store.postgres_link import Session
from clawproxy.store.postgres_rows import insert, parts, plain

CHANNEL = "clawproxy"
"""What is notified of exchanges that are new or became final: a JSON list of ``[id, outcome]``."""
_NOTIFIED = 50  # a notification holds less than 8,000 bytes

_TYPES = {
    **dict.fromkeys(columns.COLUMNS, "text"),
    **dict.fromkeys(("id", "started_ms", "finished_ms", "request_bytes"), "bigint"),
    **dict.fromkeys(("response_bytes", "input_tokens", "output_tokens"), "bigint"),
    **dict.fromkeys(("cache_read_input_tokens", "cache_creation_input_tokens"), "bigint"),
    **dict.fromkeys(("reasoning_tokens", "status", "stream", "truncated"), "bigint"),
    **dict.fromkeys(("cost_usd", "ttft_ms", "duration_ms"), "double precision"),
}
_UPDATE = ", ".join(f"{name} = excluded.{name}" for name in columns.COLUMNS[1:])


async def ingest(
    session: Session, planner: Planner, packer: Packer, batch: Sequence[Prepared]
) -> int:
    """Write a batch.

    :returns: how many exchanges were new or became final.
    """
    [(generation,)] = await session.rows("SELECT value FROM meta WHERE name = 'generation'")
    planner.generation(generation)
    made = planner.plan(batch, await _answer(session, planner.question(batch)))
    await _write(session, packer, made)
    await _notify(session, batch)
    return made.done


async def _answer(session: Session, question: Question) -> Answer:
    rows = await session.rows(
        "SELECT e.uid, e.id, e.outcome, f.indexed FROM exchange e"
        " LEFT JOIN finished f ON f.exchange = e.id WHERE e.uid = ANY(%s::text[])",
        ([columns.clean(uid) for uid in question.uids],),
    )
    exchanges = {
        uid: Known(number, outcome != "running", bytes(indexed or b""))
        for uid, number, outcome, indexed in rows
    }
    rows = await session.rows(
        "SELECT e.id FROM unnest(%s::bigint[]) AS m (first)"
        " JOIN exchange e ON e.id >= m.first AND e.id < m.first + %s",
        (question.numbers, plan.WINDOW),
    )
    numbers = {number for (number,) in rows}
    hashes = [Binary(hash) for hash in question.hashes]
    rows = await session.rows("SELECT hash, id FROM part WHERE hash = ANY(%s::bytea[])", (hashes,))
    found = {bytes(hash): id for hash, id in rows}
    [(newest, last)] = await session.rows(
        "SELECT (SELECT max(id) FROM part), (SELECT max(lineage) FROM body)"
    )
    return Answer(exchanges, numbers, found, (newest or 0) + 1, (last or 0) + 1)


async def _write(session: Session, packer: Packer, made: Plan) -> None:
    names = ", ".join(columns.COLUMNS)
    await insert(
        session,
        f"INSERT INTO exchange ({names})",
        [_TYPES[name] for name in columns.COLUMNS],
        made.exchanges,
        f"ON CONFLICT (id) DO UPDATE SET {_UPDATE}",
    )
    await insert(
        session,
        "INSERT INTO record (exchange, data)",
        ("bigint", "bytea"),
        made.records,
        "ON CONFLICT (exchange) DO UPDATE SET data = excluded.data",
    )
    await insert(
        session, "INSERT INTO part (id, hash, data)", ("bigint", "bytea", "bytea"), made.parts
    )
    await insert(
        session,
        "INSERT INTO body (exchange, which, lineage, position, manifest)",
        ("bigint", "smallint", "bigint", "integer", "bytea"),
        made.bodies,
    )
    span = ("bigint", "bigint", "integer", "integer")
    await insert(session, "INSERT INTO span (lineage, part, first, last)", span, made.spans)
    if made.closed:
        last, lineage, part, first = (list(column) for column in zip(*made.closed, strict=True))
        await session.do(
            "UPDATE span SET last = c.last FROM"
            " unnest(%s::integer[], %s::bigint[], %s::bigint[], %s::integer[])"
            " AS c (last, lineage, part, first)"
            " WHERE span.lineage = c.lineage AND span.part = c.part AND span.first = c.first",
            (last, lineage, part, first),
        )
    await insert(
        session,
        "INSERT INTO answer (exchange, side, pieces)",
        ("bigint", "smallint", "bytea"),
        made.answers,
    )
    await insert(
        session,
        "INSERT INTO finished (exchange, message, indexed)",
        ("bigint", "bytea", "bytea"),
        made.finished,
        "ON CONFLICT (exchange) DO UPDATE SET message = excluded.message,"
        " indexed = excluded.indexed",
    )
    await insert(
        session,
        "INSERT INTO tool (name, exchange)",
        ("text", "bigint"),
        made.tools,
        "ON CONFLICT DO NOTHING",
    )
    if made.partials:
        await session.do("DELETE FROM partial WHERE uid = ANY(%s::text[])", (made.partials,))
    await _index(session, packer, made)
    if made.exchanges:
        await session.do(
            "UPDATE meta SET value = value + CASE name WHEN 'bytes' THEN %s ELSE %s END"
            " WHERE name IN ('bytes', 'exchanges')",
            (made.bytes, made.created),
        )


async def _index(session: Session, packer: Packer, made: Plan) -> None:
    missing = {id for _, ids, _ in made.documents for id in ids} - made.contents.keys()
    contents = {**made.contents}
    if missing:
        contents.update(await parts(session, packer, missing))
    rows = []
    for number, ids, finished in made.documents:
        words = plain(text.document([contents[id] for id in ids], finished))
        if words:
            rows.append((number, words))
    await insert(
        session,
        "INSERT INTO search (exchange, text)",
        ("bigint", "text"),
        rows,
        "ON CONFLICT DO NOTHING",
    )


async def _notify(session: Session, batch: Sequence[Prepared]) -> None:
    changed = [(prepared.entry.exchange.id, prepared.entry.exchange.outcome) for prepared in batch]
    for at in range(0, len(changed), _NOTIFIED):
        payload = msgspec.json.encode(changed[at : at + _NOTIFIED]).decode()
        if len(payload.encode()) < 8000:
            await session.rows("SELECT pg_notify(%s, %s)", (CHANNEL, columns.clean(payload)))
