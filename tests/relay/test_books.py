"""What is known of an exchange in the end, however it ended."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.relay.books import UNQUOTED
from clawproxy.testing import MemoryProxy
from tests.relay.asking import FALLBACK, FOREIGN_FALLBACK, OVERLOADED, PROVIDERS, ask
from tests.wire import LAST_CHUNK, STREAM_HEAD, chunk


class UnfinishedTests(SynchronousTestCase):
    """What was used so far is known of an answer that never came to its end, on every way."""

    START = (
        b"event: message_start\ndata: "
        b'{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"c",'
        b'"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":1}}}\n\n'
    )
    CHAT = b'{"model":"claude-x","stream":true,"messages":[{"role":"user","content":"hi"}]}'

    def used(self, path: str, end: str, *sets: str, asked: bytes = CHAT) -> tuple[int, int, bool]:
        """Begin an answer, end it in some way, and give what was recorded."""
        proxy = MemoryProxy("providers.anthropic.api_key=k", "server.drain.timeout=10", *sets)
        caller = proxy.caller()
        caller.post(path, asked)
        upstream = proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(self.START))
        if end == "leave":
            caller.leave()
        elif end == "break":
            upstream.reset()
        else:
            proxy.assembly.drain.start()
            proxy.advance(11)
        (exchange,) = proxy.exchanges
        wanted = {"leave": "client_gone", "break": "error", "cut": "cut"}
        self.assertEqual(exchange.outcome, wanted[end])
        assert exchange.usage is not None
        return exchange.usage.input_tokens, exchange.usage.output_tokens, exchange.usage.complete

    def test_usage_so_far(self) -> None:
        for path in ("/v1/messages", "/v1/chat/completions"):
            for end in ("leave", "break", "cut"):
                self.assertEqual(self.used(path, end), (7, 1, False), (path, end))

    def test_usage_so_far_of_a_demoted_call(self) -> None:
        demoted = "providers.anthropic.demote_nonstreaming=true"
        asked = self.CHAT.replace(b'"stream":true,', b"")
        for path in ("/v1/messages", "/v1/chat/completions"):
            for end in ("leave", "break", "cut"):
                used = self.used(path, end, demoted, asked=asked)
                self.assertEqual(used, (7, 1, False), (path, end))

    def test_turn_that_is_left(self) -> None:
        proxy = MemoryProxy()
        caller = proxy.caller()
        ask(caller, "demo", stream=True)
        proxy.advance(0.5)
        caller.leave()
        usage = proxy.exchanges[0].usage
        assert usage is not None
        self.assertGreater(usage.input_tokens, 0)
        self.assertFalse(usage.complete)

    def test_first_targets_usage_is_not_the_second_ones(self) -> None:
        proxy = MemoryProxy(*PROVIDERS, FALLBACK, "providers.one.demote_nonstreaming=true")
        caller = proxy.caller()
        ask(caller, "a-1")
        proxy.upstream().write(STREAM_HEAD + chunk(self.START + OVERLOADED) + LAST_CHUNK)
        proxy.upstream().write(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}")
        self.assertIn(b" 404 ", caller.read())
        (exchange,) = proxy.exchanges
        self.assertEqual((exchange.provider, exchange.usage), ("two", None))

    def test_nor_is_it_where_the_second_is_not_reached(self) -> None:
        proxy = MemoryProxy(*PROVIDERS, FALLBACK, "providers.one.demote_nonstreaming=true")
        caller = proxy.caller()
        ask(caller, "a-1")
        proxy.upstream().write(STREAM_HEAD + chunk(self.START + OVERLOADED) + LAST_CHUNK)
        proxy.refuse()
        self.assertIn(b" 502 ", caller.read())
        self.assertIsNone(proxy.exchanges[0].usage)


class WordsTests(SynchronousTestCase):
    """Where no text of a prompt or an answer may be kept, the proxy's own words are, and nobody else's."""

    KEPT = "storage.bodies=metadata"

    def test_of_a_break_behind_what_the_upstream_said(self) -> None:
        demoted = "providers.anthropic.demote_nonstreaming=true"
        proxy = MemoryProxy("providers.anthropic.api_key=k", demoted, self.KEPT)
        ask(proxy.caller(), "claude-x")
        upstream = proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(UnfinishedTests.START))
        upstream.reset()
        self.assertIn("reset", str(proxy.exchanges[0].error))

    def test_of_a_target_that_no_other_could_make_good(self) -> None:
        proxy = MemoryProxy(
            PROVIDERS[0],
            "providers.openai.api_key=k",
            FOREIGN_FALLBACK,
            self.KEPT,
        )
        caller = proxy.caller()
        ask(caller, "a-1", top_k=5, stream=True)
        told = OVERLOADED.replace(b"busy", b"no <the prompt>")
        proxy.upstream().write(STREAM_HEAD + chunk(told))
        self.assertIn(b"<the prompt>", caller.read())
        self.assertEqual(proxy.exchanges[0].error, UNQUOTED)
