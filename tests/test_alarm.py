"""A timer whose deadline moves for nothing."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.alarm import Alarm


class AlarmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.looks: list[float] = []
        self.left: float | None = None
        self.alarm = Alarm(self.clock, self.look)

    def look(self) -> float | None:
        self.looks.append(self.clock.seconds())
        return self.left

    def test_looks_when_it_is_due(self) -> None:
        self.alarm.within(5)
        self.clock.advance(4.9)
        self.assertEqual(self.looks, [])
        self.clock.advance(0.2)
        self.assertEqual(len(self.looks), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_looks_again_for_as_long_as_there_is_something_left(self) -> None:
        self.left = 3
        self.alarm.within(5)
        self.clock.pump([1] * 12)
        self.assertEqual(self.looks, [5, 8, 11])

    def test_a_later_deadline_makes_no_timer_and_an_earlier_one_does(self) -> None:
        self.alarm.within(5)
        (timer,) = self.clock.getDelayedCalls()
        self.alarm.within(9)
        self.assertEqual(self.clock.getDelayedCalls(), [timer])
        self.alarm.within(2)
        self.clock.advance(2)
        self.assertEqual((self.looks, timer.active()), ([2], False))

    def test_stopped(self) -> None:
        self.alarm.within(5)
        self.alarm.stop()
        self.alarm.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.alarm.within(1)
        self.clock.advance(1)
        self.assertEqual(self.looks, [1])

    def test_told_while_it_looks(self) -> None:
        self.left = 4

        def look() -> float | None:
            self.looks.append(self.clock.seconds())
            self.alarm.within(1)
            self.left, left = None, self.left
            return left

        self.alarm = Alarm(self.clock, look)
        self.alarm.within(1)
        self.clock.advance(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1)
        self.assertEqual(self.looks, [1, 2])
