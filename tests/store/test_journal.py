"""The journal: what a relay records is on disk, whole, within bounds, whatever the disk does."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel
from twisted.trial.unittest import TestCase

from clawproxy.core.record import Exchange
from clawproxy.store import instance as instances
from clawproxy.store import journal as journals
from clawproxy.store import (
    journal_outbox,
    journal_recording,
    segment,
    segment_payload,
    segment_record,
    writer,
)
from clawproxy.store.journal import Journal
from clawproxy.store.pieces import Pieces
from tests.store.logs import captured


def records(directory: Path) -> list[segment_record.Record]:
    found = []
    for _, _, path in instances.segments(directory):
        data = path.read_bytes()
        head = segment.read_header(data)
        assert head is not None
        found += [record for record, _ in segment.scan(data, head[1])]
    return [record for record in found if not isinstance(record, segment_record.Seal)]


def pause(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


class JournalTests(TestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.written = 0

    def journal(self, budget: int = 1 << 30, reactor: Any = reactor, **options: object) -> Journal:
        def count() -> None:
            self.written += 1

        journal = Journal(
            reactor,
            self.directory,
            "1-a",
            budget=budget,
            written=count,
            **options,  # type: ignore[arg-type]
        )
        journal.start()
        return journal

    async def test_short_exchange_is_one_record(self) -> None:
        journal = self.journal()
        exchange = Exchange("x", model="m")
        recording = journal.begin(exchange, b"asked")
        recording.upstream_request(b"first try")
        recording.upstream_request(b"sent on")
        recording.sent(b"one", 1.5)
        recording.sent(b"two", 2.25)
        recording.received(b"uno", 1.0)
        exchange.status = 200
        recording.end()
        await journal.close()
        [record] = records(self.directory)
        assert isinstance(record, segment_record.Whole)
        self.assertEqual(record.exchange, exchange)
        self.assertEqual(record.request, b"asked")
        self.assertEqual(record.upstream_request, b"sent on")
        self.assertEqual(record.sent, Pieces((1.5, 2.25), (b"one", b"two")))
        self.assertEqual(record.received, Pieces((1.0,), (b"uno",)))
        self.assertGreaterEqual(self.written, 1)

    async def test_long_stream_is_on_disk_while_it_runs(self) -> None:
        journal = self.journal()
        exchange = Exchange("x")
        recording = journal.begin(exchange, b"asked")
        recording.sent(b"one", 1)
        await pause(0.3)
        kinds = [type(record) for record in records(self.directory)]
        self.assertEqual(kinds, [segment_record.Start, segment_record.PieceRun])
        recording.upstream_request(b"again")
        recording.sent(b"two", 2)
        recording.received(b"dos", 3)
        exchange.outcome = "ok"
        recording.end()
        recording.end()
        await journal.close()
        kinds = [type(record) for record in records(self.directory)]
        self.assertEqual(
            kinds,
            [
                segment_record.Start,
                segment_record.PieceRun,
                segment_record.UpstreamRequest,
                segment_record.PieceRun,
                segment_record.PieceRun,
                segment_record.End,
            ],
        )
        last = records(self.directory)[-1]
        assert isinstance(last, segment_record.End)
        self.assertEqual(last.exchange.outcome, "ok")
        self.assertFalse(last.truncated)

    async def test_a_thousand_streams_have_their_turns_and_never_all_at_once(self) -> None:
        clock = Clock()
        clock.callFromThread = reactor.callFromThread  # type: ignore[attr-defined]
        journal = self.journal(reactor=clock)
        running = [journal.begin(Exchange(f"x{n}"), b"") for n in range(1000)]
        framed: list[int] = []
        real = segment_payload.pieces

        def counted(*args: Any) -> list[bytes]:
            framed[-1] += 1
            return real(*args)

        self.patch(segment_payload, "pieces", counted)
        for _ in range(3):
            for recording in running:
                recording.sent(b"piece", 1)
            framed.clear()
            for _ in range(160):
                framed.append(0)
                clock.advance(0.0025)
            self.assertEqual(sum(framed), 1000)
            self.assertLessEqual(max(framed), journals.SLICE)
        written = journal._writer._taken
        for recording in running:
            recording.end()
        clock.advance(0.0125)
        for _ in range(40):
            clock.advance(0.0025)
        self.assertGreater(journal._writer._taken, written + 1000 * 100)
        await journal.close()
        ends = [each for each in records(self.directory) if isinstance(each, segment_record.End)]
        self.assertEqual(len(ends), 1000)

    async def test_metadata_keeps_no_text(self) -> None:
        journal = self.journal(bodies="metadata")
        recording = journal.begin(Exchange("x"), b"PROMPT")
        recording.upstream_request(b"PROMPT")
        recording.sent(b"ANSWER", 1)
        await pause(0.25)
        recording.received(b"ANSWER", 1)
        recording.end()
        await journal.close()
        data = b"".join(path.read_bytes() for *_, path in instances.segments(self.directory))
        self.assertNotIn(b"PROMPT", data)
        self.assertNotIn(b"ANSWER", data)
        self.assertEqual(len(records(self.directory)), 2)

    async def test_large_pieces_are_framed_at_once(self) -> None:
        journal = self.journal()
        recording = journal.begin(Exchange("x"), b"")
        big = os.urandom(journal_recording.BUFFER_LIMIT + 1)
        recording.sent(big, 1)
        self.assertGreater(journal.state.queued_bytes, len(big))
        recording.end()
        await journal.close()
        run = records(self.directory)[1]
        assert isinstance(run, segment_record.PieceRun)
        self.assertEqual(run.pieces.body, big)
        self.assertEqual(journal.state.queued_bytes, 0)

    async def test_an_answer_past_the_limit_is_cut_and_flagged(self) -> None:
        self.patch(journal_recording, "ANSWER_LIMIT", 1000)
        self.patch(journal_recording, "BUFFER_LIMIT", 100)
        journal = self.journal()
        recording = journal.begin(Exchange("x"), b"")
        for at in range(20):
            recording.sent(b"z" * 101, at)
        recording.end()
        with captured():
            await journal.close()
        read = records(self.directory)
        kept = [r.pieces.body for r in read if isinstance(r, segment_record.PieceRun)]
        self.assertEqual(len(b"".join(kept)), 909)
        assert isinstance(read[-1], segment_record.End)
        self.assertTrue(read[-1].truncated)
        self.assertEqual(journal.state.dropped_pieces, 11)

    async def test_past_the_disk_budget_records_are_dropped_and_counted(self) -> None:
        (self.directory / "0-z-00000001.segment").write_bytes(b"x" * 2000)
        journal = self.journal(budget=1000)
        with captured() as events:
            for number in range(3):
                journal.begin(Exchange(str(number)), b"").end()
            await pause(0.25)
        self.assertTrue(journal.state.over_budget)
        self.assertEqual(journal.state.dropped, 3)
        warnings = [event for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual([event["dropped"] for event in warnings], [3])
        # Once the indexer has made room, records are kept again.
        (self.directory / "0-z-00000001.segment").unlink()
        await pause(writer.MEASURE_EVERY + 0.3)
        journal.begin(Exchange("kept"), b"").end()
        await journal.close()
        self.assertEqual(len(records(self.directory)), 1)

    async def test_a_full_disk_is_waited_for(self) -> None:
        self.patch(writer, "RETRY_DELAY", 0.05)
        journal = self.journal()
        full = True
        real = os.writev

        def writev(fd: int, chunks: list[bytes]) -> int:
            if full and chunks[0][:8] != segment.MAGIC:
                real(fd, [b"".join(chunks)[:5]])  # part of it still fits
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(fd, chunks)

        with patch("os.writev", writev), captured():
            journal.begin(Exchange("x"), b"asked").end()
            await pause(0.3)
            self.assertIn("No space", journal.state.failure or "")
            self.assertGreater(journal.state.queued_bytes, 0)
            full = False
            await pause(0.2)
            self.assertIsNone(journal.state.failure)
            await journal.close()
        self.assertEqual(len(records(self.directory)), 1)

    async def test_a_disk_that_stays_full_is_given_up_at_close(self) -> None:
        self.patch(writer, "RETRY_DELAY", 0.05)
        journal = self.journal()

        def writev(fd: int, chunks: list[bytes]) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with patch("os.writev", writev), captured():
            journal.begin(Exchange("x"), b"asked").end()
            await journal.close()
        self.assertEqual(journal.state.dropped, 1)
        self.assertEqual(instances.segments(self.directory), [])

    async def test_memory_is_bounded_while_the_disk_hangs(self) -> None:
        self.patch(journal_outbox, "MEMORY_LIMIT", 10_000)
        self.patch(writer, "RETRY_DELAY", 0.05)
        journal = self.journal()

        def writev(fd: int, chunks: list[bytes]) -> int:
            raise OSError(errno.EIO, "Input/output error")

        with patch("os.writev", writev), captured():
            recording = journal.begin(Exchange("stream"), b"")
            for number in range(50):
                journal.begin(Exchange(str(number)), b"b" * 1000).end()
                recording.sent(b"s" * 1000, number)
            await pause(0.25)
            for number in range(50):
                journal.begin(Exchange(str(number)), b"b" * 1000).end()
            self.assertLess(journal.state.queued_bytes, 25_000)
            self.assertGreater(journal.state.dropped, 80)
            recording.end()
            await journal.close()

    async def test_segments_are_sealed_by_size_and_number_upwards(self) -> None:
        self.patch(writer, "SEGMENT_BYTES", 1000)
        journal = self.journal()
        for number in range(3):
            journal.begin(Exchange(str(number)), b"b" * 1500).end()
            await pause(0.15)
        await journal.close()
        self.assertEqual([n for _, n, _ in instances.segments(self.directory)], [1, 2, 3])
        for *_, path in instances.segments(self.directory):
            self.assertTrue(
                path.read_bytes().endswith(segment.frame(segment_record.Kind.SEAL, b""))
            )

    async def test_strings_that_are_no_text(self) -> None:
        journal = self.journal()
        record = Exchange("x", path="/v1/\udcff", request_headers=[("user-agent", "\udc80 ok")])
        journal.begin(record, b"").end()
        await journal.close()
        [read] = records(self.directory)
        assert isinstance(read, segment_record.Whole)
        self.assertEqual(read.exchange.request_headers, [("user-agent", "? ok")])

    async def test_what_cannot_be_framed_harms_nobody_else(self) -> None:
        journal = self.journal()
        odd = journal.begin(Exchange("odd"), b"")
        odd.sent("not bytes", 1.0)  # type: ignore[arg-type]
        odd.end()
        running = journal.begin(Exchange("odd too"), b"")
        running.sent("nor these", 1.0)  # type: ignore[arg-type]
        journal.begin(Exchange("sound"), b"").end()
        await pause(0.25)
        running.end()
        await journal.close()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)
        kept = [
            r.exchange.id for r in records(self.directory) if isinstance(r, segment_record.Whole)
        ]
        self.assertEqual(kept, ["sound"])
        self.assertEqual(journal.state.dropped, 2)

    async def test_closed_behind_a_thread_that_broke(self) -> None:
        """A fault of ours is no reason for a process that cannot be stopped, not even one that comes again."""
        unhandled: list[object] = []
        self.patch(threading, "excepthook", unhandled.append)

        def written() -> None:
            self.written += 1
            if self.written != 2:
                raise ZeroDivisionError("a fault of ours")

        for instance, again in (("1-a", 0), ("1-b", 1)):
            options: Any = {"budget": 1 << 30, "written": written}
            journal = Journal(cast(Any, reactor), self.directory, instance, **options)
            journal.start()
            journal.begin(Exchange(instance), b"").end()
            await pause(0.3)
            self.assertEqual(journal.state.failure, "the journal's thread broke")
            with captured():
                await journal.close().addTimeout(5, reactor)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual(len(unhandled), again)
        kept = [
            r.exchange.id for r in records(self.directory) if isinstance(r, segment_record.Whole)
        ]
        self.assertEqual(kept, ["1-a", "1-b"])

    async def test_close_twice(self) -> None:
        journal = self.journal()
        journal.begin(Exchange("x"), b"").end()
        first, second = journal.close(), journal.close()
        await first
        await second
        await journal.close()
        with captured():
            journal.begin(Exchange("late"), b"").end()
        self.assertEqual(journal.state.dropped, 1)
