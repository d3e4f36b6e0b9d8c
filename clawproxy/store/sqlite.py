"""Records in an SQLite file: the default, with nothing to install or run beside it.

One writer (the indexer) and any number of readers share the file in WAL mode. Each process opens it
by a :class:`SQLiteStore` of its own: :mod:`clawproxy.store.sqlite_file` has the connection,
:mod:`clawproxy.store.sqlite_read` asks, and :mod:`clawproxy.store.sqlite_ingest` and
:mod:`clawproxy.store.sqlite_delete` hold what happens inside a writing transaction. Queries run
where ``run`` says: at once in the indexer, which serves nobody, and in a thread in a process that
serves pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from clawproxy.core.record import Exchange
from clawproxy.store import pieces, reading, sqlite_read
from clawproxy.store import protocol as p
from clawproxy.store.compression import Packer
from clawproxy.store.entry import Prepared
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.planner import Planner
from clawproxy.store.sqlite_delete import delete_exchanges, merge_words
from clawproxy.store.sqlite_file import SQLiteFile
from clawproxy.store.sqlite_ingest import ingest

T = TypeVar("T")
Run = Callable[..., Awaitable[Any]]


async def at_once(function: Callable[..., T], *arguments: Any) -> T:
    """Run a query here and now: for a process that has nothing else to do."""
    return function(*arguments)


class SQLiteStore:
    """A :class:`~clawproxy.store.protocol.Store` in an SQLite file.

    :param path: the file; made if it is not there.
    :param run: runs a function with arguments and gives its result, e.g. by ``deferToThreadPool``.
    """

    def __init__(self, path: str | Path, run: Run = at_once) -> None:
        self._file = SQLiteFile(str(path), polite=run is at_once)
        self._run = run
        self._packer = Packer()
        self._planner = Planner(self._packer)
        self._merging = 0

    # Opening and closing

    async def open(self) -> None:
        """Open the file and migrate it; see :meth:`clawproxy.store.protocol.Store.open`."""
        await self._run(self.open_now)

    def open_now(self) -> None:
        """Open the file here and now, wherever ``run`` would."""
        self._file.open()

    async def close(self) -> None:
        """Close the file."""
        self.close_now()

    def close_now(self) -> None:
        """Close the file here and now."""
        self._file.close()

    def _read(self, function: Callable[..., T], *arguments: Any) -> T:
        with self._file.snapshot() as db:
            return function(db, self._packer, *arguments)

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._file.writing(self._planner.forget)

    # Bringing in

    async def ingest(self, batch: Sequence[Prepared]) -> int:
        """See :meth:`clawproxy.store.protocol.Store.ingest`."""
        done: int = await self._run(self._ingest, batch)
        return done

    def _ingest(self, batch: Sequence[Prepared]) -> int:
        with self._writing() as db:
            return ingest(db, self._planner, self._packer, batch)

    async def keep_partial(self, partials: Sequence[p.Partial]) -> None:
        """See :meth:`clawproxy.store.protocol.Store.keep_partial`."""
        await self._run(self._keep_partial, partials)

    def _keep_partial(self, partials: Sequence[p.Partial]) -> None:
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO partial (uid, segment, side, pieces) VALUES (?, ?, ?, ?)",
                [
                    (one.uid, one.segment, one.side, self._packer.pack(pieces.encode(one.pieces)))
                    for one in partials
                ],
            )

    async def partials(self, uid: str) -> dict[Side, Pieces]:
        """See :meth:`clawproxy.store.protocol.Store.partials`."""
        found: dict[Side, Pieces] = await self._run(self._read, sqlite_read.partials, uid)
        return found

    async def running(self, instance: str) -> list[Exchange]:
        """See :meth:`clawproxy.store.protocol.Store.running`."""
        found: list[Exchange] = await self._run(self._read, sqlite_read.running, instance)
        return found

    # Asking

    async def list(
        self, filter: p.Filter, cursor: str | None = None, limit: int = 50, *, count: bool = True
    ) -> p.Page:
        """See :meth:`clawproxy.store.protocol.Store.list`."""
        page: p.Page = await self._run(self._read, sqlite_read.page, filter, cursor, limit, count)
        return page

    async def get(self, id: str) -> p.Detail | None:
        """See :meth:`clawproxy.store.protocol.Store.get`."""
        detail: p.Detail | None = await self._run(self._read, sqlite_read.detail, id)
        return detail

    async def body(self, id: str, which: p.BodyKind, *, decoded: bool = False) -> bytes | None:
        """See :meth:`clawproxy.store.protocol.Store.body`."""
        found: bytes | None = await self._run(self._body, id, which, decoded)
        return found

    def _body(self, id: str, which: p.BodyKind, decoded: bool) -> bytes | None:
        body, coding = self._read(sqlite_read.body, id, which, decoded)
        return body if body is None else reading.undo(body, coding)

    async def events(self, id: str, side: Side = Side.SENT) -> Pieces | None:
        """See :meth:`clawproxy.store.protocol.Store.events`."""
        found: Pieces | None = await self._run(self._read, sqlite_read.events, id, side)
        return found

    async def rows(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[tuple[Any, ...]]:
        """See :meth:`clawproxy.store.protocol.Store.rows`."""
        found: Sequence[tuple[Any, ...]] = await self._run(self._rows, sql, parameters)
        return found

    def _rows(self, sql: str, parameters: Sequence[object]) -> Sequence[tuple[Any, ...]]:
        with self._file.reading() as db:
            return db.execute(sql, tuple(parameters)).fetchall()

    # Deleting and measuring

    async def delete(self, filter: p.Filter, limit: int = 500) -> int:
        """See :meth:`clawproxy.store.protocol.Store.delete`."""
        gone: int = await self._run(self._delete, filter, limit)
        return gone

    def _delete(self, filter: p.Filter, limit: int) -> int:
        with self._writing() as db:
            numbers = sqlite_read.numbers(db, filter, limit)
            if numbers:
                delete_exchanges(db, self._packer, numbers)
            return len(numbers)

    async def sizes(self) -> p.Sizes:
        """See :meth:`clawproxy.store.protocol.Store.sizes`."""
        found: p.Sizes = await self._run(self._sizes)
        return found

    def _sizes(self) -> p.Sizes:
        with self._file.reading() as db:
            (count,) = db.execute("SELECT value FROM meta WHERE name = 'exchanges'").fetchone()
            (page,) = db.execute("PRAGMA page_size").fetchone()
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
        return p.Sizes(count, self._file.disk_bytes(), free * page)

    async def shrink(self) -> bool:
        """See :meth:`clawproxy.store.protocol.Store.shrink`."""
        more: bool = await self._run(self._shrink)
        return more

    def _shrink(self) -> bool:
        with self._writing() as db:
            merging, self._merging = merge_words(db, self._merging)
        more = self._file.shrink()
        return merging or more
