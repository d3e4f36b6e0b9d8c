"""Spans say exactly which bodies refer to which parts, with few rows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store.lineage import OPEN, Lineages


class Table:
    """Spans as a database would hold them."""

    def __init__(self, limit: int = 1000) -> None:
        self.lineages = Lineages(limit)
        self.spans: dict[tuple[int, int, int], int] = {}
        self.bodies: dict[tuple[int, int], set[int]] = {}
        self.count = 0

    def place(self, parts: list[int]) -> None:
        self.count += 1
        place = self.lineages.place(parts, self.count)
        for part, first in place.closed:
            key = (place.lineage, part, first)
            assert self.spans[key] == OPEN
            self.spans[key] = place.position
        for part in place.added:
            key = (place.lineage, part, place.position)
            assert key not in self.spans
            self.spans[key] = OPEN
        assert (place.lineage, place.position) not in self.bodies
        self.bodies[place.lineage, place.position] = set(parts)

    def referred(self, lineage: int, position: int) -> set[int]:
        return {
            part
            for (of, part, first), last in self.spans.items()
            if of == lineage and first <= position < last
        }


class LineageTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=150)
    @given(
        st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=25),
        st.sampled_from([3, 20, 1000]),
    )
    def test_every_body_is_covered_exactly(self, bodies: list[list[int]], limit: int) -> None:
        table = Table(limit)
        for body in bodies:
            table.place(body)
        for (lineage, position), parts in table.bodies.items():
            self.assertEqual(table.referred(lineage, position), parts)

    def test_a_session_needs_few_spans(self) -> None:
        table = Table()
        for turn in range(1, 200):
            table.place([0, *range(1, 2 * turn)])
        self.assertLessEqual(len(table.spans), 400)

    def test_a_mark_that_moves_along(self) -> None:
        """The last message carries a cache mark and is another part once it is not the last."""
        table = Table()
        for turn in range(1, 100):
            table.place([0, *range(1, turn), 1000 + turn])
        self.assertLessEqual(len(table.spans), 320)
        self.assertEqual(len({lineage for lineage, _ in table.bodies}), 2)

    def test_sessions_side_by_side(self) -> None:
        table = Table()
        for turn in range(1, 60):
            for session in (1000, 2000, 3000):
                table.place([0, *range(session, session + turn)])
        self.assertLessEqual(len(table.spans), 250)

    def test_forgetting(self) -> None:
        table = Table()
        table.place([1, 2, 3])
        table.lineages.clear()
        table.place([1, 2, 3, 4])
        self.assertEqual(len({lineage for lineage, _ in table.bodies}), 2)
