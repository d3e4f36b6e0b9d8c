"""The file of an SQLite store, as one process has it open: :class:`SQLiteFile` makes and migrates it, lends its
connection to one at a time, and says in the store's words what is wrong with it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from clawproxy.store import protocol as p
from clawproxy.store.migration import pending, statements
from clawproxy.store.priority import give_way

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


class SQLiteFile:
    """A database file.

    :param path: where it is; made if it is not there.
    :param polite: others go first while it works: for a process that does nothing else.
    """

    def __init__(self, path: str, polite: bool) -> None:
        self._path = path
        self._polite = polite
        self._lock = Lock()
        self._db: sqlite3.Connection | None = None

    # Opening and closing

    def open(self) -> None:
        """Open the file and migrate it."""
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
        if self._polite:
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

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    # Lending

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
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection."""
        with self._lock, self._errors():
            yield self._connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for several questions whose answers belong together: what another process deletes
        between two of them is still there."""
        with self.reading() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("COMMIT")

    @contextmanager
    def writing(self, undone: Callable[[], object]) -> Iterator[sqlite3.Connection]:
        """Lend the connection with a transaction on it, which is committed at the end.

        :param undone: called when nothing of it stays.
        """
        with self._lock, self._errors():
            db = self._connection
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                undone()
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    # Its size

    def disk_bytes(self) -> int:
        """Measure it with the files that SQLite keeps beside it."""
        disk = 0
        for suffix in ("", "-wal", "-shm"):
            file = Path(self._path + suffix)
            if file.exists():
                disk += file.stat().st_size
        return disk

    def shrink(self) -> bool:
        """Give a few free pages back to the disk.

        :returns: whether there are more.
        """
        with self.reading() as db:
            # `execute` would stop after the first page.
            db.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")
            # Only this cuts the log itself; where a reader is in the way, the next call does it.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
            return bool(free)


def _importable(db: sqlite3.Connection, path: str) -> str:
    found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'requests'").fetchone()
    return f", and bring its requests in by: clawproxy import {path}" if found else ""
