"""Responses requests as the API takes them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.parts import (
    Message,
    OpaquePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from clawproxy.core.errors import Kind, ProxyError
from tests.core.dialects.transcripts import built, turn

GO = Message("user", (TextPart("go"),))


def items(*messages: Message) -> list[dict[str, Any]]:
    """The items that an Anthropic caller's conversation becomes."""
    asked = turn("anthropic", messages=messages)
    sent: list[dict[str, Any]] = built("openai_responses", asked, "gpt-5")["input"]
    return sent


class ItemsTests(SynchronousTestCase):
    """What a message becomes."""

    def test_reasoning_that_nothing_follows(self) -> None:
        """The API refuses a reasoning item without the one that it led to; a limit cut the answer."""
        thought = ThinkingPart("openai_responses", "Hm", signature="sealed", id="rs_1")
        other = ThinkingPart("openai_responses", "", signature="too", id="rs_2")
        call, words = ToolCallPart("a", "f", "{}"), TextPart("Yes")
        cases: tuple[tuple[tuple[Part, ...], list[str]], ...] = (
            ((thought,), []),
            ((thought, other, words), ["reasoning", "reasoning", "message"]),
            ((thought, words, other), ["reasoning", "message"]),
            ((thought, call, other, words), ["reasoning", "function_call", "reasoning", "message"]),
            ((words, thought, call), ["message", "reasoning", "function_call"]),
        )
        for said, kinds in cases:
            sent = items(GO, Message("assistant", said), GO)
            self.assertEqual([item["type"] for item in sent[1:-1]], kinds)

    def test_results_come_first(self) -> None:
        """They answer what was called last, wherever they stand in their message."""
        sent = items(
            GO,
            Message("assistant", (ToolCallPart("a", "f", "{}"), ToolCallPart("b", "f", "{}"))),
            Message(
                "user",
                (
                    TextPart("Look:"),
                    ToolResultPart("a", (TextPart("1"),)),
                    TextPart("and"),
                    ToolResultPart("b", (TextPart(""),), is_error=True),
                ),
            ),
        )
        self.assertEqual(
            [item["type"] for item in sent[3:]],
            ["function_call_output", "function_call_output", "message"],
        )
        self.assertEqual([item["output"] for item in sent[3:5]], ["1", "Error: The tool failed."])
        self.assertEqual([part["text"] for part in sent[5]["content"]], ["Look:", "and"])

    def test_machinery_blocks(self) -> None:
        """Anthropic's blocks about itself are left out; a compaction is the text it holds."""
        search = OpaquePart("anthropic", "server_tool_use", b'{"name":"tool_search_tool_regex"}')
        found = OpaquePart("anthropic", "tool_search_tool_result", b"{}")
        compacted = OpaquePart("anthropic", "compaction", b'{"content":"So far."}')
        sent = items(GO, Message("assistant", (search, found, compacted, TextPart("Yes"))))
        self.assertEqual([item["type"] for item in sent], ["message", "message"])
        self.assertEqual([part["text"] for part in sent[1]["content"]], ["So far.", "Yes"])
        other = OpaquePart("anthropic", "web_search_tool_result", b"{}", where="W")
        error = self.assertRaises(ProxyError, items, Message("assistant", (other,)))
        self.assertEqual((error.kind, error.param), (Kind.UNSUPPORTED_PARAMETER, "W"))
