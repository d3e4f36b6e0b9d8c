"""Messages from Anthropic streams, held against the vendor's own SDK and against its documents."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from anthropic._models import construct_type_unchecked
from anthropic.lib.streaming._beta_messages import accumulate_event
from anthropic.types.beta import BetaRawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.message_anthropic import AnthropicAccumulator, read_anthropic
from clawproxy.core.message_base import Finished
from clawproxy.core.sse import SSEEvent

Event = dict[str, Any]

START: Event = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 25,
            "cache_creation_input_tokens": 7,
            "cache_read_input_tokens": 11,
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}


def frame(event: Event) -> bytes:
    """Write an event as the API does."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def accumulate(*events: Event) -> Finished:
    """Put events together."""
    accumulator = AnthropicAccumulator()
    for event in events:
        accumulator.feed(frame(event))
    return accumulator.close()


def message(finished: Finished) -> dict[str, Any]:
    """Decode the finished message."""
    assert finished.message is not None
    value = json.loads(finished.message)
    assert isinstance(value, dict)
    return value


def block(start: Event, *deltas: Event, index: int = 0) -> list[Event]:
    """Give the events of one block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def end(reason: str = "end_turn", **usage: object) -> list[Event]:
    """Give the events that end a message."""
    return [
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 40, **usage},
        },
        {"type": "message_stop"},
    ]


def without_nulls(value: object) -> object:
    """Drop members that are null: the SDK's models have them where the API leaves them out."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


# What the API may send, as strategies.
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
CITATION = st.builds(
    lambda text, start: {
        "type": "char_location",
        "cited_text": text,
        "document_index": 0,
        "document_title": None,
        "start_char_index": start,
        "end_char_index": start + 1,
        "file_id": None,
    },
    TEXT,
    st.integers(0, 9),
)


@st.composite
def tool_block(draw: st.DrawFn) -> list[Event]:
    """A tool call whose input is cut anywhere, or comes without any delta."""
    kind = draw(st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]))
    start: Event = {"type": kind, "id": "toolu_1", "name": "web_search", "input": {}}
    if kind == "mcp_tool_use":
        start["server_name"] = "files"
    text = json.dumps(draw(st.dictionaries(TEXT, JSON_VALUES, max_size=3)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    if draw(st.booleans()):
        parts = []
    return [start, *({"type": "input_json_delta", "partial_json": part} for part in parts)]


NULL_OR_EMPTY: st.SearchStrategy[list[object] | None] = st.one_of(st.none(), st.just([]))


@st.composite
def any_block(draw: st.DrawFn) -> list[Event]:
    """A block of any kind with its deltas."""
    kind = draw(st.sampled_from(["text", "thinking", "tool", "compaction", "fallback", "result"]))
    if kind == "text":
        deltas = draw(
            st.lists(
                st.one_of(
                    TEXT.map(lambda text: {"type": "text_delta", "text": text}),
                    CITATION.map(lambda item: {"type": "citations_delta", "citation": item}),
                    st.just({"type": "thinking_delta", "thinking": "void"}),
                    st.just({"type": "signature_delta", "signature": "void"}),
                ),
                max_size=5,
            )
        )
        start: Event = {"type": "text", "text": draw(TEXT)}
        if draw(st.booleans()):
            start["citations"] = draw(NULL_OR_EMPTY)
        return [start, *deltas]
    if kind == "thinking":
        return [
            {"type": "thinking", "thinking": "", "signature": ""},
            *draw(
                st.lists(
                    TEXT.map(lambda text: {"type": "thinking_delta", "thinking": text}), max_size=3
                )
            ),
            {"type": "signature_delta", "signature": draw(TEXT)},
        ]
    if kind == "tool":
        return draw(tool_block())
    if kind == "compaction":
        delta = {"type": "compaction_delta", "content": draw(TEXT), "encrypted_content": draw(TEXT)}
        return [{"type": "compaction", "content": None, "encrypted_content": None}, delta]
    if kind == "fallback":
        return [
            {
                "type": "fallback",
                "from": {"model": "claude-opus-5"},
                "to": {"model": draw(st.sampled_from(["claude-haiku-5", "claude-sonnet-5"]))},
                "trigger": {"type": "refusal", "category": None},
            }
        ]
    return [
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [
                {
                    "type": "web_search_result",
                    "url": "https://example.org",
                    "title": draw(TEXT),
                    "encrypted_content": "x",
                    "page_age": None,
                }
            ],
        }
    ]


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """A stream as the API would send it."""
    start = json.loads(json.dumps(START))
    start["message"]["usage"]["input_tokens"] = draw(st.integers(0, 10**9))
    events = [start]
    for index, parts in enumerate(draw(st.lists(any_block(), max_size=4))):
        events += block(parts[0], *parts[1:], index=index)
        if draw(st.booleans()):
            events.append({"type": "ping"})
    usage: Event = {}
    for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
        if draw(st.booleans()):
            usage[name] = draw(st.one_of(st.none(), st.integers(0, 10**6)))
    if draw(st.booleans()):
        usage["output_tokens_details"] = {"thinking_tokens": draw(st.integers(0, 99))}
    if draw(st.booleans()):
        usage["server_tool_use"] = {"web_search_requests": 1, "web_fetch_requests": 0}
    if draw(st.booleans()):
        usage["iterations"] = [
            {
                "type": "message",
                "input_tokens": 3,
                "output_tokens": 4,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "cache_creation": None,
                "model": "claude-haiku-5",
            }
        ]
    last = end(draw(st.sampled_from(["end_turn", "tool_use", "pause_turn", "compaction"])), **usage)
    if draw(st.booleans()):
        last[0]["context_management"] = {"applied_edits": []}
    if draw(st.booleans()):
        last[0]["delta"]["container"] = {"id": "c_1", "expires_at": "2026-11-20T00:00:00Z"}
    if draw(st.booleans()):
        last[0]["delta"]["stop_details"] = {"type": "refusal", "category": None}
    return events + last


class SDKTests(SynchronousTestCase):
    """The SDK's accumulation is the reference."""

    @settings(deadline=None, max_examples=150)
    @given(streams(), st.integers(1, 300))
    def test_like_the_sdk(self, events: list[Event], size: int) -> None:
        """Generated streams, cut anywhere, give what the SDK makes of them."""
        snapshot: Any = None
        buffers: dict[int, bytes] = {}
        for event in events:
            if event["type"] == "ping":
                continue
            snapshot = accumulate_event(
                event=construct_type_unchecked(
                    type_=BetaRawMessageStreamEvent,  # type: ignore[arg-type]
                    value=event,
                ),
                current_snapshot=snapshot,
                json_bufs=buffers,
                request_headers=httpx2.Headers(),
            )
        expected = json.loads(json.dumps(snapshot.to_dict(mode="json")))
        stream = b"".join(frame(event) for event in events)
        accumulator = AnthropicAccumulator()
        for start in range(0, len(stream), size):
            accumulator.feed(stream[start : start + size])
        finished = accumulator.close()
        self.assertEqual(without_nulls(message(finished)), without_nulls(expected))
        self.assertTrue(finished.complete)
        self.assertIsNone(finished.error)
        assert finished.usage is not None
        self.assertTrue(finished.usage.complete)
        self.assertEqual(finished.usage.input_tokens, snapshot.usage.input_tokens)
        self.assertEqual(finished.stop_reason, snapshot.stop_reason)
        self.assertEqual(finished.model, snapshot.model)


class AccumulatorTests(SynchronousTestCase):
    """What the SDK does not do, or does otherwise."""

    def test_ordinary(self) -> None:
        """Text and a tool call, with the usage of both reports."""
        finished = accumulate(
            START,
            *block({"type": "text", "text": ""}, {"type": "text_delta", "text": "Hé"}),
            *block(
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}},
                {"type": "input_json_delta", "partial_json": ""},
                {"type": "input_json_delta", "partial_json": '{"n": 1.50, "big": 123456789012'},
                {"type": "input_json_delta", "partial_json": "34567890}"},
                index=1,
            ),
            *end("tool_use", output_tokens_details={"thinking_tokens": 9}),
        )
        assert finished.message is not None
        self.assertIn(b'"input":{"n": 1.50, "big": 12345678901234567890}', finished.message)
        self.assertEqual(list(message(finished)), list(START["message"]))
        self.assertEqual((finished.text, finished.tools), ("Hé", ("Bash",)))
        self.assertEqual((finished.model, finished.stop_reason), ("claude-opus-5", "tool_use"))
        usage = finished.usage
        assert usage is not None
        self.assertEqual(
            (
                usage.input_tokens,
                usage.output_tokens,
                usage.cache_read_input_tokens,
                usage.cache_creation_input_tokens,
                usage.reasoning_tokens,
                usage.complete,
            ),
            (25, 40, 11, 7, 9, True),
        )

    def test_invalid_tool_input(self) -> None:
        """Input cut off by ``max_tokens`` keeps its text in the documented wrapping."""
        for text in ('{"path": "/a", "content": "one\\n', '{"n": NaN}', '{"a":1}}'):
            finished = accumulate(
                START,
                *block(
                    {"type": "tool_use", "id": "toolu_1", "name": "Write", "input": {}},
                    {"type": "input_json_delta", "partial_json": text},
                ),
                *end("max_tokens"),
            )
            self.assertEqual(message(finished)["content"][0]["input"], {"INVALID_JSON": text})
            self.assertTrue(finished.complete)

    def test_unknown_blocks_and_deltas(self) -> None:
        """What no SDK knows yet is put together all the same."""
        finished = accumulate(
            START,
            *block(
                {"type": "connector_text", "text": "a", "refs": [1]},
                {"type": "text_delta", "text": "b"},
                {"type": "refs_delta", "refs": [2.50], "note": "x", "state": {"n": 1}},
                {"type": "refs_delta", "note": "y", "state": {"n": 2}},
            ),
            {"type": "hologram_start", "index": 3},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "new_reason", "new": {"x": 1}},
                "usage": {"output_tokens": 3, "new_tokens": 5},
                "top_level": "z",
            },
            {"type": "message_stop"},
        )
        whole = message(finished)
        self.assertEqual(
            whole["content"],
            [
                {
                    "type": "connector_text",
                    "text": "ab",
                    "refs": [1, 2.5],
                    "note": "xy",
                    "state": {"n": 2},
                }
            ],
        )
        self.assertEqual((whole["new"], whole["top_level"]), ({"x": 1}, "z"))
        self.assertEqual(whole["usage"]["new_tokens"], 5)
        self.assertEqual(whole["stop_reason"], "new_reason")
        self.assertTrue(finished.complete)

    def test_split_surrogates(self) -> None:
        """Two halves of a pair in two deltas become one character."""
        accumulator = AnthropicAccumulator()
        accumulator.feed(frame(START) + frame(block({"type": "text", "text": ""})[0]))
        for half in (rb"\ud83d", rb"\ude00"):
            accumulator.feed(
                b'data: {"type":"content_block_delta","index":0,'
                b'"delta":{"type":"text_delta","text":"%s"}}\n\n' % half
            )
        self.assertEqual(accumulator.close().text, "\U0001f600")

    def test_error(self) -> None:
        """An in-band error is told, and half a message is not complete."""
        error = {
            "type": "error",
            "error": {"type": "overloaded_error", "message": "Overloaded"},
            "request_id": "req_1",
        }
        finished = accumulate(START, *block({"type": "text", "text": "half"})[:1], error)
        self.assertEqual(finished.error, "Overloaded")
        assert finished.error_event is not None and finished.usage is not None
        self.assertEqual(json.loads(finished.error_event), error)
        self.assertFalse(finished.complete)
        self.assertFalse(finished.usage.complete)
        self.assertEqual(finished.text, "half")
        self.assertEqual(accumulate(error).error, "Overloaded")
        accumulator = AnthropicAccumulator()
        accumulator.feed(b"event: error\ndata: upstream fell over\n\n")
        self.assertEqual(accumulator.close().error, "upstream fell over")

    def test_cut(self) -> None:
        """A stream that ends early is not complete, wherever it was cut between frames."""
        events = [START, *block({"type": "text", "text": ""}, {"type": "text_delta", "text": "x"})]
        events += end()
        for number in range(len(events)):
            self.assertFalse(accumulate(*events[:number]).complete)
        self.assertTrue(accumulate(*events).complete)
        self.assertIsNone(accumulate().message)

    def test_missing_piece(self) -> None:
        """A message of which an event cannot be read, or has no block, is not complete."""
        for bad in (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,\n\n',
            frame({"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta"}}),
        ):
            accumulator = AnthropicAccumulator()
            accumulator.feed(frame(START) + bad + b"".join(map(frame, end())))
            self.assertFalse(accumulator.close().complete)
        accumulator = AnthropicAccumulator()
        accumulator.feed(
            frame(START) + b"event: ping\ndata: pong\n\n" + b"".join(map(frame, end()))
        )
        self.assertTrue(accumulator.close().complete)

    def test_limit(self) -> None:
        """Beyond its limit an accumulator keeps nothing and says that something is missing."""
        accumulator = AnthropicAccumulator(limit=2000)
        accumulator.feed(frame(START) + frame(block({"type": "text", "text": ""})[0]))
        for _ in range(100):
            accumulator.event(
                SSEEvent(
                    "content_block_delta",
                    b'{"type":"content_block_delta","index":0,'
                    b'"delta":{"type":"text_delta","text":"0123456789"}}',
                )
            )
        finished = accumulator.close()
        self.assertFalse(finished.complete)
        self.assertLess(len(finished.text), 300)

    @settings(deadline=None, max_examples=200)
    @given(
        st.lists(st.one_of(JSON_VALUES, st.sampled_from([START, *end()])), max_size=4), st.data()
    )
    def test_hostile(self, values: list[Any], data: st.DataObject) -> None:
        """Events of any shape raise nothing, and what comes out is JSON."""
        accumulator = AnthropicAccumulator()
        accumulator.feed(frame(START))
        for value in values:
            kind = data.draw(
                st.sampled_from(
                    ["content_block_start", "content_block_delta", "message_delta", "error"]
                )
            )
            event = {
                "type": kind,
                "index": data.draw(st.sampled_from([0, 0, 1, -1, None, "0", 1e400])),
                "content_block": data.draw(
                    st.sampled_from([value, {"type": value}, {"text": value}])
                ),
                "delta": data.draw(
                    st.sampled_from([value, {"type": "text_delta", "text": value}, {"text": value}])
                ),
                "usage": value,
                "error": value,
            }
            accumulator.feed(frame(event))
        message(accumulator.close())


class ReadTests(SynchronousTestCase):
    """Whole bodies."""

    def test_message(self) -> None:
        """A message's facts are read, and its bytes stay."""
        body = json.dumps(
            {
                **START["message"],
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "tool_use", "id": "t", "name": "Bash", "input": {}},
                ],
                "stop_reason": "tool_use",
            },
            indent=1,
        ).encode()
        finished = read_anthropic(body)
        self.assertEqual(finished.message, body)
        self.assertEqual((finished.text, finished.tools), ("a", ("Bash",)))
        self.assertEqual(finished.stop_reason, "tool_use")
        assert finished.usage is not None
        self.assertEqual(finished.usage.input_tokens, 25)
        self.assertTrue(finished.complete)

    def test_error(self) -> None:
        """An error body is an error."""
        body = b'{"type":"error","error":{"type":"not_found_error","message":"model: x"}}'
        finished = read_anthropic(body)
        self.assertEqual((finished.error, finished.error_event), ("model: x", body))
        self.assertIsNone(finished.message)
