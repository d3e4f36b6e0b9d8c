"""The server that callers meet: how large heads may be, what it refuses and how, and how long connections are kept."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import _nameEncoder

from clawproxy.core.requesthead import MAX_NAME
from clawproxy.testing import MemoryCaller, MemoryProxy
from clawproxy.web.channel import LINGER, MAX_HEAD
from clawproxy.web.delivery import LAST_WORDS
from clawproxy.web.readahead import AT_ONCE
from tests.wire import ASK, LAST_CHUNK, OK, STREAM_HEAD, Reply, chunk, replies


class SiteCase(SynchronousTestCase):
    """A proxy in memory that must be idle at the end."""

    sets: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.proxy = MemoryProxy(*self.sets)
        self.caller = self.proxy.caller()

    def tearDown(self) -> None:
        self.assertEqual(self.in_flight, 0, "something is still counted as in flight")
        self.assertEqual(self.flushLoggedErrors(), [])

    @property
    def in_flight(self) -> int:
        return self.proxy.assembly.drain.in_flight

    def all(self, caller: MemoryCaller | None = None) -> list[Reply]:
        who = caller or self.caller
        return replies(who.read(), closed=who.closed)

    def one(self, caller: MemoryCaller | None = None) -> Reply:
        found = self.all(caller)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def head(self, *lines: str, path: str = "/v1/messages", method: str = "POST") -> bytes:
        text = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: proxy", *lines])
        return text.encode("latin-1") + b"\r\n\r\n"


class HeadLimitTests(SiteCase):
    def test_large_head_passes(self) -> None:
        lines = [f"X-{number}: {'v' * 1000}" for number in range(64)]
        self.caller.write(self.head(*lines, f"Content-Length: {len(ASK)}") + ASK)
        request = self.proxy.upstream()
        self.assertEqual(request.request().lower().count(b"v" * 1000), 64)
        request.write(OK)
        self.assertEqual(self.one().status, 200)

    def test_single_long_header_line_passes(self) -> None:
        self.caller.write(self.head(f"X-Long: {'v' * 65_000}", f"Content-Length: {len(ASK)}") + ASK)
        upstream = self.proxy.upstream()
        self.assertIn(b"v" * 65_000, upstream.request())
        upstream.write(OK)
        self.assertEqual(self.one().status, 200)

    def refused(self, *writes: bytes, status: int = 431) -> None:
        caller = self.proxy.caller()
        for data in writes:
            caller.write(data)
        self.assertEqual(self.in_flight, 0)
        self.assertEqual(self.proxy.reactor.tcpClients, [])
        reply = self.one(caller)
        self.assertEqual((reply.status, reply["connection"]), (status, "close"))
        self.assertEqual(json.loads(reply.body)["error"]["type"], "invalid_request_error")
        self.assertIsNotNone(reply["x-clawproxy-id"])
        self.assertFalse(caller.closed, "the answer might be lost if it closed at once")
        caller.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(caller.read(), b"")
        self.proxy.advance(LINGER)
        self.assertTrue(caller.closed)

    def test_head_beyond_the_limit_is_answered(self) -> None:
        line = b"X-Long: " + b"v" * MAX_HEAD
        first = b"POST /v1/messages HTTP/1.1\r\n"
        self.refused(first + line)
        self.refused(first + line + b"\r\nContent-Length: 2\r\n\r\n{}")
        self.refused(
            first, *[line[start : start + 65_536] for start in range(0, len(line), 65_536)]
        )
        self.refused(first + b"X-Many: v\r\n" * (MAX_HEAD // 8))
        self.refused(first + b"X-Many: %s\r\n" % (b"v" * 1000) * 200 + b"\r\n")

    def test_refusal_is_worded_in_the_callers_dialect(self) -> None:
        for path, anthropic in (("/v1/messages", True), ("/v1/chat/completions", False)):
            caller = self.proxy.caller()
            caller.write(self.head("X-Long: " + "v" * MAX_HEAD, path=path))
            reply = self.one(caller)
            self.assertEqual(json.loads(reply.body).get("type"), "error" if anthropic else None)

    def test_too_many_headers_are_answered(self) -> None:
        self.refused(b"POST /v1/messages HTTP/1.1\r\n" + b"A: b\r\n" * 600 + b"\r\n", status=431)

    def test_name_beyond_the_limit_is_answered(self) -> None:
        """Names are remembered, so their length must be bounded, whichever way the head is read."""
        first = b"POST /v1/messages HTTP/1.1\r\n"
        name = b"X" * (MAX_NAME + 1)
        self.refused(first + name + b": v\r\n\r\n")
        self.refused(first + b"Connection: keep-alive\r\n", name + b": v\r\n\r\n")
        self.assertNotIn(name, _nameEncoder._canonicalHeaderCache)

    def test_target_beyond_the_limit_is_answered(self) -> None:
        self.refused(b"GET /v1/models?" + b"x" * MAX_HEAD + b" HTTP/1.1\r\n\r\n", status=431)

    def test_what_is_no_request_is_refused_once(self) -> None:
        length = b"Content-Length: %d\r\n" % len(ASK)
        for data in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\r\n",
            b"GET\r\n\r\n",
            b"POST /v1/messages HTTP/1.1\r\nno colon\r\n" + length + b"\r\n" + ASK,
            b"POST /v1/messages HTTP/1.1\r\n" + length + b"no colon\r\n\r\n" + ASK,
            b"POST /v1/messages HTTP/1.1\r\nContent-Length: x\r\n\r\n" + ASK,
            b"POST /v1/messages HTTP/1.1\r\nContent-Length: -1\r\n\r\n" + ASK,
            b"POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n" + ASK,
            b"POST /v1/messages HTTP/1.1\r\n"
            + length
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + chunk(ASK)
            + LAST_CHUNK,
            b"POST /v1/messages HTTP/1.1\r\n" + length + length + b"\r\n" + ASK,
            b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nHost: a\r\n" + length + b"\r\n" + ASK,
            b"POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
            b"Transfer-Encoding: identity\r\n\r\n" + chunk(ASK) + LAST_CHUNK,
        ):
            self.refused(data, status=400)

    def test_whoever_speaks_tls_need_not_wait(self) -> None:
        """A hello has no line end, and its sender waits for an answer."""
        self.refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200, status=400)

    def test_broken_chunks_are_refused_and_no_longer_in_flight(self) -> None:
        self.refused(self.head("Transfer-Encoding: chunked") + b"zz\r\n", status=400)
        self.refused(
            self.head("Transfer-Encoding: chunked"), chunk(b"{") + b"2\r\nabc\r\n", status=400
        )


class PatienceTests(SiteCase):
    sets = ("providers.anthropic.response_header_timeout=3600",)

    def test_minutes_of_thinking_meet_no_hidden_limit(self) -> None:
        self.caller.post("/v1/messages", b'{"model":"claude-x","messages":[]}')
        upstream = self.proxy.upstream()
        self.proxy.advance(3500)
        self.assertFalse(self.caller.closed)
        upstream.write(OK)
        self.assertEqual(self.one().status, 200)


class KeepAliveTests(SiteCase):
    sets = ("server.idle_timeout=30",)

    def test_idle_connection_is_closed_in_time(self) -> None:
        self.proxy.advance(29)
        self.assertFalse(self.caller.closed)
        self.proxy.advance(2)
        self.assertTrue(self.caller.closed)

    def test_head_in_drops_is_not_waited_for_for_ever(self) -> None:
        self.caller.write(self.head(path="/livez", method="GET"))
        self.one()
        self.proxy.advance(20)
        self.caller.write(b"GET /livez HTTP/1.1\r\n")
        for _ in range(2):
            self.proxy.advance(14)
            self.assertFalse(self.caller.closed)
            self.caller.write(b"X-Drop: 1\r\n")
        self.proxy.advance(3)
        self.assertTrue(self.caller.closed)

    def test_body_in_drops_is(self) -> None:
        self.caller.write(self.head(f"Content-Length: {len(ASK)}"))
        for byte in ASK:
            self.proxy.advance(14)
            self.caller.write(bytes([byte]))
        self.proxy.upstream().write(OK)
        self.assertEqual(self.one().status, 200)

    def test_one_timer_serves_all_requests_of_a_connection(self) -> None:
        before = len(self.proxy.reactor.getDelayedCalls())
        upstream = None
        for _ in range(5):
            self.caller.post("/v1/messages", ASK)
            self.proxy.advance(1)
            upstream = upstream or self.proxy.upstream()
            upstream.write(OK)
            self.proxy.advance(20)
        # One more than before is the upstream's, whose connection is kept, too.
        self.assertLessEqual(len(self.proxy.reactor.getDelayedCalls()), before + 2)
        self.assertFalse(self.caller.closed)
        self.proxy.advance(11)
        self.assertTrue(self.caller.closed)

    def test_answer_under_way_has_no_such_time(self) -> None:
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        self.proxy.advance(100)
        upstream.write(STREAM_HEAD)
        self.proxy.advance(100)
        self.assertFalse(self.caller.closed)
        upstream.write(LAST_CHUNK)
        self.proxy.advance(29)
        self.assertFalse(self.caller.closed)
        self.proxy.advance(2)
        self.assertTrue(self.caller.closed)

    def test_drain_closes_what_was_used_and_spares_what_waits_for_its_first_request(self) -> None:
        used = self.proxy.caller()
        used.write(self.head(path="/livez", method="GET"))
        self.assertEqual(self.one(used).status, 200)
        board = self.proxy.assembly.board
        self.caller.post("/v1/messages", ASK)
        old = self.proxy.caller()
        self.proxy.advance(2)
        fresh = self.proxy.caller()
        self.proxy.assembly.drain.start()
        self.assertEqual((used.closed, old.closed, fresh.closed), (True, True, False))
        fresh.write(self.head(path="/health", method="GET"))
        self.assertEqual(self.one(fresh).status, 503)
        self.assertTrue(fresh.closed)
        self.proxy.upstream().write(OK)
        self.assertEqual(self.one().status, 200)
        self.assertEqual(len(board.running), 0)

    def test_pipelined_requests_are_answered_in_turn(self) -> None:
        self.caller.write(self.head(path="/livez", method="GET") * 3)
        self.assertEqual([reply.status for reply in self.all()], [200, 200, 200])

    def test_many_pipelined_requests_need_no_stack(self) -> None:
        self.caller.write(self.head(path="/nothing", method="GET") * 2000)
        self.assertEqual(len(self.all()), 2000)

    def test_requests_wait_for_a_caller_that_takes_no_answer(self) -> None:
        """One read holds hundreds of requests, whose answers could fill the memory."""
        ask = self.head(path="/livez", method="GET")
        odd = self.head("Connection: keep-alive, te", path="/livez", method="GET")
        for requests in (ask * 3, odd * 3, ask + odd + ask):
            caller = self.proxy.caller()
            caller.pause()
            caller.write(requests)
            self.one(caller)
            caller.write(ask)
            self.assertEqual(caller.read(), b"")
            self.assertEqual(caller.transport.producerState, "paused")
            caller.resume()
            self.assertEqual([reply.status for reply in self.all(caller)], [200, 200, 200])
            self.assertEqual(caller.transport.producerState, "producing")
            caller.pause()
            caller.resume()
            caller.write(ask)
            self.one(caller)

    def test_request_behind_one_whose_answer_waits(self) -> None:
        self.caller.post("/v1/messages", ASK)
        self.caller.write(self.head(path="/livez", method="GET"))
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        self.caller.pause()
        upstream.write(LAST_CHUNK)
        self.one()
        self.caller.resume()
        self.one()

    def test_slow_taker_is_not_idle_and_neither_are_the_requests_behind(self) -> None:
        self.caller.post("/v1/messages", ASK)
        self.caller.write(self.head(path="/livez", method="GET"))
        self.caller.pause()
        self.proxy.upstream().write(OK)
        self.one()
        self.proxy.advance(100)
        self.caller.resume()
        self.one()
        self.proxy.advance(29)
        self.assertFalse(self.caller.closed)
        self.proxy.advance(31)
        self.assertTrue(self.caller.closed)

    def test_request_behind_a_failed_one_is_served(self) -> None:
        self.caller.post("/v1/messages", ASK)
        self.caller.post("/v1/messages", ASK)
        self.proxy.refuse()
        self.assertEqual(self.one().status, 502)
        self.proxy.upstream().write(OK)
        self.assertEqual(self.one().status, 200)

    def test_request_behind_a_cut_stream_is_not(self) -> None:
        self.caller.post("/v1/messages", ASK)
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b"data: "))
        upstream.reset()
        self.proxy.advance(LAST_WORDS)
        reply = self.one()
        self.assertFalse(reply.whole)
        self.assertTrue(self.caller.closed)
        self.assertEqual(self.proxy.reactor.tcpClients, [])

    def test_bytes_in_tiny_pieces_behind_a_request_are_kept_in_few(self) -> None:
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        for byte in self.head(path="/livez", method="GET") * 100:
            self.caller.write(bytes([byte]))
        self.assertLess(len(self.caller.protocol._channel._dataBuffer), 1000)
        upstream.write(OK)
        self.assertEqual([reply.status for reply in self.all()], [200] * 101)

    def test_what_was_read_far_ahead_is_taken_up_a_little_in_each_turn(self) -> None:
        ask = self.head(path="/livez", method="GET")
        many = AT_ONCE * 3 // len(ask)
        self.caller.post("/v1/messages", ASK)
        self.caller.write(ask * many)
        self.proxy.upstream().write(OK)
        first = len(self.all())
        self.assertGreater(first, many // 4)
        self.assertLess(first, many // 2)
        self.caller.write(ask)  # comes in its turn
        self.assertEqual(self.caller.read(), b"")
        self.proxy.advance(0.1)
        self.assertEqual(first + len(self.all()), 1 + many + 1)
        self.assertEqual(self.caller.transport.producerState, "producing")

    def test_refusal_far_behind_a_request_is_read_on(self) -> None:
        ask = self.head(path="/livez", method="GET")
        self.caller.post("/v1/messages", ASK)
        self.caller.write(ask * 3000 + b"no request\r\n\r\n" + ask * 3000)
        self.proxy.upstream().write(OK)
        self.caller.write(ask)
        self.assertEqual(self.caller.transport.producerState, "paused")
        self.proxy.advance(0.1)
        self.assertEqual(self.all()[-1].status, 400)
        self.assertEqual(self.caller.transport.producerState, "producing")
        self.proxy.advance(LINGER + 1)
        self.assertTrue(self.caller.closed)

    def test_leaving_with_much_read_ahead_leaves_nothing_behind(self) -> None:
        self.caller.post("/v1/messages", ASK)
        self.caller.write(self.head(path="/livez", method="GET") * 5000)
        self.proxy.upstream().write(OK)
        self.caller.read()
        self.caller.leave()
        self.proxy.advance(1)
        self.assertEqual(self.caller.read(), b"")
        self.assertEqual(self.in_flight, 0)

    def test_long_line_among_what_was_read_far_ahead(self) -> None:
        ask = self.head(path="/livez", method="GET")
        long = self.head("X-Long: " + "x" * 100_000, path="/livez", method="GET")
        self.caller.post("/v1/messages", ASK)
        self.caller.write((ask * 1000 + long + ask.replace(b"Host", b"Expect: x\r\nHost")) * 5)
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        upstream.write(OK)
        self.proxy.advance(0.5)
        upstream.write(OK)
        self.assertEqual([reply.status for reply in self.all()], [200] * (1 + 5 * 1002 + 1))
        self.assertEqual(self.caller.transport.producerState, "producing")
