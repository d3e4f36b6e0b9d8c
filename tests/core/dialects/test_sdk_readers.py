"""The vendors' own SDKs read what the encoders write, and find in it what was said."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from clawproxy.core.dialects.answer import Answer, CallBlock, TextBlock, ThinkingBlock, collect
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import Event
from tests.core.dialects.strategies import answers
from tests.core.dialects.transcripts import events_of, frames, golden, turn, written

try:
    import httpx2
    from anthropic.lib.streaming._beta_messages import accumulate_event
    from anthropic.types import Message
    from openai.lib.streaming.chat import ChatCompletionStreamState
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
except ImportError as missing:
    SDKS: str | None = f"a vendor's SDK is not installed: {missing}"
else:
    SDKS = None


class SDKTests(SynchronousTestCase):
    """Strict readers."""

    def setUp(self) -> None:
        """Skip without the SDKs."""
        if SDKS:
            raise SkipTest(SDKS)

    @settings(deadline=None, max_examples=30)
    @given(answers())
    def test_anthropic(self, events: list[Event]) -> None:
        """Anthropic's accumulator and its message model."""
        message: Any = None
        buffers: dict[int, bytes] = {}
        for event in frames(written("anthropic", events)):
            if event["type"] == "ping":
                continue
            message = accumulate_event(
                event=event,
                current_snapshot=message,
                json_bufs=buffers,
                request_headers=httpx2.Headers(),
            )
        self.assert_same(message.to_dict()["content"], collect(events))
        body = DIALECTS["anthropic"].build_response(
            events, turn("anthropic"), model="m", response_id="r", created=1
        )
        whole = Message.model_validate_json(body, strict=True)
        self.assert_same([block.to_dict() for block in whole.content], collect(events))
        self.assertEqual(whole.usage.output_tokens, collect(events).usage.output_tokens)

    def assert_same(self, content: list[dict[str, Any]], answer: Answer) -> None:
        """Compare blocks as the SDK holds them with the answer's."""
        self.assertEqual(len(content), len(answer.blocks))
        for found, block in zip(content, answer.blocks, strict=True):
            match block:
                case TextBlock():
                    self.assertEqual((found["type"], found["text"]), ("text", block.text))
                case ThinkingBlock():
                    self.assertEqual((found["type"], found["thinking"]), ("thinking", block.text))
                case CallBlock():
                    self.assertEqual(found["id"], block.started.id)
                    self.assertEqual(found["name"], block.started.name)
                    self.assertEqual(found["input"], json.loads(block.arguments or "{}"))

    @settings(deadline=None, max_examples=30)
    @given(answers())
    def test_openai(self, events: list[Event]) -> None:
        """OpenAI's accumulator and its completion model."""
        state: Any = ChatCompletionStreamState()
        request = turn("openai_chat", include_usage=True)
        for chunk in frames(written("openai_chat", events, request))[:-1]:
            state.handle_chunk(ChatCompletionChunk.model_validate(chunk, strict=True))
        completion = state.current_completion_snapshot
        answer = collect(events)
        message = completion.choices[0].message
        said = "".join(block.text for block in answer.blocks if isinstance(block, TextBlock))
        self.assertEqual(message.content, said)
        calls = [block for block in answer.blocks if isinstance(block, CallBlock)]
        self.assertEqual(
            [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()],
            [(c.started.id, c.started.name, c.arguments) for c in calls],
        )
        self.assertEqual(completion.usage.prompt_tokens, answer.usage.prompt_tokens)
        body = DIALECTS["openai_chat"].build_response(
            events, request, model="m", response_id="r", created=1
        )
        whole = ChatCompletion.model_validate_json(body, strict=True)
        self.assertEqual(whole.choices[0].message.content or "", said)

    def test_golden(self) -> None:
        """The transcripts, translated."""
        for name in ("chat/interleaved_calls.sse", "chat/sloppy_server.sse", "chat/refusal.sse"):
            events = events_of("openai_chat", golden(name))
            body = DIALECTS["anthropic"].build_response(
                events, turn("anthropic"), model="m", response_id="r", created=1
            )
            Message.model_validate_json(body, strict=True)
        events = events_of("anthropic", golden("anthropic/thinking_and_calls.sse"))
        for chunk in frames(written("openai_chat", events))[:-1]:
            ChatCompletionChunk.model_validate(chunk, strict=True)
