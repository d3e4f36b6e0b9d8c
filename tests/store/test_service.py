"""Recording end to end, with the indexer as a real process on a real SQLite file."""

from __future__ import annotations

import os
import signal
import sqlite3
import time

from clawproxy.relay.recording import NullRecorder
from clawproxy.store import instance as instances
from clawproxy.store import service as services
from clawproxy.store.protocol import Filter, StoreRefused
from tests.store.logs import captured
from tests.store.recording import ServiceCase, pause, until
from tests.store.samples import asking, exchange, message


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
            await pause(1.0)
            holder.execute("COMMIT")

            async def there() -> bool:
                return (await store.list(Filter())).total == 20

            self.assertTrue(await until(there, 15))
            await service.stop()
        self.assertTrue(any("wait for the store" in str(e.get("text")) for e in events))

    async def test_stopping_while_the_database_is_locked_leaves_segments(self) -> None:
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

    async def test_two_proxies_share_a_journal(self) -> None:
        """A restart beside a proxy that still drains: each brings in its own, and neither the
        other's."""
        first, second = await self.started(), await self.started()
        store = await self.opened()
        draining = exchange(100, outcome="running", finished_at=None)
        stream = first.recorder.begin(draining, asking("draining"))
        stream.sent(b"still ", 1.0)
        for number in range(10):
            for at, service in enumerate((first, second)):
                service.recorder.begin(exchange(number * 2 + at), asking("hello")).end()

        async def there() -> bool:
            return (await store.list(Filter(outcome="ok"))).total == 20

        self.assertTrue(await until(there))
        await second.stop()
        third = await self.started()

        async def running() -> bool:
            return (await store.list(Filter(outcome="running"))).total == 1

        self.assertTrue(await until(running))
        stream.sent(b"here", 2.0)
        draining.outcome = "ok"
        stream.end()
        await first.stop()
        await third.stop()
        self.assertEqual(await store.body("id000100", "response"), b"still here")
        self.assertEqual((await store.list(Filter(outcome="ok"))).total, 21)
        self.assertEqual(list(self.journal.iterdir()), [])

    async def test_no_text_is_kept_of_metadata(self) -> None:
        service = await self.started(bodies="metadata")
        record = exchange(1, request_bytes=30, routed_model="of no known price")
        recording = service.recorder.begin(record, asking("PROMPT"))
        recording.sent(message("ANSWER"), 1.0)
        recording.end()
        await service.stop()
        store = await self.opened()
        detail = await store.get("id000001")
        assert detail is not None
        self.assertEqual(detail.stored.exchange, record)
        self.assertIsNone(detail.request)
        self.assertIsNone(detail.finished)
        self.assertIsNone(await store.body("id000001", "response"))
        for word in (b"PROMPT", b"ANSWER"):
            self.assertNotIn(word, self.path.read_bytes())

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
