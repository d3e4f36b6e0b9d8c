"""Reading from PostgreSQL, over a session that the caller holds; see :mod:`clawproxy.store.sqlite_read`."""

from __future__ import annotations

from clawproxy.core.record import Exchange, decode_exchange
from clawproxy.store import protocol as p
from clawproxy.store import query, reading
from clawproxy.store.columns import clean
from clawproxy.store.compression import Packer
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.postgres_link import Session
from clawproxy.store.postgres_rows import parts, search


async def page(
    session: Session,
    packer: Packer,
    filter: p.Filter,
    cursor: str | None,
    limit: int,
    count: bool,
) -> p.Page:
    """Give a page of exchanges, newest first: :meth:`clawproxy.store.protocol.Store.list`."""
    where = query.where(filter, "%s")
    source, key = _source(filter, where)
    before = query.cursor_number(cursor)
    # A search finds all there is before it can tell which is newest: it is asked once, not twice.
    counted = "(SELECT count(*) FROM found)" if count and filter.text is not None else "-1"
    bound, bounds = ("WHERE id < %s", (before,)) if before is not None else ("", ())
    rows = await session.rows(
        f"WITH found AS (SELECT {key} AS id FROM {source} WHERE {where.sql}),"
        f" page AS MATERIALIZED (SELECT id FROM found {bound} ORDER BY id DESC LIMIT %s)"
        f" SELECT {counted}, {reading.LISTED} FROM page JOIN exchange e ON e.id = page.id"
        " JOIN record r ON r.exchange = e.id ORDER BY e.id DESC",
        (*where.parameters, *bounds, limit + 1),
    )
    items = [reading.stored(row[1:], packer) for row in rows[:limit]]
    more = len(rows) > limit and items
    total = rows[0][0] if rows else -1
    if count and total < 0:
        total = await _count(session, filter, source, where)
    return p.Page(items, str(items[-1].number) if more else None, total)


async def _count(session: Session, filter: p.Filter, source: str, where: query.Where) -> int:
    if filter == p.Filter():
        [(total,)] = await session.rows("SELECT value FROM meta WHERE name = 'exchanges'")
    else:
        [(total,)] = await session.rows(
            f"SELECT count(*) FROM {source} WHERE {where.sql}", where.parameters
        )
    return int(total)


async def numbers(session: Session, filter: p.Filter, limit: int) -> list[int]:
    """Give the numbers of exchanges that are over, oldest first."""
    where = query.where(filter, "%s")
    source, key = _source(filter, where, numbering=True)
    rows = await session.rows(
        f"SELECT e.id FROM {source} WHERE {where.sql} AND e.outcome <> 'running'"
        f" ORDER BY {key} LIMIT %s",
        (*where.parameters, limit),
    )
    return [number for (number,) in rows]


async def detail(session: Session, packer: Packer, id: str) -> p.Detail | None:
    """See :meth:`clawproxy.store.protocol.Store.get`."""
    stored = await _find(session, packer, id)
    if stored is None:
        return None
    number = stored.number
    rows = await session.rows("SELECT message FROM finished WHERE exchange = %s", (number,))
    message = rows[0][0] if rows else None
    tools = await session.rows("SELECT name FROM tool WHERE exchange = %s", (number,))
    return p.Detail(
        stored,
        await _body(session, packer, number, 0),
        packer.unpack(bytes(message)) if message is not None else None,
        [name for (name,) in tools],
    )


async def _find(session: Session, packer: Packer, id: str) -> p.Stored | None:
    for condition in ("e.uid = %s", "e.request_id = %s AND e.request_id <> e.uid"):
        rows = await session.rows(
            f"SELECT {reading.LISTED} FROM exchange e JOIN record r ON r.exchange = e.id"
            f" WHERE {condition} ORDER BY e.id DESC LIMIT 1",
            (clean(id),),
        )
        if rows:
            return reading.stored(rows[0], packer)
    return None


async def _body(session: Session, packer: Packer, number: int, which: int) -> bytes | None:
    rows = await session.rows(
        "SELECT manifest FROM body WHERE exchange = %s AND which = %s", (number, which)
    )
    if not rows:
        return None
    glue, ids = reading.wanted(bytes(rows[0][0]), packer)
    return reading.rebuilt(glue, ids, await parts(session, packer, ids))


async def body(
    session: Session, packer: Packer, id: str, which: p.BodyKind, decoded: bool
) -> tuple[bytes | None, str]:
    """Give a body, and the content codings that are still to be undone, which needs no session.

    :param decoded: none shall be left.
    """
    stored = await _find(session, packer, id)
    if stored is None:
        return None, ""
    if which in reading.BODIES:
        kind = reading.BODIES[which]
        if decoded and kind in reading.DECODED:
            body = await _body(session, packer, stored.number, reading.DECODED[kind])
            if body is not None:
                return body, ""
        body = await _body(session, packer, stored.number, kind)
    else:
        found = await _pieces(session, packer, stored, reading.SIDES[which])
        body = found.body if found is not None else None
    return body, reading.coding(stored.exchange, which) if decoded else ""


async def events(session: Session, packer: Packer, id: str, side: Side) -> Pieces | None:
    """See :meth:`clawproxy.store.protocol.Store.events`."""
    stored = await _find(session, packer, id)
    return None if stored is None else await _pieces(session, packer, stored, side)


async def _pieces(session: Session, packer: Packer, stored: p.Stored, side: Side) -> Pieces | None:
    rows = await session.rows(
        "SELECT pieces, message FROM answer LEFT JOIN finished USING (exchange)"
        " WHERE exchange = %s AND side = %s",
        (stored.number, int(side)),
    )
    if rows:
        return reading.answer(rows[0], packer)
    return (await partials(session, packer, stored.exchange.id)).get(side)


async def partials(session: Session, packer: Packer, uid: str) -> dict[Side, Pieces]:
    """See :meth:`clawproxy.store.protocol.Store.partials`."""
    rows = await session.rows(
        "SELECT side, pieces FROM partial WHERE uid = %s ORDER BY segment", (clean(uid),)
    )
    return reading.merged(((side, bytes(blob)) for side, blob in rows), packer)


async def running(session: Session, packer: Packer, instance: str) -> list[Exchange]:
    """See :meth:`clawproxy.store.protocol.Store.running`."""
    rows = await session.rows(
        "SELECT r.data FROM exchange e JOIN record r ON r.exchange = e.id"
        " WHERE e.outcome = 'running' AND e.outcome <> 'ok' AND e.instance = %s",
        (instance,),
    )
    return [decode_exchange(packer.unpack(bytes(data))) for (data,) in rows]


def _source(filter: p.Filter, where: query.Where, numbering: bool = False) -> tuple[str, str]:
    """Choose the table whose order the query follows, and add the conditions of text and tool.

    The table ``exchange`` is left out where no condition needs it: the planner does not know how
    words and rows go together, and with one table it cannot go wrong.

    :param numbering: whoever asks adds conditions of that table.
    :returns: the FROM clause, and the column that is the exchange's number there.
    """
    needed = bool(where.conditions) or numbering
    if filter.text is not None:
        if filter.tool is not None:
            where.conditions.append(
                "EXISTS (SELECT 1 FROM tool WHERE name = %s AND exchange = s.exchange)"
            )
            where.parameters.append(filter.tool)
        found, parameters = search(filter.text)
        where.parameters[:0] = parameters
        return f"({found}) s" + " JOIN exchange e ON e.id = s.exchange" * needed, "s.exchange"
    if filter.tool is not None:
        where.conditions.insert(0, "t.name = %s")
        where.parameters.insert(0, filter.tool)
        return "tool t" + " JOIN exchange e ON e.id = t.exchange" * needed, "t.exchange"
    return "exchange e", "e.id"
