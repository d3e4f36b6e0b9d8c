"""Who is asked, one after the other, and what of that a caller and the log hear."""

from __future__ import annotations

from typing import cast

from attrs import evolve
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config.model import HTTPProviderConfig
from clawproxy.core.circuit import FAILURES_TO_OPEN, OPEN_FOR
from clawproxy.core.policy import Cause, Failure
from clawproxy.relay.books import UNQUOTED
from clawproxy.testing import MemoryProxy
from clawproxy.web.delivery import LAST_WORDS
from tests.relay.asking import FALLBACK, FOREIGN_FALLBACK, OVERLOADED, PROVIDERS, ask
from tests.wire import STREAM_HEAD, chunk


class FallbackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = MemoryProxy(*PROVIDERS, FALLBACK)
        self.caller = self.proxy.caller()

    def test_second_target_answers_when_the_first_is_overloaded(self) -> None:
        ask(self.caller, "a-1")
        first = self.proxy.upstream()
        self.assertIn(b'"m1"', first.request())
        first.write(b"HTTP/1.1 529 No\r\nContent-Length: 0\r\n\r\n")
        second = self.proxy.upstream()
        sent = second.request()
        self.assertIn(b'"b-x"', sent)
        self.assertIn(b"x-api-key: k2", sent)
        self.assertNotIn(b"k1", sent)
        second.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        self.assertIn(b" 200 OK", self.caller.read())
        (exchange,) = self.proxy.exchanges
        self.assertEqual((exchange.provider, exchange.routed_model), ("two", "b-x"))
        self.assertEqual((exchange.tries, exchange.outcome), (2, "ok"))

    def test_other_4xx_never_falls_back(self) -> None:
        ask(self.caller, "a-1")
        self.proxy.upstream().write(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno")
        self.assertTrue(self.caller.read().endswith(b"no"))
        self.assertEqual(self.proxy.reactor.tcpClients, [])

    def test_first_event_that_is_an_error_falls_back(self) -> None:
        ask(self.caller, "a-1", stream=True)
        first = self.proxy.upstream()
        first.write(STREAM_HEAD + chunk(OVERLOADED[:30]))
        self.assertEqual(self.caller.read(), b"")
        first.write(chunk(OVERLOADED[30:]))
        self.assertTrue(first.aborted)
        self.assertEqual(self.caller.read(), b"")
        second = self.proxy.upstream()
        second.write(STREAM_HEAD + chunk(b"event: message_start\ndata: {}\n\n") + b"0\r\n\r\n")
        self.assertIn(b"message_start", self.caller.read())

    def test_first_event_that_is_none_releases_what_was_held(self) -> None:
        ask(self.caller, "a-1", stream=True)
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b": hello\n\n"))
        self.assertEqual(self.caller.read(), b"")
        upstream.write(chunk(b"event: message_start\ndata: {}\n\n"))
        sent = self.caller.read()
        self.assertIn(b": hello\n\n", sent)
        self.assertIn(b"message_start", sent)
        upstream.write(chunk(OVERLOADED) + b"0\r\n\r\n")
        self.assertIn(b"overloaded_error", self.caller.read())
        self.assertEqual(self.proxy.exchanges[0].outcome, "error")

    def test_stream_that_breaks_before_its_first_event_falls_back(self) -> None:
        ask(self.caller, "a-1", stream=True)
        first = self.proxy.upstream()
        first.write(STREAM_HEAD + chunk(b": hello\n\n"))
        first.reset()
        self.assertEqual(self.caller.read(), b"")
        second = self.proxy.upstream()
        second.write(STREAM_HEAD + chunk(b"event: message_start\ndata: {}\n\n"))
        sent = self.caller.read()
        self.assertIn(b"message_start", sent)
        self.assertNotIn(b"hello", sent)

    def test_broken_answer_of_a_fallback_ends_with_an_error_event(self) -> None:
        """Also where the first target's could have taken none."""
        for of_the_body in (b"Content-Length: %d" % len(OVERLOADED), b"Content-Encoding: br"):
            proxy = MemoryProxy(*PROVIDERS, FALLBACK)
            caller = proxy.caller()
            ask(caller, "a-1", stream=True)
            first = proxy.upstream()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + of_the_body
            if b"Encoding" in of_the_body:
                first.write(head + b"\r\n\r\n")
                first.reset()
            else:
                first.write(head + b"\r\n\r\n" + OVERLOADED)
            second = proxy.upstream()
            second.write(STREAM_HEAD + chunk(b"event: ping\ndata: {}\n\ndata: "))
            second.reset()
            proxy.advance(LAST_WORDS)
            self.assertIn(b"data: \r\n", received := caller.read())
            self.assertIn(b"event: error\n", received)
            self.assertTrue(caller.closed)

    def test_what_a_record_says_of_demotion_is_the_last_target_s(self) -> None:
        proxy = MemoryProxy(
            *PROVIDERS,
            FALLBACK,
            "providers.one.demote_nonstreaming=true",
            "providers.two={kind: demo}",
        )
        caller = proxy.caller()
        ask(caller, "a-1")
        proxy.upstream().write(STREAM_HEAD + chunk(OVERLOADED) + b"0\r\n\r\n")
        proxy.advance(60)
        self.assertIn(b" 200 ", caller.read())
        self.assertEqual([each.demoted for each in proxy.exchanges], [False])

    def test_log_tells_nothing_secret_of_why_another_target_is_asked(self) -> None:
        leaking = OVERLOADED.replace(b"busy", b"no sk-abcdefgh12345678 for <the prompt>")
        for sets, said in (
            ((), "no *** for <the prompt>"),
            (("storage.bodies=metadata",), UNQUOTED),
        ):
            events: list[LogEvent] = []
            observer = cast(ILogObserver, events.append)
            globalLogPublisher.addObserver(observer)
            self.addCleanup(globalLogPublisher.removeObserver, observer)
            proxy = MemoryProxy(*PROVIDERS, FALLBACK, *sets)
            ask(proxy.caller(), "a-1", stream=True)
            proxy.upstream().write(STREAM_HEAD + chunk(leaking))
            proxy.upstream().write(STREAM_HEAD + b"0\r\n\r\n")
            told = [str(event["why"]) for event in events if "why" in event]
            self.assertEqual(told, [said])

    def test_translated_fallback_streams_at_once(self) -> None:
        proxy = MemoryProxy(PROVIDERS[0], "providers.openai.api_key=k", FOREIGN_FALLBACK)
        caller = proxy.caller()
        ask(caller, "a-1", stream=True)
        proxy.upstream().write(STREAM_HEAD + chunk(OVERLOADED))
        second = proxy.upstream()
        second.write(STREAM_HEAD)
        second.write(
            chunk(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"yes"}}]}\n\n')
        )
        self.assertIn(b'"text":"yes"', caller.read())

    def test_fallback_that_cannot_express_the_request_is_no_400(self) -> None:
        proxy = MemoryProxy(PROVIDERS[0], "providers.openai.api_key=k", FOREIGN_FALLBACK)
        caller = proxy.caller()
        ask(caller, "a-1", top_k=5)
        proxy.upstream().write(b"HTTP/1.1 529 No\r\nContent-Length: 0\r\n\r\n")
        self.assertIn(b" 502 ", caller.read())

    def test_400_of_a_fallback_s_upstream_is_its_answer(self) -> None:
        proxy = MemoryProxy(
            *PROVIDERS,
            "providers.openai.api_key=k",
            'routes=[{match: "a-*", provider: one, fallbacks: ["gpt-x", "b-x"]},'
            ' {match: "b-*", provider: two}]',
        )
        caller = proxy.caller()
        ask(caller, "a-1")
        proxy.upstream().write(b"HTTP/1.1 529 No\r\nContent-Length: 0\r\n\r\n")
        said = b'{"error":{"message":"too many tools","type":"invalid_request_error"}}'
        proxy.upstream().write(
            b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said)
        )
        self.assertEqual(proxy.reactor.tcpClients, [], "nobody else is asked")
        sent = caller.read()
        self.assertIn(b" 400 ", sent)
        self.assertIn(b"too many tools", sent)

    def test_last_targets_error_goes_to_the_caller_as_it_came(self) -> None:
        ask(self.caller, "b-1", stream=True)
        self.proxy.upstream().write(STREAM_HEAD + chunk(OVERLOADED) + b"0\r\n\r\n")
        self.assertIn(chunk(OVERLOADED), self.caller.read())


class ProbeTests(SynchronousTestCase):
    """Whoever is let through an open circuit as its probe must not keep the next one from being it."""

    def setUp(self) -> None:
        self.proxy = MemoryProxy(
            "providers.openai.api_key=k",
            PROVIDERS[1],
            'routes=[{match: "a-*", provider: openai, model: gpt-x, fallbacks: ["b-x"]},'
            ' {match: "b-*", provider: two}]',
        )
        circuit = self.proxy.assembly.board.circuit("openai")
        for _ in range(FAILURES_TO_OPEN):
            circuit.failed(Failure(Cause.CONNECT), self.proxy.reactor.seconds())
        self.proxy.advance(OPEN_FOR)
        self.assertEqual(self.proxy.assembly.board.circuits["openai"], "half_open")

    def assert_next_is_the_probe(self) -> None:
        ask(self.proxy.caller(), "a-1")
        self.assertIn(b"POST /v1/chat/completions", self.proxy.upstream().request())

    def test_request_that_its_target_cannot_express(self) -> None:
        caller = self.proxy.caller()
        ask(caller, "a-1", top_k=5)
        self.assertIn(b" 400 ", caller.read())
        self.assert_next_is_the_probe()

    def test_caller_that_leaves(self) -> None:
        caller = self.proxy.caller()
        ask(caller, "a-1")
        self.proxy.upstream()
        caller.leave()
        self.assert_next_is_the_probe()

    def test_provider_that_is_mended_by_a_reload_is_asked_at_once(self) -> None:
        board = self.proxy.assembly.board
        board.circuit("openai").failed(Failure(Cause.CONNECT), self.proxy.reactor.seconds())
        self.proxy.assembly.rewire(self.proxy.config)
        self.assertEqual(board.circuits["openai"], "open", "nothing of it has changed")
        providers = dict(self.proxy.config.providers)
        openai = providers["openai"]
        assert isinstance(openai, HTTPProviderConfig)
        providers["openai"] = evolve(openai, base_url="http://127.0.0.1:22")
        self.proxy.assembly.rewire(evolve(self.proxy.config, providers=providers))
        self.assertEqual(board.circuits, {})
        self.assert_next_is_the_probe()

    def test_one_probe_at_a_time(self) -> None:
        ask(self.proxy.caller(), "a-1")
        self.assertIn(b"POST /v1/chat/completions", self.proxy.upstream().request())
        ask(self.proxy.caller(), "a-1")
        self.assertIn(b"POST /v1/messages", self.proxy.upstream().request())
