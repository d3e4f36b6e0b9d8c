"""Translated answers whose form is not what was said, and which another target can make good."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.relay import translation
from clawproxy.relay.translation import is_stream
from clawproxy.testing import MemoryCaller, MemoryProxy
from tests.relay.asking import KEYS, ask
from tests.wire import STREAM_HEAD, chunk

SAID = (
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"yes"},"finish_reason":"stop"}]}\n\n'
)
STREAM = SAID + b"data: [DONE]\n\n"
WHOLE = b'{"id":"c","choices":[{"index":0,"message":{"content":"yes"},"finish_reason":"stop"}]}'
FAULT = b'{"error":{"message":"too busy","code":503}}'
ROUTES = 'routes=[{match: "a-*", provider: openai, fallbacks: ["claude-x"]}]'


def head(kind: bytes, length: int) -> bytes:
    """The head of an answer of that content type."""
    named = b"Content-Type: %s\r\n" % kind if kind else b""
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (named, length)


class FormTests(SynchronousTestCase):
    """The first byte tells a stream from a document, whatever the content type says."""

    def asked(self, *, stream: bool) -> MemoryCaller:
        self.proxy = MemoryProxy(*KEYS)
        caller = self.proxy.caller()
        ask(caller, "gpt-x", stream=stream)
        return caller

    def answered(self, kind: bytes, body: bytes, *, stream: bool) -> bytes:
        caller = self.asked(stream=stream)
        self.proxy.upstream().write(head(kind, len(body)) + body)
        return caller.read()

    def test_stream_by_any_name(self) -> None:
        for kind in (b"", b"text/plain; charset=utf-8", b"application/json", b"text/event-stream"):
            for body in (STREAM, b"\xef\xbb\xbf\r\n" + STREAM, b": hello\n\n" + STREAM):
                told = self.answered(kind, body, stream=True)
                self.assertIn(b'"text":"yes"', told)
                self.assertIn(b"message_stop", told)
                whole = self.answered(kind, body, stream=False)
                self.assertEqual(
                    json.loads(whole.partition(b"\r\n\r\n")[2])["content"],
                    [{"type": "text", "text": "yes"}],
                )

    def test_stream_without_its_name_comes_piece_by_piece(self) -> None:
        caller = self.asked(stream=True)
        upstream = self.proxy.upstream()
        upstream.write(head(b"text/plain", len(STREAM)) + STREAM[:3])
        self.assertEqual(caller.read(), b"")
        upstream.write(STREAM[3 : len(SAID)])
        self.assertIn(b'"text":"yes"', caller.read())

    def test_document_by_any_name(self) -> None:
        for kind in (b"", b"text/event-stream", b"application/json"):
            told = self.answered(kind, WHOLE, stream=True)
            self.assertIn(b'"text":"yes"', told)
            self.assertIn(b"message_stop", told)
            self.assertIn(b'"yes"', self.answered(kind, WHOLE, stream=False))

    def test_error_in_a_200(self) -> None:
        """It is an HTTP error as long as nothing was sent, and an event after that."""
        for kind in (b"", b"application/json"):
            for stream in (True, False):
                told = self.answered(kind, FAULT, stream=stream)
                self.assertIn(b" 503 ", told)
                self.assertIn(b"too busy", told)
        told = self.answered(b"text/event-stream", FAULT, stream=True)
        self.assertRegex(told, rb'event: error\ndata: .*"too busy"')
        self.assertFalse(told.endswith(b"0\r\n\r\n"))

    def test_what_is_neither(self) -> None:
        for kind in (b"", b"text/html", b"application/json"):
            for body in (b"", b"<html>Sign in</html>", b'{"id":', b"[]", b"data"):
                told = self.answered(kind, body, stream=True)
                self.assertIn(b" 502 ", told, (kind, body))
                self.assertNotIn(b"Sign in", told)

    def test_answer_without_end(self) -> None:
        """A caller without a stream costs a bounded part of the memory, whatever form the answer has."""
        self.patch(translation, "MOST_KEPT", 5000)
        for kind, piece in (
            (b"text/event-stream", SAID.replace(b'"stop"', b"null")),
            (b"application/json", WHOLE.replace(b"yes", b"y" * 100)),
        ):
            caller = self.asked(stream=False)
            upstream = self.proxy.upstream()
            upstream.write(head(kind, 10**9) + piece * 60)
            self.assertTrue(upstream.aborted)
            self.assertIn(b" 502 ", caller.read())

    @given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=6))
    def test_any_cut(self, cuts: list[int]) -> None:
        """The verdict does not depend on how the beginning was cut."""
        for body, streams in ((STREAM, True), (b"event: x\n", True), (WHOLE, False), (b"id", None)):
            found = None
            for start, end in pairwise([0, *sorted(cuts), len(body)]):
                if found is None and end > start:
                    found = is_stream(body[:end], declared=False)
            self.assertIs(found, streams)


class FailoverTests(SynchronousTestCase):
    """What is lost before the caller has seen anything goes to the next target."""

    def setUp(self) -> None:
        self.proxy = MemoryProxy(*KEYS, ROUTES)
        self.caller = self.proxy.caller()

    def chat(self, *, stream: bool) -> None:
        """Ask as a caller whom the second target answers in another dialect, too."""
        body = {"model": "a-1", "stream": stream, "input": "hi"}
        self.caller.post("/v1/responses", json.dumps(body).encode())

    def second_is_asked(self) -> None:
        self.assertEqual(self.caller.read(), b"")
        self.assertIn(b'"claude-x"', self.proxy.upstream().request())

    def test_documents(self) -> None:
        for stream in (True, False):
            for body in (FAULT, b"<html>no</html>"):
                self.setUp()
                ask(self.caller, "a-1", stream=stream)
                self.proxy.upstream().write(head(b"application/json", len(body)) + body)
                self.second_is_asked()

    def test_callers_fault_is_no_reason(self) -> None:
        body = b'{"error":{"message":"no such thing","code":"model_not_found"}}'
        ask(self.caller, "a-1")
        self.proxy.upstream().write(head(b"application/json", len(body)) + body)
        self.assertIn(b" 404 ", self.caller.read())

    def test_whole_answer_that_breaks(self) -> None:
        ask(self.caller, "a-1")
        upstream = self.proxy.upstream()
        upstream.write(head(b"application/json", 900) + WHOLE)
        upstream.reset()
        self.second_is_asked()

    def test_stream_for_a_caller_without_one(self) -> None:
        """Nothing was said yet, however much has come."""
        ask(self.caller, "a-1")
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(SAID.replace(b'"stop"', b"null")))
        upstream.write(chunk(b"data: " + FAULT + b"\n\n") + b"0\r\n\r\n")
        self.second_is_asked()

    def test_held_pieces_of_a_coded_stream(self) -> None:
        """Every piece of what one read decodes to is told: they were lost behind the first event."""
        pieces = [
            SAID.replace(b"yes", b"%06d" % n).replace(b'"stop"', b"null") for n in range(4000)
        ]
        coded = gzip.compress(b"".join([*pieces, STREAM]))
        ask(self.caller, "a-1", stream=True)
        upstream = self.proxy.upstream()
        upstream.write(
            STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
            + chunk(coded)
            + b"0\r\n\r\n"
        )
        told = self.caller.read()
        for n in range(4000):
            self.assertIn(b'"text":"%06d"' % n, told)
        self.assertIn(b"message_stop", told)


class DemotionTests(SynchronousTestCase):
    """``demote_nonstreaming`` is the provider's, whatever the caller speaks."""

    def test_callers_of_other_dialects(self) -> None:
        events = (
            {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": "yes"},
            },
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 2},
            },
            {"type": "message_stop"},
        )
        for path, asked in (
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
            ("/v1/responses", {"input": "hi"}),
        ):
            proxy = MemoryProxy(
                "providers.anthropic.demote_nonstreaming=true", "providers.anthropic.api_key=k"
            )
            caller = proxy.caller()
            caller.post(path, json.dumps({"model": "claude-x", **asked}).encode())
            upstream = proxy.upstream()
            self.assertIn(b'"stream":true', upstream.request())
            body = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
            upstream.write(STREAM_HEAD + chunk(body) + b"0\r\n\r\n")
            top, _, told = caller.read().partition(b"\r\n\r\n")
            self.assertIn(b"application/json", top)
            self.assertIn(b'"yes"', told)
            self.assertTrue(proxy.exchanges[0].demoted)


class CachePromptsTests(SynchronousTestCase):
    """``cache_prompts`` of a provider."""

    def test_switch(self) -> None:
        tool = {"type": "function", "function": {"name": "f"}}
        asked = {
            "model": "claude-x",
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [tool],
        }
        own = "providers.anthropic.base_url=http://api.anthropic.com"
        for switch, marked in (
            ((own,), True),
            ((own, "providers.anthropic.cache_prompts=false"), False),
            ((), False),
            (("providers.anthropic.cache_prompts=true",), True),
        ):
            elsewhere = "providers.anthropic.base_url=http://127.0.0.1:9"
            proxy = MemoryProxy("providers.anthropic.api_key=k", elsewhere, *switch)
            proxy.caller().post("/v1/chat/completions", json.dumps(asked).encode())
            self.assertIs(b'"cache_control"' in proxy.upstream().request(), marked)


class APITests(SynchronousTestCase):
    """Which of OpenAI's two APIs a caller of Anthropic's is answered by."""

    def test_by_model_and_host(self) -> None:
        own = "providers.openai.base_url=http://api.openai.com"
        for model, options, path in (
            ("gpt-5.4", (own,), b"/v1/responses"),
            ("o3", (own,), b"/v1/responses"),
            ("gpt-4o", (own,), b"/v1/chat/completions"),
            ("gpt-5-chat-latest", (own,), b"/v1/chat/completions"),
            ("gpt-5.4", (own, "providers.openai.api=chat"), b"/v1/chat/completions"),
            ("gpt-4o", (own, "providers.openai.api=responses"), b"/v1/responses"),
            ("gpt-5.4", (), b"/v1/chat/completions"),
        ):
            proxy = MemoryProxy("providers.openai.api_key=k", *options)
            ask(proxy.caller(), model, tools=[{"name": "f", "input_schema": {"type": "object"}}])
            self.assertIn(b"POST " + path + b" ", proxy.upstream().request(), (model, options))
