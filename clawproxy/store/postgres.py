"""Records in PostgreSQL, which several proxies may share.

Everything runs in the reactor through one :class:`~clawproxy.store.postgres_link.Link`. Whoever
writes takes an advisory lock for the transaction, so that numbers of exchanges and parts are given
out by one at a time; a transaction takes milliseconds. Tables lie in a schema of their own,
``clawproxy``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clawproxy.core.record import Exchange, decode_exchange
from clawproxy.store import pieces, query, reading
from clawproxy.store import protocol as p
from clawproxy.store.columns import clean
from clawproxy.store.compression import Packer
from clawproxy.store.entry import Prepared
from clawproxy.store.migration import pending
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.plan import Planner
from clawproxy.store.postgres_delete import delete_exchanges, measure, rewrite
from clawproxy.store.postgres_ingest import ingest
from clawproxy.store.postgres_link import SCHEMA, Link, Row, Session
from clawproxy.store.postgres_rows import insert, parts, search

WRITER = 0x636C6177  # "claw"
"""The advisory lock of whoever writes."""
MIGRATION_TIMEOUT = 3600.0
"""Seconds that one step of the schema may take. Records wait in the journal meanwhile."""


class PostgresStore:
    """A :class:`~clawproxy.store.protocol.Store` in PostgreSQL.

    :param url: ``postgresql://…``, as libpq reads it.
    :param reactor: to work in.
    """

    def __init__(self, url: str, reactor: Any) -> None:
        self._link = Link(reactor, url)
        self._packer = Packer()
        self._planner = Planner(self._packer)

    async def open(self) -> None:
        """Connect and migrate; see :meth:`clawproxy.store.protocol.Store.open`."""
        await self._link.transaction(self._migrate)

    async def _migrate(self, session: Session) -> None:
        await session.do(f"SELECT pg_advisory_xact_lock({WRITER})")
        [(there,)] = await session.rows(f"SELECT to_regclass('{SCHEMA}.version')::text")
        version = 0
        if there is None:
            await session.do(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            await session.do(f"CREATE TABLE {SCHEMA}.version (number integer NOT NULL)")
            await session.do(f"INSERT INTO {SCHEMA}.version VALUES (0)")
        else:
            [(version,)] = await session.rows(f"SELECT number FROM {SCHEMA}.version")
        for step in pending("postgres", version, self._link.where):
            await session.do(step.sql, within=MIGRATION_TIMEOUT)
            await session.do(f"UPDATE {SCHEMA}.version SET number = {step.number}")

    async def close(self) -> None:
        """Close the connection."""
        self._link.close()

    async def _write(self, work: Any) -> Any:
        async def locked(session: Session) -> Any:
            await session.do(f"SELECT pg_advisory_xact_lock({WRITER})")
            return await work(session)

        try:
            return await self._link.transaction(locked)
        except BaseException:
            self._planner.forget()
            raise

    # Bringing in

    async def ingest(self, batch: Sequence[Prepared]) -> int:
        """See :meth:`clawproxy.store.protocol.Store.ingest`."""

        async def work(session: Session) -> int:
            return await ingest(session, self._planner, self._packer, batch)

        done: int = await self._write(work)
        return done

    async def keep_partial(self, partials: Sequence[p.Partial]) -> None:
        """See :meth:`clawproxy.store.protocol.Store.keep_partial`."""
        rows = [
            (
                clean(one.uid),
                one.segment,
                int(one.side),
                self._packer.pack(pieces.encode(one.pieces)),
            )
            for one in partials
        ]

        async def work(session: Session) -> None:
            await insert(
                session,
                "INSERT INTO partial (uid, segment, side, pieces)",
                ("text", "integer", "smallint", "bytea"),
                rows,
                "ON CONFLICT (uid, segment, side) DO UPDATE SET pieces = excluded.pieces",
            )

        await self._write(work)

    async def partials(self, uid: str) -> dict[Side, Pieces]:
        """See :meth:`clawproxy.store.protocol.Store.partials`."""
        return await self._link.query(lambda session: self._partials(session, uid))

    async def _partials(self, session: Session, uid: str) -> dict[Side, Pieces]:
        rows = await session.rows(
            "SELECT side, pieces FROM partial WHERE uid = %s ORDER BY segment", (clean(uid),)
        )
        return reading.merged(((side, bytes(blob)) for side, blob in rows), self._packer)

    async def running(self, instance: str) -> list[Exchange]:
        """See :meth:`clawproxy.store.protocol.Store.running`."""
        rows = await self._link.query(
            lambda session: session.rows(
                "SELECT r.data FROM exchange e JOIN record r ON r.exchange = e.id"
                " WHERE e.outcome = 'running' AND e.outcome <> 'ok' AND e.instance = %s",
                (instance,),
            )
        )
        return [decode_exchange(self._packer.unpack(bytes(data))) for (data,) in rows]

    # Asking

    async def list(
        self, filter: p.Filter, cursor: str | None = None, limit: int = 50, *, count: bool = True
    ) -> p.Page:
        """See :meth:`clawproxy.store.protocol.Store.list`."""
        where = query.where(filter, "%s")
        source, key = _source(filter, where)
        before = query.cursor_number(cursor)
        # A search finds all there is before it can tell which is newest: it is asked once, not twice.
        counted = "(SELECT count(*) FROM found)" if count and filter.text is not None else "-1"
        bound, bounds = ("WHERE id < %s", (before,)) if before is not None else ("", ())

        async def work(session: Session) -> p.Page:
            rows = await session.rows(
                f"WITH found AS (SELECT {key} AS id FROM {source} WHERE {where.sql}),"
                f" page AS MATERIALIZED (SELECT id FROM found {bound} ORDER BY id DESC LIMIT %s)"
                f" SELECT {counted}, {reading.LISTED} FROM page JOIN exchange e ON e.id = page.id"
                " JOIN record r ON r.exchange = e.id ORDER BY e.id DESC",
                (*where.parameters, *bounds, limit + 1),
            )
            items = [reading.stored(row[1:], self._packer) for row in rows[:limit]]
            more = len(rows) > limit and items
            total = rows[0][0] if rows else -1
            if count and total < 0:
                total = await self._count(session, filter, source, where)
            return p.Page(items, str(items[-1].number) if more else None, total)

        return await self._link.query(work)

    async def _count(
        self, session: Session, filter: p.Filter, source: str, where: query.Where
    ) -> int:
        if filter == p.Filter():
            [(total,)] = await session.rows("SELECT value FROM meta WHERE name = 'exchanges'")
        else:
            [(total,)] = await session.rows(
                f"SELECT count(*) FROM {source} WHERE {where.sql}", where.parameters
            )
        return int(total)

    async def get(self, id: str) -> p.Detail | None:
        """See :meth:`clawproxy.store.protocol.Store.get`."""

        async def work(session: Session) -> p.Detail | None:
            stored = await self._find(session, id)
            if stored is None:
                return None
            number = stored.number
            rows = await session.rows("SELECT message FROM finished WHERE exchange = %s", (number,))
            message = rows[0][0] if rows else None
            tools = await session.rows("SELECT name FROM tool WHERE exchange = %s", (number,))
            return p.Detail(
                stored,
                await self._body(session, number, 0),
                self._packer.unpack(bytes(message)) if message is not None else None,
                [name for (name,) in tools],
            )

        return await self._link.query(work)

    async def _find(self, session: Session, id: str) -> p.Stored | None:
        for condition in ("e.uid = %s", "e.request_id = %s AND e.request_id <> e.uid"):
            rows = await session.rows(
                f"SELECT {reading.LISTED} FROM exchange e JOIN record r ON r.exchange = e.id"
                f" WHERE {condition} ORDER BY e.id DESC LIMIT 1",
                (clean(id),),
            )
            if rows:
                return reading.stored(rows[0], self._packer)
        return None

    async def _body(self, session: Session, number: int, which: int) -> bytes | None:
        rows = await session.rows(
            "SELECT manifest FROM body WHERE exchange = %s AND which = %s", (number, which)
        )
        if not rows:
            return None
        glue, ids = reading.wanted(bytes(rows[0][0]), self._packer)
        return reading.rebuilt(glue, ids, await parts(session, self._packer, ids))

    async def body(self, id: str, which: p.BodyKind, *, decoded: bool = False) -> bytes | None:
        """See :meth:`clawproxy.store.protocol.Store.body`."""

        async def work(session: Session) -> bytes | None:
            stored = await self._find(session, id)
            if stored is None:
                return None
            if which in reading.BODIES:
                kind = reading.BODIES[which]
                if decoded and kind in reading.DECODED:
                    plain = await self._body(session, stored.number, reading.DECODED[kind])
                    if plain is not None:
                        return plain
                body = await self._body(session, stored.number, kind)
            else:
                found = await self._pieces(session, stored, reading.SIDES[which])
                body = found.body if found is not None else None
            if body is None or not decoded:
                return body
            return reading.undo(body, reading.coding(stored.exchange, which))

        return await self._link.query(work)

    async def events(self, id: str, side: Side = Side.SENT) -> Pieces | None:
        """See :meth:`clawproxy.store.protocol.Store.events`."""

        async def work(session: Session) -> Pieces | None:
            stored = await self._find(session, id)
            return None if stored is None else await self._pieces(session, stored, side)

        return await self._link.query(work)

    async def _pieces(self, session: Session, stored: p.Stored, side: Side) -> Pieces | None:
        rows = await session.rows(
            "SELECT pieces, message FROM answer LEFT JOIN finished USING (exchange)"
            " WHERE exchange = %s AND side = %s",
            (stored.number, int(side)),
        )
        if rows:
            return reading.answer(rows[0], self._packer)
        return (await self._partials(session, stored.exchange.id)).get(side)

    async def rows(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[Row]:
        """See :meth:`clawproxy.store.protocol.Store.rows`."""
        words = sql.replace("%", "%%").replace("?", "%s")
        return await self._link.query(lambda session: session.rows(words, parameters))

    # Deleting and measuring

    async def delete(self, filter: p.Filter, limit: int = 500) -> int:
        """See :meth:`clawproxy.store.protocol.Store.delete`."""
        where = query.where(filter, "%s")
        source, key = _source(filter, where, deleting=True)

        async def work(session: Session) -> int:
            rows = await session.rows(
                f"SELECT e.id FROM {source} WHERE {where.sql} AND e.outcome <> 'running'"
                f" ORDER BY {key} LIMIT %s",
                (*where.parameters, limit),
            )
            if rows:
                await delete_exchanges(session, [number for (number,) in rows])
            return len(rows)

        gone: int = await self._write(work)
        return gone

    async def sizes(self) -> p.Sizes:
        """See :meth:`clawproxy.store.protocol.Store.sizes`."""

        async def work(session: Session) -> p.Sizes:
            [(count,)] = await session.rows("SELECT value FROM meta WHERE name = 'exchanges'")
            return p.Sizes(count, *await measure(session))

        return await self._link.query(work)

    async def shrink(self) -> bool:
        """See :meth:`clawproxy.store.protocol.Store.shrink`."""
        return await self._link.query(rewrite)


def _source(filter: p.Filter, where: query.Where, deleting: bool = False) -> tuple[str, str]:
    """Choose the table whose order the query follows, and add the conditions of text and tool.

    The table ``exchange`` is left out where no condition needs it: the planner does not know how
    words and rows go together, and with one table it cannot go wrong.

    :returns: the FROM clause, and the column that is the exchange's number there.
    """
    needed = bool(where.conditions) or deleting
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
