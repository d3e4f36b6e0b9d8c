"""Completions from chunks, held against the vendor's own SDK and against what imitators send."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.message_base import Finished
from clawproxy.core.message_chat import ChatAccumulator, read_chat

Chunk = dict[str, Any]


def chunk(delta: Chunk | None, reason: str | None = None, **more: Any) -> Chunk:
    """Give a chunk as the API sends it."""
    value: Chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_763_600_000,
        "model": "gpt-5",
        "service_tier": "default",
        "system_fingerprint": None,
        "choices": [],
    }
    if delta is not None:
        value["choices"] = [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}]
    return {**value, **more}


def accumulate(*chunks: Chunk, done: bool = True) -> Finished:
    """Put chunks together."""
    accumulator = ChatAccumulator()
    for value in chunks:
        accumulator.feed(b"data: " + json.dumps(value).encode() + b"\n\n")
    if done:
        accumulator.feed(b"data: [DONE]\n\n")
    return accumulator.close()


def completion(finished: Finished) -> Chunk:
    """Decode the finished completion."""
    assert finished.message is not None
    value = json.loads(finished.message)
    assert isinstance(value, dict)
    return value


def without_nulls(value: object) -> object:
    """Drop members that are null, which the SDK's models add; and its own additions."""
    if isinstance(value, dict):
        return {
            key: without_nulls(item)
            for key, item in value.items()
            if item is not None and key not in ("parsed", "parsed_arguments", "index")
        }
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@st.composite
def streams(draw: st.DrawFn) -> list[Chunk]:
    """A stream as the API would send it: text, refusal, parallel calls, log probabilities."""
    chunks = [chunk({"role": "assistant", "content": ""})]
    for text in draw(st.lists(TEXT, max_size=4)):
        value = chunk({"content": text})
        if draw(st.booleans()):
            entry = {"token": text, "logprob": -0.5, "bytes": [1], "top_logprobs": []}
            value["choices"][0]["logprobs"] = {"content": [entry], "refusal": None}
        chunks.append(value)
    for text in draw(st.lists(TEXT, max_size=2)):
        chunks.append(chunk({"refusal": text}))
    calls = draw(st.integers(0, 3))
    for index in range(calls):
        call = {
            "index": index,
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": f"tool_{index}", "arguments": ""},
        }
        chunks.append(chunk({"tool_calls": [call]}))
        for text in draw(st.lists(TEXT, max_size=3)):
            part = {"index": index, "function": {"arguments": text}}
            chunks.append(chunk({"tool_calls": [part]}))
    chunks.append(chunk({}, "tool_calls" if calls else "stop"))
    if draw(st.booleans()):
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
        chunks.append(chunk(None, usage=usage))
    return chunks


class SDKTests(SynchronousTestCase):
    """The SDK's accumulation is the reference."""

    @settings(deadline=None, max_examples=60)
    @given(streams())
    def test_like_the_sdk(self, chunks: list[Chunk]) -> None:
        """Generated streams give what the SDK makes of them."""
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
        for value in chunks:
            state.handle_chunk(ChatCompletionChunk.model_validate(value))
        expected = json.loads(state.current_completion_snapshot.model_dump_json())
        finished = accumulate(*chunks)
        self.assertEqual(without_nulls(completion(finished)), without_nulls(expected))
        self.assertTrue(finished.complete)


class AccumulatorTests(SynchronousTestCase):
    """What imitators send, and what the record needs."""

    def test_ordinary(self) -> None:
        """Text, usage and members of the chunks."""
        finished = accumulate(
            chunk({"role": "assistant", "content": ""}, usage=None, obfuscation="x"),
            chunk({"content": "Hé"}, usage=None),
            chunk({"content": "llo"}, usage=None),
            chunk({}, "stop", usage=None),
            chunk(
                None,
                service_tier="priority",
                usage={
                    "prompt_tokens": 20,
                    "completion_tokens": 5,
                    "total_tokens": 25,
                    "prompt_tokens_details": {"cached_tokens": 8},
                    "completion_tokens_details": {"reasoning_tokens": 2},
                },
            ),
        )
        value = completion(finished)
        self.assertEqual(value["object"], "chat.completion")
        self.assertEqual(value["service_tier"], "priority")
        self.assertNotIn("obfuscation", value)
        self.assertEqual(
            value["choices"],
            [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Héllo", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
        )
        self.assertEqual((finished.text, finished.stop_reason), ("Héllo", "stop"))
        usage = finished.usage
        assert usage is not None
        self.assertEqual(
            (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens), (12, 8, 5)
        )
        self.assertEqual((usage.reasoning_tokens, usage.complete), (2, True))

    def calls(self, *deltas: Any) -> Any:
        """Give the tool calls that lists of deltas amount to."""
        chunks = [chunk({"content": None, "tool_calls": calls}) for calls in deltas]
        value = completion(accumulate(*chunks, chunk({}, "tool_calls")))
        message = value["choices"][0]["message"]
        self.assertIsNone(message["content"])
        return message.get("tool_calls")

    def test_calls_of_imitators(self) -> None:
        """Ids tell calls apart where the index is missing or always the same."""

        def call(index: int | None, name: str | None, text: str | None, id: str | None) -> Chunk:
            value: Chunk = {} if index is None else {"index": index}
            function = {}
            if name is not None:
                function["name"] = name
            if text is not None:
                function["arguments"] = text
            return {**value, "id": id, "type": "function", "function": function}

        two = [
            {"id": "a", "type": "function", "function": {"name": "A", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "B", "arguments": "[]"}},
        ]
        # Always index 0.
        self.assertEqual(self.calls([call(0, "A", "{}", "a")], [call(0, "B", "[]", "b")]), two)
        # No index; the arguments follow without an id.
        self.assertEqual(
            self.calls(
                [call(None, "A", "", "a")],
                [call(None, None, "{}", None)],
                [call(None, "B", "[]", "b")],
            ),
            two,
        )
        # Interleaved; id and name in every chunk.
        self.assertEqual(
            self.calls(
                [call(0, "A", "{", "a"), call(1, "B", "[", "b")],
                [call(1, "B", "]", "b")],
                [call(0, "A", "}", "a")],
            ),
            two,
        )
        # Empty lists are no calls.
        self.assertIsNone(self.calls([], []))

    def test_reasoning_and_unknown(self) -> None:
        """Reasoning of other servers and members nobody knows are kept; numbers as spelled."""
        accumulator = ChatAccumulator()
        for delta in (
            b'{"role":"assistant","reasoning_content":"a","score":1.50}',
            b'{"reasoning_content":"b","annotations":[{"n":1}]}',
            b'{"content":"c","annotations":[{"n":2}],"score":2.50}',
        ):
            accumulator.feed(
                b'data: {"id":"x","created":1,"choices":[{"index":0,"delta":%s}]}\n\n' % delta
            )
        finished = accumulator.close()
        assert finished.message is not None
        self.assertIn(b'"score":2.50', finished.message)
        message = completion(finished)["choices"][0]["message"]
        self.assertEqual(message["reasoning_content"], "ab")
        self.assertEqual(message["annotations"], [{"n": 1}, {"n": 2}])
        self.assertFalse(finished.complete)

    def test_several_choices(self) -> None:
        """Choices are kept apart, in their order."""
        first = chunk({"content": "a"}, "stop")
        second = chunk({"content": "b"}, "length")
        second["choices"][0]["index"] = 1
        value = completion(accumulate(second, first))
        self.assertEqual([item["message"]["content"] for item in value["choices"]], ["a", "b"])
        self.assertEqual([item["finish_reason"] for item in value["choices"]], ["stop", "length"])

    def test_ends(self) -> None:
        """``[DONE]`` or a reason is an end; an empty reason is none; an error is not whole."""
        text = chunk({"content": "a"}, "")
        self.assertFalse(accumulate(text, done=False).complete)
        self.assertIsNone(accumulate(text, done=False).stop_reason)
        self.assertTrue(accumulate(text, chunk({}, "stop"), done=False).complete)
        failed = accumulate(text, {"error": {"message": "boom", "code": 500}})
        self.assertEqual((failed.error, failed.complete, failed.text), ("boom", False, "a"))
        alone = accumulate({"error": "plain"})
        self.assertEqual((alone.error, alone.message), ("plain", None))

    JUNK = st.recursive(
        st.one_of(st.none(), st.integers(), st.text(max_size=3), st.just(1e999)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=2),
            st.dictionaries(
                st.sampled_from(
                    ["index", "delta", "tool_calls", "function", "id", "content", "logprobs"]
                ),
                inner,
                max_size=3,
            ),
        ),
        max_leaves=6,
    )

    @settings(deadline=None, max_examples=200)
    @given(st.lists(JUNK, max_size=4), st.binary(max_size=20))
    def test_hostile(self, values: list[Any], tail: bytes) -> None:
        """Chunks of any shape raise nothing, and what comes out is JSON."""
        accumulator = ChatAccumulator()
        for value in values:
            for wrapped in (value, {"choices": [value]}, {"choices": [{"delta": value}]}):
                accumulator.feed(b"data: " + json.dumps(wrapped).encode() + b"\n\n")
        accumulator.feed(tail)
        finished = accumulator.close()
        if finished.message is not None:
            completion(finished)


class ReadTests(SynchronousTestCase):
    """Whole bodies."""

    def test_completion(self) -> None:
        """A completion's facts are read, and its bytes stay."""
        call = {"id": "a", "type": "function", "function": {"name": "A", "arguments": "{}"}}
        body = json.dumps(
            {
                "model": "gpt-5",
                "choices": [
                    {
                        "message": {
                            "content": [{"type": "text", "text": "hi"}],
                            "tool_calls": [call],
                        },
                        "finish_reason": "tool_calls",
                    }
                ],
                "usage": {"prompt_tokens": 3, "completion_tokens": 1},
            }
        ).encode()
        finished = read_chat(body)
        self.assertEqual(finished.message, body)
        self.assertEqual((finished.text, finished.tools), ("hi", ("A",)))
        self.assertEqual((finished.model, finished.stop_reason), ("gpt-5", "tool_calls"))
        assert finished.usage is not None
        self.assertEqual(finished.usage.input_tokens, 3)

    def test_error(self) -> None:
        """An error body is an error."""
        self.assertEqual(read_chat(b'{"error":{"message":"m"}}').error, "m")
