"""Tests for :mod:`clawproxy.core.subagents`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.subagents import Definition, Match, Subagents, definition, system_text

REVIEWER = """---
name: code-reviewer
description: Reviews code
model: sonnet
---

You are a strict   reviewer.

Look at every line.
"""
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197"}
CLAUDE = {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}


def block(text: str) -> dict[str, str]:
    """Make a text block."""
    return {"type": "text", "text": text}


class Definitions(SynchronousTestCase):
    """Files of ``.claude/agents``."""

    def test_front_matter(self) -> None:
        read = definition(REVIEWER, "file")
        self.assertEqual(read.name, "code-reviewer")
        self.assertTrue(read.prompt.strip().startswith("You are a strict"))

    def test_other_line_ends_and_a_byte_order_mark(self) -> None:
        read = definition("\ufeff" + REVIEWER.replace("\n", "\r\n"), "file")
        self.assertEqual(read.name, "code-reviewer")
        self.assertNotIn("---", read.prompt)

    def test_what_is_not_quite_yaml(self) -> None:
        text = (
            "---\nname: 'docs'\ndescription: Use it when: <example>user: \"hi\"</example>\n---\np"
        )
        self.assertEqual(definition(text, "file"), Definition("docs", "p"))

    def test_the_file_names_what_does_not_name_itself(self) -> None:
        for text, prompt in (
            ("just a prompt", "just a prompt"),
            ("---\n---\np", "p"),
            ("---\ndescription: d\n---\np", "p"),
            ("---\nname:\n---\np", "p"),
            ("---\n- a\n---\np", "p"),
            ("---\nnot closed", "---\nnot closed"),
            ("", ""),
        ):
            self.assertEqual(definition(text, "file"), Definition("file", prompt), text)

    @settings(deadline=None, max_examples=200)
    @given(st.text(max_size=60) | st.text("-nam:\n\r 2'[]{}&*!|", max_size=30))
    def test_no_file_raises(self, text: str) -> None:
        for content in (text, f"---\n{text}\n---\nprompt"):
            self.assertTrue(definition(content, "file").name)


class Recognition(SynchronousTestCase):
    """Whose request it is."""

    found = Match("code-reviewer", "gpt-4o")

    def setUp(self) -> None:
        self.subagents = Subagents(
            {"code-reviewer": "gpt-4o", "unwritten": "o3"},
            [definition(REVIEWER, "x"), Definition("unmapped", "You are Claude Code.")],
        )

    def test_by_header(self) -> None:
        for agent_id in ("code-reviewer", " code-reviewer "):
            self.assertEqual(self.subagents.recognise(agent_id, None), self.found)
        self.assertEqual(self.subagents.recognise("unwritten", [BILLING]), Match("unwritten", "o3"))

    def test_by_prompt_wherever_it_stands(self) -> None:
        prompt = "You are a strict reviewer.\nLook at every line."
        for system in (
            prompt,
            [block(prompt)],
            [BILLING, CLAUDE, block(prompt + "\n\nNotes:\n- be brief")],
            [block("Before. " + prompt.replace("\n", "\r\n\t ") + " After."), CLAUDE],
            [BILLING, "odd", 7, None, {"type": "image"}, block(prompt)],
        ):
            for agent_id in (None, "a51f00c2"):
                self.assertEqual(self.subagents.recognise(agent_id, system), self.found)

    def test_all_else_is_nobody(self) -> None:
        systems: tuple[object, ...] = (
            None,
            "",
            [],
            {},
            7,
            [BILLING, CLAUDE],
            "You are a strict reviewer.",
        )
        for system in systems:
            self.assertIsNone(self.subagents.recognise(None, system), system)
            self.assertIsNone(self.subagents.recognise("unmapped", system), system)

    def test_the_longest_contained_prompt_wins(self) -> None:
        made = Subagents(
            {"a": "m-a", "b": "m-b"},
            [Definition("a", "Be brief."), Definition("b", "Be brief. And kind.")],
        )
        for system, model in (("Be brief. And kind. Now.", "m-b"), ("Be brief. Now.", "m-a")):
            found = made.recognise(None, system)
            self.assertEqual(found and found.model, model)

    def test_an_empty_prompt_matches_nothing(self) -> None:
        made = Subagents({"a": "m"}, [Definition("a", " \n ")])
        self.assertIsNone(made.recognise(None, "anything"))

    def test_the_first_definition_of_a_name_counts(self) -> None:
        made = Subagents({"a": "m"}, [Definition("a", "first one"), Definition("a", "second one")])
        self.assertIsNotNone(made.recognise(None, "the first one"))
        self.assertIsNone(made.recognise(None, "the second one"))

    def test_text_of_a_system(self) -> None:
        self.assertEqual(system_text([block(" a\nb "), "c", 1, {"text": 2}]), "a b c")
