"""Whose bodies are read: nobody's without a key, and not more of them together than there is room for."""

from __future__ import annotations

import json

from clawproxy.testing import MemoryCaller
from clawproxy.web.bodies import MOST_ELSEWHERE
from clawproxy.web.channel import LINGER
from tests.web.test_site import SiteCase
from tests.wire import ASK, LAST_CHUNK, OK, chunk

LARGE = 1_000_000
KEY = "Authorization: Bearer opensesame"


class BodyCase(SiteCase):
    def tearDown(self) -> None:
        self.assertEqual(self.proxy.assembly.site.held, 0, "bodies are still counted")
        super().tearDown()

    def announce(self, *lines: str, path: str = "/v1/messages", size: int = LARGE) -> MemoryCaller:
        caller = self.proxy.caller()
        caller.write(self.head(*lines, f"Content-Length: {size}", path=path))
        return caller

    def refused(self, caller: MemoryCaller, status: int) -> dict[str, object]:
        """See a caller refused: at once, once, and by an answer that it can read before the end."""
        reply = self.one(caller)
        self.assertEqual((reply.status, reply["connection"]), (status, "close"))
        self.assertEqual(self.proxy.assembly.site.held, 0)
        caller.write(b"x" * 100_000)
        self.assertEqual(caller.read(), b"")
        self.assertFalse(caller.closed)
        self.proxy.advance(LINGER)
        self.assertTrue(caller.closed)
        self.assertEqual(self.proxy.reactor.tcpClients, [])
        answer: dict[str, object] = json.loads(reply.body)
        return answer


class StrangerTests(BodyCase):
    sets = ("auth.api_keys.0=opensesame", "providers.anthropic.api_key=theirs")

    def test_no_body_without_a_key(self) -> None:
        for path, anthropic in (
            ("/v1/messages", True),
            ("/v1/chat/completions", False),
            ("/v1/files", False),
            ("/anthropic/v1/messages?beta=true", True),
        ):
            for lines in ([], ["Authorization: Bearer wrong"], ["Connection: keep-alive, te"]):
                answer = self.refused(self.announce(*lines, path=path), 401)
                self.assertEqual(answer.get("type"), "error" if anthropic else None)

    def test_refused_in_place_of_100_continue(self) -> None:
        self.refused(self.announce("Expect: 100-continue"), 401)

    def test_no_body_in_chunks_either(self) -> None:
        caller = self.proxy.caller()
        caller.write(self.head("Transfer-Encoding: chunked") + chunk(ASK))
        self.refused(caller, 401)

    def test_refusals_are_recorded(self) -> None:
        self.refused(self.announce(path="/v1/messages"), 401)
        (exchange,) = self.proxy.exchanges
        self.assertEqual(
            (exchange.status, exchange.outcome, exchange.dialect), (401, "error", "anthropic")
        )

    def test_whole_request_keeps_its_connection(self) -> None:
        self.caller.post("/v1/messages", ASK)
        self.assertEqual(self.one().status, 401)
        self.assertFalse(self.caller.closed)
        self.caller.post("/v1/messages", ASK, {"Authorization": "Bearer opensesame"})
        self.proxy.upstream().write(OK)
        self.assertEqual(self.one().status, 200)

    def test_who_has_a_key_is_read(self) -> None:
        caller = self.announce(KEY, "Expect: 100-continue", size=len(ASK))
        self.assertTrue(caller.read().startswith(b"HTTP/1.1 100 "))
        caller.write(ASK[:10])
        self.assertEqual(self.proxy.assembly.site.held, 10)
        caller.write(ASK[10:])
        upstream = self.proxy.upstream()
        self.assertTrue(upstream.request().endswith(ASK))
        upstream.write(OK)
        self.assertEqual(self.one(caller).status, 200)

    def test_key_that_is_taken_away_meanwhile(self) -> None:
        caller = self.announce(KEY, size=len(ASK))
        assembly = self.proxy.assembly
        other = type(self.proxy)("auth.api_keys.0=another").config
        assembly.rewire(other)
        caller.write(ASK)
        self.assertEqual(self.one(caller).status, 401)

    def test_little_is_read_of_what_is_not_for_the_api(self) -> None:
        for path in ("/health", "/nowhere", "/ui/login", "/api/requests"):
            self.refused(self.announce(path=path, size=MOST_ELSEWHERE + 1), 413)

    def test_only_who_may_send_again_sends_much(self) -> None:
        host = "Host: 127.0.0.1"
        large = f"Content-Length: {LARGE}"
        start = "POST /api/send HTTP/1.1"

        def ask(*lines: str) -> MemoryCaller:
            caller = self.proxy.caller()
            caller.write("\r\n".join([start, *lines, large, "", ""]).encode())
            return caller

        self.refused(ask("Host: elsewhere.example"), 413)
        self.refused(ask(host, "Origin: http://elsewhere.example"), 413)
        caller = ask(host)
        caller.write(b"x" * 100_000)
        self.assertEqual(caller.read(), b"")
        caller.leave()


class GuardedSendTests(BodyCase):
    sets = ("dashboard.password=opensesame",)

    def test_somebody_who_shows_nothing_sends_little(self) -> None:
        self.refused(self.announce(path="/api/send"), 413)
        caller = self.announce(KEY, path="/api/send")
        self.assertEqual(caller.read(), b"")
        caller.leave()


class TogetherTests(BodyCase):
    sets = ("server.max_bodies=1000",)

    def test_what_does_not_fit_beside_the_others_is_refused(self) -> None:
        first = self.announce(size=len(ASK) + 800)
        first.write(ASK + b" " * 700)
        second = self.proxy.caller()
        second.write(self.head("Transfer-Encoding: chunked") + chunk(b" " * 200))
        self.assertEqual(second.read(), b"")
        second.write(chunk(b" " * 200))
        reply = self.one(second)
        self.assertEqual((reply.status, reply["retry-after"]), (503, "1"))
        self.assertEqual(json.loads(reply.body)["error"]["type"], "api_error")
        second.leave()
        first.write(b" " * 100)
        upstream = self.proxy.upstream()
        self.assertEqual(self.proxy.assembly.site.held, len(ASK) + 800)
        third = self.announce(size=len(ASK))
        third.write(ASK)
        self.proxy.upstream().write(OK)
        self.assertEqual(self.one(third).status, 200)
        upstream.write(OK)
        self.assertEqual(self.one(first).status, 200)

    def test_what_is_read_ahead_counts_and_is_read_no_further(self) -> None:
        site = self.proxy.assembly.site
        caller = self.proxy.caller()
        caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        behind = self.head(path="/livez", method="GET")
        for number in range(1, 1000 // len(behind) + 1):
            caller.write(behind)
            self.assertEqual(site.held, number * len(behind))
        self.assertEqual(caller.transport.producerState, "producing")
        caller.write(behind)
        self.assertEqual(caller.transport.producerState, "paused")
        upstream.write(OK)
        self.assertEqual({reply.status for reply in self.all(caller)}, {200})
        self.assertEqual((site.held, caller.transport.producerState), (0, "producing"))
        caller.post("/v1/messages", ASK)
        caller.write(behind)
        caller.leave()
        self.assertEqual(site.held, 0)

    def test_who_leaves_holds_nothing(self) -> None:
        caller = self.announce(size=900)
        caller.write(b" " * 800)
        caller.leave()
        self.assertEqual(self.proxy.assembly.site.held, 0)

    def test_whole_requests_always_fit(self) -> None:
        body = ASK.ljust(5000)
        caller = self.proxy.caller()
        caller.write(self.head("Transfer-Encoding: chunked") + chunk(b" " * 900))
        self.caller.post("/v1/messages", body)
        self.proxy.upstream().write(OK)
        self.assertEqual(self.one().status, 200)
        caller.write(LAST_CHUNK)
        self.assertEqual(self.one(caller).status, 400)
