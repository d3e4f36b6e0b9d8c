"""What requests under ``/v1`` meet before anything is forwarded, and how their targets travel."""

from __future__ import annotations

import json
import time

from clawproxy.testing import MemoryCaller, MemoryProxy, MemoryUpstream
from clawproxy.web.delivery import LAST_WORDS
from tests.web.test_site import SiteCase
from tests.wire import ASK, LAST_CHUNK, OK, STREAM_HEAD, Reply, chunk, replies


class V1Case(SiteCase):
    def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        version: str = "HTTP/1.1",
    ) -> MemoryCaller:
        caller = self.proxy.caller()
        caller.post(path, body, headers, method, version)
        return caller

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        version: str = "HTTP/1.1",
    ) -> Reply:
        caller = self.send(method, path, headers, body, version)
        data = caller.read()
        found = replies(data, closed=caller.closed, head_only=method == "HEAD")
        self.assertEqual(len(found), 1, data)
        return found[0]


class PathTests(V1Case):
    def test_probe_of_claude_code(self) -> None:
        reply = self.ask("HEAD", "/")
        self.assertEqual((reply.status, reply.body), (200, b""))

    def test_front_leads_to_the_dashboard(self) -> None:
        reply = self.ask("GET", "/")
        self.assertEqual((reply.status // 100, reply["location"]), (3, "/ui/"))

    def test_unknown_paths(self) -> None:
        for path in ("/nothing", "/v2/messages", "/nobody/v1/messages", "/v1x", "/anthropic"):
            for method in ("GET", "POST"):
                reply = self.ask(method, path, body=ASK if method == "POST" else b"")
                self.assertEqual(reply.status, 404, path)
                self.assertIn("error", json.loads(reply.body))

    def test_methods_that_a_known_path_does_not_take(self) -> None:
        for path, anthropic in (
            ("/v1/messages", True),
            ("/v1/messages/count_tokens", True),
            ("/v1/chat/completions", False),
            ("/v1/responses", False),
            ("/anthropic/v1/messages", True),
        ):
            for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
                reply = self.ask(method, path)
                self.assertEqual(reply.status, 405, (method, path))
                self.assertIn("POST", reply["allow"] or "")
                if method == "HEAD":
                    continue
                error = json.loads(reply.body)
                if anthropic:
                    self.assertEqual(error["error"]["type"], "invalid_request_error")
                    self.assertEqual(error["request_id"], reply["x-request-id"])
                else:
                    self.assertEqual(error["error"]["code"], "method_not_allowed")

    def test_methods_that_are_not_passed_on(self) -> None:
        """Servers send back what TRACE brought, keys and all; CONNECT makes a tunnel of a connection that is kept."""
        for method in ("TRACE", "CONNECT"):
            for path in ("/v1/files", "/openai/v1/files", "/v1/models/x"):
                reply = self.ask(method, path)
                self.assertEqual(reply.status, 405, (method, path))
                self.assertNotIn(method, reply["allow"] or "")
        self.assertEqual(self.proxy.reactor.tcpClients, [])

    def test_websockets_are_refused_at_once(self) -> None:
        headers = {"Connection": "Upgrade", "Upgrade": "WebSocket", "Sec-WebSocket-Version": "13"}
        reply = self.ask("GET", "/v1/responses", headers)
        self.assertEqual((reply.status, reply.reason), (426, "Upgrade Required"))
        self.assertEqual((reply["upgrade"], reply["connection"]), ("HTTP/1.1", "Upgrade"))
        self.assertIn("error", json.loads(reply.body))

    def upstream_line(self, method: str, target: str, body: bytes = b"") -> bytes:
        caller = self.send(method, target, body=body)
        upstream = self.proxy.upstream()
        line = upstream.request().partition(b"\r\n")[0]
        upstream.write(OK)
        caller.leave()
        upstream.close()
        return line

    def test_whose_path_it_is(self) -> None:
        keys = (f"providers.{name}.api_key=k" for name in ("anthropic", "openai"))
        self.proxy = type(self.proxy)(*keys)
        version = {"Anthropic-Version": "2023-06-01"}
        for path, headers, port in (
            ("/v1/messages/batches", {}, 1),
            ("/v1/messages/batches/b_1/results", version, 1),
            ("/v1/messagesque", {}, 2),
            ("/v1/files", {}, 2),
            ("/v1/files", {"x-api-key": "k", "anthropic-beta": "files-api-2025-04-14"}, 2),
            ("/v1/files", version, 1),
            ("/v1/responses/resp_1", {}, 2),
            ("/v1/responses/resp_1", version, 1),
            ("/anthropic/v1/files", {}, 1),
            ("/openai/v1/messages/batches", version, 2),
            ("/v1/files", {"x-clawproxy-provider": "anthropic"}, 1),
        ):
            caller = self.send("GET", path, headers)
            self.assertEqual(self.proxy.reactor.tcpClients[0][1], port, (path, headers))
            self.proxy.refuse()
            self.assertEqual(self.one(caller).status, 502)

    def test_targets_travel_byte_for_byte(self) -> None:
        for target, expected in (
            ("/v1/messages?beta=true", "/v1/messages?beta=true"),
            ("//v1/messages", "/v1/messages"),
            ("///v1/messages?a=//v1", "/v1/messages?a=//v1"),
            ("/v1/messages?a=%20b+c&&x;y=%zz", "/v1/messages?a=%20b+c&&x;y=%zz"),
            ("/anthropic/v1/messages?k=v", "/v1/messages?k=v"),
            ("http://proxy:8080/v1/messages?x", "/v1/messages?x"),
            ("HTTPS://proxy/v1/messages", "/v1/messages"),
        ):
            line = self.upstream_line("POST", target, ASK)
            self.assertEqual(line, f"POST {expected} HTTP/1.1".encode(), target)

    def test_paths_that_lead_upwards(self) -> None:
        for target in (
            "/v1/../admin",
            "/v1/files/../../admin?x",
            "/v1/%2e%2E/admin",
            "/v1/..%2fadmin",
            "/v1/..\\admin",
            "/v1/..;/admin",
            "/openai/v1/../admin",
            "/v1/files//../../admin",
            "/v1/a%2Fb/../../admin",
            "/v1/a/%2e/..%2f../admin",
        ):
            reply = self.ask("GET", target)
            self.assertEqual(reply.status, 400, target)
            self.assertIn("..", json.loads(reply.body)["error"]["message"])
        for target in (
            "/v1/files/a..b",
            "/v1/files/...",
            "/v1/files/x?a=../b",
            "/v1/files/../x/y/../..",
        ):
            line = self.upstream_line("GET", target, b"")
            self.assertEqual(line, f"GET {target} HTTP/1.1".encode(), target)

    def test_as_many_slashes_as_a_head_has_room_for(self) -> None:
        started = time.monotonic()
        self.assertEqual(self.ask("GET", "/" * 120_000).status, 302)
        line = self.upstream_line("POST", "/" * 100_000 + "v1/messages", ASK)
        self.assertEqual(line, b"POST /v1/messages HTTP/1.1")
        self.assertLess(time.monotonic() - started, 0.5)

    def test_other_spellings_of_paths_that_are_understood(self) -> None:
        for target in (
            "/v1//messages?beta=true",
            "/v1/messages/?beta=true",
            "///v1///messages//?beta=true",
            "/v1/%6Dessages?beta=true",
            "/%761/messages?beta=true",
        ):
            line = self.upstream_line("POST", target, ASK)
            self.assertEqual(line, b"POST /v1/messages?beta=true HTTP/1.1", target)
            reply = self.ask("GET", target)
            self.assertEqual(reply.status, 405, target)
            reply = self.ask("POST", target, body=b"{}")
            self.assertIn("model", json.loads(reply.body)["error"]["message"])
        for target in ("/openai//v1/chat/completions/", "//openai/v1//chat//completions"):
            line = self.upstream_line("POST", target, ASK)
            self.assertEqual(line, b"POST /v1/chat/completions HTTP/1.1", target)
        for target in ("/v1/messages%3Fx", "/v1/Messages", "/v1/./messages", "/v1/messages;x"):
            line = self.upstream_line("POST", target, ASK)
            self.assertEqual(line, f"POST {target} HTTP/1.1".encode(), target)

    def test_what_is_refused_unread_is_so_in_the_dialect_that_is_meant(self) -> None:
        self.proxy = MemoryProxy("server.max_body=10")
        for target in ("/v1//messages", "/anthropic//v1/messages/", "/v1/%6dessages"):
            reply = self.ask("POST", target, body=ASK)
            self.assertEqual(reply.status, 413)
            self.assertEqual(json.loads(reply.body)["error"]["type"], "request_too_large")

    def test_what_counts_does_so_however_it_is_spelled(self) -> None:
        for target in ("/v1//messages/", "/%761/messages", "/anthropic//v1/messages"):
            caller = self.send("POST", target, body=ASK)
            self.assertEqual(self.proxy.assembly.drain.in_flight, 1, target)
            caller.leave()

    def test_models_have_slashes_in_their_names(self) -> None:
        self.proxy = MemoryProxy(
            "providers.anthropic=null",
            "providers.openai=null",
            "routes=[{match: vendor/model, provider: demo}]",
        )
        for target in ("/v1/models/vendor/model", "/v1/models/vendor%2Fmodel"):
            reply = self.ask("GET", target)
            self.assertEqual((reply.status, json.loads(reply.body)["id"]), (200, "vendor/model"))
        self.assertEqual(self.ask("GET", "/v1/models/vendor/other").status, 404)

    def test_a_provider_that_has_no_paths_of_its_own(self) -> None:
        for target, headers in (
            ("/demo/v1/models", {}),
            ("/demo/v1/models/", {"Anthropic-Version": "2023-06-01"}),
            ("/demo//v1//models", {}),
        ):
            reply = self.ask("GET", target, headers)
            self.assertEqual(reply.status, 200)
            self.assertEqual([each["id"] for each in json.loads(reply.body)["data"]], ["demo"])
        self.assertEqual(json.loads(self.ask("GET", "/demo/v1/models/demo").body)["id"], "demo")
        self.assertEqual(self.ask("GET", "/demo/v1/models/gpt-5").status, 404)
        for method in ("GET", "POST"):
            reply = self.ask(method, "/demo/v1/files")
            self.assertEqual(reply.status, 404)
            self.assertIn("'demo'", json.loads(reply.body)["error"]["message"])

    def test_phrases(self) -> None:
        caller = self.proxy.caller()
        caller.write(b"GET /v1/x HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 1_048_576)
        self.assertTrue(
            caller.read().startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        )
        caller.leave()

    def test_passed_through_paths(self) -> None:
        for target, expected in (
            ("/v1/files/a%2Fb%20c/content?x=%26", "/v1/files/a%2Fb%20c/content?x=%26"),
            ("/v1/files//x/../y/./z", "/v1/files//x/../y/./z"),
            ("/openai/v1/files/v1/x", "/v1/files/v1/x"),
        ):
            line = self.upstream_line("GET", target)
            self.assertEqual(line, f"GET {expected} HTTP/1.1".encode("latin-1"), target)

    def test_provider_whose_name_begins_like_the_api(self) -> None:
        proxy = MemoryProxy(
            "providers.v1x.kind=openai", "providers.v1x.base_url=http://127.0.0.1:3/base"
        )
        caller = proxy.caller()
        caller.post("/v1x/v1/files?q=/v1", b"", method="GET")
        upstream = proxy.upstream()
        self.assertTrue(upstream.request().startswith(b"GET /base/v1/files?q=/v1 HTTP/1.1\r\n"))
        upstream.write(OK)
        self.assertEqual(proxy.assembly.drain.in_flight, 0)


class CORSTests(V1Case):
    ASKS = {  # noqa: RUF012 - never changed
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type,anthropic-version",
    }

    def test_preflight(self) -> None:
        for path in ("/v1/messages", "/v1/models", "/anthropic/v1/messages", "/v1/anything"):
            reply = self.ask("OPTIONS", path, self.ASKS)
            self.assertEqual((reply.status, reply.body), (204, b""))
            self.assertEqual(reply["access-control-allow-origin"], "*")
            self.assertIn("POST", reply["access-control-allow-methods"] or "")
            self.assertEqual(
                reply["access-control-allow-headers"], "x-api-key,content-type,anthropic-version"
            )
            self.assertIsNone(reply["access-control-allow-private-network"])
        self.assertEqual(self.proxy.reactor.tcpClients, [])

    def test_preflight_without_a_method(self) -> None:
        page = {"Origin": "https://page.example"}
        for path in ("/v1/messages", "/v1/models", "/v1/tools", "/openai/v1/chat/completions"):
            reply = self.ask("OPTIONS", path, page)
            self.assertEqual((reply.status, reply["access-control-allow-origin"]), (204, "*"))
            self.assertEqual(self.ask("OPTIONS", path).status, 405)

    def test_private_network_preflight(self) -> None:
        asks = {**self.ASKS, "Access-Control-Request-Private-Network": "true"}
        reply = self.ask("OPTIONS", "/v1/messages", asks)
        self.assertEqual(reply["access-control-allow-private-network"], "true")

    def test_answers_and_errors_may_be_read_by_pages(self) -> None:
        caller = self.send("POST", "/v1/messages", {"Origin": "https://page.example"}, ASK)
        self.proxy.upstream().write(OK.replace(b"\r\n\r\n", b"\r\nRequest-Id: r\r\n\r\n", 1))
        reply = replies(caller.read())[0]
        self.assertEqual(reply.all("access-control-allow-origin"), ["*"])
        self.assertIn("x-clawproxy-id", reply["access-control-expose-headers"] or "")
        refused = self.ask("POST", "/v1/messages", {"Origin": "https://page.example"}, b"{")
        self.assertEqual((refused.status, refused.all("access-control-allow-origin")), (400, ["*"]))

    def test_only_named_origins(self) -> None:
        self.proxy = MemoryProxy('server.cors.origins=["https://good.example"]')
        good = self.ask("OPTIONS", "/v1/messages", {**self.ASKS, "Origin": "https://good.example"})
        self.assertEqual(good["access-control-allow-origin"], "https://good.example")
        self.assertIn("Origin", good["vary"] or "")
        bad = self.ask("OPTIONS", "/v1/messages", self.ASKS)
        self.assertIsNone(bad["access-control-allow-origin"])

    def test_turned_off(self) -> None:
        self.proxy = MemoryProxy("server.cors.origins=[]")
        reply = self.ask("OPTIONS", "/v1/messages", self.ASKS)
        self.assertEqual(reply.status, 405)
        self.assertIsNone(reply["access-control-allow-origin"])

    def test_preflight_needs_no_key(self) -> None:
        self.proxy = MemoryProxy('auth.api_keys=["secret"]')
        self.assertEqual(self.ask("OPTIONS", "/v1/messages", self.ASKS).status, 204)
        self.assertEqual(self.ask("POST", "/v1/messages", body=ASK).status, 401)


class FramingTests(V1Case):
    """Callers of all ages, and how their requests and answers are framed."""

    def stream(self, upstream: MemoryUpstream) -> None:
        upstream.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        upstream.write(chunk(b"data: 2\n\n") + LAST_CHUNK)

    def test_http_1_0_gets_no_chunks(self) -> None:
        for headers in ({}, {"Connection": "keep-alive"}):
            caller = self.send("POST", "/v1/messages", headers, ASK, "HTTP/1.0")
            upstream = self.proxy.upstream()
            self.stream(upstream)
            upstream.close()
            self.assertTrue(caller.closed)
            data = caller.read()
            reply = replies(data, closed=True)[0]
            self.assertIsNone(reply["transfer-encoding"])
            self.assertEqual(reply.body, b"data: 1\n\ndata: 2\n\n")

    def test_cut_answer_to_http_1_0(self) -> None:
        caller = self.send("POST", "/v1/messages", {}, ASK, "HTTP/1.0")
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b"data: 1"))
        upstream.reset()
        self.proxy.advance(LAST_WORDS)
        self.assertTrue(caller.closed)
        self.assertIn(b"data: 1\n\nevent: error\n", caller.read())

    def test_connection_close_is_honoured(self) -> None:
        caller = self.send("POST", "/v1/messages", {"Connection": "close"}, ASK)
        self.stream(self.proxy.upstream())
        reply = replies(caller.read())[0]
        self.assertEqual((reply["connection"], reply.whole, caller.closed), ("close", True, True))

    def test_connection_close_among_others_in_any_case(self) -> None:
        caller = self.send("POST", "/v1/messages", {"Connection": "Keep-Alive,Close"}, ASK)
        self.stream(self.proxy.upstream())
        self.assertTrue(replies(caller.read())[0].whole)
        self.assertTrue(caller.closed)

    def test_chunked_request(self) -> None:
        head = self.head("Transfer-Encoding: chunked", "X-Api-Key: k")
        for size in (1, 7, 1000):
            caller = self.proxy.caller()
            caller.write(head)
            for start in range(0, len(ASK), size):
                caller.write(chunk(ASK[start : start + size]))
            caller.write(LAST_CHUNK)
            upstream = self.proxy.upstream()
            sent_head, _, sent = upstream.request().partition(b"\r\n\r\n")
            self.assertEqual(sent, ASK)
            self.assertIn(b"content-length: %d" % len(ASK), sent_head.lower())
            self.assertNotIn(b"transfer-encoding", sent_head.lower())
            self.stream(upstream)
            self.assertTrue(replies(caller.read())[0].whole)
            upstream.close()

    def test_expectation_is_answered_before_the_body(self) -> None:
        self.caller.write(self.head(f"Content-Length: {len(ASK)}", "Expect: 100-continue"))
        self.assertEqual(self.caller.read(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.caller.write(ASK)
        upstream = self.proxy.upstream()
        self.assertNotIn(b"expect:", upstream.request().lower())
        self.stream(upstream)
        self.assertTrue(self.one().whole)

    def test_head_of_a_passed_through_path(self) -> None:
        caller = self.send("HEAD", "/v1/files/x")
        upstream = self.proxy.upstream()
        self.assertTrue(upstream.request().startswith(b"HEAD /v1/files/x"))
        upstream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        data = caller.read()
        self.assertTrue(data.endswith(b"\r\n\r\n"))
        self.assertIn(b"content-length: 500", data.lower())
        self.assertFalse(caller.closed)

    def test_answers_without_a_body(self) -> None:
        for wire in (
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ):
            caller = self.send("GET", "/v1/files/x")
            upstream = self.proxy.upstream()
            upstream.write(wire)
            data = caller.read()
            self.assertTrue(data.endswith(b"\r\n\r\n"), data)
            self.assertNotIn(b"chunked", data)
            self.assertEqual(len(replies(data)), 1)
            self.assertFalse(caller.closed)
            upstream.close()
