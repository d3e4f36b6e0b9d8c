"""A store that is away is asked until it is there."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store.progress import Progress
from clawproxy.store.protocol import Store, StoreRefused, StoreUnavailable
from clawproxy.store.retrying import FIRST_DELAY, LAST_DELAY, Retrying
from tests.store.logs import captured


class Door:
    """A store that can be opened and nothing else."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.failing: Exception | None = None
        self.opened: list[float] = []
        self.asked: list[float] = []

    async def open(self) -> None:
        self.opened.append(self.clock.seconds())

    async def take(self) -> None:
        self.asked.append(self.clock.seconds())
        if self.failing is not None:
            raise self.failing


class RetryingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.door = Door(self.clock)
        self.progress = Progress()
        self.retrying = Retrying(self.clock, cast(Store, self.door), self.progress)

    def asking(self) -> Deferred[bool]:
        return ensureDeferred(self.retrying.until_taken(self.door.take))

    def test_it_is_opened_once(self) -> None:
        self.assertTrue(self.successResultOf(ensureDeferred(self.retrying.open())))
        self.assertTrue(self.successResultOf(self.asking()))
        self.assertEqual((self.door.opened, self.door.asked), ([0.0], [0.0]))

    def test_it_is_asked_less_and_less_often(self) -> None:
        self.door.failing = StoreUnavailable("locked")
        with captured() as events:
            waiting = self.asking()
            self.clock.pump([0.01] * 10000)
            self.assertNoResult(waiting)
            waits = [b - a for a, b in zip(self.door.asked, self.door.asked[1:], strict=False)]
            self.assertApproximates(waits[0], FIRST_DELAY, 0.02)
            self.assertApproximates(waits[-1], LAST_DELAY, 0.02)
            self.assertEqual((self.progress.state, self.progress.error), ("waiting", "locked"))
            self.door.failing = None
            self.clock.advance(LAST_DELAY)
            self.assertTrue(self.successResultOf(waiting))
        self.assertIsNone(self.progress.error)
        self.assertEqual(self.door.opened, [0.0])
        self.assertEqual(len(events), 2)

    def test_nobody_is_told_of_a_wait_that_is_over(self) -> None:
        """Not even where nothing comes that would be brought in, as behind a start before the store's."""
        for state in ("idle", "working"):
            self.progress.state = state
            self.door.failing = StoreUnavailable("starting up")
            with captured():
                waiting = self.asking()
                self.assertEqual(self.progress.state, "waiting")
                self.door.failing = None
                self.clock.advance(LAST_DELAY)
                self.assertTrue(self.successResultOf(waiting))
            self.assertEqual((self.progress.state, self.progress.error), (state, None))

    def test_one_that_refuses_is_opened_anew(self) -> None:
        """Somebody has to see to it, and it may be another one then."""
        self.door.failing = StoreRefused("a newer schema")
        with captured():
            waiting = self.asking()
            self.door.failing = None
            self.clock.advance(LAST_DELAY)
            self.assertTrue(self.successResultOf(waiting))
        self.assertEqual(self.door.opened, [0.0, LAST_DELAY])

    def test_leaving_ends_the_wait(self) -> None:
        self.door.failing = StoreUnavailable("away")
        with captured():
            waiting = self.asking()
            self.retrying.leave()
            self.assertFalse(self.successResultOf(waiting))
            # Whatever comes now is tried once: it may be the last batch.
            self.assertFalse(self.successResultOf(self.asking()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
