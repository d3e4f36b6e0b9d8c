"""Demotion, counted tokens, subagents, and naming the provider."""

from __future__ import annotations

import gzip
from collections.abc import Iterable

from tests.acceptance.caller import ANTHROPIC, message, parsed, post
from tests.acceptance.test_translation import (
    AGENT,
    BIG,
    TEXT,
    TOOL,
    TranslationCase,
    claude,
    event,
)
from tests.acceptance.upstream import JSON, End, Step, answer, stream
from tests.wire import Reply


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
