"""Recording end to end, with the indexer as a real process on a real SQLite file."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from clawproxy.relay.recording import NullRecorder
from clawproxy.store import instance as instances
from clawproxy.store.protocol import Filter, StoreRefused
from clawproxy.store.service import RecordingService
from clawproxy.store.sqlite import SQLiteStore
from tests.store.logs import captured
from tests.store.samples import asking, exchange, message

T = TypeVar("T")


@frozen
class Settings:
    url: str
    journal_directory: str
    retention_days: float = 0
    bodies: Any = "full"
    max_bytes: int = 0
    journal_budget: int = 1 << 30


async def until(probe: Callable[[], Awaitable[T]], within: float = 8.0) -> T:
    end = time.monotonic() + within
    while True:
        found = await probe()
        if found or time.monotonic() > end:
            return found
        await deferLater(reactor, 0.05)


class ServiceCase(TestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        self.path = self.home / "records.db"
        self.journal = self.home / "records.journal"
        self.settings = Settings(f"sqlite:{self.path}", str(self.journal))

    async def started(self, **changes: Any) -> RecordingService:
        from attrs import evolve

        service = RecordingService(evolve(self.settings, **changes), reactor)
        await service.start()
        self.addCleanup(service.stop)
        return service

    async def opened(self) -> SQLiteStore:
        store = SQLiteStore(self.path)
        await store.open()
        self.addCleanup(store.close)
        return store


class ServiceTests(ServiceCase):
    async def test_a_finished_exchange_is_in_the_store_within_a_second(self) -> None:
        service = await self.started()
        store = await self.opened()

        async def ready() -> bool:
            return service.state is not None and bool(service.state.indexer)

        self.assertTrue(await until(ready))
        record = exchange(1)
        recording = service.recorder.begin(record, asking("hello"))
        recording.sent(message("good day"), 3.0)
        recording.end()
        begun = time.monotonic()

        async def there() -> bool:
            return (await store.list(Filter(text="good"))).total == 1

        self.assertTrue(await until(there))
        self.assertLess(time.monotonic() - begun, 1.0)
        await service.stop()
        self.assertEqual(list(self.journal.iterdir()), [])
        self.assertIsInstance(service.recorder, NullRecorder)

    async def test_a_running_exchange_is_shown_and_then_finished(self) -> None:
        service = await self.started()
        store = await self.opened()
        record = exchange(1, outcome="running", finished_at=None)
        recording = service.recorder.begin(record, asking("hello"))
        recording.upstream_request(b"upstream")
        recording.sent(b'{"a":', 1.0)

        async def running() -> bool:
            return (await store.list(Filter(outcome="running"))).total == 1

        self.assertTrue(await until(running))

        async def partial() -> bool:
            return await store.body("id000001", "response") == b'{"a":'

        self.assertTrue(await until(partial))
        self.assertEqual(await store.body("id000001", "request"), asking("hello"))
        recording.sent(b" 1}", 2.0)
        record.outcome = "ok"
        recording.end()
        await service.stop()
        detail = await store.get("id000001")
        assert detail is not None
        self.assertEqual(detail.stored.exchange.outcome, "ok")
        self.assertEqual(await store.body("id000001", "response"), b'{"a": 1}')
        self.assertEqual(await store.body("id000001", "upstream-request"), b"upstream")

    async def test_what_still_runs_at_the_end_is_interrupted(self) -> None:
        service = await self.started()
        record = exchange(1, outcome="running", finished_at=None)
        service.recorder.begin(record, asking("hello")).sent(b"half", 1.0)
        await service.stop()
        store = await self.opened()
        detail = await store.get("id000001")
        assert detail is not None
        self.assertEqual(detail.stored.exchange.outcome, "interrupted")
        self.assertEqual(await store.body("id000001", "response"), b"half")
        self.assertEqual(list(self.journal.iterdir()), [])

    async def test_a_killed_indexer_is_started_again(self) -> None:
        service = await self.started()
        store = await self.opened()
        assert service._indexer is not None

        async def ready() -> bool:
            return bool(service.state and service.state.indexer)

        self.assertTrue(await until(ready))
        with captured():
            assert service._indexer.pid
            os.kill(service._indexer.pid, signal.SIGKILL)
            for number in range(5):
                service.recorder.begin(exchange(number), asking("hello")).end()

            async def there() -> bool:
                return (await store.list(Filter())).total == 5

            self.assertTrue(await until(there))
            await service.stop()
        assert service.state is not None
        self.assertEqual(service.state.indexer_restarts, 1)

    async def test_a_locked_database_is_waited_for(self) -> None:
        service = await self.started()
        store = await self.opened()
        holder = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(holder.close)
        holder.execute("BEGIN EXCLUSIVE")
        with captured() as events:
            for number in range(20):
                service.recorder.begin(exchange(number), asking("hello")).end()

            async def waiting() -> bool:
                return bool(service.state and service.state.indexer.get("state") == "waiting")

            self.assertTrue(await until(waiting))
            self.assertIn("locked", str(service.state and service.state.indexer["error"]))
            await deferLater(reactor, 1.0)
            holder.execute("COMMIT")

            async def there() -> bool:
                return (await store.list(Filter())).total == 20

            self.assertTrue(await until(there, 15))
            await service.stop()
        self.assertTrue(any("wait for the store" in str(e.get("text")) for e in events))

    async def test_stopping_while_the_database_is_locked_leaves_segments(self) -> None:
        from clawproxy.store import service as services

        self.patch(services, "STOP_WITHIN", 1.0)
        service = await self.started()
        holder = sqlite3.connect(self.path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        with captured():
            service.recorder.begin(exchange(1), asking("hello")).end()
            await service.stop()
            self.assertEqual(len(instances.segments(self.journal)), 1)
            holder.execute("COMMIT")
            holder.close()
            # The next start takes over what was left.
            second = await self.started()
            store = await self.opened()

            async def there() -> bool:
                return (await store.list(Filter())).total == 1

            self.assertTrue(await until(there))
            await second.stop()
        self.assertEqual(list(self.journal.iterdir()), [])

    async def test_nothing_is_recorded_without_a_store(self) -> None:
        service = await self.started(url="none")
        service.recorder.begin(exchange(1), b"").end()
        self.assertIsNone(service.state)
        await service.stop()
        self.assertFalse(self.journal.exists())

    async def test_what_can_never_work_is_said_at_the_start(self) -> None:
        for url, words in (
            ("sqlite:/nowhere/at/all.db", "no directory /nowhere/at"),
            (f"sqlite:{self.home / 'list.txt'}", "list.txt"),
        ):
            (self.home / "list.txt").write_text("This is no database. " * 100)
            with self.assertRaises(StoreRefused) as caught:
                await self.started(url=url)
            self.assertIn(words, str(caught.exception))
        (self.home / "file").touch()
        with self.assertRaises(StoreRefused) as caught:
            await self.started(journal_directory=str(self.home / "file"))
        self.assertIn("storage.journal", str(caught.exception))


KILLED = """
    import os, signal, sys
    from twisted.internet import reactor
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.task import deferLater
    from clawproxy.store.service import RecordingService
    from tests.store.samples import asking, exchange, message
    from tests.store.test_service import Settings

    async def main(url, journal, first):
        service = RecordingService(Settings(url, journal), reactor)
        await service.start()
        running = exchange(first + 900, outcome="running", finished_at=None)
        stream = service.recorder.begin(running, asking("stream"))
        stream.sent(b"so far", 1.0)
        for number in range(first, first + 50):
            recording = service.recorder.begin(exchange(number), asking("hello"))
            recording.sent(message("there"), 1.0)
            recording.end()
            if number % 10 == 0:
                await deferLater(reactor, 0.05)
        await deferLater(reactor, 0.4)
        os.kill(os.getpid(), signal.SIGKILL)

    ensureDeferred(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))).addErrback(lambda f:
    (f.printTraceback(), reactor.stop()))
    reactor.run()
"""


class KillTests(ServiceCase):
    async def test_killed_again_and_again(self) -> None:
        root = Path(__file__).parent.parent.parent
        script = self.home / "killed.py"
        script.write_text(textwrap.dedent(KILLED))
        rounds = 3
        for turn in range(rounds):
            command = [
                sys.executable,
                str(script),
                self.settings.url,
                str(self.journal),
                str(turn * 50),
            ]
            child = subprocess.run(
                command,
                env={**os.environ, "PYTHONPATH": str(root)},
                capture_output=True,
                check=False,
            )
            self.assertEqual(child.returncode, -signal.SIGKILL, child.stderr)
        with captured():
            service = await self.started()
            store = await self.opened()

            async def there() -> bool:
                return (await store.list(Filter(outcome="interrupted"))).total == rounds

            self.assertTrue(await until(there, 15))
            await service.stop()
        page = await store.list(Filter(outcome="ok"), limit=1000)
        self.assertEqual(page.total, 50 * rounds)
        self.assertEqual((await store.list(Filter(outcome="running"))).total, 0)
        self.assertEqual(await store.body("id000900", "response"), b"so far")
        answer = await store.get("id000049")
        assert answer is not None
        self.assertEqual(json.loads(answer.finished or b"{}"), json.loads(message("there")))
        with sqlite3.connect(self.path) as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        self.assertEqual(list(self.journal.iterdir()), [])
