"""Stores that are lent."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store.pool import StorePool
from clawproxy.store.protocol import Store, StoreRefused, StoreUnavailable


class Fake:
    """A store that counts."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.opened = self.closed = 0

    async def open(self) -> None:
        """Open, or not."""
        if self.fault is not None:
            raise self.fault
        self.opened += 1

    async def close(self) -> None:
        """Close."""
        self.closed += 1


class Pool(SynchronousTestCase):
    """Lending and waiting."""

    def setUp(self) -> None:
        """Have a pool of two."""
        self.made: list[Fake] = []
        self.fault: Exception | None = None
        self.pool = StorePool(self.make, 2)

    def make(self) -> Store:
        """Make a store."""
        self.made.append(Fake(self.fault))
        return cast(Store, self.made[-1])

    def use(self, until: Deferred[Any]) -> Deferred[Any]:
        """Use a store until something happens."""

        async def work(store: Store) -> Any:
            return await until

        return Deferred.fromCoroutine(self.pool.run(work))

    def test_in_line(self) -> None:
        """A third caller waits for a store, and no third one is made."""
        ends: list[Deferred[str]] = [Deferred() for _ in range(3)]
        users = [self.use(end) for end in ends]
        self.assertEqual(len(self.made), 2)
        ends[2].callback("third")
        self.assertNoResult(users[2])
        ends[0].callback("first")
        self.assertEqual(self.successResultOf(users[0]), "first")
        self.assertEqual(self.successResultOf(users[2]), "third")
        self.assertEqual([each.opened for each in self.made], [1, 1])

    def test_whoever_waits_may_leave(self) -> None:
        """The next one in line gets the store."""
        ends: list[Deferred[str]] = [Deferred() for _ in range(4)]
        users = [self.use(end) for end in ends]
        users[2].cancel()
        self.failureResultOf(users[2], CancelledError)
        users[0].cancel()
        self.failureResultOf(users[0], CancelledError)
        ends[3].callback("fourth")
        self.assertEqual(self.successResultOf(users[3]), "fourth")

    def test_a_store_that_is_away(self) -> None:
        """Each call tries anew, and the pool does not shrink."""
        self.fault = StoreUnavailable("away")
        for _ in range(5):
            self.failureResultOf(self.use(Deferred()), StoreUnavailable)
        self.fault = None
        ends: list[Deferred[str]] = [Deferred() for _ in range(2)]
        users = [self.use(end) for end in ends]
        for user, end in zip(users, ends, strict=True):
            end.callback("fine")
            self.assertEqual(self.successResultOf(user), "fine")

    def test_a_store_that_is_refused(self) -> None:
        """It is closed and made anew."""
        end: Deferred[Any] = Deferred()
        user = self.use(end)
        end.errback(StoreRefused("newer"))
        self.failureResultOf(user, StoreRefused)
        self.assertEqual(self.made[0].closed, 1)
        done: Deferred[str] = Deferred()
        user = self.use(done)
        done.callback("fine")
        self.assertEqual(self.successResultOf(user), "fine")
        self.assertEqual(len(self.made), 2)
