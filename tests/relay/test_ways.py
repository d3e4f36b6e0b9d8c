"""The ways of an answer that is not passed on as it came: other dialects, turns, demotion."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.relay.passage import Passage
from clawproxy.relay.speaker import Speaker
from clawproxy.relay.translation import Translation
from clawproxy.testing import MemoryProxy
from clawproxy.web.delivery import LAST_WORDS
from tests.relay.asking import OVERLOADED, ask
from tests.wire import STREAM_HEAD, chunk


class BugTests(SynchronousTestCase):
    """A bug on one answer's way ends that answer, and leaves nothing behind."""

    def broken(self, *_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    def test_upstreams_connection_is_dropped(self) -> None:
        for way, model in ((Passage, "claude-x"), (Translation, "gpt-x")):
            self.patch(way, "run", self.broken)
            proxy = MemoryProxy("providers.openai.api_key=k")
            caller = proxy.caller()
            ask(caller, model, stream=True)
            upstream = proxy.upstream()
            upstream.write(STREAM_HEAD + chunk(b": the answer goes on"))
            self.assertIn(b" 500 ", caller.read())
            self.assertTrue(upstream.aborted)
            self.assertEqual(proxy.assembly.drain.in_flight, 0)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_provider_of_turns_does_not_hear_of_it(self) -> None:
        """It would break off what it serves for others, and this caller would wait for ever."""
        proxy = MemoryProxy()
        caller = proxy.caller()
        ask(caller, "demo", stream=True)
        self.patch(Speaker, "say", self.broken)
        proxy.advance(0.5)
        self.assertIn(b"event: error", caller.read())
        proxy.advance(LAST_WORDS)
        self.assertTrue(caller.closed)
        self.assertEqual(proxy.exchanges[0].outcome, "error")
        self.assertEqual(proxy.assembly.drain.in_flight, 0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class TranslationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = MemoryProxy("providers.openai.api_key=secret-o")
        self.caller = self.proxy.caller()

    def test_server_that_takes_less(self) -> None:
        """Mistral's own is known by its address."""
        for path, asked in (("", True), ("/mistral", False)):
            at = f"providers.openai.base_url=http://127.0.0.1:2{path}"
            proxy = MemoryProxy("providers.openai.api_key=k", at)
            caller = proxy.caller()
            ask(caller, "gpt-x", stream=True)
            _, _, body = proxy.upstream().request().partition(b"\r\n\r\n")
            self.assertEqual("stream_options" in json.loads(body), asked)

    def test_claude_client_on_an_openai_model(self) -> None:
        self.caller.post(
            "/v1/messages",
            b'{"model":"gpt-x","max_tokens":5,"stream":true,"messages":[{"role":"user","content":"hi"}]}',
            {"x-api-key": "caller-key", "anthropic-version": "2023-06-01"},
        )
        upstream = self.proxy.upstream()
        head, _, body = upstream.request().partition(b"\r\n\r\n")
        self.assertIn(b"POST /v1/chat/completions ", head)
        self.assertIn(b"authorization: Bearer secret-o", head)
        self.assertNotIn(b"caller-key", head)
        sent = json.loads(body)
        self.assertEqual(sent["stream_options"], {"include_usage": True})
        upstream.write(STREAM_HEAD)
        first = b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}\n\n'
        upstream.write(chunk(first[:40]))
        self.caller.read()
        upstream.write(chunk(first[40:]))
        self.assertIn(b'"text":"Hel"', self.caller.read())
        upstream.write(
            chunk(
                b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
                b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
                b"data: [DONE]\n\n"
            )
            + b"0\r\n\r\n"
        )
        end = self.caller.read()
        self.assertIn(b"message_stop", end)
        self.assertTrue(end.endswith(b"0\r\n\r\n"))
        (exchange,) = self.proxy.exchanges
        usage = exchange.usage
        assert usage is not None
        self.assertEqual((usage.input_tokens, usage.output_tokens, usage.complete), (7, 3, True))
        self.assertEqual(exchange.upstream_dialect, "openai_chat")

    def test_address_with_and_without_v1(self) -> None:
        for path in ("", "/", "/v1", "/v1/"):
            proxy = MemoryProxy(
                "providers.openai.api_key=secret-o",
                f"providers.openai.base_url=http://127.0.0.1:3{path}",
            )
            ask(proxy.caller(), "gpt-x")
            asked = proxy.upstream().request()
            self.assertTrue(asked.startswith(b"POST /v1/chat/completions "), asked)

    def test_statuses_have_their_words(self) -> None:
        """SillyTavern shows nothing else of an error where it does not stream."""
        for status, words in ((429, b"Too Many Requests"), (529, b"Overloaded")):
            proxy = MemoryProxy("providers.openai.api_key=secret-o")
            caller = proxy.caller()
            ask(caller, "gpt-x")
            proxy.upstream().write(b"HTTP/1.1 %d\r\ncontent-length: 2\r\n\r\n{}" % status)
            self.assertTrue(caller.read().startswith(b"HTTP/1.1 %d %s\r\n" % (status, words)))

    def test_error_that_the_upstream_tells_ends_in_good_order(self) -> None:
        """As on the verbatim way. Front-ends show the error then, and not that a connection broke."""
        for said, whole in (
            (b'data: {"error":{"message":"too much","type":"server_error"}}\n\n', True),
            (b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"no end"}}]}\n\n', False),
        ):
            proxy = MemoryProxy("providers.openai.api_key=secret-o")
            caller = proxy.caller()
            ask(caller, "gpt-x", stream=True)
            proxy.upstream().write(STREAM_HEAD + chunk(said) + b"0\r\n\r\n")
            proxy.advance(LAST_WORDS)
            sent = caller.read()
            self.assertIn(b"event: error\n", sent)
            self.assertEqual((sent.endswith(b"0\r\n\r\n"), caller.closed), (whole, not whole))
            self.assertEqual([each.outcome for each in proxy.exchanges], ["error"])

    def test_error_that_the_upstream_tells_a_caller_of_the_responses_api(self) -> None:
        """OpenAI's SDKs raise nothing on its event there, but on an answer that breaks off."""
        proxy = MemoryProxy("providers.anthropic.api_key=secret-a")
        caller = proxy.caller()
        body = {"model": "claude-x", "input": "hi", "stream": True}
        caller.post("/v1/responses", json.dumps(body).encode())
        proxy.upstream().write(STREAM_HEAD + chunk(OVERLOADED) + b"0\r\n\r\n")
        proxy.advance(LAST_WORDS)
        sent = caller.read()
        self.assertIn(b"response.failed", sent)
        self.assertEqual((sent.endswith(b"0\r\n\r\n"), caller.closed), (False, True))

    def test_broken_upstream_is_told_in_the_callers_dialect(self) -> None:
        self.caller.post(
            "/v1/messages",
            b'{"model":"gpt-x","max_tokens":5,"stream":true,"messages":[{"role":"user","content":"hi"}]}',
        )
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b'data: {"id":"c","choices":[{"index":0,"delta":{"con'))
        upstream.reset()
        sent = self.caller.read()
        self.assertIn(b"event: error\n", sent)
        self.proxy.advance(LAST_WORDS)
        self.assertTrue(self.caller.closed)
        self.assertFalse(sent.endswith(b"0\r\n\r\n"))

    def test_pings_stand_between_frames_while_the_upstream_is_silent(self) -> None:
        self.caller.post(
            "/v1/messages",
            b'{"model":"gpt-x","max_tokens":5,"stream":true,"messages":[{"role":"user","content":"hi"}]}',
        )
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD)
        self.proxy.advance(16)
        self.caller.read()
        upstream.write(
            chunk(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
        )
        self.caller.read()
        self.proxy.advance(16)
        self.assertIn(b"event: ping", self.caller.read())
        self.proxy.advance(300)
        sent = self.caller.read()
        self.assertIn(b"event: error", sent)
        self.assertTrue(upstream.aborted)

    def test_upstreams_error_keeps_its_status_and_retry_after(self) -> None:
        self.caller.post(
            "/v1/messages",
            b'{"model":"gpt-x","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}',
        )
        self.proxy.upstream().write(
            b"HTTP/1.1 429 Slow\r\nContent-Type: application/json\r\nRetry-After: 7\r\nContent-Length: 76\r\n\r\n"
            b'{"error":{"message":"slow down","type":"rate_limit","param":null,"code":""}}'
        )
        head, _, body = self.caller.read().partition(b"\r\n\r\n")
        self.assertIn(b" 429 ", head)
        self.assertIn(b"retry-after: 7", head.lower())
        self.assertEqual(json.loads(body)["error"]["type"], "rate_limit_error")

    def test_missing_key_is_named_and_nothing_is_sent(self) -> None:
        proxy = MemoryProxy()
        caller = proxy.caller()
        caller.post(
            "/v1/chat/completions",
            b'{"model":"claude-x","messages":[{"role":"user","content":"hi"}]}',
            {"authorization": "Bearer sk-openai"},
        )
        head, _, body = caller.read().partition(b"\r\n\r\n")
        self.assertIn(b" 401 ", head)
        self.assertIn("providers.anthropic.api_key", json.loads(body)["error"]["message"])
        self.assertEqual(proxy.reactor.tcpClients, [])


class TurnTests(SynchronousTestCase):
    def test_demo_streams_word_by_word_in_each_dialect(self) -> None:
        for path, body, end in (
            ("/v1/messages", {"messages": [{"role": "user", "content": "x"}]}, b"message_stop"),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, b"[DONE]"),
            ("/v1/responses", {"input": "x"}, b"response.completed"),
        ):
            proxy = MemoryProxy()
            caller = proxy.caller()
            request = {"model": "demo", "max_tokens": 5, "stream": True, **body}
            if path == "/v1/responses":
                request["max_output_tokens"] = request.pop("max_tokens")
            caller.post(path, json.dumps(request).encode())
            proxy.advance(0.5)
            first = caller.read()
            self.assertIn(b"Hello!", first, path)
            proxy.advance(5)
            self.assertIn(end.replace(b"completed", b"incomplete"), first + caller.read(), path)
            self.assertEqual(proxy.exchanges[0].outcome, "ok")
            self.assertEqual(proxy.assembly.drain.in_flight, 0)

    def test_leaving_caller_stops_the_turn(self) -> None:
        proxy = MemoryProxy()
        caller = proxy.caller()
        ask(caller, "demo", stream=True)
        proxy.advance(0.5)
        caller.leave()
        self.assertEqual(proxy.exchanges[0].outcome, "client_gone")
        self.assertEqual([call for call in proxy.reactor.getDelayedCalls() if call.active()], [])


class DemotionTests(SynchronousTestCase):
    def test_non_streaming_call_comes_back_as_one_message(self) -> None:
        proxy = MemoryProxy("providers.anthropic.demote_nonstreaming=true")
        caller = proxy.caller()
        ask(caller, "claude-x")
        upstream = proxy.upstream()
        self.assertIn(b'"stream":true', upstream.request().replace(b" ", b""))
        message: dict[str, object] = {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "c",
            "content": [],
        }
        message |= {"stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 1}}
        block = {"index": 0, "content_block": {"type": "text", "text": ""}}
        delta = {"index": 0, "delta": {"type": "text_delta", "text": "yes"}}
        end = {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
        events = b"".join(
            b"event: %s\ndata: %s\n\n"
            % (name.encode(), json.dumps({"type": name, **more}).encode())
            for name, more in (
                ("message_start", {"message": message}),
                ("content_block_start", block),
                ("content_block_delta", delta),
                ("content_block_stop", {"index": 0}),
                ("message_delta", end),
                ("message_stop", {}),
            )
        )
        upstream.write(STREAM_HEAD + chunk(events) + b"0\r\n\r\n")
        head, _, body = caller.read().partition(b"\r\n\r\n")
        self.assertIn(b"application/json", head)
        answer = json.loads(body)
        self.assertEqual(answer["content"], [{"type": "text", "text": "yes"}])
        self.assertEqual(answer["usage"], {"input_tokens": 3, "output_tokens": 2})
        self.assertTrue(proxy.exchanges[0].demoted)

    def test_half_a_message_is_an_error(self) -> None:
        proxy = MemoryProxy("providers.anthropic.demote_nonstreaming=true")
        caller = proxy.caller()
        ask(caller, "claude-x")
        upstream = proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b'event: ping\ndata: {"type":"ping"}\n\n'))
        upstream.reset()
        self.assertIn(b" 502 ", caller.read())
