"""The life of an exchange: verbatim bytes, errors in the caller's dialect, and one end for each."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryProxy
from clawproxy.web.delivery import LAST_WORDS
from tests.relay.asking import error_of
from tests.wire import ASK, STREAM_HEAD, chunk


class VerbatimTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = MemoryProxy()
        self.caller = self.proxy.caller()

    def test_request_goes_out_as_it_came(self) -> None:
        body = b'{"model": "claude-x", "n": 12345678901234567890123, "messages": [ ] }'
        self.caller.post(
            "/v1/messages?beta=true", body, {"x-api-key": "k", "anthropic-beta": "a,b"}
        )
        request = self.proxy.upstream().request()
        head, _, sent = request.partition(b"\r\n\r\n")
        self.assertEqual(sent, body)
        lines = head.lower().split(b"\r\n")
        self.assertEqual(lines[0], b"post /v1/messages?beta=true http/1.1")
        self.assertIn(b"x-api-key: k", lines)
        self.assertIn(b"anthropic-beta: a,b", lines)
        self.assertIn(b"host: 127.0.0.1:1", lines)

    def test_pieces_go_out_in_the_turn_in_which_they_came(self) -> None:
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD)
        head = self.caller.read()
        self.assertIn(b"x-accel-buffering: no", head.lower())
        self.assertIn(b"cache-control: no-cache", head.lower())
        for piece in (b"event: message_start\ndata: {}\n\n", b": odd\r\n\r\n", b"\xff\xfe"):
            upstream.write(chunk(piece))
            self.assertEqual(self.caller.read(), chunk(piece))
        upstream.write(b"0\r\n\r\n")
        self.assertEqual(self.caller.read(), b"0\r\n\r\n")
        self.assertEqual([each.outcome for each in self.proxy.exchanges], ["ok"])
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)

    def test_an_upstreams_page_is_no_page_of_the_dashboards_origin(self) -> None:
        self.caller.post("/v1/files", b"x", {"authorization": "Bearer k"})
        page = b"<script src=/v1/files/g/content></script>"
        self.proxy.upstream().write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
            + page
        )
        head, _, body = self.caller.read().partition(b"\r\n\r\n")
        self.assertIn(b"\r\ncontent-security-policy: sandbox\r\n", head)
        self.assertEqual(body, page)

    def test_head_and_first_piece_of_one_read_leave_together(self) -> None:
        self.caller.post("/v1/messages", ASK)
        self.proxy.upstream().write(STREAM_HEAD + chunk(b"a") + chunk(b"b") + b"0\r\n\r\n")
        sent = self.caller.read()
        self.assertTrue(sent.endswith(b"\r\n\r\n" + chunk(b"ab") + b"0\r\n\r\n"))

    def test_slow_caller_pauses_the_upstream(self) -> None:
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD)
        self.caller.pause()
        self.assertTrue(upstream.paused)
        self.proxy.advance(500)
        self.caller.resume()
        self.assertFalse(upstream.paused)
        upstream.write(chunk(b"x") + b"0\r\n\r\n")
        self.assertIn(chunk(b"x"), self.caller.read())

    def test_keep_alive_connection_serves_the_next_request(self) -> None:
        for _ in range(2):
            self.caller.post("/v1/messages", b'{"model":"claude-x","messages":[]}')
            if self.proxy.reactor.tcpClients:
                upstream = self.proxy.upstream()
            upstream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            self.assertTrue(self.caller.read().endswith(b"{}"))

    def test_stale_connection_is_replaced_silently_once(self) -> None:
        self.caller.post("/v1/messages", ASK)
        old = self.proxy.upstream()
        old.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        self.caller.read()
        self.caller.post("/v1/messages", ASK)
        old.close()
        new = self.proxy.upstream()
        self.assertTrue(new.request().endswith(ASK))
        new.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        self.assertTrue(self.caller.read().endswith(b"[]"))
        self.assertEqual([each.tries for each in self.proxy.exchanges], [1, 1])


class FailureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = MemoryProxy()
        self.caller = self.proxy.caller()

    def test_caller_of_a_broken_stream_that_leaves_first(self) -> None:
        """The moment that it has for the error is over with its connection."""
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b": a\n\n"))
        upstream.reset()
        self.caller.leave()
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)
        self.proxy.advance(LAST_WORDS)
        self.assertEqual([each.outcome for each in self.proxy.exchanges], ["error"])

    def test_leaving_caller_aborts_the_upstream(self) -> None:
        for stage in ("connect", "headers", "body"):
            caller = self.proxy.caller()
            caller.post("/v1/messages", ASK)
            self.assertEqual(self.proxy.assembly.drain.in_flight, 1)
            if stage != "connect":
                upstream = self.proxy.upstream()
                if stage == "body":
                    upstream.write(STREAM_HEAD)
            caller.leave()
            if stage != "connect":
                self.assertTrue(upstream.aborted, stage)
            else:
                self.proxy.reactor.tcpClients.clear()
            self.assertEqual(self.proxy.assembly.drain.in_flight, 0)
            last = self.proxy.exchanges[-1]
            self.assertEqual((last.outcome, last.status), ("client_gone", 499))

    def test_caller_that_leaves_with_the_last_event_has_had_its_answer(self) -> None:
        """The upstream may end its body a packet later than its stream."""
        stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
        start = (
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
            b'"role":"assistant","content":[],"model":"claude-x","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
            b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
            b'"usage":{"output_tokens":5}}\n\n'
        )
        proxy = MemoryProxy("providers.anthropic.api_key=k")
        for path in ("/v1/messages", "/v1/chat/completions"):
            asked = ASK.replace(b"[]", b'[{"role":"user","content":"hi"}]')
            for last, outcome in ((b"", "client_gone"), (stop, "ok")):
                caller = proxy.caller()
                caller.post(path, asked, {"x-clawproxy-provider": "anthropic"})
                upstream = proxy.upstream()
                upstream.write(STREAM_HEAD + chunk(start + last))
                caller.leave()
                self.assertTrue(upstream.aborted)
                self.assertEqual(proxy.assembly.drain.in_flight, 0)
                exchange = proxy.exchanges[-1]
                self.assertEqual(exchange.outcome, outcome, path)
                self.assertEqual(exchange.status, 200 if last else 499)
                usage = exchange.usage
                assert usage is not None
                self.assertEqual((usage.output_tokens, usage.complete), (5, bool(last)))

    def test_bad_bodies(self) -> None:
        for body, code in (
            (b"", "invalid_json"),
            (b"{", "invalid_json"),
            (b"[]", "invalid_json"),
            (b"{}", "missing_field"),
            (b'{"model":1,"messages":[]}', "missing_field"),
            (b'{"model":"m","messages":{}}', "missing_field"),
        ):
            self.caller.post("/v1/chat/completions", body)
            status, answer = error_of(self.caller)
            self.assertEqual((status, answer["error"]["code"]), (400, code), body)  # type: ignore[index]
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)

    def test_oversized_body_is_refused_unread(self) -> None:
        proxy = MemoryProxy("server.max_body=100")
        caller = proxy.caller()
        caller.write(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n")
        sent = caller.read()
        self.assertIn(b" 413 ", sent)
        self.assertIn(b"request_too_large", sent)
        proxy.advance(10)
        self.assertTrue(caller.closed)
        self.assertEqual(proxy.assembly.drain.in_flight, 0)


class StuckCallerTests(SynchronousTestCase):
    def test_answer_that_breaks_off_does_not_wait_for_ever(self) -> None:
        """A close waits until what was written is sent; a caller who reads nothing must not make that last."""
        proxy = MemoryProxy("server.idle_timeout=60")
        caller = proxy.caller()
        self.patch(caller.transport, "loseConnection", lambda: None)
        caller.post("/v1/messages", ASK)
        upstream = proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b"event: message_start\n"))
        upstream.reset()
        self.assertEqual([each.outcome for each in proxy.exchanges], ["error"])
        self.assertEqual(proxy.assembly.drain.in_flight, 1)
        proxy.advance(59)
        self.assertFalse(caller.transport.aborted)
        proxy.advance(20)
        self.assertTrue(caller.transport.aborted)
        self.assertEqual(proxy.assembly.drain.in_flight, 0)
        self.assertEqual([call for call in proxy.reactor.getDelayedCalls() if call.active()], [])

    def test_caller_that_takes_nothing(self) -> None:
        """It counts as gone after ``server.send_timeout``, a slow one never, and silence does not count."""
        proxy = MemoryProxy("server.send_timeout=60", "providers.anthropic.idle_timeout=100000")
        caller = proxy.caller()
        caller.post("/v1/messages", ASK)
        upstream = proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        proxy.advance(600)
        for _ in range(10):
            caller.pause()
            proxy.advance(59)
            self.assertTrue(upstream.paused)
            caller.resume()
            proxy.advance(1)
        self.assertEqual(proxy.exchanges, [])
        caller.pause()
        for _ in range(59):
            proxy.advance(1)
            caller.pause()  # as a full transport does with each ping that is written
        self.assertFalse(upstream.aborted)
        proxy.advance(16)
        self.assertTrue(caller.transport.aborted)
        self.assertTrue(upstream.aborted)
        [exchange] = proxy.exchanges
        self.assertEqual((exchange.outcome, exchange.status), ("client_gone", 499))
        self.assertEqual(exchange.error, "the caller took nothing for 60 s (server.send_timeout)")
        self.assertEqual(proxy.assembly.drain.in_flight, 0)
        self.assertEqual([call for call in proxy.reactor.getDelayedCalls() if call.active()], [])

    def test_a_caller_may_be_waited_for_for_ever(self) -> None:
        proxy = MemoryProxy("server.send_timeout=0", "providers.anthropic.idle_timeout=100000")
        caller = proxy.caller()
        caller.post("/v1/messages", ASK)
        proxy.upstream().write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        caller.pause()
        proxy.advance(100_000)
        self.assertEqual(proxy.exchanges, [])
        caller.leave()


class DrainTests(SynchronousTestCase):
    def test_drain_waits_serves_and_ends(self) -> None:
        proxy = MemoryProxy()
        busy, idle = proxy.caller(), proxy.caller()
        idle.post("/health", b"", method="GET")
        busy.post("/v1/messages", ASK)
        upstream = proxy.upstream()
        upstream.write(STREAM_HEAD)
        drained = proxy.assembly.drain.start()
        self.assertTrue(idle.closed)
        late = proxy.caller()
        late.post("/health", b"", method="GET")
        self.assertIn(b" 503 ", late.read())
        self.assertTrue(late.closed)
        proxy.advance(5)
        self.assertNoResult(drained)
        upstream.write(chunk(b"x") + b"0\r\n\r\n")
        self.assertIn(b"0\r\n\r\n", busy.read())
        proxy.advance(1)
        self.assertTrue(self.successResultOf(drained))

    def test_ceiling_cuts_with_an_error_event(self) -> None:
        proxy = MemoryProxy("server.drain.timeout=10")
        caller = proxy.caller()
        caller.post("/v1/messages", ASK)
        proxy.upstream().write(STREAM_HEAD + chunk(b"event: ping\ndata: {}\n\n"))
        drained = proxy.assembly.drain.start()
        proxy.advance(11)
        self.assertFalse(self.successResultOf(drained))
        sent = caller.read()
        self.assertIn(b"event: error", sent)
        self.assertFalse(sent.endswith(b"0\r\n\r\n"))
        self.assertTrue(caller.closed)
        self.assertEqual(proxy.exchanges[0].outcome, "cut")
