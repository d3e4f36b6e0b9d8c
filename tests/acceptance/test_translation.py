"""Any client on any model: translated routes, demotion, subagents, counted tokens."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.acceptance.caller import ANTHROPIC, OPENAI, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program
from tests.acceptance.upstream import JSON, End, Step, Upstream, answer, stream
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


class ChatOnAnthropicTests(TranslationCase):
    def test_a_stream(self) -> None:
        self.streams(*claude(TEXT, TOOL, stop="tool_use"))
        reply = self.chat(stream=True)
        self.assertTrue(reply.body.endswith(b"data: [DONE]\n\n"))
        chunks = frames(reply.body)
        text = "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks)
        self.assertEqual(text, "Hello there")
        calls = [
            piece
            for each in chunks
            for piece in each["choices"][0]["delta"].get("tool_calls") or []
        ]
        self.assertEqual((calls[0]["id"], calls[0]["function"]["name"]), ("toolu_1", "weather"))
        arguments = "".join(piece["function"].get("arguments") or "" for piece in calls)
        self.assertEqual(json.loads(arguments), {"city": "Paris", "id": BIG})
        self.assertEqual({piece["index"] for piece in calls}, {0})
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "tool_calls")
        self.assertEqual({each["object"] for each in chunks}, {"chat.completion.chunk"})
        self.assertEqual(len({each["id"] for each in chunks}), 1)
        # `created` is in seconds.
        self.assertLess(abs(chunks[0]["created"] - time.time()), 60)
        # No usage is shown that the caller did not ask for.
        self.assertTrue(all(each.get("usage") is None for each in chunks))

    def test_usage_where_it_was_asked_for(self) -> None:
        self.streams(*claude(TEXT))
        reply = self.chat(stream=True, stream_options={"include_usage": True})
        chunks = frames(reply.body)
        with_usage = [each for each in chunks if each.get("usage")]
        self.assertEqual(len(with_usage), 1)
        self.assertEqual((chunks[-1], chunks[-1]["choices"]), (with_usage[0], []))
        usage = with_usage[0]["usage"]
        self.assertEqual((usage["prompt_tokens"], usage["completion_tokens"]), (16, 7))
        self.assertEqual(usage["prompt_tokens_details"]["cached_tokens"], 5)
        self.assertTrue(all("usage" in each for each in chunks))

    def test_what_is_asked(self) -> None:
        tool = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
        said: list[dict[str, object]] = [
            {"role": "developer", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": f'{{"id": {BIG}}}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ]
        self.chat(messages=said, tools=[tool], tool_choice="auto", stop="END", user="me")
        sent = self.up.asked[0].json
        self.assertEqual(sent["model"], "claude-real")
        # Max tokens filled in where required.
        self.assertGreater(sent["max_tokens"], 0)
        self.assertIn("be brief", json.dumps(sent["system"]))
        self.assertEqual([each["role"] for each in sent["messages"]], ["user", "assistant", "user"])
        image = sent["messages"][0]["content"][1]
        self.assertEqual(image["source"]["data"], "iVBORw0KGgo=")
        self.assertEqual(sent["messages"][1]["content"][0]["input"], {"id": BIG})
        result = sent["messages"][2]["content"][0]
        self.assertEqual((result["type"], result["tool_use_id"]), ("tool_result", "c1"))
        self.assertEqual(sent["tools"][0]["input_schema"], WEATHER)
        self.assertEqual(sent["stop_sequences"], ["END"])
        asked = self.up.asked[0]
        self.assertEqual(
            (asked.path, asked.header("anthropic-version")), ("/v1/messages", "2023-06-01")
        )
        self.assertEqual(asked.header("x-api-key"), "sk-k")

    def test_sampling(self) -> None:
        """Sampling parameters, left out where the API version refuses them."""
        self.chat(temperature=0.5)
        self.assertEqual(self.up.asked[0].json["temperature"], 0.5)
        self.up.answers(answer())
        self.chat("claude-new", temperature=0.5, top_p=0.9)
        self.assertNotIn("temperature", self.up.asked[0].json)
        self.assertNotIn("top_p", self.up.asked[0].json)

    def test_a_whole_answer(self) -> None:
        content = [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Hi"},
        ]
        usage = {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 5}
        for stop, finish in (
            ("end_turn", "stop"),
            ("max_tokens", "length"),
            ("stop_sequence", "stop"),
            ("tool_use", "tool_calls"),
            ("refusal", "content_filter"),
            ("pause_turn", "stop"),
            ("model_context_window_exceeded", "length"),
        ):
            whole = {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": content,
                "stop_reason": stop,
                "usage": usage,
            }
            self.up.answers(answer(whole))
            found = parsed(self.chat())
            choice = found["choices"][0]
            self.assertEqual(found["object"], "chat.completion")
            self.assertEqual(choice["message"]["content"], "Hi")
            if stop != "tool_use":
                self.assertEqual(choice["finish_reason"], finish, stop)
            self.assertEqual(found["usage"]["prompt_tokens"], 16)
            self.assertEqual(found["usage"]["total_tokens"], 23)

    def test_an_answer_that_is_coded_all_the_same(self) -> None:
        body = gzip.compress(b"".join(claude(TEXT)))
        self.up.answers(stream(body[:50], body[50:], headers=[("Content-Encoding", "gzip")]))
        reply = self.chat(stream=True)
        text = "".join(
            each["choices"][0]["delta"].get("content") or "" for each in frames(reply.body)
        )
        self.assertEqual(text, "Hello there")


class ResponsesOnAnthropicTests(TranslationCase):
    def test_a_stream(self) -> None:
        """`sequence_number` strictly rising; `response.completed` holds the full output and usage."""
        self.streams(*claude(TEXT, TOOL, stop="tool_use"))
        events = frames(self.responses(stream=True).body)
        numbers = [each["sequence_number"] for each in events]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(events[0]["type"], "response.created")
        last = events[-1]
        self.assertEqual(last["type"], "response.completed")
        output = last["response"]["output"]
        self.assertEqual([each["type"] for each in output], ["message", "function_call"])
        self.assertEqual(output[0]["content"][0]["text"], "Hello there")
        self.assertEqual(json.loads(output[1]["arguments"]), {"city": "Paris", "id": BIG})
        self.assertEqual(output[1]["call_id"], "toolu_1")
        usage = last["response"]["usage"]
        self.assertEqual((usage["input_tokens"], usage["output_tokens"]), (16, 7))

    def test_what_codex_asks(self) -> None:
        """Input roles developer and user, a call and its output."""
        items = [
            {
                "type": "message",
                "role": "developer",
                "content": [{"type": "input_text", "text": "brief"}],
            },
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
        ]
        tools = [{"type": "function", "name": "shell", "parameters": WEATHER, "strict": False}]
        self.responses(input=items, instructions="you are", tools=tools, store=False)
        sent = self.up.asked[0].json
        text = json.dumps(sent)
        for words in ("brief", "you are", "done"):
            self.assertIn(words, text)
        self.assertEqual(sent["tools"][0]["name"], "shell")
        self.assertEqual(sent["messages"][-1]["content"][0]["type"], "tool_result")


class RoutingTests(TranslationCase):
    def test_a_header_that_names_the_provider(self) -> None:
        headers = {**ANTHROPIC, "x-clawproxy-provider": "new"}
        post(self.proxy.port, "/v1/messages", message("gpt"), headers)
        asked = self.up.asked[0]
        self.assertEqual((asked.path, asked.json["model"]), ("/v1/messages", "gpt"))
        self.assertIsNone(asked.header("x-clawproxy-provider"))
        reply = post(
            self.proxy.port,
            "/v1/messages",
            message(),
            {**ANTHROPIC, "x-clawproxy-provider": "nobody"},
        )
        self.assertAnthropicError(reply, 404, "not_found_error")

    def test_subagents_by_their_prompt(self) -> None:
        """By the system prompt of `.claude/agents/*.md` wherever in `system` it stands."""
        prompt = AGENT.partition("---\n")[2].partition("---\n")[2].strip()
        blocks = [
            {"type": "text", "text": "x-anthropic-billing-header: a"},
            {"type": "text", "text": "You are Claude Code."},
            {"type": "text", "text": f"{prompt}\n\nNotes: none."},
        ]
        for system in (prompt, blocks, blocks[::-1]):
            self.up.answers(answer())
            self.messages("claude", system=system)
            self.assertEqual(self.up.asked[0].json["model"], "gpt-real", system)
        self.up.answers(answer())
        self.messages("claude", system="You are somebody else.")
        self.assertEqual(self.up.asked[0].json["model"], "claude-real")

    def test_subagents_by_their_id(self) -> None:
        """By `x-claude-code-agent-id` where sent."""
        headers = {**ANTHROPIC, "x-claude-code-agent-id": "agent-by-id"}
        post(self.proxy.port, "/v1/messages", message("claude"), headers)
        self.assertEqual(self.up.asked[0].json["model"], "gpt-real")


class CountTests(TranslationCase):
    """count_tokens on any route: asked of the upstream where it has it, else estimated, and said so."""

    def count(self, model: str, text: str = "Hello there, how are you?") -> Reply:
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        return post(self.proxy.port, "/v1/messages/count_tokens", body, ANTHROPIC)

    def test_asked(self) -> None:
        self.up.answers(answer({"input_tokens": 42}))
        reply = self.count("claude")
        self.assertEqual(parsed(reply), {"input_tokens": 42})
        asked = self.up.asked[0]
        self.assertEqual(
            (asked.path, asked.json["model"]), ("/v1/messages/count_tokens", "claude-real")
        )

    def test_estimated(self) -> None:
        reply = self.count("gpt")
        few = parsed(reply)["input_tokens"]
        self.assertTrue(5 <= few <= 30, few)
        self.assertTrue(any("estimate" in f"{name} {value}" for name, value in reply.headers))
        many = parsed(self.count("gpt", "Hello there, how are you? " * 1000))["input_tokens"]
        self.assertTrue(5000 <= many <= 12000, many)
        self.assertEqual(parsed(self.count("demo")).keys(), {"input_tokens"})
        self.assertEqual(self.up.asked, [])

    def test_what_the_upstream_has_not(self) -> None:
        self.up.answers(answer({"type": "error", "error": {"type": "not_found_error"}}, 404))
        self.assertEqual(self.count("claude").status, 404)


class DemotionTests(TranslationCase):
    """`demote_nonstreaming`: a non-streaming call is sent with `stream: true`, and put together again."""

    BODY = b'{"model":"demoted","messages":[]}'

    def ask(self, body: bytes = BODY, **headers: str) -> Reply:
        return post(self.proxy.port, "/v1/messages", body, {**ANTHROPIC, **headers})

    def test_the_message(self) -> None:
        thinking: tuple[dict[str, object], list[dict[str, object]]] = (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": "hm"},
                {"type": "signature_delta", "signature": "sig"},
            ],
        )
        odd: tuple[dict[str, object], list[dict[str, object]]] = (
            {"type": "never_heard_of", "x": {"y": BIG}},
            [],
        )
        self.streams(*claude(thinking, TEXT, TOOL, odd, stop="tool_use"))
        reply = self.ask()
        self.assertEqual((reply.status, reply["content-type"]), (200, "application/json"))
        found = parsed(reply)
        self.assertEqual(
            found["content"],
            [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "text", "text": "Hello there"},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "weather",
                    "input": {"city": "Paris", "id": BIG},
                },
                {"type": "never_heard_of", "x": {"y": BIG}},
            ],
        )
        self.assertEqual((found["id"], found["stop_reason"]), ("msg_up", "tool_use"))
        self.assertEqual(
            found["usage"],
            {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 5},
        )

    def test_the_bodys_other_bytes_stay(self) -> None:
        self.streams(*claude(TEXT))
        for sent, expected in (
            (
                b'{ "model" : "demoted",\n"messages":[1.0, %d] }\n' % BIG,
                rb'\{ "model" : "demoted",\n"messages":\[1\.0, %d\] ?, ?"stream": ?true ?\}\n'
                % BIG,
            ),
            (
                b'{"stream" :  false , "model":"demoted","messages":[]}',
                rb'\{"stream" :  true , "model":"demoted","messages":\[\]\}',
            ),
        ):
            self.up.asked.clear()
            self.assertEqual(self.ask(sent).status, 200)
            self.assertRegex(self.up.asked[0].body, rb"\A" + expected + rb"\Z")

    def test_streaming_calls_are_left_alone(self) -> None:
        events = claude(TEXT)
        self.streams(*events)
        reply = self.ask(b'{"model":"demoted","messages":[],"stream":true}')
        self.assertEqual(reply.body, b"".join(events))

    def test_an_upstream_that_answers_json_anyway(self) -> None:
        """An upstream that answers plain JSON anyway is passed on."""
        self.up.answers(answer(b'{"odd" : 1}', headers=[*JSON, ("request-id", "r")]))
        reply = self.ask()
        self.assertEqual(
            (reply.status, reply.body, reply["request-id"]), (200, b'{"odd" : 1}', "r")
        )

    def test_failures(self) -> None:
        """A stream that fails becomes a real HTTP error; half a message is never a 200."""
        events = claude(TEXT)
        overloaded = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
        cases: Iterable[tuple[list[Step], int, str]] = (
            (stream(overloaded), 529, "overloaded_error"),
            (stream(*events[:4], overloaded), 529, "overloaded_error"),
            (stream(*events[:4], 0.05, end=End.RESET), 502, "api_error"),
            (stream(*events[:4]), 502, "api_error"),
            (stream(*events[:4], End.HANG), 504, "timeout_error"),
        )
        for steps, status, kind in cases:
            self.up.answers(steps)
            reply = self.ask()
            self.assertEqual(reply.status, status, reply.body)
            found = parsed(reply)
            self.assertEqual((found["type"], found["error"]["type"]), ("error", kind))
            self.assertEqual(found["request_id"], reply["x-request-id"])
        self.up.answers(answer(b'{"their":"error"}', 429, [*JSON, ("retry-after", "60")]))
        reply = self.ask()
        self.assertEqual(
            (reply.status, reply.body, reply["retry-after"]), (429, b'{"their":"error"}', "60")
        )

    def test_a_compressed_request(self) -> None:
        self.streams(*claude(TEXT))
        body = gzip.compress(b'{"model":"demoted","messages":[]}')
        self.assertEqual(self.ask(body, **{"content-encoding": "gzip"}).status, 200)

    def test_a_stream_that_is_compressed(self) -> None:
        body = gzip.compress(b"".join(claude(TEXT)))
        self.up.answers(stream(body, headers=[("Content-Encoding", "gzip")]))
        reply = self.ask(self.BODY, **{"accept-encoding": "gzip"})
        self.assertEqual(parsed(reply)["content"], [{"type": "text", "text": "Hello there"}])
