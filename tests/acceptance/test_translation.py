"""Any client on any model: translated routes, demotion, subagents, counted tokens."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.acceptance.caller import ANTHROPIC, OPENAI, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program
from tests.acceptance.upstream import End, Step, Upstream, answer, stream
from tests.wire import Reply

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "id": {"type": "integer"}},
    "required": ["city"],
}


BIG = 123456789012345678901234567890


AGENT = """---
name: reviewer
description: Reviews code.
---
You review code with great care, and say what is wrong with it in short sentences.
"""


def house(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy between all dialects, with an upstream that plays each."""
    upstream = stack.enter_context(Upstream())
    agents = folder / ".claude/agents"
    agents.mkdir(parents=True)
    (agents / "reviewer.md").write_text(AGENT)

    def provider(kind: str, **more: object) -> dict[str, object]:
        return {"kind": kind, "base_url": upstream.url, "api_key": "sk-k", **more}

    config = {
        "providers": {
            "anthropic": provider("anthropic"),
            "openai": provider("openai"),
            "new": provider("anthropic", version="2026-10-21"),
            "codex": provider("openai", api="responses"),
            "demoted": provider("anthropic", demote_nonstreaming=True, idle_timeout=0.5),
        },
        "routes": [
            {"match": "claude", "provider": "anthropic", "model": "claude-real"},
            {"match": "claude-new", "provider": "new"},
            {"match": "gpt", "provider": "openai", "model": "gpt-real"},
            {"match": "codex", "provider": "codex", "model": "codex-real"},
            {"match": "demoted", "provider": "demoted"},
        ],
        "subagents": {"enable": True, "mappings": {"reviewer": "gpt", "agent-by-id": "gpt"}},
        "storage": {"url": "none"},
    }
    return upstream, stack.enter_context(Program(folder, config))


def chunk(choice: dict[str, object] | None, **more: object) -> bytes:
    """A chunk of a Chat Completions stream."""
    data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-real"}
    choices = [] if choice is None else [{"index": 0, "finish_reason": None, **choice}]
    return b"data: " + json.dumps({**data, "choices": choices, **more}).encode() + b"\n\n"


def delta(**members: object) -> bytes:
    """A chunk with a delta."""
    return chunk({"delta": members})


def call(index: int, arguments: str, id: str | None = None, name: str | None = None) -> bytes:
    """A chunk with a piece of a tool call."""
    function = {"arguments": arguments, **({"name": name} if name else {})}
    piece = {"index": index, "function": function, **({"id": id, "type": "function"} if id else {})}
    return delta(tool_calls=[piece])


USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 8},
}


DONE = b"data: [DONE]\n\n"


def event(name: str, **data: object) -> bytes:
    """An event of an Anthropic stream."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def claude(
    *blocks: tuple[dict[str, object], list[dict[str, object]]], stop: str = "end_turn"
) -> list[bytes]:
    """An Anthropic stream of blocks with their deltas."""
    usage = {"input_tokens": 11, "output_tokens": 1, "cache_read_input_tokens": 5}
    start: dict[str, object] = {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "model": "claude-real",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    events = [event("message_start", message=start)]
    for index, (block, deltas) in enumerate(blocks):
        events.append(event("content_block_start", index=index, content_block=block))
        events += [event("content_block_delta", index=index, delta=each) for each in deltas]
        events.append(event("content_block_stop", index=index))
    ending = {"stop_reason": stop, "stop_sequence": None}
    events.append(event("message_delta", delta=ending, usage={"output_tokens": 7}))
    return [*events, event("message_stop")]


TEXT: tuple[dict[str, object], list[dict[str, object]]] = (
    {"type": "text", "text": ""},
    [{"type": "text_delta", "text": "Hello "}, {"type": "text_delta", "text": "there"}],
)


TOOL: tuple[dict[str, object], list[dict[str, object]]] = (
    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
    [
        {"type": "input_json_delta", "partial_json": '{"city": "Pa'},
        {"type": "input_json_delta", "partial_json": f'ris", "id": {BIG}}}'},
    ],
)


def frames(body: bytes) -> list[Any]:
    """Read an SSE body: each event's data as JSON."""
    found = []
    for frame in re.split(rb"\r?\n\r?\n", body):
        data = [line[5:].strip() for line in frame.splitlines() if line.startswith(b"data:")]
        if data and data[0] != b"[DONE]":
            found.append(json.loads(b"\n".join(data)))
    return found


class TranslationCase(AcceptanceCase):
    def setUp(self) -> None:
        super().setUp()
        self.up, self.proxy = shared(house)
        self.up.answers(answer())

    def streams(self, *pieces: Step) -> None:
        self.up.answers(stream(*pieces))

    def messages(self, model: str = "gpt", **more: object) -> Reply:
        return post(self.proxy.port, "/v1/messages", {**message(model), **more}, ANTHROPIC)

    def chat(self, model: str = "claude", **more: object) -> Reply:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
        return post(self.proxy.port, "/v1/chat/completions", body, OPENAI)

    def responses(self, model: str = "claude", **more: object) -> Reply:
        body = {"model": model, "input": "hi", **more}
        return post(self.proxy.port, "/v1/responses", body, OPENAI)


class AnthropicOnOpenAITests(TranslationCase):
    def test_a_stream_with_parallel_calls(self) -> None:
        """Strictly sequential blocks, one start and one stop each, interleaved calls put in order."""
        self.streams(
            delta(role="assistant", content=""),
            delta(content="Looking"),
            call(0, "", "call_a", "weather"),
            call(1, "", "call_b", "weather"),
            call(0, '{"city":'),
            call(1, '{"city": "Rome"'),
            call(0, ' "Paris"}'),
            call(1, f', "id": {BIG}}}'),
            chunk({"delta": {}, "finish_reason": "tool_calls"}),
            chunk(None, usage=USAGE),
            DONE,
        )
        tools = [{"name": "weather", "description": "d", "input_schema": WEATHER}]
        reply = self.messages(stream=True, tools=tools, tool_choice={"type": "any"})
        self.assertTrue((reply["content-type"] or "").startswith("text/event-stream"))
        self.assertEqual(reply["x-accel-buffering"], "no")
        self.assertIn("no-cache", reply["cache-control"] or "")
        events = frames(reply.body)
        self.assertEqual(events[0]["type"], "message_start")
        self.assertEqual(events[-1]["type"], "message_stop")
        self.assertFalse(events[0]["message"]["id"].startswith("msg_"))
        open_block = None
        seen: list[Any] = []
        arguments: dict[int, str] = {}
        for each in events:
            if each["type"] == "content_block_start":
                self.assertIsNone(open_block)
                self.assertEqual(each["index"], len(seen))
                open_block = each["index"]
                seen.append(each["content_block"])
            elif each["type"] == "content_block_delta":
                self.assertEqual(each["index"], open_block)
                more = each["delta"].get("partial_json", "")
                arguments[each["index"]] = arguments.get(each["index"], "") + more
            elif each["type"] == "content_block_stop":
                self.assertEqual(each["index"], open_block)
                open_block = None
        self.assertEqual([each["type"] for each in seen], ["text", "tool_use", "tool_use"])
        self.assertEqual([each.get("id") for each in seen], [None, "call_a", "call_b"])
        self.assertEqual(json.loads(arguments[1]), {"city": "Paris"})
        self.assertEqual(json.loads(arguments[2]), {"city": "Rome", "id": BIG})
        ending = next(each for each in events if each["type"] == "message_delta")
        self.assertEqual(ending["delta"]["stop_reason"], "tool_use")
        self.assertEqual(ending["usage"]["output_tokens"], 9)
        sent = self.up.asked[0].json
        self.assertEqual((sent["model"], sent["stream"]), ("gpt-real", True))
        # Usage is asked for where the caller did not.
        self.assertEqual(sent["stream_options"], {"include_usage": True})
        self.assertEqual(sent["tools"][0]["function"]["parameters"], WEATHER)
        self.assertEqual(sent["tool_choice"], "required")

    def test_token_by_token(self) -> None:
        """Streams translated incrementally, for any cut of the bytes."""
        body = b"".join([delta(content="one "), delta(content="two é€"), DONE])
        cut = len(delta(content="one "))
        self.streams(body[:cut], 0.5, body[cut:])
        started = time.monotonic()
        first = self.messages(stream=True)
        self.assertGreater(time.monotonic() - started, 0.45)
        self.streams(*(body[n : n + 7] for n in range(0, len(body), 7)))
        second = self.messages(stream=True)

        def text(reply: Reply) -> str:
            return "".join(each.get("delta", {}).get("text", "") for each in frames(reply.body))

        self.assertEqual((text(first), text(second)), ("one two é€", "one two é€"))

    def test_a_whole_answer(self) -> None:
        said = {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": f'{{"id": {BIG}}}'},
                }
            ],
        }
        choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
        self.up.answers(answer({"id": "c", "created": 1, "choices": [choice], "usage": USAGE}))
        found = parsed(self.messages())
        self.assertEqual(
            (found["type"], found["role"], found["stop_reason"]),
            ("message", "assistant", "tool_use"),
        )
        self.assertEqual(
            found["content"],
            [{"type": "tool_use", "id": "call_1", "name": "weather", "input": {"id": BIG}}],
        )
        self.assertEqual(found["usage"]["input_tokens"], 12)
        self.assertEqual(found["usage"]["cache_read_input_tokens"], 8)
        self.assertFalse(found["id"].startswith("msg_"))
        self.assertNotIn("stream_options", self.up.asked[0].json)

    def test_what_is_asked(self) -> None:
        """System in the middle, images, tool results with text, image and error, signed thinking."""
        image = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
        said = [
            {"role": "user", "content": "first"},
            {"role": "system", "content": "a word between"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "secret thoughts", "signature": "sig"},
                    {"type": "text", "text": "calling"},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"id": BIG}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "result text"},
                            {"type": "image", "source": image},
                        ],
                    },
                    {"type": "text", "text": "and now?"},
                ],
            },
        ]
        system = [
            {"type": "text", "text": "x-anthropic-billing-header: a"},
            {"type": "text", "text": "be brief"},
        ]
        self.messages(messages=said, system=system, stop_sequences=["END"], temperature=0.5)
        sent = self.up.asked[0].json
        text = json.dumps(sent)
        for words in ("first", "a word between", "calling", "result text", "and now?", "be brief"):
            self.assertEqual(text.count(words), 1, words)
        self.assertNotIn("secret thoughts", text)
        self.assertIn("iVBORw0KGgo=", text)
        roles = [each["role"] for each in sent["messages"]]
        calls = next(n for n, each in enumerate(sent["messages"]) if each.get("tool_calls"))
        self.assertEqual((roles[calls], roles[calls + 1]), ("assistant", "tool"))
        self.assertEqual(sent["messages"][calls + 1]["tool_call_id"], "t1")
        arguments = sent["messages"][calls]["tool_calls"][0]["function"]["arguments"]
        self.assertEqual(json.loads(arguments), {"id": BIG})
        self.assertEqual((sent["stop"], sent["temperature"]), (["END"], 0.5))
        asked = self.up.asked[0]
        self.assertEqual(
            (asked.path, asked.header("accept-encoding")), ("/v1/chat/completions", "identity")
        )
        self.assertIsNone(asked.header("anthropic-version"))

    def test_in_band_errors(self) -> None:
        """Upstream pings and in-band errors mapped."""
        error = b'data: {"error":{"message":"too much","type":"server_error","code":null}}\n\n'
        self.streams(delta(content="Hel"), error)
        reply = self.messages(stream=True)
        self.assertRegex(
            reply.body, rb"event: error\ndata: \{\"type\":\"error\".*too much.*\}\n\n\Z"
        )
        self.assertNotIn(b"message_stop", reply.body)

    def test_an_end_that_is_none(self) -> None:
        """A cut answer is never taken for a whole one."""
        self.up.answers(stream(delta(content="Hel"), 0.05, end=End.RESET))
        reply = self.messages(stream=True)
        self.assertFalse(reply.whole)
        self.assertRegex(reply.body, rb"event: error\ndata: \{\"type\":\"error\".*\}\n\n\Z")
        self.assertNotIn(b"message_stop", reply.body)

    def test_the_responses_api_as_upstream(self) -> None:
        """`api: chat|responses` (openai only)."""
        item = {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        }
        usage = {
            "input_tokens": 20,
            "output_tokens": 9,
            "input_tokens_details": {"cached_tokens": 8},
        }
        self.up.answers(
            answer({"id": "r", "status": "completed", "output": [item], "usage": usage})
        )
        found = parsed(self.messages("codex"))
        self.assertEqual(found["content"], [{"type": "text", "text": "Hi"}])
        self.assertEqual(found["usage"]["input_tokens"], 12)
        asked = self.up.asked[0]
        self.assertEqual((asked.path, asked.json["model"]), ("/v1/responses", "codex-real"))
