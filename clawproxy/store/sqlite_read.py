"""Reading from SQLite, over a connection that the caller holds: lists, single exchanges with their bodies and events,
and what is known of those that still run.
"""

from __future__ import annotations

import sqlite3

from clawproxy.core.record import Exchange, decode_exchange
from clawproxy.store import protocol as p
from clawproxy.store import query, reading
from clawproxy.store.compression import Packer
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.sqlite_rows import parts


def page(
    db: sqlite3.Connection,
    packer: Packer,
    filter: p.Filter,
    cursor: str | None,
    limit: int,
    count: bool,
) -> p.Page:
    """Give a page of exchanges, newest first: :meth:`clawproxy.store.protocol.Store.list`."""
    where = query.where(filter, "?")
    source, key = _source(filter, where)
    before = query.cursor_number(cursor)
    total = _count(db, filter, source, where) if count else -1
    if before is not None:
        where.conditions.append(f"{key} < ?")
        where.parameters.append(before)
    rows = db.execute(
        f"SELECT {reading.LISTED} FROM {source}"
        f" CROSS JOIN record r ON r.exchange = e.id"
        f" WHERE {where.sql} ORDER BY {key} DESC LIMIT ?",
        (*where.parameters, limit + 1),
    ).fetchall()
    items = [reading.stored(row, packer) for row in rows[:limit]]
    more = len(rows) > limit and items
    return p.Page(items, str(items[-1].number) if more else None, total)


def _count(db: sqlite3.Connection, filter: p.Filter, source: str, where: query.Where) -> int:
    if filter == p.Filter():
        sql, parameters = "SELECT value FROM meta WHERE name = 'exchanges'", []
    elif filter == p.Filter(text=filter.text):
        sql, parameters = "SELECT count(*) FROM search WHERE search MATCH ?", where.parameters
    else:
        sql, parameters = f"SELECT count(*) FROM {source} WHERE {where.sql}", where.parameters
    return int(db.execute(sql, parameters).fetchone()[0])


def numbers(db: sqlite3.Connection, filter: p.Filter, limit: int) -> list[int]:
    """Give the numbers of exchanges that are over, oldest first."""
    where = query.where(filter, "?")
    source, key = _source(filter, where)
    rows = db.execute(
        f"SELECT e.id FROM {source} WHERE {where.sql} AND e.outcome <> 'running'"
        f" ORDER BY {key} LIMIT ?",
        (*where.parameters, limit),
    ).fetchall()
    return [number for (number,) in rows]


def detail(db: sqlite3.Connection, packer: Packer, id: str) -> p.Detail | None:
    """See :meth:`clawproxy.store.protocol.Store.get`."""
    stored = _find(db, packer, id)
    if stored is None:
        return None
    row = db.execute("SELECT message FROM finished WHERE exchange = ?", (stored.number,)).fetchone()
    message = packer.unpack(row[0]) if row is not None and row[0] else None
    tools = db.execute("SELECT name FROM tool WHERE exchange = ?", (stored.number,))
    return p.Detail(
        stored, _body(db, packer, stored.number, 0), message, [name for (name,) in tools]
    )


def _find(db: sqlite3.Connection, packer: Packer, id: str) -> p.Stored | None:
    for condition in ("e.uid = ?", "e.request_id = ? AND e.request_id <> e.uid"):
        row = db.execute(
            f"SELECT {reading.LISTED} FROM exchange e JOIN record r ON r.exchange = e.id"
            f" WHERE {condition} ORDER BY e.id DESC LIMIT 1",
            (id,),
        ).fetchone()
        if row is not None:
            return reading.stored(row, packer)
    return None


def _body(db: sqlite3.Connection, packer: Packer, number: int, which: int) -> bytes | None:
    row = db.execute(
        "SELECT manifest FROM body WHERE exchange = ? AND which = ?", (number, which)
    ).fetchone()
    if row is None:
        return None
    glue, ids = reading.wanted(row[0], packer)
    contents = parts(db, packer, ids)
    return reading.rebuilt(glue, ids, contents)


def body(
    db: sqlite3.Connection, packer: Packer, id: str, which: p.BodyKind, decoded: bool
) -> tuple[bytes | None, str]:
    """Give a body, and the content codings that are still to be undone, which needs no connection.

    :param decoded: none shall be left.
    """
    stored = _find(db, packer, id)
    if stored is None:
        return None, ""
    if which in reading.BODIES:
        kind = reading.BODIES[which]
        if decoded and kind in reading.DECODED:
            body = _body(db, packer, stored.number, reading.DECODED[kind])
            if body is not None:
                return body, ""
        body = _body(db, packer, stored.number, kind)
    else:
        found = _pieces(db, packer, stored, reading.SIDES[which])
        body = found.body if found is not None else None
    return body, reading.coding(stored.exchange, which) if decoded else ""


def events(db: sqlite3.Connection, packer: Packer, id: str, side: Side) -> Pieces | None:
    """See :meth:`clawproxy.store.protocol.Store.events`."""
    stored = _find(db, packer, id)
    return None if stored is None else _pieces(db, packer, stored, side)


def _pieces(db: sqlite3.Connection, packer: Packer, stored: p.Stored, side: Side) -> Pieces | None:
    row = db.execute(
        "SELECT pieces, message FROM answer LEFT JOIN finished USING (exchange)"
        " WHERE exchange = ? AND side = ?",
        (stored.number, side),
    ).fetchone()
    if row is not None:
        return reading.answer(row, packer)
    return partials(db, packer, stored.exchange.id).get(side)


def partials(db: sqlite3.Connection, packer: Packer, uid: str) -> dict[Side, Pieces]:
    """See :meth:`clawproxy.store.protocol.Store.partials`."""
    rows = db.execute(
        "SELECT side, pieces FROM partial WHERE uid = ? ORDER BY segment", (uid,)
    ).fetchall()
    return reading.merged(rows, packer)


def running(db: sqlite3.Connection, packer: Packer, instance: str) -> list[Exchange]:
    """See :meth:`clawproxy.store.protocol.Store.running`."""
    rows = db.execute(
        "SELECT r.data FROM exchange e JOIN record r ON r.exchange = e.id"
        " WHERE e.outcome = 'running' AND e.outcome <> 'ok' AND e.instance = ?",
        (instance,),
    ).fetchall()
    return [decode_exchange(packer.unpack(data)) for (data,) in rows]


def _source(filter: p.Filter, where: query.Where) -> tuple[str, str]:
    """Choose the table whose order the query follows, and add the conditions of text and tool.

    :returns: the FROM clause with ``exchange e`` in it, and the column that is the exchange's
        number there.
    """
    tool = "SELECT 1 FROM tool WHERE name = ? AND exchange = e.id"
    if filter.text is not None:
        if filter.tool is not None:
            where.conditions.append(f"EXISTS ({tool})")
            where.parameters.append(filter.tool)
        where.conditions.insert(0, "search MATCH ?")
        where.parameters.insert(0, _match(filter.text))
        return "search CROSS JOIN exchange e ON e.id = search.rowid", "search.rowid"
    if filter.tool is not None:
        where.conditions.insert(0, "t.name = ?")
        where.parameters.insert(0, filter.tool)
        return "tool t CROSS JOIN exchange e ON e.id = t.exchange", "t.exchange"
    return "exchange e", "e.id"


def _match(text: str) -> str:
    """Give a search in FTS5's language, every word quoted so that none of it is taken for an
    operator."""
    quoted = ((phrase.replace('"', " "), prefix) for phrase, prefix in query.phrases(text))
    return " ".join(f'"{phrase}"' + "*" * prefix for phrase, prefix in quoted)
