"""What is framed waits within bounds, and goes to the thread in batches."""

from __future__ import annotations

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store import journal_outbox, segment
from clawproxy.store.journal_outbox import Outbox
from clawproxy.store.segment_record import Kind
from clawproxy.store.writer import Batch, Writer


class Thread:
    """A writer that writes nothing until it is told to."""

    def __init__(self) -> None:
        self.queued = 0
        self.batches: list[Batch] = []

    def put(self, batch: Batch) -> None:
        self.queued += batch.size
        self.batches.append(batch)


class OutboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.thread = Thread()
        self.outbox = Outbox(cast(Writer, self.thread))

    def test_records_are_passed_on_together(self) -> None:
        self.outbox.pass_on()
        self.assertEqual(self.thread.batches, [])
        self.assertTrue(self.outbox.put(Kind.START, [b"a", b"b"]))
        self.assertTrue(self.outbox.put(Kind.END, [b"c"], ends=True))
        self.assertEqual(self.outbox.size, 3 + 2 * segment.FRAME_SIZE)
        self.outbox.pass_on()
        start, end = segment.frame(Kind.START, b"ab"), segment.frame(Kind.END, b"c")
        size = len(start) + len(end) + 3
        self.assertEqual(self.thread.batches, [Batch([start, b"ab", end, b"c"], size, 1)])
        self.outbox.pass_on()
        self.assertEqual((self.outbox.size, len(self.thread.batches)), (0, 1))

    def test_a_large_record_is_left_to_the_thread_as_it_is(self) -> None:
        chunks = [b"head", b"x" * (64 << 10)]
        self.outbox.put(Kind.PIECES, chunks)
        self.outbox.pass_on()
        self.assertEqual(self.thread.batches[0].chunks, [(Kind.PIECES, chunks)])

    def test_much_is_passed_on_at_once(self) -> None:
        self.outbox.put(Kind.PIECES, [b"x" * journal_outbox.BATCH])
        self.assertEqual((self.outbox.size, len(self.thread.batches)), (0, 1))

    def test_past_the_limit_only_ends_are_taken_and_not_all_of_them(self) -> None:
        self.patch(journal_outbox, "MEMORY_LIMIT", 1000)
        self.assertTrue(self.outbox.put(Kind.WHOLE, [b"x" * 1001], ends=True))
        self.assertFalse(self.outbox.full)
        self.outbox.pass_on()
        self.assertTrue(self.outbox.full)
        for kind in Kind:
            self.assertEqual(self.outbox.put(kind, [b"x"], ends=True), kind is Kind.END)
        self.thread.queued = 2000
        self.assertFalse(self.outbox.put(Kind.END, [b"x"], ends=True))
        self.thread.queued = 0
        self.assertTrue(self.outbox.put(Kind.START, [b"x"]))

    def test_a_closed_one_takes_nothing(self) -> None:
        self.outbox.closed = True
        self.assertFalse(self.outbox.put(Kind.END, [b"x"], ends=True))
