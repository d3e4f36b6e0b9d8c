"""Streams go on, unharmed and unslowed, whatever the store does meanwhile; and every record is
there afterwards.

The faults last a second or two; with ``CLAWPROXY_TEST_FULL=1`` as long as they do in real life (a
lock of 30 s, inserts of 5 s). ``bench/storefaults.py`` does the same to a whole proxy and measures how
old events get."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SkipTest

from clawproxy.store.postgres import PostgresStore
from clawproxy.store.protocol import Filter, Store, StoreUnavailable
from clawproxy.store.service import RecordingService
from tests.store import server
from tests.store.length import length
from tests.store.logs import captured
from tests.store.recording import ServiceCase, Streams, answer, pause, until
from tests.store.samples import exchange

COUNT = 100
SECONDS = length(1.5, 40.0)
PATIENCE = 0.25
"""The longest that one call of the recorder may take, with an indexer and a database on the same
two cores."""


class FaultCase(ServiceCase):
    timeout = length(120, 400)  # trial's word for the seconds a test may take

    async def survive(
        self, service: RecordingService, store: Store, fault: Callable[[], Awaitable[None]]
    ) -> None:
        """Run streams, let the fault happen meanwhile, and look for every record."""
        with captured():
            streams = Streams(service)
            running = ensureDeferred(streams.run(COUNT, SECONDS))
            await pause(0.4)
            await fault()
            await running
            self.assertEqual(streams.ended, COUNT)
            self.assertLess(streams.slowest, PATIENCE)

            async def there() -> bool:
                try:
                    return (await store.list(Filter(outcome="ok"))).total == COUNT
                except StoreUnavailable:
                    return False

            self.assertTrue(await until(there, length(30, 120)), service.state)
            await service.stop()
        for number in range(COUNT):
            id = exchange(number).id
            self.assertEqual(await store.body(id, "response"), answer(SECONDS, number))
        assert service.state is not None
        self.assertEqual(service.state.journal.dropped, 0)
        self.assertEqual(service.state.journal.dropped_pieces, 0)
        self.assertEqual(list(self.journal.iterdir()), [])


class SQLiteFaultTests(FaultCase):
    async def test_locked(self) -> None:
        service = await self.started()
        store = await self.opened()

        async def lock() -> None:
            holder = sqlite3.connect(self.path, isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            await pause(length(2.0, 30.0))
            holder.execute("COMMIT")
            holder.close()

        await self.survive(service, store, lock)

    async def test_disk_full(self) -> None:
        """The database's disk is full for a while; the journal's is another."""
        mounted = self.tmpfs("1200k")
        self.path = mounted / "records.db"
        service = await self.started(url=f"sqlite:{self.path}")
        store = await self.opened()

        async def fill() -> None:
            self.fill(mounted / "blocker")

            async def waiting() -> bool:
                return "full" in str(service.state and service.state.indexer.get("error"))

            self.assertTrue(await until(waiting))
            await pause(length(0.0, 30.0))
            subprocess.run(["mount", "-o", "remount,size=64m", str(mounted)], check=True)

        await self.survive(service, store, fill)

    async def test_whole_disk_full(self) -> None:
        """The database and its journal lie on one disk, as they do by default, and it is full."""
        mounted = self.tmpfs("64m")
        self.path, self.journal = mounted / "records.db", mounted / "records.journal"
        service = await self.started(url=f"sqlite:{self.path}", journal_directory=str(self.journal))
        store = await self.opened()
        blocker = mounted / "blocker"

        async def fill() -> None:
            self.fill(blocker)
            await pause(length(1.5, 30.0))
            self.assertIsNotNone(service.state and service.state.journal.failure)
            blocker.unlink()

        await self.survive(service, store, fill)

    async def test_journal_disk_full(self) -> None:
        """The journal's own disk is full for a while: what fits in memory waits there."""
        self.journal = self.tmpfs("100k")
        service = await self.started(journal_directory=str(self.journal))
        store = await self.opened()
        blocker = self.journal / "blocker"

        async def fill() -> None:
            self.fill(blocker)
            await pause(length(1.5, 30.0))
            self.assertIsNotNone(service.state and service.state.journal.failure)
            subprocess.run(["mount", "-o", "remount,size=64m", str(self.journal)], check=True)
            blocker.unlink()

        await self.survive(service, store, fill)

    def fill(self, path: Path) -> None:
        """Write until nothing more fits."""
        with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def tmpfs(self, size: str) -> Path:
        """Mount a small disk, where that is allowed."""
        directory = self.home / "disk"
        directory.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise SkipTest(f"no small disk to fill: {error}") from None
        if done.returncode:
            raise SkipTest(f"no small disk to fill: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(directory)], check=True)
        return directory


class PostgresFaultTests(FaultCase):
    async def begin(self) -> tuple[RecordingService, Store]:
        try:
            url = server.url()
        except RuntimeError as error:
            raise SkipTest(str(error)) from None
        server.execute("DROP SCHEMA IF EXISTS clawproxy CASCADE")
        store = PostgresStore(url, reactor)
        self.addCleanup(store.close)
        await store.open()
        return await self.started(url=url), store

    async def test_killed_and_started_again(self) -> None:
        service, store = await self.begin()

        async def kill() -> None:
            server.kill()
            await pause(length(1.0, 30.0))
            server.restart()

        await self.survive(service, store, kill)

    async def test_restarted_in_good_order(self) -> None:
        service, store = await self.begin()

        async def again() -> None:
            for _ in range(length(1, 10)):
                server.stop()
                server.restart()
                await pause(length(0.5, 2.0))

        await self.survive(service, store, again)

    async def test_hanging(self) -> None:
        service, store = await self.begin()
        server.execute(
            "CREATE FUNCTION clawproxy.slow() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM pg_sleep({length(0.7, 5.0)}); RETURN NULL; END $$;"
            " CREATE TRIGGER slow BEFORE INSERT ON clawproxy.record"
            " FOR EACH STATEMENT EXECUTE FUNCTION clawproxy.slow()"
        )

        async def hang() -> None:
            await pause(length(2.0, 30.0))
            server.execute("DROP TRIGGER slow ON clawproxy.record")

        await self.survive(service, store, hang)

    async def test_cut_again_and_again(self) -> None:
        service, store = await self.begin()

        async def cut() -> None:
            for _ in range(length(10, 200)):
                server.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
                await pause(0.15)

        await self.survive(service, store, cut)
