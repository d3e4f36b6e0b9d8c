"""Callers whose own API caches by itself get Claude's cache, too, where a conversation goes on."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.anthropic_cache import with_cache
from clawproxy.core.dialects.dialect import DIALECTS

TOOL = {"name": "f", "parameters": {"type": "object", "properties": {}}}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
LOOP: list[dict[str, Any]] = [
    {"role": "user", "content": "go"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "done"},
    {"role": "assistant", "content": "It is done."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "and"}, {"type": "text", "text": "now?"}],
    },
]


def sent(asked: dict[str, Any], dialect: DialectName = "openai_chat") -> dict[str, Any]:
    """What Anthropic is asked for a caller's request."""
    body = json.dumps({"model": "m"} | asked).encode()
    turn = with_cache(DIALECTS[dialect].parse_request(body, []))
    found = DIALECTS["anthropic"].build_request(turn, model="claude-opus-5", stream=False)
    return json.loads(found)  # type: ignore[no-any-return]


def marks(request: dict[str, Any]) -> list[str]:
    """The paths of a request's marks."""
    found: list[str] = []

    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict):
            if "cache_control" in node:
                found.append(path)
            for name, inner in node.items():
                walk(inner, f"{path}.{name}" if path else name)
        if isinstance(node, list):
            for index, inner in enumerate(node):
                walk(inner, f"{path}.{index}")

    walk(request, "")
    return sorted(found)


def marked(text: str, **more: str) -> dict[str, Any]:
    """A text with a mark of the caller's own."""
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral", **more}}


class DefaultTests(SynchronousTestCase):
    """Without a word about caching."""

    def test_conversation(self) -> None:
        """Marks stand behind the system prompt and the last two of the user's turns."""
        asked = {"messages": [SYSTEM, *LOOP], "tools": [{"type": "function", "function": TOOL}]}
        out = sent(asked)
        self.assertEqual(
            marks(out),
            ["messages.2.content.0", "messages.4.content.1", "system.0"],
        )
        self.assertEqual(out["system"][0]["cache_control"], {"type": "ephemeral"})
        self.assertEqual(out["messages"][2]["content"][0]["type"], "tool_result")

    def test_next_turn_reads_what_the_last_wrote(self) -> None:
        """A request's last mark stands in the next request again, whatever comes between."""
        for length in (1, 3):
            before = sent(
                {"messages": LOOP[:length], "tools": [{"type": "function", "function": TOOL}]}
            )
            after = sent(
                {"messages": LOOP[: length + 2], "tools": [{"type": "function", "function": TOOL}]}
            )
            last = f"messages.{length - 1}.content.0"
            self.assertIn(last, marks(before))
            self.assertIn(last, marks(after))

    def test_tools_without_a_system_prompt(self) -> None:
        asked = {"messages": LOOP[:1], "tools": [{"type": "function", "function": TOOL}]}
        self.assertEqual(marks(sent(asked)), ["messages.0.content.0"])

    def test_single_question(self) -> None:
        """It would pay the surcharge of a write and never read it."""
        self.assertEqual(marks(sent({"messages": [SYSTEM, LOOP[0]]})), [])

    def test_codex(self) -> None:
        asked = {
            "instructions": "You are Codex.",
            "input": [{"role": "user", "content": "go"}],
            "tools": [{"type": "function", **TOOL}],
            "prompt_cache_key": "k",
        }
        self.assertEqual(
            marks(sent(asked, "openai_responses")), ["messages.0.content.0", "system.0"]
        )
        asked |= {"tools": [{"type": "web_search"}]}
        self.assertEqual(marks(sent(asked, "openai_responses")), [])


class AskedTests(SynchronousTestCase):
    """Callers who say it themselves."""

    def test_own_marks_are_all_there_is(self) -> None:
        """In any place of the request, with their lifetime."""
        tool = {"type": "function", "function": TOOL, "cache_control": {"type": "ephemeral"}}
        for asked, where in (
            (
                {"messages": [{"role": "system", "content": [marked("s", ttl="1h")]}, *LOOP]},
                "system.0",
            ),
            ({"messages": LOOP, "tools": [tool]}, "tools.0"),
            (
                {
                    "messages": [
                        *LOOP[:2],
                        LOOP[2] | {"content": [marked("done")]},
                        *LOOP[3:],
                    ]
                },
                "messages.2.content.0.content.0",
            ),
            (
                {"messages": [*LOOP[:4], LOOP[4] | {"cache_control": {"type": "ephemeral"}}]},
                "messages.4.content.1",
            ),
        ):
            self.assertEqual(marks(sent(asked)), [where])
        self.assertEqual(
            sent({"messages": [{"role": "system", "content": [marked("s", ttl="1h")]}, *LOOP]})[
                "system"
            ][0]["cache_control"]["ttl"],
            "1h",
        )

    def test_whole_request(self) -> None:
        """``cache_control`` at the top asks for it once and for all, a single question, too."""
        top = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
        out = sent(top | {"messages": [SYSTEM, LOOP[0]]})
        self.assertEqual(marks(out), ["messages.0.content.0", "system.0"])
        self.assertEqual(out["system"][0]["cache_control"], top["cache_control"])
        self.assertNotIn("cache_control", out)
        out = sent(top | {"input": "hi"}, "openai_responses")
        self.assertEqual(marks(out), ["messages.0.content.0"])

    def test_never_more_than_four(self) -> None:
        """The caller's own come first, then the end of the conversation."""
        own = [marked(text) for text in "abc"]
        first = [{"role": "system", "content": own[:2]}, LOOP[0] | {"content": own[2:]}]
        asked = {"cache_control": {"type": "ephemeral"}, "messages": first + LOOP[1:]}
        self.assertEqual(
            marks(sent(asked)),
            ["messages.0.content.0", "messages.4.content.1", "system.0", "system.1"],
        )

    def test_callers_of_the_same_api(self) -> None:
        """They know how to ask."""
        asked = {"max_tokens": 9, "messages": [{"role": "user", "content": "go"}]}
        asked["tools"] = [{"name": "f", "input_schema": {"type": "object"}}]
        self.assertEqual(marks(sent(asked, "anthropic")), [])
