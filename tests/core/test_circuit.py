"""Tests for :mod:`clawproxy.core.circuit`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.circuit import (
    FAILURES_TO_OPEN,
    OPEN_AT_MOST,
    OPEN_FOR,
    Circuit,
    State,
    counts,
)
from clawproxy.core.errors import Kind
from clawproxy.core.policy import Cause, Failure

DOWN = Failure(Cause.CONNECT)


def opened(now: float = 100.0) -> Circuit:
    """Make a circuit that has just opened."""
    circuit = Circuit("p")
    for _ in range(FAILURES_TO_OPEN):
        circuit.failed(DOWN, now)
    return circuit


class Counting(SynchronousTestCase):
    """What is the provider's fault."""

    def test_outcomes(self) -> None:
        for status in (500, 502, 503, 504, 529):
            self.assertTrue(counts(Failure(Cause.STATUS, status)))
        for status in (400, 401, 404, 408, 409, 413, 429):
            self.assertFalse(counts(Failure(Cause.STATUS, status)))
        for cause in (Cause.CONNECT, Cause.LOST, Cause.SILENT):
            self.assertTrue(counts(Failure(cause)))

    def test_404s_never_open_it(self) -> None:
        circuit = Circuit("p")
        for _ in range(100):
            circuit.failed(Failure(Cause.STATUS, 404), 0)
        self.assertIs(circuit.state(0), State.CLOSED)


class States(SynchronousTestCase):
    """Closed, open, half open."""

    def test_only_failures_in_a_row_open_it(self) -> None:
        circuit = Circuit("p")
        for _ in range(10):
            for _ in range(FAILURES_TO_OPEN - 1):
                circuit.failed(DOWN, 0)
            circuit.succeeded()
        self.assertTrue(circuit.admit(0))
        for _ in range(FAILURES_TO_OPEN):
            self.assertTrue(circuit.admit(0))
            circuit.failed(DOWN, 0)
        self.assertFalse(circuit.admit(0))

    def test_it_refuses_while_open_and_says_for_how_long(self) -> None:
        circuit = opened(100)
        self.assertFalse(circuit.admit(100 + OPEN_FOR - 0.001))
        error = circuit.refusal(100 + OPEN_FOR - 2.5)
        self.assertIs(error.kind, Kind.UNAVAILABLE)
        self.assertEqual(error.headers, (("retry-after", "3"),))
        self.assertIn("'p'", error.message)
        self.assertEqual(circuit.refusal(1e9).headers, (("retry-after", "1"),))

    def test_exactly_one_probe_passes(self) -> None:
        circuit = opened(100)
        now = 100 + OPEN_FOR
        self.assertIs(circuit.state(now), State.HALF_OPEN)
        self.assertEqual([circuit.admit(now) for _ in range(5)], [True] + [False] * 4)

    def test_the_probes_success_closes_it(self) -> None:
        circuit = opened(100)
        circuit.admit(100 + OPEN_FOR)
        circuit.succeeded()
        self.assertIs(circuit.state(100 + OPEN_FOR), State.CLOSED)
        self.assertEqual([circuit.admit(200) for _ in range(3)], [True] * 3)

    def test_the_probes_failure_opens_it_for_longer(self) -> None:
        circuit = opened(0)
        now, rest = 0.0, OPEN_FOR
        for _ in range(8):
            now += rest
            self.assertTrue(circuit.admit(now))
            circuit.failed(DOWN, now)
            rest = min(rest * 2, OPEN_AT_MOST)
            self.assertIs(circuit.state(now + rest - 0.001), State.OPEN)
            self.assertIs(circuit.state(now + rest), State.HALF_OPEN)
        circuit.succeeded()
        for _ in range(FAILURES_TO_OPEN):
            circuit.failed(DOWN, now)
        self.assertIs(circuit.state(now + OPEN_FOR), State.HALF_OPEN)

    def test_a_probe_whose_caller_left_makes_room_for_another(self) -> None:
        circuit = opened(0)
        self.assertTrue(circuit.admit(OPEN_FOR))
        circuit.undecided()
        self.assertTrue(circuit.admit(OPEN_FOR))
        self.assertFalse(circuit.admit(OPEN_FOR))

    def test_late_failures_do_not_prolong_it(self) -> None:
        circuit = opened(0)
        for late in range(10):
            circuit.failed(DOWN, float(late))
        self.assertIs(circuit.state(OPEN_FOR), State.HALF_OPEN)
