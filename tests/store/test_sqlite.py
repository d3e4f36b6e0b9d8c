"""The SQLite store: the conformance suite, and what is SQLite's own."""

from __future__ import annotations

import random
import sqlite3
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from clawproxy.store import reading
from clawproxy.store.export_record import recorded
from clawproxy.store.protocol import BodyKind, Filter, Stored, StoreRefused, StoreUnavailable
from clawproxy.store.sqlite import SQLiteStore
from tests.store.conformance import Conformance
from tests.store.samples import asking, long_session, stored


class SQLiteCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.path = Path(self.mktemp())
        self.store = SQLiteStore(self.path)
        await self.store.open()
        self.addCleanup(self.store.close)

    async def other(self) -> SQLiteStore:
        store = SQLiteStore(self.path)
        await store.open()
        return store

    async def count(self, table: str) -> int:
        with sqlite3.connect(self.path) as db:
            return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


class SQLiteConformanceTests(Conformance, SQLiteCase):
    async def tearDown(self) -> None:  # type: ignore[override]
        with sqlite3.connect(self.path) as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            db.execute("INSERT INTO search (search) VALUES ('integrity-check')")


class SQLiteTests(SQLiteCase):
    async def test_a_locked_file_is_said_to_be_unavailable(self) -> None:
        holder = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(holder.close)
        holder.execute("BEGIN IMMEDIATE")
        with self.assertRaises(StoreUnavailable):
            await self.store.ingest([stored(1)])
        holder.execute("COMMIT")
        self.assertEqual(await self.store.ingest([stored(1)]), 1)

    async def test_a_newer_database_is_refused(self) -> None:
        await self.store.close()
        with sqlite3.connect(self.path) as db:
            db.execute("PRAGMA user_version = 900")
        with self.assertRaises(StoreRefused) as caught:
            await SQLiteStore(self.path).open()
        self.assertIn("version 900", str(caught.exception))

    async def test_what_is_no_database_of_ours_is_refused(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"This is a shopping list, not a database. " * 40)
        with self.assertRaises(StoreRefused):
            await SQLiteStore(path).open()
        self.assertTrue(path.read_bytes().startswith(b"This is a shopping list"))
        path = Path(self.mktemp())
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE requests (id)")
        with self.assertRaises(StoreRefused) as caught:
            await SQLiteStore(path).open()
        self.assertIn("another program", str(caught.exception))
        self.assertIn(f"clawproxy import {path}", str(caught.exception))

    async def test_a_directory_that_is_not_there(self) -> None:
        with self.assertRaises(StoreUnavailable):
            await SQLiteStore("/nowhere/at/all.db").open()

    async def test_a_file_that_another_process_makes(self) -> None:
        """Opening waits for whoever makes the same new file."""
        path = Path(self.mktemp())
        maker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.addCleanup(maker.close)
        maker.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(0.6, maker.execute, ("ROLLBACK",))
        timer.start()
        self.addCleanup(timer.join)
        store = SQLiteStore(path)
        await store.open()
        await store.close()

    async def test_deleted_while_it_is_read(self) -> None:
        """What is given of an exchange is all of it, as it was when the reading began."""
        await self.store.ingest([stored(1, asking("hello"))])
        other = await self.other()
        self.addCleanup(other.close)
        read = reading.stored

        def deleted(*arguments: Any) -> Stored:
            other._delete(Filter(), 10)
            return read(*arguments)

        self.patch(reading, "stored", deleted)
        detail = await self.store.get("id000001")
        assert detail is not None
        self.assertEqual(detail.request, asking("hello"))
        self.assertEqual(detail.finished, b"{}")
        self.assertIsNone(await self.store.get("id000001"))

    async def test_deleted_while_it_is_exported(self) -> None:
        """Without its answer it would look like one that had none."""
        await self.store.ingest([stored(1, asking("hello"))])
        body = self.store.body

        async def deleted(id: str, which: BodyKind) -> bytes | None:
            await self.store.delete(Filter())
            return await body(id, which)

        self.patch(self.store, "body", deleted)
        self.assertIsNone(await recorded(self.store, "id000001"))

    async def test_others_may_not_read_it(self) -> None:
        await self.store.ingest([stored(1)])
        for file in self.path.parent.glob(self.path.name + "*"):
            self.assertEqual(file.stat().st_mode & 0o077, 0, file.name)

    async def test_the_file_shrinks(self) -> None:
        rng = random.Random(1)
        for number in range(40):
            body = asking(rng.randbytes(30_000).hex())
            await self.store.ingest([stored(number, body)])
        before = (await self.store.sizes()).disk_bytes
        while await self.store.delete(Filter(), 10):
            pass
        while await self.store.shrink():
            pass
        after = await self.store.sizes()
        self.assertGreater(before, 1_000_000)
        self.assertLess(after.disk_bytes, before / 5)

    async def test_a_long_session_stays_small(self) -> None:
        """200 turns whose history reaches 1 MB: 100 MB of bodies, at most 3 MB of file."""
        body = await long_session(self.store)
        self.assertGreater(len(body), 900_000)
        sizes = await self.store.sizes()
        self.assertLess(sizes.disk_bytes, 3_000_000)
        self.assertEqual(await self.store.body("id000199", "request"), body)
