"""Interleaved blocks come out in order, each with one start and one stop."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import sequence
from clawproxy.core.dialects.events import (
    BlockStopped,
    Event,
    OpaqueBlock,
    TextDelta,
    TextStarted,
    ToolCallStarted,
)
from clawproxy.core.dialects.sequence import BlockSequence
from clawproxy.core.errors import ProxyError

START, STOP = TextStarted(), BlockStopped()


class SequenceTests(SynchronousTestCase):
    """:class:`BlockSequence`."""

    def test_live_block_passes_at_once(self) -> None:
        """Nothing of the oldest block waits."""
        blocks = BlockSequence()
        self.assertEqual(blocks.start("a", START), [START])
        self.assertEqual(blocks.delta("a", TextDelta("1")), [TextDelta("1")])
        self.assertEqual(blocks.stop("a"), [STOP])

    def test_an_id_that_comes_again(self) -> None:
        """A second call of that id goes without: its caller could not tell their results apart."""
        blocks = BlockSequence()
        first, second = ToolCallStarted("a", "f"), ToolCallStarted("a", "g")
        self.assertEqual(blocks.start(1, first) + blocks.stop(1), [first, STOP])
        self.assertEqual(blocks.start(2, second) + blocks.stop(2), [ToolCallStarted("", "g"), STOP])

    def test_others_wait(self) -> None:
        """A second block comes whole when the first has stopped, and then is live."""
        blocks = BlockSequence()
        blocks.start("a", START)
        self.assertEqual(blocks.start("b", START), [])
        self.assertEqual(blocks.delta("b", TextDelta("b1")), [])
        self.assertEqual(blocks.delta("a", TextDelta("a1")), [TextDelta("a1")])
        self.assertEqual(blocks.stop("a"), [STOP, START, TextDelta("b1")])
        self.assertEqual(blocks.delta("b", TextDelta("b2")), [TextDelta("b2")])
        self.assertEqual(blocks.stop_all(), [STOP])

    def test_what_waits_is_bounded(self) -> None:
        """What is given makes room again."""
        self.patch(sequence, "MAX_WAITING", 1000)
        blocks = BlockSequence()
        for key in ("a", "b", "c"):
            blocks.start(key, START)
        for _ in range(3):
            blocks.delta("a", TextDelta("x" * 900))
        blocks.delta("b", TextDelta("x" * 600))
        self.assertEqual(blocks.stop("a"), [STOP, START, TextDelta("x" * 600)])
        blocks.delta("c", TextDelta("x" * 700))
        error = self.assertRaises(ProxyError, blocks.delta, "c", TextDelta("x"))
        self.assertGreaterEqual(error.http_status, 500)
        opaque = OpaqueBlock("anthropic", "server_tool_use", b"x" * 900)
        self.assertRaises(ProxyError, blocks.whole, "d", opaque)
        self.assertEqual(BlockSequence().whole("d", opaque), [opaque])

    def test_many_that_wait(self) -> None:
        """They are given in a time that grows with their number, and no faster."""
        many = 250_000
        blocks = BlockSequence()
        began = time.process_time()
        for key in range(many):
            blocks.start(key, START)
        for key in range(1, many):
            blocks.stop(key)
        self.assertEqual(len(blocks.stop(0)), 2 * many - 1)
        self.assertLess(time.process_time() - began, 4)

    def test_late_and_unknown(self) -> None:
        """A second stop, a delta after the stop and an unknown key do nothing."""
        blocks = BlockSequence()
        blocks.start("a", START)
        blocks.start("b", START)
        blocks.stop("b")
        self.assertEqual(blocks.delta("b", TextDelta("late")), [])
        self.assertEqual(blocks.stop("b"), [])
        self.assertEqual(blocks.stop("c") + blocks.delta("c", TextDelta("x")), [])
        self.assertEqual(blocks.stop("a"), [STOP, START, STOP])

    def test_whole_block(self) -> None:
        """A block of one event waits its turn and gets no stop."""
        blocks = BlockSequence()
        opaque = OpaqueBlock("anthropic", "novelty", b"{}")
        self.assertEqual(blocks.whole("x", opaque), [opaque])
        blocks.start("a", START)
        self.assertEqual(blocks.whole("y", opaque), [])
        self.assertEqual(blocks.stop("a"), [STOP, opaque])

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.sampled_from("sdx"), st.integers(0, 3)), max_size=40))
    def test_grammar(self, steps: list[tuple[str, int]]) -> None:
        """Whatever the order of the calls, blocks never overlap and nothing is lost or doubled."""
        blocks = BlockSequence()
        out: list[Event] = []
        wanted: dict[int, list[Event]] = {}
        keys: dict[int, int] = {}
        for step, block in steps:
            if step == "s" and block not in keys:
                keys[block] = len(wanted)
                wanted[keys[block]] = [START]
                out += blocks.start(keys[block], START)
            elif step == "d" and block in keys:
                delta = TextDelta(f"{keys[block]}.{len(wanted[keys[block]])}")
                wanted[keys[block]].append(delta)
                out += blocks.delta(keys[block], delta)
            elif step == "x" and block in keys:
                out += blocks.stop(keys.pop(block))
        out += blocks.stop_all()
        self.assertEqual(out, [event for block in wanted.values() for event in [*block, STOP]])
