"""Text that is told again and again: every word is shown, and none twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.upstream.openclaw.cumulative import CumulativeText

WORDS = st.lists(st.text("ab c", min_size=1, max_size=4), min_size=1, max_size=12)


def tell(into: CumulativeText, words: list[str], item: str | None = None) -> str:
    """Tell a segment in growing pieces."""
    whole, shown = "", ""
    for word in words:
        whole += word
        shown += into.feed(whole, word, item)
    return shown


class Growth(SynchronousTestCase):
    """One segment."""

    def test_pieces(self) -> None:
        text = CumulativeText()
        self.assertEqual(text.feed("He", "He"), "He")
        self.assertEqual(text.feed("Hello", "llo"), "llo")
        self.assertEqual(text.feed("Hello", ""), "")
        self.assertTrue(text.has_told(" Hello\n"))

    def test_gap(self) -> None:
        """Coalesced or lost events: the whole text counts, not the delta."""
        text = CumulativeText()
        text.feed("a", "a")
        self.assertEqual(text.feed("a b c d", " d"), " b c d")

    def test_deltas_alone(self) -> None:
        text = CumulativeText()
        self.assertEqual(text.feed(None, "a") + text.feed(None, "b"), "ab")

    def test_delta_like_the_beginning(self) -> None:
        """A delta that equals the start of the text is not a repetition."""
        text = CumulativeText()
        self.assertEqual(text.feed("ha", "ha"), "ha")
        self.assertEqual(text.feed("haha", "ha"), "ha")
        self.assertEqual(text.feed("hahaha", "ha"), "ha")

    def test_cumulative_deltas(self) -> None:
        """Each event tells the whole text in both places."""
        text = CumulativeText()
        shown = [text.feed(words, words) for words in ("The", "The answer", "The answer is")]
        self.assertEqual(shown, ["The", " answer", " is"])

    def test_told_twice(self) -> None:
        """The same event comes again, the first one too."""
        text = CumulativeText()
        shown = [text.feed(*e) for e in (("Hi", "Hi"), ("Hi", "Hi"), ("Hi you", " you"))]
        self.assertEqual(shown, ["Hi", "", " you"])
        self.assertEqual(text.feed("Hi you", " you"), "")

    def test_rest(self) -> None:
        """The whole text at the end completes what was told, and says nothing twice."""
        text = CumulativeText()
        text.feed("\nHello wor", "\nHello wor")
        self.assertEqual(text.rest("Something else"), "")
        self.assertEqual(text.rest("Hello world."), "ld.")
        self.assertEqual(text.rest("Hello world."), "")
        text.close()
        self.assertEqual(text.rest("Hello world. More"), "")

    def test_half_a_character(self) -> None:
        text = CumulativeText()
        self.assertEqual(text.feed("a\ud83d", "a\ud83d"), "a")
        self.assertEqual(text.feed("a😀", "\ude00"), "😀")

    def test_broken_character(self) -> None:
        text = CumulativeText()
        self.assertEqual(text.feed("a\ude00b", "a\ude00b"), "a\ufffdb")

    @settings(max_examples=100, deadline=None)
    @given(WORDS)
    def test_any_growth(self, words: list[str]) -> None:
        self.assertEqual(tell(CumulativeText(), words, "i:1"), "".join(words))


class Segments(SynchronousTestCase):
    """After a tool call the text starts over."""

    def test_named(self) -> None:
        text = CumulativeText()
        self.assertEqual(text.feed("Let me", "Let me", "i:1"), "Let me")
        self.assertEqual(text.feed("Let", "Let", "i:2"), "\n\nLet")
        self.assertEqual(text.feed("Let us", " us", "i:2"), " us")

    def test_unnamed(self) -> None:
        text = CumulativeText()
        text.feed("Let", "Let")
        text.feed("Let me", " me")
        self.assertEqual(text.feed("Tool", "Tool"), "\n\nTool")

    def test_unnamed_with_the_same_beginning(self) -> None:
        """A text that goes on from what was told is no new segment, whatever its delta says."""
        text = CumulativeText()
        text.feed("I", "I")
        self.assertEqual(text.feed("It works", "It works"), "t works")

    def test_closed(self) -> None:
        text = CumulativeText()
        text.feed("Let me", "Let me")
        text.close()
        self.assertEqual(text.feed("Let me", "Let me"), "\n\nLet me")

    def test_empty(self) -> None:
        text = CumulativeText()
        self.assertEqual(text.feed("", ""), "")
        self.assertFalse(text.shown)
        self.assertEqual(text.feed("x", "x"), "x")


class Repetitions(SynchronousTestCase):
    """A provider is asked again and tells its text from the beginning."""

    def test_the_same(self) -> None:
        text = CumulativeText()
        shown = tell(text, ["one", " two", " three"], "a:1")
        for attempt in "bcd":
            text.again()
            shown += tell(text, ["one", " two", " three"], f"{attempt}:1")
        self.assertEqual(shown, "one two three")

    def test_longer(self) -> None:
        text = CumulativeText()
        shown = tell(text, ["one", " two"])
        text.again()
        shown += tell(text, ["one two three", " four"])
        self.assertEqual(shown, "one two three four")

    def test_retracted_first(self) -> None:
        """2026.9 empties the text, then tells it anew under another name."""
        text = CumulativeText()
        shown = tell(text, ["one", " two"], "a:1")
        shown += text.feed("", "", "a:1", replace=True)
        text.again()
        shown += tell(text, ["one", " two", " three"], "b:1")
        self.assertEqual(shown, "one two three")

    def test_another_course(self) -> None:
        text = CumulativeText()
        shown = tell(text, ["Sure, I can", " help"])
        text.again()
        shown += tell(text, ["Of", " course", "!"])
        self.assertEqual(shown, "Sure, I can help\n\nOf course!")

    def test_another_course_later(self) -> None:
        """What both have in common is not shown twice, and no word is cut."""
        text = CumulativeText()
        shown = tell(text, ["one two thr", "ee"])
        text.again()
        shown += tell(text, ["one two thorns", " four"])
        self.assertEqual(shown, "one two three\n\nthorns four")

    def test_after_a_tool(self) -> None:
        """A finished segment is not told again: the next one is new, whatever it says."""
        text = CumulativeText()
        shown = tell(text, ["Let me run it."])
        text.close()
        text.again()
        shown += tell(text, ["Let me run it.", " Again."])
        self.assertEqual(shown, "Let me run it.\n\nLet me run it. Again.")

    @settings(max_examples=100, deadline=None)
    @given(WORDS, st.lists(st.integers(0, 12), max_size=4))
    def test_any_interruptions(self, words: list[str], cuts: list[int]) -> None:
        """However often it is cut off and told again, the text is shown once."""
        text, shown = CumulativeText(), ""
        for number, cut in enumerate([*cuts, len(words)]):
            shown += tell(text, words[:cut], f"{number}:1")
            text.again()
        self.assertEqual(shown, "".join(words))


class Corrections(SynchronousTestCase):
    """The gateway corrects a text; a stream cannot."""

    def test_shortened(self) -> None:
        text = CumulativeText()
        text.feed("Hello [[tag]]", "Hello [[tag]]", "i")
        self.assertEqual(text.feed("Hello", "", "i", replace=True), "")
        self.assertEqual(text.feed("Hello", "", "i"), "")

    def test_head_taken_off(self) -> None:
        text = CumulativeText()
        text.feed("[[reply]] Hello", "x", "i")
        self.assertEqual(text.feed("Hello", "", "i", replace=True), "")
        self.assertEqual(text.feed("Hello there", " there", "i"), " there")

    def test_prolonged(self) -> None:
        text = CumulativeText()
        text.feed("Hello", "Hello", "i")
        self.assertEqual(text.feed("Hello you", "", "i", replace=True), " you")

    def test_changed(self) -> None:
        text = CumulativeText()
        text.feed("Hello wrld of", "Hello wrld of", "i")
        self.assertEqual(text.feed("Hello world of", "", "i", replace=True), "\n\nworld of")
        self.assertEqual(text.feed("Hello world of love", " love", "i"), " love")

    def test_changed_without_saying_so(self) -> None:
        text = CumulativeText()
        text.feed("Hello wrld", "Hello wrld", "i")
        self.assertEqual(text.feed("Hello world", "", "i"), "\n\nworld")

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.none() | st.text("ab ", max_size=6),
                st.text("ab ", max_size=3),
                st.none() | st.sampled_from("xy"),
                st.booleans(),
                st.sampled_from(["feed", "again", "close"]),
            ),
            max_size=12,
        )
    )
    def test_anything(self, events: list[tuple[str | None, str, str | None, bool, str]]) -> None:
        """No order of events breaks it."""
        text = CumulativeText()
        for whole, delta, item, replace, what in events:
            if what == "again":
                text.again()
            elif what == "close":
                text.close()
            else:
                text.feed(whole, delta, item, replace).encode()
