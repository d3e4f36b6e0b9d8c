"""Responses from streams, whole and broken off, and from bodies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.message import accumulator, read_message
from clawproxy.core.message_base import Finished
from clawproxy.core.message_responses import ResponsesAccumulator, read_responses

Event = dict[str, Any]

RESPONSE: Event = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_763_600_000,
    "status": "in_progress",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-5",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": None,
}
TEXT_ITEM: Event = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
CALL_ITEM: Event = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "Bash",
    "arguments": '{"n":1}',
    "status": "completed",
}
USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 25,
}


def stream() -> list[Event]:
    """Give a stream of text and a call."""
    created = {"type": "response.created", "response": RESPONSE}
    return [
        created,
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**TEXT_ITEM, "status": "in_progress", "content": []},
        },
        {
            "type": "response.output_text.delta",
            "output_index": 0,
            "content_index": 0,
            "delta": "He",
        },
        {
            "type": "response.output_text.delta",
            "output_index": 0,
            "content_index": 0,
            "delta": "llo",
        },
        {"type": "response.output_item.done", "output_index": 0, "item": TEXT_ITEM},
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {**CALL_ITEM, "arguments": "", "status": "in_progress"},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"n":'},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "1}"},
        {"type": "response.output_item.done", "output_index": 1, "item": CALL_ITEM},
        {
            "type": "response.completed",
            "response": {
                **RESPONSE,
                "status": "completed",
                "output": [TEXT_ITEM, CALL_ITEM],
                "usage": USAGE,
            },
        },
    ]


def frame(event: Event) -> bytes:
    """Write an event."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def accumulate(*events: Event) -> Finished:
    """Put events together."""
    responses = ResponsesAccumulator()
    for event in events:
        responses.feed(frame(event))
    return responses.close()


def message(finished: Finished) -> Event:
    """Decode the finished response; the SDK's model takes it."""
    assert finished.message is not None
    value = json.loads(finished.message)
    Response.model_validate(value)
    assert isinstance(value, dict)
    return value


class AccumulatorTests(SynchronousTestCase):
    """:class:`ResponsesAccumulator`."""

    def test_whole(self) -> None:
        """The last event's response is the message."""
        events = stream()
        finished = accumulate(*events)
        self.assertEqual(message(finished), events[-1]["response"])
        self.assertEqual((finished.text, finished.tools), ("Hello", ("Bash",)))
        self.assertEqual((finished.model, finished.stop_reason), ("gpt-5", "completed"))
        self.assertTrue(finished.complete)
        usage = finished.usage
        assert usage is not None
        self.assertEqual(
            (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens), (12, 8, 5)
        )

    def test_broken_off(self) -> None:
        """Of a stream that broke off there is what came, and it is not complete."""
        finished = accumulate(*stream()[:7])
        value = message(finished)
        self.assertEqual(value["output"][0], TEXT_ITEM)
        self.assertEqual(value["output"][1]["arguments"], '{"n":')
        self.assertEqual(finished.text, "Hello")
        self.assertFalse(finished.complete)
        half = accumulate(*stream()[:3])
        self.assertEqual(half.text, "He")
        self.assertEqual(
            message(accumulate(*stream()[:4]))["output"][0]["content"],
            [{"type": "output_text", "annotations": [], "text": "Hello"}],
        )

    def test_reasoning_broken_off(self) -> None:
        """Reasoning and its summary are kept as far as they came."""
        finished = accumulate(
            stream()[0],
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {"id": "rs_1", "type": "reasoning", "summary": []},
            },
            {
                "type": "response.reasoning_summary_text.delta",
                "output_index": 0,
                "summary_index": 1,
                "delta": "b",
            },
            {
                "type": "response.reasoning_summary_text.delta",
                "output_index": 0,
                "summary_index": 0,
                "delta": "a",
            },
        )
        self.assertEqual(
            message(finished)["output"][0]["summary"],
            [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
        )

    def test_ends(self) -> None:
        """Incomplete is an end with its reason; failed and ``error`` are errors."""
        incomplete = {
            **RESPONSE,
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
        }
        finished = accumulate({"type": "response.incomplete", "response": incomplete})
        self.assertEqual(
            (finished.stop_reason, finished.complete, finished.error),
            ("max_output_tokens", True, None),
        )
        failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "m"}}
        finished = accumulate({"type": "response.failed", "response": failed})
        self.assertEqual((finished.error, finished.complete), ("m", False))
        error = {"type": "error", "code": "rate_limit_exceeded", "message": "slow down"}
        finished = accumulate(stream()[0], error)
        self.assertEqual((finished.error, finished.complete), ("slow down", False))
        assert finished.error_event is not None
        self.assertEqual(json.loads(finished.error_event), error)
        self.assertIsNone(accumulate(error).message)

    JUNK = st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=3), st.just(1e999)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=2),
            st.dictionaries(
                st.sampled_from(["type", "item", "content", "output", "usage", "error", "delta"]),
                inner,
                max_size=3,
            ),
        ),
        max_leaves=6,
    )

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.sampled_from(stream()), JUNK), max_size=5))
    def test_hostile(self, events: list[tuple[Event, Any]]) -> None:
        """Events of any shape raise nothing, and what comes out is JSON."""
        responses = ResponsesAccumulator()
        for event, junk in events:
            for name in ("delta", "item", "response", "output_index", "error"):
                responses.feed(frame({**event, name: junk}))
            responses.feed(frame(event))
        finished = responses.close()
        if finished.message is not None:
            json.loads(finished.message)


class ReadTests(SynchronousTestCase):
    """Whole bodies."""

    def test_response(self) -> None:
        """A response's facts are read, and its bytes stay."""
        body = json.dumps(stream()[-1]["response"]).encode()
        finished = read_responses(body)
        self.assertEqual(finished.message, body)
        self.assertEqual((finished.text, finished.tools), ("Hello", ("Bash",)))
        self.assertTrue(finished.complete)

    def test_error(self) -> None:
        """An error body is an error."""
        self.assertEqual(read_responses(b'{"error":{"message":"m"}}').error, "m")


class FacadeTests(SynchronousTestCase):
    """The functions that choose by dialect."""

    def test_accumulator(self) -> None:
        """Each dialect has its own accumulator."""
        responses = accumulator("openai_responses")
        responses.feed(b"".join(map(frame, stream())))
        self.assertEqual(responses.close().text, "Hello")
        self.assertIsNone(accumulator("anthropic").close().message)
        self.assertIsNone(accumulator("openai_chat").close().message)

    def test_read_message(self) -> None:
        """Each dialect has its own reader, and what is no JSON is nothing."""
        for body in (b"<html>", b"", b"[]"):
            self.assertEqual(read_message("anthropic", body), Finished())
        self.assertEqual(read_message("anthropic", b'{"error":"x"}').error, "x")
        self.assertEqual(read_message("openai_chat", b'{"error":"x"}').error, "x")
        self.assertEqual(read_message("openai_responses", b'{"error":"x"}').error, "x")
