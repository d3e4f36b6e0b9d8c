"""Indexing without processes: segments in, exchanges out, whatever comes twice, torn or in the
wrong hands."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from clawproxy.store import inbox, segment
from clawproxy.store import instance as instances
from clawproxy.store.entry import Prepared
from clawproxy.store.indexing import Indexing
from clawproxy.store.protocol import Filter, Partial, StoreUnavailable
from clawproxy.store.segment_record import Kind
from clawproxy.store.sqlite import SQLiteStore
from tests.store.indexing import SEAL, IndexingCase, asked, end, framed, pieces, start, whole
from tests.store.logs import captured
from tests.store.samples import asking


class SpoiledTests(IndexingCase):
    async def test_a_growing_segment_is_kept_for_what_was_rejected_early(self) -> None:
        """It is sealed long after the look at which something in it could not be stored."""
        self.store.poison = "id000001"
        with captured():
            path = self.write(1, whole(1))
            await self.indexing.own()
            self.write(1, whole(2))
            await self.indexing.own()
            self.write(1, SEAL)
            await self.indexing.own()
        self.assertFalse(path.exists())
        self.assertTrue(path.with_suffix(".rejected").exists())
        self.write(2, whole(3), SEAL)
        await self.indexing.own()
        self.assertEqual(await self.outcomes(), {"id000002": "ok", "id000003": "ok"})
        self.assertEqual(len(list(self.directory.glob("*.rejected"))), 1)
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)


class SlowStore(SQLiteStore):
    """A store that takes a second for a batch, without ever giving the reactor a turn."""

    clock: Clock
    asked = 0

    async def ingest(self, batch: Sequence[Prepared]) -> int:
        self.asked += 1
        self.clock.rightNow += 1.0
        return await super().ingest(batch)


class BacklogTests(IndexingCase):
    async def test_a_long_backlog_lets_the_reactor_have_its_turn(self) -> None:
        """Else the status says for as long as it takes what it was before, and nobody can end it."""
        store = SlowStore(self.path)
        store.clock = self.clock
        await store.open()
        self.addCleanup(store.close)
        indexing = Indexing(self.clock, store, self.directory, "1-a")
        for number in range(1, 6):
            self.write(number, whole(number), SEAL)
        behind: list[float] = []
        self.clock.callLater(1.5, lambda: behind.append(indexing.progress.behind))
        self.clock.callLater(2.5, indexing.leave)
        done = ensureDeferred(indexing.own())
        self.clock.advance(0)
        self.assertFalse(await done)
        self.assertEqual(store.asked, 3)
        self.assertGreater(behind[0], 0)


class GrowingTests(IndexingCase):
    async def test_a_growing_segment_is_read_as_it_grows(self) -> None:
        path = self.write(1)
        self.assertTrue(await self.indexing.own())
        self.write(1, whole(1))
        self.assertTrue(await self.indexing.own())
        self.assertEqual(await self.outcomes(), {"id000001": "ok"})
        record = whole(2)
        self.write(1, record[:50])
        await self.indexing.own()
        self.write(1, record[50:], whole(3))
        await self.indexing.own()
        self.assertEqual(len(await self.outcomes()), 3)
        self.assertTrue(path.exists())
        self.write(1, SEAL)
        await self.indexing.own()
        self.assertFalse(path.exists())

    async def test_a_stream_across_segments(self) -> None:
        self.write(1, start(1), pieces(1, b"one,", 1.0), asked(1, b"first try"))
        await self.indexing.own()
        self.assertEqual(await self.outcomes(), {"id000001": "running"})
        self.write(1, SEAL)
        self.write(2, asked(1, b"second try"), pieces(1, b"two,", 2.0))
        await self.indexing.own()
        self.assertEqual(await self.store.body("id000001", "response"), b"one,")
        self.write(2, SEAL)
        self.write(3, pieces(1, b"three", 3.0), end(1, truncated=True))
        await self.indexing.own()
        self.assertEqual(await self.outcomes(), {"id000001": "ok"})
        events = await self.store.events("id000001")
        assert events is not None
        self.assertEqual(events.times, (1.0, 2.0, 3.0))
        self.assertEqual(events.body, b"one,two,three")
        self.assertEqual(await self.store.body("id000001", "upstream-request"), b"second try")
        self.assertEqual(await self.store.body("id000001", "request"), asking("long 1"))
        detail = await self.store.get("id000001")
        assert detail is not None
        self.assertTrue(detail.stored.truncated)
        self.assertEqual((await self.store.list(Filter(text="long"))).total, 1)

    async def test_killed_between_any_two_segments(self) -> None:
        """An indexer that begins anew reads what is still there, and nothing comes twice or is
        lost."""
        self.write(1, start(1), pieces(1, b"a"), whole(2), SEAL)
        self.write(2, pieces(1, b"b"), whole(3))
        first = self.write(1).read_bytes()
        await self.indexing.own()
        assert self.indexing._lock is not None
        self.indexing._lock.release()
        # As if it had been killed after the commit and before the removal.
        self.write(1).write_bytes(first)
        second = self.made("1-a")
        await second.own()
        self.write(2, pieces(1, b"c"), end(1))
        await second.own(ended=True)
        self.assertEqual(
            await self.outcomes(), {"id000001": "ok", "id000002": "ok", "id000003": "ok"}
        )
        self.assertEqual(await self.store.body("id000001", "response"), b"abc")
        self.assertEqual(list(self.directory.iterdir()), [])

    async def test_only_one_indexer_reads_a_journal(self) -> None:
        self.write(1, whole(1))
        self.assertTrue(await self.indexing.own())
        self.assertFalse(await self.made("1-a").own())


class OrphanTests(IndexingCase):
    async def test_what_a_dead_proxy_left(self) -> None:
        (self.directory / ("0-z" + instances.PROXY_SUFFIX)).touch()
        self.write(1, whole(1), start(2), pieces(2, b"half"), SEAL, instance="0-z")
        self.write(2, start(3), pieces(2, b"way"), whole(4)[:-3], instance="0-z")
        with captured() as events:
            await self.made(None).orphans()
        self.assertEqual(
            await self.outcomes(),
            {"id000001": "ok", "id000002": "interrupted", "id000003": "interrupted"},
        )
        page = await self.store.list(Filter(outcome="interrupted"))
        for item in page.items:
            self.assertIn("ended without warning", item.exchange.error or "")
        self.assertEqual(await self.store.body("id000002", "response"), b"halfway")
        self.assertEqual(list(self.directory.iterdir()), [])
        self.assertTrue(any("no whole record" in str(e.get("log_format")) for e in events))

    async def test_running_in_the_store_alone(self) -> None:
        """All its segments were in already, when the proxy died."""
        self.write(1, start(1), pieces(1, b"so far"), SEAL, instance="0-z")
        inherited = self.made("0-z")
        await inherited.own()
        assert inherited._lock is not None
        inherited._lock.release()
        (self.directory / ("0-z" + instances.PROXY_SUFFIX)).touch()
        with captured():
            await self.made(None).orphans()
        self.assertEqual(await self.outcomes(), {"id000001": "interrupted"})
        self.assertEqual(await self.store.body("id000001", "response"), b"so far")
        self.assertEqual(list(self.directory.iterdir()), [])

    async def test_running_in_the_store_alone_behind_a_proxy_that_ended(self) -> None:
        """The store went away between the last segment and calling interrupted what was in it."""
        self.write(1, start(1), pieces(1, b"so far"), SEAL)
        keep = self.store.keep_partial

        async def last(partials: Sequence[Partial]) -> None:
            await keep(partials)
            self.store.failing = StoreUnavailable("gone fishing")

        self.patch(self.store, "keep_partial", last)
        with captured():
            waiting = ensureDeferred(self.indexing.own(ended=True))
            self.indexing.leave()
            self.assertFalse(await waiting)
            self.indexing.close()
            self.assertEqual([path.name for path in self.directory.iterdir()], ["1-a.indexer"])
            self.store.failing = None
            await self.made(None).orphans()
        self.assertEqual(await self.outcomes(), {"id000001": "interrupted"})
        self.assertEqual(await self.store.body("id000001", "response"), b"so far")
        self.assertEqual(list(self.directory.iterdir()), [])

    async def test_an_indexer_that_comes_too_late_leaves_nothing(self) -> None:
        """Its proxy was killed while it started, and somebody has taken over already."""
        self.assertTrue(await self.indexing.own())
        self.indexing.close()
        self.assertEqual(list(self.directory.iterdir()), [])

    async def test_the_living_are_left_alone(self) -> None:
        lock = instances.Lock(self.directory / ("0-z" + instances.PROXY_SUFFIX))
        self.assertTrue(lock.acquire())
        self.addCleanup(lock.release)
        path = self.write(1, whole(1), instance="0-z")
        await self.made(None).orphans()
        self.assertEqual(await self.outcomes(), {})
        self.assertTrue(path.exists())

    async def test_zeros_behind_the_last_record(self) -> None:
        """A file system gives them back, after a loss of power, for what had not reached the disk."""
        for zeros in (1, 9, 5000):
            self.write(1, whole(1), b"\0" * zeros, instance="0-z")
            self.write(2, whole(2), instance="0-z")
            with captured():
                await self.made(None).orphans()
            self.assertEqual(await self.outcomes(), {"id000001": "ok", "id000002": "ok"})
            self.assertEqual(list(self.directory.iterdir()), [])
            await self.store.delete(Filter())

    async def test_what_stands_before_a_record_of_an_unknown_kind(self) -> None:
        unknown = segment._FRAME.pack(2, crc32(b"??", 99), 99) + b"??"
        self.write(1, whole(1), unknown, whole(2), instance="0-z")
        with captured():
            await self.made(None).orphans()
        self.assertEqual(await self.outcomes(), {"id000001": "ok"})
        self.assertEqual([p.suffix for p in self.directory.iterdir()], [".rejected"])

    async def test_a_record_that_cannot_be_read(self) -> None:
        """It is kept for somebody to look at, and what stands behind it comes in, however little is read at a time."""
        self.patch(inbox, "READ_SIZE", 2000)
        odd = framed(Kind.END, [b"\0{" + b" " * 1950])
        self.write(1, odd, whole(1), odd, whole(2), instance="0-z")
        last = self.write(1, odd, whole(3), instance="0-y")
        # What is left behind the first record is less than was read at once.
        self.assertLess(last.stat().st_size, 2 * inbox.READ_SIZE)
        with captured() as events:
            await self.made(None).orphans()
        self.assertEqual(
            await self.outcomes(), {"id000001": "ok", "id000002": "ok", "id000003": "ok"}
        )
        self.assertEqual([p.suffix for p in self.directory.iterdir()], [".rejected"] * 2)
        self.assertEqual(sum("reason" in each for each in events), 3)

    async def test_what_cannot_be_opened_keeps_nothing_else_from_coming_in(self) -> None:
        (self.directory / ("0-y" + instances.PROXY_SUFFIX)).mkdir()
        instances.segment_path(self.directory, "0-x", 1).mkdir()
        self.write(1, whole(1), instance="0-z")
        indexing = self.made(None)
        with captured() as events:
            for _ in range(3):
                await indexing.orphans()
        self.assertEqual(await self.outcomes(), {"id000001": "ok"})
        told = [str(each["name"]) for each in events if "error" in each]
        self.assertEqual(sorted(told), ["0-x", "0-y"])

    async def test_what_is_no_segment_is_put_aside(self) -> None:
        path = instances.segment_path(self.directory, "0-z", 1)
        path.write_bytes(b"SQLite format 3\0" * 10)
        self.write(2, whole(1), instance="0-z")
        with captured():
            await self.made(None).orphans()
        self.assertEqual(await self.outcomes(), {"id000001": "ok"})
        self.assertEqual([p.suffix for p in self.directory.iterdir()], [".rejected"])

    async def test_a_header_that_is_damaged_is_put_aside_too(self) -> None:
        damaged = bytearray(segment.header("0-z"))
        damaged[-1] |= 0x80
        instances.segment_path(self.directory, "0-z", 1).write_bytes(damaged + whole(9))
        self.write(2, whole(1), instance="0-z")
        with captured():
            await self.made(None).orphans()
        self.assertEqual(await self.outcomes(), {"id000001": "ok"})
        self.assertEqual([p.suffix for p in self.directory.iterdir()], [".rejected"])

    async def test_segments_without_a_record_are_in_nobody_s_way(self) -> None:
        """A full disk leaves a header alone, a loss of power not even that."""
        for empty in (b"", segment.header("0-z"), segment.header("0-z") + whole(9)[:20]):
            instances.segment_path(self.directory, "0-z", 1).write_bytes(empty)
            self.write(2, whole(1), instance="0-z")
            instances.segment_path(self.directory, "0-z", 3).write_bytes(empty)
            with captured():
                await self.made(None).orphans()
            self.assertEqual(await self.outcomes(), {"id000001": "ok"})
            self.assertEqual(list(self.directory.iterdir()), [])
            await self.store.delete(Filter())

    async def test_nor_are_they_when_the_proxy_closes_its_journal(self) -> None:
        self.write(1)
        self.write(2, whole(1))
        self.write(3)
        with captured():
            self.assertTrue(await self.indexing.own(ended=True))
        self.assertEqual(await self.outcomes(), {"id000001": "ok"})
        self.assertEqual(list(self.directory.iterdir()), [])


class FailingTests(IndexingCase):
    async def test_an_absent_store_is_waited_for(self) -> None:
        self.store.failing = StoreUnavailable("gone fishing")
        path = self.write(1, whole(1), SEAL)
        with captured() as events:
            waiting = ensureDeferred(self.indexing.own())
            for _ in range(20):
                self.clock.advance(1.0)
            self.assertNoResult(waiting)
            self.assertEqual(self.indexing.progress.state, "waiting")
            self.assertEqual(self.indexing.progress.error, "gone fishing")
            self.assertGreater(self.indexing.progress.behind, 10)
            self.assertTrue(path.exists())
            self.store.failing = None
            self.clock.advance(10.0)
            self.assertTrue(await waiting)
        self.assertFalse(path.exists())
        self.assertIsNone(self.indexing.progress.error)
        self.assertEqual(self.indexing.progress.behind, 0)
        said = [event for event in events if "wait for the store" in str(event["log_format"])]
        self.assertEqual(len(said), 1)

    async def test_leaving_while_the_store_is_away(self) -> None:
        self.store.failing = StoreUnavailable("gone fishing")
        path = self.write(1, whole(1), SEAL)
        with captured():
            waiting = ensureDeferred(self.indexing.own())
            self.indexing.leave()
            self.assertFalse(await waiting)
        self.assertTrue(path.exists())
