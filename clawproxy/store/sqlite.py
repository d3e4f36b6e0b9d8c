"""Records in an SQLite file: the default, with nothing to install or run beside it.

One writer (the indexer) and any number of readers share the file in WAL mode. Each process opens it
by a :class:`SQLiteStore` of its own; :mod:`clawproxy.store.sqlite_ingest` and
:mod:`clawproxy.store.sqlite_delete` hold what happens inside a writing transaction. Queries run
where ``run`` says: at once in the indexer, which serves nobody, and in a thread in a process that
serves pages.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from clawproxy.core.record import Exchange
from clawproxy.store import pieces, query, reading
from clawproxy.store import protocol as p
from clawproxy.store.compression import Packer
from clawproxy.store.entry import Prepared
from clawproxy.store.migration import pending, statements
from clawproxy.store.plan import Planner
from clawproxy.store.priority import give_way
from clawproxy.store.segment import Pieces, Side, decode_exchange
from clawproxy.store.sqlite_delete import delete_exchanges, merge_words
from clawproxy.store.sqlite_ingest import ingest
from clawproxy.store.sqlite_rows import parts

T = TypeVar("T")
Run = Callable[..., Awaitable[Any]]

BUSY_TIMEOUT = 0.25
"""Seconds to wait for another process's lock before giving up for now."""
OLDEST_SQLITE = (3, 35, 0)
"""The first version with RETURNING."""
CHECKPOINT_PAGES = 64
"""Pages (of 8 KiB) in the write-ahead log after which it is brought into the file: it counts as
disk, too."""
GIVE_WAY_EVERY = 1000
"""Steps of SQLite's machine, some 0.1 ms, after which others may go first."""
OPENINGS = 6
"""Times that a locked file is tried again while it is opened."""
SHRINK_PAGES = 500
"""Pages given back in one step: a lock of some milliseconds."""


async def at_once(function: Callable[..., T], *arguments: Any) -> T:
    """Run a query here and now: for a process that has nothing else to do."""
    return function(*arguments)


class SQLiteStore:
    """A :class:`~clawproxy.store.protocol.Store` in an SQLite file.

    :param path: the file; made if it is not there.
    :param run: runs a function with arguments and gives its result, e.g. by ``deferToThreadPool``.
    """

    def __init__(self, path: str | Path, run: Run = at_once) -> None:
        self._path = str(path)
        self._run = run
        self._packer = Packer()
        self._planner = Planner(self._packer)
        self._lock = Lock()
        self._merging = 0
        self._db: sqlite3.Connection | None = None

    # Opening and closing

    async def open(self) -> None:
        """Open the file and migrate it; see :meth:`clawproxy.store.protocol.Store.open`."""
        await self._run(self.open_now)

    def open_now(self) -> None:
        """Open the file here and now, wherever ``run`` would."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise p.StoreRefused(
                f"SQLite is {sqlite3.sqlite_version}, needed is"
                f" {'.'.join(map(str, OLDEST_SQLITE))} or newer"
            )
        with self._lock, self._errors():
            self._touch()
            db = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up_patiently(db)
            except BaseException:
                db.close()
                raise
            self._db = db

    def _touch(self) -> None:
        """Make the file readable by its owner alone: it holds what people said. SQLite's other
        files follow it."""
        with suppress(OSError):  # SQLite says better what is wrong
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))

    def _set_up_patiently(self, db: sqlite3.Connection) -> None:
        # Two processes make a new file at the same time, and SQLite does not wait for a lock
        # while it changes to the log.
        for _ in range(OPENINGS):
            try:
                return self._set_up(db)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
            time.sleep(BUSY_TIMEOUT)
        return self._set_up(db)

    def _set_up(self, db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded only in a file without tables
        db.execute("PRAGMA journal_mode = WAL")
        # A segment is removed once it is committed here, so a commit must outlive a power cut.
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        db.execute("PRAGMA journal_size_limit = 0")
        db.execute("PRAGMA cache_size = -16000")
        db.execute("PRAGMA temp_store = MEMORY")
        if self._run is at_once:  # in a process that does nothing else
            db.set_progress_handler(give_way, GIVE_WAY_EVERY)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and tables:
            raise p.StoreRefused(
                f"{self._path} is an SQLite database of another program; name another file"
                + _importable(db, self._path)
            )
        steps = pending("sqlite", version, self._path)
        if not steps:
            return
        db.execute("BEGIN EXCLUSIVE")
        try:
            if db.execute("PRAGMA user_version").fetchone()[0] == version:
                for step in steps:
                    for statement in statements(step.sql):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {step.number}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    async def close(self) -> None:
        """Close the file."""
        self.close_now()

    def close_now(self) -> None:
        """Close the file here and now."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise p.StoreUnavailable(f"{self._path} is not open")
        return self._db

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise p.StoreUnavailable(f"{self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise  # not the database's fault but that of what it was given
            raise p.StoreRefused(f"{self._path}: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            db = self._connection
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                self._planner.forget()
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

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
        found: dict[Side, Pieces] = await self._run(self._partials, uid)
        return found

    def _partials(self, uid: str) -> dict[Side, Pieces]:
        with self._reading() as db:
            rows = db.execute(
                "SELECT side, pieces FROM partial WHERE uid = ? ORDER BY segment", (uid,)
            ).fetchall()
            return reading.merged(rows, self._packer)

    async def running(self, instance: str) -> list[Exchange]:
        """See :meth:`clawproxy.store.protocol.Store.running`."""
        found: list[Exchange] = await self._run(self._running, instance)
        return found

    def _running(self, instance: str) -> list[Exchange]:
        with self._reading() as db:
            rows = db.execute(
                "SELECT r.data FROM exchange e JOIN record r ON r.exchange = e.id"
                " WHERE e.outcome = 'running' AND e.outcome <> 'ok' AND e.instance = ?",
                (instance,),
            ).fetchall()
            return [decode_exchange(self._packer.unpack(data)) for (data,) in rows]

    # Asking

    async def list(
        self, filter: p.Filter, cursor: str | None = None, limit: int = 50, *, count: bool = True
    ) -> p.Page:
        """See :meth:`clawproxy.store.protocol.Store.list`."""
        page: p.Page = await self._run(self._list, filter, cursor, limit, count)
        return page

    def _list(self, filter: p.Filter, cursor: str | None, limit: int, count: bool) -> p.Page:
        where = query.where(filter, "?")
        source, key = _source(filter, where)
        before = query.cursor_number(cursor)
        total = -1
        with self._reading() as db:
            if count:
                total = self._count(db, filter, source, where)
            if before is not None:
                where.conditions.append(f"{key} < ?")
                where.parameters.append(before)
            rows = db.execute(
                f"SELECT {reading.LISTED} FROM {source}"
                f" CROSS JOIN record r ON r.exchange = e.id"
                f" WHERE {where.sql} ORDER BY {key} DESC LIMIT ?",
                (*where.parameters, limit + 1),
            ).fetchall()
            items = [reading.stored(row, self._packer) for row in rows[:limit]]
        more = len(rows) > limit and items
        return p.Page(items, str(items[-1].number) if more else None, total)

    def _count(
        self, db: sqlite3.Connection, filter: p.Filter, source: str, where: query.Where
    ) -> int:
        if filter == p.Filter():
            sql, parameters = "SELECT value FROM meta WHERE name = 'exchanges'", []
        elif filter == p.Filter(text=filter.text):
            sql, parameters = "SELECT count(*) FROM search WHERE search MATCH ?", where.parameters
        else:
            sql, parameters = f"SELECT count(*) FROM {source} WHERE {where.sql}", where.parameters
        return int(db.execute(sql, parameters).fetchone()[0])

    async def get(self, id: str) -> p.Detail | None:
        """See :meth:`clawproxy.store.protocol.Store.get`."""
        detail: p.Detail | None = await self._run(self._get, id)
        return detail

    def _get(self, id: str) -> p.Detail | None:
        with self._reading() as db:
            stored = self._find(db, id)
            if stored is None:
                return None
            row = db.execute(
                "SELECT message FROM finished WHERE exchange = ?", (stored.number,)
            ).fetchone()
            message = self._packer.unpack(row[0]) if row is not None and row[0] else None
            tools = db.execute("SELECT name FROM tool WHERE exchange = ?", (stored.number,))
            return p.Detail(
                stored, self._body(db, stored.number, 0), message, [name for (name,) in tools]
            )

    def _find(self, db: sqlite3.Connection, id: str) -> p.Stored | None:
        for condition in ("e.uid = ?", "e.request_id = ? AND e.request_id <> e.uid"):
            row = db.execute(
                f"SELECT {reading.LISTED} FROM exchange e JOIN record r ON r.exchange = e.id"
                f" WHERE {condition} ORDER BY e.id DESC LIMIT 1",
                (id,),
            ).fetchone()
            if row is not None:
                return reading.stored(row, self._packer)
        return None

    def _body(self, db: sqlite3.Connection, number: int, which: int) -> bytes | None:
        row = db.execute(
            "SELECT manifest FROM body WHERE exchange = ? AND which = ?", (number, which)
        ).fetchone()
        if row is None:
            return None
        glue, ids = reading.wanted(row[0], self._packer)
        contents = parts(db, self._packer, ids)
        return reading.rebuilt(glue, ids, contents)

    async def body(self, id: str, which: p.BodyKind, *, decoded: bool = False) -> bytes | None:
        """See :meth:`clawproxy.store.protocol.Store.body`."""
        found: bytes | None = await self._run(self._exact, id, which, decoded)
        return found

    def _exact(self, id: str, which: p.BodyKind, decoded: bool) -> bytes | None:
        with self._reading() as db:
            stored = self._find(db, id)
            if stored is None:
                return None
            if which in reading.BODIES:
                kind = reading.BODIES[which]
                if decoded and kind in reading.DECODED:
                    body = self._body(db, stored.number, reading.DECODED[kind])
                    if body is not None:
                        return body
                body = self._body(db, stored.number, kind)
            else:
                found = self._pieces(db, stored, reading.SIDES[which])
                body = found.body if found is not None else None
        if body is None or not decoded:
            return body
        return reading.undo(body, reading.coding(stored.exchange, which))

    async def events(self, id: str, side: Side = Side.SENT) -> Pieces | None:
        """See :meth:`clawproxy.store.protocol.Store.events`."""
        found: Pieces | None = await self._run(self._events, id, side)
        return found

    def _events(self, id: str, side: Side) -> Pieces | None:
        with self._reading() as db:
            stored = self._find(db, id)
            return None if stored is None else self._pieces(db, stored, side)

    def _pieces(self, db: sqlite3.Connection, stored: p.Stored, side: Side) -> Pieces | None:
        row = db.execute(
            "SELECT pieces, message FROM answer LEFT JOIN finished USING (exchange)"
            " WHERE exchange = ? AND side = ?",
            (stored.number, side),
        ).fetchone()
        if row is not None:
            return reading.answer(row, self._packer)
        rows = db.execute(
            "SELECT side, pieces FROM partial WHERE uid = ? ORDER BY segment",
            (stored.exchange.id,),
        ).fetchall()
        return reading.merged(rows, self._packer).get(side)

    async def rows(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[tuple[Any, ...]]:
        """See :meth:`clawproxy.store.protocol.Store.rows`."""
        found: Sequence[tuple[Any, ...]] = await self._run(self._rows, sql, parameters)
        return found

    def _rows(self, sql: str, parameters: Sequence[object]) -> Sequence[tuple[Any, ...]]:
        with self._reading() as db:
            return db.execute(sql, tuple(parameters)).fetchall()

    # Deleting and measuring

    async def delete(self, filter: p.Filter, limit: int = 500) -> int:
        """See :meth:`clawproxy.store.protocol.Store.delete`."""
        gone: int = await self._run(self._delete, filter, limit)
        return gone

    def _delete(self, filter: p.Filter, limit: int) -> int:
        where = query.where(filter, "?")
        source, key = _source(filter, where)
        with self._writing() as db:
            rows = db.execute(
                f"SELECT e.id FROM {source} WHERE {where.sql} AND e.outcome <> 'running'"
                f" ORDER BY {key} LIMIT ?",
                (*where.parameters, limit),
            ).fetchall()
            numbers = [number for (number,) in rows]
            if numbers:
                delete_exchanges(db, self._packer, numbers)
            return len(numbers)

    async def sizes(self) -> p.Sizes:
        """See :meth:`clawproxy.store.protocol.Store.sizes`."""
        found: p.Sizes = await self._run(self._sizes)
        return found

    def _sizes(self) -> p.Sizes:
        with self._reading() as db:
            (count,) = db.execute("SELECT value FROM meta WHERE name = 'exchanges'").fetchone()
            (page,) = db.execute("PRAGMA page_size").fetchone()
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
        disk = 0
        for suffix in ("", "-wal", "-shm"):
            file = Path(self._path + suffix)
            if file.exists():
                disk += file.stat().st_size
        return p.Sizes(count, disk, free * page)

    async def shrink(self) -> bool:
        """See :meth:`clawproxy.store.protocol.Store.shrink`."""
        more: bool = await self._run(self._shrink)
        return more

    def _shrink(self) -> bool:
        with self._writing() as db:
            merging, self._merging = merge_words(db, self._merging)
        with self._reading() as db:
            # `execute` would stop after the first page.
            db.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")
            # Only this cuts the log itself; where a reader is in the way, the next call does it.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
            return merging or bool(free)


def _importable(db: sqlite3.Connection, path: str) -> str:
    found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'requests'").fetchone()
    return f", and bring its requests in by: clawproxy import {path}" if found else ""


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
