"""Differences between texts."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.dashboard import diff
from tests.dashboard.stories import PATCH

TEXTS = st.lists(
    st.sampled_from(["a", "b", "c d", "", "self.x = 1", "self.x = 2"]), max_size=12
).map("\n".join)


def signs(lines: list[diff.Line]) -> str:
    """Give the signs of a difference."""
    return "".join(line.sign for line in lines)


class CompareCase(SynchronousTestCase):
    """Two texts at hand."""

    def test_words(self) -> None:
        """In two lines that are much alike the changed words are marked."""
        old, new = diff.compare("total = a + b", "total = a - b")
        self.assertEqual(old.spans, (("total = a ", False), ("+", True), (" b", False)))
        self.assertEqual(new.spans, (("total = a ", False), ("-", True), (" b", False)))

    def test_unlike(self) -> None:
        """In two lines that have nothing in common nothing is."""
        old, new = diff.compare("import os", "return None")
        self.assertEqual(
            (old.spans, new.spans), ((("import os", False),), (("return None", False),))
        )

    def test_context(self) -> None:
        """Three equal lines stand around a change, the rest is one line."""
        before = [str(number) for number in range(40)]
        after = [*before[:20], "new", *before[20:]]
        found = diff.compare("\n".join(before), "\n".join(after))
        self.assertEqual(signs(found), "~   +   ~")
        self.assertEqual(found[0].text, "17 equal lines")
        self.assertEqual(found[4].new, 21)

    def test_counts(self) -> None:
        """Lines put in and taken out are counted."""
        self.assertEqual(diff.counts(diff.compare("a\nb", "a\nc\nd")), (2, 1))

    @given(TEXTS, TEXTS)
    @settings(deadline=None, max_examples=150)
    def test_whole(self, old: str, new: str) -> None:
        """What is equal or taken out is the old text, what is equal or put in the new one."""
        if old == new:
            self.assertEqual(set(signs(diff.compare(old, new))) & set("+-"), set())
            return
        found = diff.compare(old, new, context=100)
        left = [line.text for line in found if line.sign in " -"]
        right = [line.text for line in found if line.sign in " +"]
        self.assertEqual((left, right), (old.splitlines(), new.splitlines()))

    def test_bounds(self) -> None:
        """Texts that are made to take long do not."""
        began = time.process_time()
        few = "abc" * 4000
        diff.compare("\n".join(few), "\n".join(reversed(few[:-1])))
        diff.compare(
            "\n".join("a b " * 100 for _ in range(60)), "\n".join("b a " * 100 for _ in range(60))
        )
        diff.compare("x" * 5_000_000, "y" * 5_000_000)
        diff.compare("\n" * 100_000, "a\n" * 100_000)
        self.assertLess(time.process_time() - began, 10)


class PatchCase(SynchronousTestCase):
    """Patches that somebody else wrote."""

    def test_apply_patch(self) -> None:
        """The form of ``apply_patch``."""
        found = diff.read_patch(PATCH)
        self.assertEqual(signs(found), "@@-+@+")
        self.assertEqual(found[0].text, "update src/throttle/middleware.py")
        self.assertIn((", clock=clock", True), found[3].spans)

    def test_unified(self) -> None:
        """A unified difference."""
        patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n same\n-old\n+new\n"
        self.assertEqual(signs(diff.read_patch(patch)), "@@ -+")
