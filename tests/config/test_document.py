"""Tests of :mod:`clawproxy.config.document`."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config import ConfigError, Mistake
from clawproxy.config.document import parse, parse_value
from clawproxy.config.tree import Node

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def value_of(node: Node) -> object:
    """Give a tree back as plain values."""
    match node.value:
        case dict() as mapping:
            return {key: value_of(item) for key, item in mapping.items()}
        case list() as items:
            return [value_of(item) for item in items]
    return node.value


class Parse(SynchronousTestCase):
    def mistakes(self, text: str) -> list[Mistake]:
        error: ConfigError = self.assertRaises(ConfigError, parse, text, "f")
        return error.mistakes

    def test_lines_are_those_of_the_keys(self) -> None:
        tree = parse("a:\n  b:\n    - 1\n    - x: 2\n", "f")
        for key, line in (("a", 1), ("a.b", 2), ("a.b.0", 3), ("a.b.1.x", 4)):
            self.assertEqual(tree.origin_of(tuple(key.split("."))).line, line)
        self.assertEqual(tree.origin_of(("a", "gone")).line, 1)

    def test_scalars_keep_their_text(self) -> None:
        tree = parse("a: 2023-06-01\nb: 0123\nc: 1:30\nd: yes\n", "f")
        texts = {key: tree.value[key].text for key in "abcd"}  # type: ignore[index,call-overload,union-attr]
        self.assertEqual(texts, {"a": "2023-06-01", "b": "0123", "c": "1:30", "d": "yes"})

    def test_a_key_that_stands_twice(self) -> None:
        (mistake,) = self.mistakes("a:\n  b: 1\n  c: 2\n  b: 3\n")
        self.assertEqual((mistake.line, mistake.key), (4, "a.b"))

    def test_merge_keys(self) -> None:
        tree = parse("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n", "f")
        self.assertEqual(value_of(tree), {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}})

    def test_what_is_wrong(self) -> None:
        for text in (
            "a: [1",
            "a: 'x",
            "\ta: 1",
            "a: 1\n b: 2",
            "--- {}\n--- {}",
            "a: *x",
            "&a [*a]",
            "a: &a [*a]",
            "a: !!python/object:os.system x",
            "a: !x y",
            "a: !!binary aGk=",
            "a: !!python/object:os.system {}",
            "!!python/object:os.system {a: 1}",
            "a: !!python/tuple [1]",
            "? [1]\n: 2",
            "- 1",
            "text",
            "a: \x01",
            "<<: 3",
            "[" * 5000,
        ):
            for mistake in self.mistakes(text):
                self.assertEqual(mistake.file, "f")
                self.assertEqual(len(str(mistake).splitlines()), 1)

    def test_the_line_of_a_syntax_error(self) -> None:
        self.assertEqual(self.mistakes("a: 1\nb: [1\nc: 2\n")[0].line, 3)

    def test_the_words_of_a_syntax_error(self) -> None:
        for text, words in (
            ("a: {b: c {d}}", "expected ',' or '}', but got '{'"),
            ("\ta: 1", r"found character '\t' that cannot start any token"),
            ("a: *secret", "found undefined alias '…'"),
            ("a: [", "but found '<stream end>'"),
        ):
            self.assertIn(words, self.mistakes(text)[0].found)

    @settings(max_examples=100, deadline=None)
    @given(TREES)
    def test_the_same_values_as_safe_load(self, tree: object) -> None:
        text = yaml.safe_dump(tree, allow_unicode=True)
        self.assertEqual(value_of(parse_value(text, "f")), yaml.safe_load(text))

    @settings(max_examples=200, deadline=None)
    @given(st.text(alphabet="ab:-[]{}&*!|>'\"#\n \t?,<%@", max_size=24))
    def test_nothing_else_is_ever_raised(self, text: str) -> None:
        try:
            parse(text, "f")
        except ConfigError as error:
            self.assertTrue(error.mistakes)
