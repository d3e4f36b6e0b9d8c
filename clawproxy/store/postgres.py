"""Records in PostgreSQL, which several proxies may share.

Everything runs in the reactor through one :class:`~clawproxy.store.postgres_link.Link`:
:mod:`clawproxy.store.postgres_read` asks, and :mod:`clawproxy.store.postgres_ingest` and
:mod:`clawproxy.store.postgres_delete` hold what happens inside a writing transaction. Whoever
writes takes an advisory lock for the transaction, so that numbers of exchanges and parts are given
out by one at a time; a transaction takes milliseconds. Tables lie in a schema of their own,
``clawproxy``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from clawproxy.core.record import Exchange
from clawproxy.store import pieces, postgres_read, reading
from clawproxy.store import protocol as p
from clawproxy.store.columns import clean
from clawproxy.store.compression import Packer
from clawproxy.store.entry import Prepared
from clawproxy.store.migration import pending
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.planner import Planner
from clawproxy.store.postgres_delete import delete_exchanges, measure, rewrite
from clawproxy.store.postgres_ingest import ingest
from clawproxy.store.postgres_link import SCHEMA, Link, Row, Session
from clawproxy.store.postgres_rows import insert

T = TypeVar("T")
Asked = ParamSpec("Asked")

WRITER = 0x636C6177  # "claw"
"""The advisory lock of whoever writes."""
ENCODINGS = ("UTF8", "SQL_ASCII")
"""Those of a database that can hold whatever is said; the second one takes bytes as they come."""
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
        [(encoding,)] = await session.rows("SHOW server_encoding")
        if encoding not in ENCODINGS:
            raise p.StoreRefused(
                f"{self._link.where} has a database whose encoding is {encoding}, in which not every character can be"
                " written; use one that was made by CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
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

    async def _read(
        self,
        function: Callable[Concatenate[Session, Packer, Asked], Awaitable[T]],
        *arguments: Asked.args,
        **named: Asked.kwargs,
    ) -> T:
        async def work(session: Session) -> T:
            return await function(session, self._packer, *arguments, **named)

        return await self._link.snapshot(work)

    async def _write(self, work: Callable[[Session], Awaitable[T]]) -> T:
        async def locked(session: Session) -> T:
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

        return await self._write(work)

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
        return await self._read(postgres_read.partials, uid)

    async def running(self, instance: str) -> list[Exchange]:
        """See :meth:`clawproxy.store.protocol.Store.running`."""
        return await self._read(postgres_read.running, instance)

    # Asking

    async def list(
        self, filter: p.Filter, cursor: str | None = None, limit: int = 50, *, count: bool = True
    ) -> p.Page:
        """See :meth:`clawproxy.store.protocol.Store.list`."""
        return await self._read(postgres_read.page, filter, cursor, limit, count)

    async def get(self, id: str) -> p.Detail | None:
        """See :meth:`clawproxy.store.protocol.Store.get`."""
        return await self._read(postgres_read.detail, id)

    async def body(self, id: str, which: p.BodyKind, *, decoded: bool = False) -> bytes | None:
        """See :meth:`clawproxy.store.protocol.Store.body`."""
        body, coding = await self._read(postgres_read.body, id, which, decoded)
        return body if body is None else reading.undo(body, coding)

    async def events(self, id: str, side: Side = Side.SENT) -> Pieces | None:
        """See :meth:`clawproxy.store.protocol.Store.events`."""
        return await self._read(postgres_read.events, id, side)

    async def rows(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[Row]:
        """See :meth:`clawproxy.store.protocol.Store.rows`."""
        words = sql.replace("%", "%%").replace("?", "%s")
        return await self._link.query(lambda session: session.rows(words, parameters))

    # Deleting and measuring

    async def delete(self, filter: p.Filter, limit: int = 500) -> int:
        """See :meth:`clawproxy.store.protocol.Store.delete`."""

        async def work(session: Session) -> int:
            numbers = await postgres_read.numbers(session, filter, limit)
            if numbers:
                await delete_exchanges(session, numbers)
            return len(numbers)

        return await self._write(work)

    async def sizes(self) -> p.Sizes:
        """See :meth:`clawproxy.store.protocol.Store.sizes`."""

        async def work(session: Session) -> p.Sizes:
            [(count,)] = await session.rows("SELECT value FROM meta WHERE name = 'exchanges'")
            return p.Sizes(count, *await measure(session))

        return await self._link.query(work)

    async def shrink(self) -> bool:
        """See :meth:`clawproxy.store.protocol.Store.shrink`."""
        return await self._link.query(rewrite)
