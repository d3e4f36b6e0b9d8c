"""Tests of :mod:`clawproxy.config.expansion`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from clawproxy.config.expansion import ExpansionError, expand
from tests.config.loading import ConfigTestCase

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(max_size=12)
PLAIN = st.text(max_size=8).filter(lambda text: "${" not in text and not text.endswith("$"))


class Expand(ConfigTestCase):
    def test_examples(self) -> None:
        environ = {"A": "one", "EMPTY": "", "B": "${A}"}
        for text, expected in (
            ("", ""),
            ("plain", "plain"),
            ("${A}", "one"),
            ("x${A}y${A}z", "xoneyonez"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${NONE:-d}", "d"),
            ("${NONE:-}", ""),
            ("${A:-d}", "one"),
            ("${NONE:-${A}}", "one"),
            ("${NONE:-${GONE:-deep}}!", "deep!"),
            ("${A:-${GONE}}", "one"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${B}", "${A}"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("$A $$ $", "$A $$ $"),
            ("}", "}"),
        ):
            self.assertEqual(expand(text, environ), expected, text)

    def test_what_cannot_be_filled_in(self) -> None:
        wrong = ["${NONE}", "${", "${}", "${A", "${A-d}", "${A:-d", "${1A}", "${A:-${B}", "${-A}"]
        for text in (*wrong, "${ A}", "${A }"):
            self.assertRaises(ExpansionError, expand, text, {"A": "one"})

    def test_a_name_is_ascii(self) -> None:
        self.assertRaises(ExpansionError, expand, "${É}", {"É": "x"})

    @settings(max_examples=150, deadline=None)
    @given(PLAIN)
    def test_text_without_variables_stays(self, text: str) -> None:
        self.assertEqual(expand(text, {}), text)

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(PLAIN, NAMES, VALUES), max_size=5), PLAIN)
    def test_what_a_variable_holds_is_literal(
        self, parts: list[tuple[str, str, str]], tail: str
    ) -> None:
        environ = {name: value for _, name, value in parts}
        text = "".join(f"{before}${{{name}}}" for before, name, _ in parts) + tail
        expected = "".join(before + environ[name] for before, name, _ in parts) + tail
        self.assertEqual(expand(text, environ), expected)

    @settings(max_examples=150, deadline=None)
    @given(NAMES, st.text(max_size=10).filter(lambda text: not set(text) & set("${}")), VALUES)
    def test_the_default_stands_in_for_unset_and_empty(
        self, name: str, default: str, value: str
    ) -> None:
        text = f"${{{name}:-{default}}}"
        self.assertEqual(expand(text, {}), default)
        self.assertEqual(expand(text, {name: value}), value or default)

    @settings(max_examples=150, deadline=None)
    @given(st.text(max_size=20))
    def test_every_text_can_be_escaped(self, text: str) -> None:
        # A dollar before what has to be escaped would itself become part of the escape.
        if "$${" not in text:
            self.assertEqual(expand(text.replace("${", "$${"), {}), text)

    @settings(max_examples=300, deadline=None)
    @given(st.text(alphabet="${}:-A1 x", max_size=16))
    def test_nothing_else_is_ever_raised(self, text: str) -> None:
        try:
            expand(text, {"A": "a"})
        except ExpansionError as error:
            self.assertTrue(error.found and error.expected)


class InFiles(ConfigTestCase):
    def test_filled_in_after_the_yaml_is_parsed(self) -> None:
        config = self.config(
            """
            auth: {api_keys: ["${KEY}"]}
            server: {max_body: "${SIZE}", listen: "${LISTEN:-tcp:0}"}
            dashboard: {enabled: "${DASHBOARD:-false}", password: "${PASSWORD:-}"}
            """,
            {"KEY": "a, b: [c]", "SIZE": "1000"},
        )
        self.assertEqual(config.auth.api_keys[0].key.reveal(), "a, b: [c]")
        self.assertEqual(config.server.max_body, 1000)
        self.assertEqual(config.server.listen, ("tcp:0",))
        self.assertFalse(config.dashboard.enabled)
        self.assertIsNone(config.dashboard.password)

    def test_keys_are_left_alone(self) -> None:
        mappings = self.config("subagents: {mappings: {'${A}': '${A}'}}", {"A": "x"})
        self.assertEqual(mappings.subagents.mappings, {"${A}": "x"})

    def test_each_that_is_not_set_is_a_mistake_with_its_line(self) -> None:
        mistakes = self.mistakes("log:\n  level: ${LEVEL}\n\n  format: ${FORMAT}\n")
        self.assertEqual(
            [(mistake.line, mistake.key) for mistake in mistakes if "not set" in mistake.found],
            [(2, "log.level"), (4, "log.format")],
        )
        self.assertEqual(len(mistakes), 2, mistakes)
