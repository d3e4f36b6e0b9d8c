"""A caller's request: how much of its body is read, and from when to when it counts."""

from __future__ import annotations

import json

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.web import server

from clawproxy.web.channel import LINGER, LINGER_MOST
from clawproxy.web.request import ProxyRequest
from tests.web.test_site import SiteCase
from tests.wire import ASK, LAST_CHUNK, OK, chunk


class BodyLimitTests(SiteCase):
    sets = ("server.max_body=100",)

    def refused(self, *writes: bytes, path: str = "/v1/messages") -> None:
        caller = self.proxy.caller()
        for data in writes:
            caller.write(data)
        self.assertEqual(self.in_flight, 0)
        reply = self.one(caller)
        self.assertEqual((reply.status, reply["connection"]), (413, "close"))
        self.assertIsNotNone(reply["x-clawproxy-id"])
        error = json.loads(reply.body)["error"]
        if path.startswith("/v1/chat"):
            self.assertEqual(error["code"], "request_too_large")
        else:
            self.assertEqual(error["type"], "request_too_large")
        caller.write(b"x" * 1000 + b"\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        self.assertEqual(caller.read(), b"")
        self.assertFalse(caller.closed)
        self.proxy.advance(LINGER)
        self.assertTrue(caller.closed)
        self.assertEqual(self.proxy.reactor.tcpClients, [])

    def test_what_still_comes_is_waited_for(self) -> None:
        """A caller on a slow line sends its whole request before it reads the refusal; but not for ever."""
        caller = self.proxy.caller()
        caller.write(self.head("Content-Length: 1000000"))
        self.assertEqual(self.one(caller).status, 413)
        for _ in range(9):
            self.proxy.advance(3)
            caller.write(b"x" * 1000)
            self.assertFalse(caller.closed)
        self.proxy.advance(LINGER_MOST - 27 - 0.5)
        self.assertFalse(caller.closed)
        self.proxy.advance(1)
        self.assertTrue(caller.closed)

    def test_announced(self) -> None:
        for path in ("/v1/messages", "/v1/chat/completions"):
            head = self.head("Content-Length: 101", path=path)
            self.refused(head, path=path)
            self.refused(head + b"x" * 50, path=path)
            self.refused(head + b"x" * 101, path=path)
            self.refused(head + b"x" * 101 + head + b"x" * 101, path=path)

    def test_announced_with_expectation(self) -> None:
        self.refused(self.head("Content-Length: 101", "Expect: 100-continue"))

    def test_in_chunks(self) -> None:
        head = self.head("Transfer-Encoding: chunked")
        piece = chunk(b"x" * 60)
        self.refused(head, piece, piece)
        self.refused(head + piece + piece + LAST_CHUNK)
        self.refused(head + piece, piece + LAST_CHUNK + head)

    def test_just_as_large_as_allowed(self) -> None:
        body = b'{"model":"claude-x","messages":[]}'.ljust(100)
        self.caller.post("/v1/messages", body)
        upstream = self.proxy.upstream()
        self.assertTrue(upstream.request().endswith(body))
        upstream.write(OK)
        self.assertEqual(self.one().status, 200)


class CountTests(SiteCase):
    def test_counted_from_the_head_on(self) -> None:
        self.caller.write(self.head("Content-Length: 10"))
        self.assertEqual(self.in_flight, 1)
        self.caller.write(b"{")
        self.assertEqual(self.in_flight, 1)
        self.caller.leave()
        self.assertEqual(self.in_flight, 0)

    def test_what_counts(self) -> None:
        for path, counts in (
            ("/v1/messages", 1),
            ("//v1/messages", 1),
            ("/v1/whatever?x=/v1", 1),
            ("/openai/v1/chat/completions", 1),
            ("/health", 0),
            ("/livez", 0),
            ("/nobody/v1/messages", 0),
            ("/ui/", 0),
            ("/v10/messages", 0),
        ):
            caller = self.proxy.caller()
            caller.write(self.head("Content-Length: 10", path=path))
            self.assertEqual(self.in_flight, counts, path)
            caller.leave()

    def test_what_is_pipelined_behind_finds_it_gone(self) -> None:
        self.caller.post("/v1/messages", ASK)
        self.caller.write(self.head(path="/livez", method="GET"))
        self.proxy.upstream().write(OK)
        first, second = self.all()
        self.assertEqual(first.status, 200)
        self.assertEqual(json.loads(second.body)["in_flight"], 0)

    def test_leaving_at_each_stage_and_twice_over(self) -> None:
        caller = self.proxy.caller()
        caller.post("/v1/messages", ASK)
        caller.post("/v1/messages", ASK)
        self.assertEqual(self.in_flight, 1, "the second one waits its turn, unread")
        upstream = self.proxy.upstream()
        upstream.write(OK)
        self.assertEqual(self.in_flight, 1)
        self.assertEqual(len(self.all(caller)), 1)
        caller.leave()
        self.assertEqual(self.in_flight, 0)
        self.assertEqual([each.outcome for each in self.proxy.exchanges], ["ok", "client_gone"])


class RequestTests(SiteCase):
    def test_constructor_sets_what_twisteds_own_ones_set(self) -> None:
        """Ours calls none of them, so a new Twisted may not have anything new in them."""
        channel = self.proxy.assembly.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        channel.makeConnection(StringTransport())
        theirs = vars(server.Request(channel._channel, parsePOSTFormSubmission=False))
        mine = ProxyRequest(channel._channel)
        for name, value in theirs.items():
            if name not in ("requestHeaders", "responseHeaders"):
                self.assertEqual(vars(mine)[name], value, name)
        self.assertEqual(mine.requestHeaders, theirs["requestHeaders"])
        self.assertEqual(mine.responseHeaders, theirs["responseHeaders"])

    def test_names_of_headers_go_up_as_the_caller_spelled_them(self) -> None:
        self.caller.post("/v1/messages", ASK, {"x-MiXed": "1", "X-Two": "2", "x-mixed": "3"})
        upstream = self.proxy.upstream()
        self.assertIn(b"\r\nx-MiXed: 1\r\nX-Two: 2\r\nx-mixed: 3\r\n", upstream.request())
        upstream.write(OK)
