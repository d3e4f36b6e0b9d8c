"""Claude Code, headless, through the proxy to a scripted Messages API."""

from __future__ import annotations

import json
from typing import Any

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.clients import claude_code
from tests.integration.proxy import Proxy
from tests.integration.upstream import Answer, Asked

COMMAND = "echo the sum is $((40 + 2))"


def results(asked: Asked) -> list[Any]:
    """The tool results that a request carries."""
    contents = [message["content"] for message in asked.json.get("messages", ())]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part for part in parts if part["type"] == "tool_result"]


def is_turn(asked: Asked) -> bool:
    """Whether this is a turn of the conversation, and no side call."""
    return asked.target.startswith("/v1/messages?") and any(
        tool.get("name") == "Bash" for tool in asked.json.get("tools") or ()
    )


def with_tool_round(asked: Asked) -> Answer:
    """Have a command run, then say what came of it; answer side calls with a word."""
    stream = bool(asked.json.get("stream"))
    if not is_turn(asked):
        return answers.anthropic(stream, answers.text("Fine."))
    if results(asked):
        return answers.anthropic(stream, answers.text("The command has run."))
    call = answers.tool_use("Bash", {"command": COMMAND, "description": "Add two numbers"})
    return answers.anthropic(stream, answers.text("Let me see."), call, stop="tool_use")


class ClaudeCodeTests(ProxyCase):
    """Turns, tools, and what the client does about a broken stream."""

    def claude(self, proxy: Proxy, prompt: str) -> list[Any]:
        """Run one headless prompt; its events."""
        return claude_code(self.folder / "home", proxy.url, prompt)

    def test_tool_round(self) -> None:
        """A turn calls a tool, the client runs it, and the next turn carries what it said."""
        upstream = self.upstream(with_tool_round)
        events = self.claude(self.proxy(upstream), "Add 40 and 2 with a command.")
        result = events[-1]
        self.assertEqual((result["type"], result["subtype"]), ("result", "success"), result)
        self.assertEqual(result["result"], "The command has run.")
        turns = [asked for asked in upstream.asked if is_turn(asked)]
        self.assertEqual(len(turns), 2)
        [outcome] = results(turns[1])
        self.assertIn("the sum is 42", json.dumps(outcome["content"]))
        for turn in turns:
            self.assertTrue(turn.json["stream"])
            self.assertEqual(turn.header("x-api-key"), "sk-mine")
            self.assertIn("beta=true", turn.target)
            self.assertTrue(turn.header("x-claude-code-session-id"))
        self.assertNotIn("HEAD", [asked.method for asked in upstream.asked])

    def test_broken_stream_is_asked_again(self) -> None:
        """A stream that the upstream cuts is seen as cut: the client asks again, not streaming."""

        def script(asked: Asked) -> Answer:
            if is_turn(asked) and asked.json.get("stream"):
                frames = answers.anthropic_frames([answers.text("This never ends.")])[:5]
                return Answer(frames, headers=answers.STREAM, cut=True)
            return answers.anthropic(bool(asked.json.get("stream")), answers.text("Whole."))

        upstream = self.upstream(script)
        events = self.claude(self.proxy(upstream), "Say something.")
        self.assertEqual(events[-1]["result"], "Whole.")
        turns = [bool(asked.json.get("stream")) for asked in upstream.asked if is_turn(asked)]
        self.assertEqual(turns[-1], False)
        self.assertIn(True, turns)

    def test_overloaded_is_asked_again(self) -> None:
        """A 529 reaches the client as the upstream worded it, and the client's own retry does the
        rest.
        """
        refused: list[Asked] = []

        def script(asked: Asked) -> Answer:
            if is_turn(asked) and not refused:
                refused.append(asked)
                headers = ("retry-after", "1")
                return answers.anthropic_error(529, "overloaded_error", "Overloaded", headers)
            return answers.anthropic(bool(asked.json.get("stream")), answers.text("Here I am."))

        upstream = self.upstream(script)
        events = self.claude(self.proxy(upstream), "Say something.")
        self.assertEqual(events[-1]["result"], "Here I am.")
        turns = [asked for asked in upstream.asked if is_turn(asked)]
        self.assertEqual(len(turns), 2)
