"""When the indexer looks at the journal, without a process and without a journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store.indexer import PACE, STATUS_EVERY, Indexer
from clawproxy.store.indexing import Indexing
from clawproxy.store.progress import Progress
from clawproxy.store.protocol import Store
from clawproxy.store.retention import Retention


class Looking:
    """An :class:`~clawproxy.store.indexing.Indexing` that counts how often it is asked to look."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.leaving = False
        self.closed = False
        self.looks = self.takings = 0
        self.during: Callable[[], None] = lambda: None

    async def open(self) -> bool:
        return True

    async def own(self, ended: bool = False) -> bool:
        self.looks += 1
        self.during()
        return True

    def close(self) -> None:
        self.closed = True

    async def orphans(self) -> None:
        self.takings += 1

    def leave(self) -> None:
        self.leaving = True


class Resting:
    """A retention and a store with nothing to do."""

    def __init__(self) -> None:
        self.steps = 0

    async def step(self, store: object, now: float) -> bool:
        self.steps += 1
        return False

    async def close(self) -> None:
        pass


class PaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.indexing = Looking()
        self.retention = Resting()
        self.indexer = Indexer(
            self.clock,
            cast(Store, Resting()),
            cast(Indexing, self.indexing),
            cast(Retention, self.retention),
        )
        self.running: Deferred[None] = ensureDeferred(self.indexer.run())

    def test_it_looks_now_and_then_without_being_told(self) -> None:
        self.assertEqual(self.indexing.looks, 1)
        self.clock.pump([0.1] * int(10 * (PACE + STATUS_EVERY) + 1))
        self.assertEqual(self.indexing.looks, 2)

    def test_the_first_nudge_after_a_rest_is_heeded_at_once(self) -> None:
        self.clock.advance(PACE)
        self.indexer.nudge()
        self.assertEqual(self.indexing.looks, 2)

    def test_a_nudge_while_it_works_is_not_lost(self) -> None:
        """What ended just behind its back must not wait for a look that nobody asked for."""
        self.clock.advance(PACE)
        self.indexing.during = self.indexer.nudge
        self.indexer.nudge()
        self.indexing.during = lambda: None
        self.assertEqual(self.indexing.looks, 2)
        self.clock.advance(PACE)
        self.assertEqual(self.indexing.looks, 3)

    def test_steady_nudges_do_not_make_it_look_all_the_time(self) -> None:
        for _ in range(100):
            self.indexer.nudge()
            self.clock.advance(0.05)
        self.assertLessEqual(self.indexing.looks, 5 / PACE + 2)
        self.assertGreater(self.indexing.looks, 5 / PACE * 0.7)

    def test_the_end_does_not_wait_for_the_pace(self) -> None:
        self.indexer.line.dataReceived(b"E")
        self.assertEqual(self.successResultOf(self.running), None)

    def test_nor_does_the_proxy_s_death(self) -> None:
        self.indexer.line.connectionLost()
        self.assertEqual(self.successResultOf(self.running), None)
        self.assertTrue(self.indexing.closed)

    def test_what_could_not_be_taken_over_at_the_start_is_looked_for_again_soon(self) -> None:
        """After a crash and a quick restart the dead proxy's own indexer may still be leaving."""
        self.assertEqual(self.indexing.takings, 1)
        self.clock.pump([0.1] * 30)
        self.assertEqual(self.indexing.takings, 2)

    def test_it_tidies_when_it_is_quiet_after_work(self) -> None:
        """Once, and not while more comes."""
        self.assertEqual(self.retention.steps, 1)
        self.indexing.progress.stored = 5
        for _ in range(20):
            self.indexer.nudge()
            self.clock.advance(PACE)
        self.assertEqual(self.retention.steps, 1)
        self.clock.pump([0.1] * int(20 * (PACE + STATUS_EVERY) + 1))
        self.assertEqual(self.retention.steps, 2)
        self.clock.pump([0.1] * int(10 * (PACE + STATUS_EVERY)))
        self.assertEqual(self.retention.steps, 2)
