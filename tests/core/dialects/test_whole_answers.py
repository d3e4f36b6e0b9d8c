"""Answers that are no streams: the same as the stream's, in one piece."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    Event,
    SignatureDelta,
    Stopped,
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    TokenUsage,
    ToolCallStarted,
    UsageReported,
)
from clawproxy.core.dialects.seal import UNSEALED_REASONING
from clawproxy.core.dialects.tools import CustomTool
from clawproxy.core.errors import Kind, ProxyError
from tests.core.dialects.transcripts import events_of, golden, turn

STOP = BlockStopped()


def whole(dialect: DialectName, events: list[Event], **fields: Any) -> Any:
    """Build an answer and read it back."""
    return json.loads(
        DIALECTS[dialect].build_response(
            events,
            turn(dialect, **fields),
            model="shown",
            response_id="resp_7",
            created=1_763_700_000,
        )
    )


class AnthropicMessageTests(SynchronousTestCase):
    """A whole message."""

    def test_written(self) -> None:
        """From a Chat Completions stream."""
        events = events_of("openai_chat", golden("chat/interleaved_calls.sse"))
        self.assertEqual(
            whole("anthropic", events),
            {
                "id": "resp_7",
                "type": "message",
                "role": "assistant",
                "model": "shown",
                "content": [
                    {"type": "text", "text": "Let me look. 🦀"},
                    {
                        "type": "tool_use",
                        "id": "call_a",
                        "name": "read",
                        "input": {"size": 12345678901234567890123},
                    },
                    {"type": "tool_use", "id": "call_b", "name": "grep", "input": {"pattern": "x"}},
                ],
                "stop_reason": "tool_use",
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 30,
                    "cache_creation_input_tokens": 10,
                    "cache_read_input_tokens": 60,
                    "output_tokens": 40,
                    "output_tokens_details": {"thinking_tokens": 7},
                },
            },
        )

    def test_arguments_without_end(self) -> None:
        """Arguments that a limit cut are kept as text under a name of their own."""
        events: list[Event] = [
            ToolCallStarted("a", "f"),
            ArgumentsDelta('{"path": "/et'),
            STOP,
            Stopped("max_tokens"),
        ]
        found = whole("anthropic", events)
        self.assertEqual(found["content"][0]["input"], {"raw_arguments": '{"path": "/et'})

    def test_read(self) -> None:
        """A message gives the events of its stream."""
        body = {
            "id": "msg_1",
            "type": "message",
            "model": "claude",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
                {"type": "redacted_thinking", "data": "zz"},
                {"type": "text", "text": "Yes."},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"n": 10**30}},
                {"type": "novelty"},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 1, "output_tokens": 2},
        }
        events = DIALECTS["anthropic"].parse_response(json.dumps(body).encode())
        self.assertEqual(
            events[1:-3],
            [
                ThinkingStarted(),
                ThinkingDelta("Hm."),
                SignatureDelta("sig", "anthropic"),
                STOP,
                ThinkingStarted(redacted="zz"),
                STOP,
                TextStarted(),
                TextDelta("Yes."),
                STOP,
                ToolCallStarted("t", "f"),
                ArgumentsDelta(f'{{"n": {10**30}}}'),
                STOP,
            ],
        )
        self.assertEqual(events[-2:], [UsageReported(TokenUsage(1, 2)), Stopped("tool_use")])


class ChatCompletionTests(SynchronousTestCase):
    """A whole completion."""

    def test_an_id_that_comes_again(self) -> None:
        """The second call gets an id of its own."""
        calls = [{"id": "f", "function": {"name": "f", "arguments": "null"}}] * 2
        body = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
        events = DIALECTS["openai_chat"].parse_response(json.dumps(body).encode())
        found = whole("anthropic", events)["content"]
        self.assertEqual([block["input"] for block in found], [{}, {}])
        self.assertEqual(found[0]["id"], "f")
        self.assertNotIn(found[1]["id"], ("f", ""))

    def test_written(self) -> None:
        """From an Anthropic stream."""
        events = events_of("anthropic", golden("anthropic/thinking_and_calls.sse"))
        found = whole("openai_chat", events)
        (choice,) = found.pop("choices")
        self.assertEqual(choice["finish_reason"], "tool_calls")
        self.assertEqual(
            choice["message"],
            {
                "role": "assistant",
                "content": "Reading “both”.",
                "refusal": None,
                "reasoning_content": "Two files.",
                "tool_calls": [
                    {
                        "id": "toolu_1",
                        "type": "function",
                        "function": {
                            "name": "read",
                            "arguments": '{"offset": 12345678901234567890123, "ratio": 1.10}',
                        },
                    },
                    {
                        "id": "toolu_2",
                        "type": "function",
                        "function": {"name": "list", "arguments": "{}"},
                    },
                ],
            },
        )
        self.assertEqual(
            found,
            {
                "id": "resp_7",
                "object": "chat.completion",
                "created": 1_763_700_000,
                "model": "shown",
                "usage": {
                    "prompt_tokens": 100,
                    "completion_tokens": 50,
                    "total_tokens": 150,
                    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
                    "completion_tokens_details": {"reasoning_tokens": 20},
                },
            },
        )

    def test_custom_call(self) -> None:
        """A custom tool's stand-in is unwrapped."""
        events: list[Event] = [
            ToolCallStarted("", "patch"),
            ArgumentsDelta('{"input":"x"}'),
            STOP,
            Stopped("tool_use"),
        ]
        found = whole("openai_chat", events, tools=(CustomTool("patch"),))
        self.assertEqual(
            found["choices"][0]["message"]["tool_calls"],
            [{"id": "call_resp7_0", "type": "custom", "custom": {"name": "patch", "input": "x"}}],
        )

    def test_read(self) -> None:
        """A completion gives the events of its stream."""
        body = {
            "id": "c",
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "Yes.",
                        "reasoning": "Hm.",
                        "tool_calls": [
                            {
                                "id": "t",
                                "type": "function",
                                "function": {"name": "f", "arguments": "{}"},
                            }
                        ],
                    },
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }
        events = DIALECTS["openai_chat"].parse_response(json.dumps(body).encode())
        self.assertEqual(
            events[1:],
            [
                ThinkingStarted(),
                ThinkingDelta("Hm."),
                SignatureDelta(UNSEALED_REASONING, "openai_chat"),
                STOP,
                TextStarted(),
                TextDelta("Yes."),
                STOP,
                ToolCallStarted("t", "f"),
                ArgumentsDelta("{}"),
                STOP,
                UsageReported(TokenUsage(1, 2)),
                Stopped("tool_use"),
            ],
        )

    def test_no_message(self) -> None:
        """Gemini leaves the message out where thinking took all tokens: the limit is the answer's end."""
        body = {
            "choices": [{"index": 0, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 7, "total_tokens": 107},
        }
        events = DIALECTS["openai_chat"].parse_response(json.dumps(body).encode())
        self.assertEqual(
            events[1:],
            [
                UsageReported(TokenUsage(7, 100, reasoning_tokens=100)),
                Stopped("max_tokens"),
            ],
        )
        body["choices"] = [{"index": 0}]
        self.assertRaises(
            ProxyError, DIALECTS["openai_chat"].parse_response, json.dumps(body).encode()
        )


class FailureTests(SynchronousTestCase):
    """What is no answer is never taken for one."""

    def test_failed_events(self) -> None:
        """An error in the events, or no end at all, is raised."""
        error = ProxyError(Kind.OVERLOADED, "Busy.")
        for dialect in ("anthropic", "openai_chat"):
            for events in ([TextStarted(), StreamFailed(error)], [TextStarted(), TextDelta("x")]):
                raised = self.assertRaises(ProxyError, whole, dialect, events)
                self.assertIn(raised.kind, (Kind.OVERLOADED, Kind.UPSTREAM_UNREACHABLE))

    def test_unreadable_bodies(self) -> None:
        """Anything else than an answer raises, an error's body is the error."""
        for dialect in ("anthropic", "openai_chat"):
            for body in (b"", b"<html>", b"[]", b"{}", b'{"content":[7]}', b'{"choices":[{}]}'):
                parse = DIALECTS[dialect].parse_response
                self.assertRaises(ProxyError, parse, body)
            (event,) = parse(b'{"error":{"type":"overloaded_error","message":"Busy."}}')
            assert isinstance(event, StreamFailed)
            self.assertEqual(event.error.kind, Kind.OVERLOADED)
