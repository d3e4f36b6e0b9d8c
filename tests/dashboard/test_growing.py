"""The text of streams that are still coming."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.dashboard.growing import LIMIT, Growing


def frames(*events: Any, name: bool = True) -> bytes:
    """Server-sent events of these values."""
    lines = []
    for each in events:
        if name:
            lines.append(f"event: {each['type']}\n")
        lines.append(f"data: {json.dumps(each)}\n\n")
    return "".join(lines).encode()


ANTHROPIC = frames(
    {"type": "message_start", "message": {"content": []}},
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "thinking", "thinking": ""},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "hm"},
    },
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hé"}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "llo"}},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "name": "Bash", "input": {}},
    },
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
)
CHAT = (
    frames(
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]},
        {
            "choices": [
                {"index": 0, "delta": {"content": "Hé"}},
                {"index": 1, "delta": {"content": "other"}},
            ]
        },
        {"choices": [{"index": 0, "delta": {"content": "llo", "tool_calls": None}}]},
        {
            "choices": [
                {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "Bash"}}]}}
            ]
        },
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
                }
            ]
        },
        {"choices": [], "usage": {}},
        name=False,
    )
    + b"data: [DONE]\n\n"
)
RESPONSES = frames(
    {"type": "response.created", "response": {}},
    {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
    {"type": "response.output_text.delta", "delta": "Hé"},
    {"type": "response.output_text.delta", "delta": "llo"},
    {"type": "response.output_text.done", "text": "Héllo"},
    {"type": "response.output_item.added", "item": {"type": "function_call", "name": "Bash"}},
    {"type": "response.function_call_arguments.delta", "delta": "{}"},
    {"type": "response.completed", "response": {}},
)
STREAMS: dict[DialectName, bytes] = {
    "anthropic": ANTHROPIC,
    "openai_chat": CHAT,
    "openai_responses": RESPONSES,
}


class Reads(SynchronousTestCase):
    """What is read of a stream."""

    @settings(deadline=None, max_examples=60)
    @given(st.sampled_from(sorted(STREAMS)), st.integers(1, 60))
    def test_every_dialect_in_any_cut(self, dialect: DialectName, size: int) -> None:
        """Text, thinking and tools."""
        growing = Growing(dialect)
        stream = STREAMS[dialect]
        for at in range(0, len(stream), size):
            growing.feed(stream[at : at + size])
        self.assertEqual((growing.text, growing.thinking, growing.tools), ("Héllo", "hm", ["Bash"]))
        self.assertEqual(growing.offset, 0)

    def test_a_call_as_it_is_written(self) -> None:
        """Its arguments so far, until there is something else to be read."""
        written: dict[DialectName, tuple[list[Any], Any]] = {
            "anthropic": (
                [
                    {"type": "content_block_start", "content_block": {"name": "Bash"}},
                    {"type": "content_block_delta", "delta": {"partial_json": '{"comm'}},
                    {"type": "content_block_delta", "delta": {"partial_json": 'and"'}},
                ],
                {"type": "content_block_delta", "delta": {"text": "Done"}},
            ),
            "openai_chat": (
                [
                    {"choices": [{"delta": {"tool_calls": [{"function": each}]}}]}
                    for each in (
                        {"name": "Bash", "arguments": ""},
                        {"arguments": '{"comm'},
                        {"arguments": 'and"'},
                    )
                ],
                {"choices": [{"delta": {"content": "Done"}}]},
            ),
            "openai_responses": (
                [
                    {"type": "response.output_item.added", "item": {"name": "Bash"}},
                    {"type": "response.function_call_arguments.delta", "delta": '{"comm'},
                    {"type": "response.function_call_arguments.delta", "delta": 'and"'},
                ],
                {"type": "response.output_text.delta", "delta": "Done"},
            ),
        }
        for dialect, (events, last) in written.items():
            growing = Growing(dialect)
            growing.feed(frames(*events, name=False))
            self.assertEqual((growing.call, growing.tools), ('{"command"', ["Bash"]), dialect)
            growing.feed(frames(last, name=False))
            self.assertEqual((growing.call, growing.text), ("", "Done"), dialect)

    def test_only_the_end_of_a_long_text(self) -> None:
        """And how much stands before it."""
        growing = Growing("openai_responses")
        for number in range(1000):
            growing.feed(frames({"type": "response.output_text.delta", "delta": f"{number:099d} "}))
        text = growing.text
        self.assertEqual((len(text), growing.offset), (LIMIT, 100_000 - LIMIT))
        self.assertTrue(text.endswith("999 "))

    @settings(deadline=None, max_examples=100)
    @given(st.sampled_from([*sorted(STREAMS), None]), st.binary(max_size=200))
    def test_anything(self, dialect: DialectName | None, data: bytes) -> None:
        """Nothing raises."""
        growing = Growing(dialect)
        growing.feed(data + b"\n\ndata: " + data + b"\n\n")
        growing.feed(b'data: {"type": 3, "delta": [], "choices": {}}\n\n')
        self.assertIsInstance(growing.text, str)
