"""Axes that can be read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.dashboard.chart_axis import axis, time_step

HOUR = 3_600_000


class AxisCase(SynchronousTestCase):
    """Marks."""

    @given(st.floats(min_value=1e-6, max_value=1e15))
    def test_axis(self, largest: float) -> None:
        """An axis begins at 0, ends at or above the largest value, and has few marks."""
        marks = axis(largest)
        self.assertEqual(marks[0], 0)
        self.assertGreaterEqual(marks[-1] * 1.002, largest)
        self.assertLessEqual(marks[-1], largest * 2.6)
        self.assertLessEqual(len(marks), 6)

    @given(st.integers(min_value=1, max_value=10**12))
    def test_axis_of_counts(self, largest: int) -> None:
        """What counts is marked at whole numbers, of which a page would else show some twice and some wrong."""
        marks = axis(largest, whole=True)
        self.assertEqual([mark for mark in marks if mark != round(mark)], [])
        self.assertGreaterEqual(marks[-1] * 1.002, largest)
        self.assertLessEqual(marks[-1], largest * 2.6)
        self.assertLessEqual(len(marks), 6)

    def test_times(self) -> None:
        """Marks of time are round."""
        self.assertEqual(time_step(HOUR), 600_000)
        self.assertEqual(time_step(24 * HOUR), 3 * HOUR)
        self.assertEqual(time_step(7 * 24 * HOUR), 24 * HOUR)
