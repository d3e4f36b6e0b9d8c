"""HTTP as callers speak it, browsers among them."""

from __future__ import annotations

import json

from tests.acceptance.caller import ANTHROPIC, OPENAI, Connection, ask, message, post
from tests.acceptance.case import shared
from tests.acceptance.test_paths import PREFLIGHT, PathCase, keyed
from tests.acceptance.upstream import answer


class CorsTests(PathCase):
    """`cors: {origins: ["*"]}`; [] turns CORS off."""

    def test_preflight(self) -> None:
        for target in ("/v1/chat/completions", "/v1/messages", "/v1/models", "/openai/v1/files"):
            reply = ask(self.port, "OPTIONS", target, b"", PREFLIGHT)
            self.assertIn(reply.status, (200, 204))
            self.assertEqual(reply["access-control-allow-origin"], "*")
            self.assertIn("POST", reply["access-control-allow-methods"] or "")
            allowed = (reply["access-control-allow-headers"] or "").lower()
            for name in ("authorization", "content-type", "x-custom"):
                self.assertIn(name, allowed)
            self.assertIsNone(reply["access-control-allow-private-network"])
        self.assertEqual(self.asked(), [])

    def test_preflight_of_a_private_network(self) -> None:
        headers = {**PREFLIGHT, "access-control-request-private-network": "true"}
        reply = ask(self.port, "OPTIONS", "/v1/chat/completions", b"", headers)
        self.assertEqual(reply["access-control-allow-private-network"], "true")

    def test_answers(self) -> None:
        origin = {"origin": "https://chat.example.com"}
        for reply in (
            post(self.port, "/v1/chat/completions", message("gpt-x"), {**OPENAI, **origin}),
            post(self.port, "/v1/chat/completions", b"", {**OPENAI, **origin}),
            ask(self.port, "GET", "/v1/models", b"", {**OPENAI, **origin}),
            ask(self.port, "GET", "/v1/chat/completions", b"", {**OPENAI, **origin}),
        ):
            self.assertEqual(reply.all("access-control-allow-origin"), ["*"])

    def test_an_upstreams_own_is_replaced(self) -> None:
        more = [("Content-Type", "application/json"), ("access-control-allow-origin", "https://x")]
        self.gpt.answers(answer(headers=more))
        headers = {**OPENAI, "origin": "https://chat.example.com"}
        reply = post(self.port, "/v1/chat/completions", message("gpt-x"), headers)
        self.assertEqual(reply.all("access-control-allow-origin"), ["*"])

    def test_of_certain_origins(self) -> None:
        up, proxy = shared(keyed)
        up.answers(answer())
        theirs = {**PREFLIGHT, "origin": "https://app.example.com"}
        reply = ask(proxy.port, "OPTIONS", "/v1/messages", b"", theirs)
        self.assertEqual(reply["access-control-allow-origin"], "https://app.example.com")
        reply = ask(proxy.port, "OPTIONS", "/v1/messages", b"", PREFLIGHT)
        self.assertIsNone(reply["access-control-allow-origin"])
        for origin, allowed in (
            ("https://app.example.com", "https://app.example.com"),
            ("https://app.example.com.evil.example", None),
            ("https://evil.example", None),
            ("null", None),
        ):
            headers = {"x-api-key": "proxy-key", "origin": origin}
            reply = post(proxy.port, "/v1/messages", message(), headers)
            self.assertEqual((reply.status, reply["access-control-allow-origin"]), (200, allowed))
            self.assertIn("Origin", reply["vary"] or "")

    def test_no_key_is_needed_to_ask(self) -> None:
        """A browser sends no key with a preflight."""
        _, proxy = shared(keyed)
        theirs = {**PREFLIGHT, "origin": "https://app.example.com"}
        self.assertIn(ask(proxy.port, "OPTIONS", "/v1/messages", b"", theirs).status, (200, 204))

    def test_a_browser_can_read_why_its_key_is_refused(self) -> None:
        _, proxy = shared(keyed)
        headers = {"origin": "https://app.example.com"}
        reply = post(proxy.port, "/v1/messages", message(), headers)
        self.assertEqual(reply.status, 401)
        self.assertEqual(reply["access-control-allow-origin"], "https://app.example.com")


class ProtocolTests(PathCase):
    """HTTP as callers speak it."""

    def test_http_1_0(self) -> None:
        """An HTTP/1.0 caller gets a body that ends by the connection's end, without chunks."""
        with Connection(self.port) as caller:
            caller.send("POST", "/v1/messages", message("demo", stream=True), version="1.0")
            caller.end()
            head, _, body = caller.data.partition(b"\r\n\r\n")
        self.assertNotIn(b"transfer-encoding", head.lower())
        self.assertTrue(body.startswith(b"event: message_start\n"), body[:100])

    def test_pipelined(self) -> None:
        with Connection(self.port) as caller:
            one = json.dumps(message()).encode()
            head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(one)
            caller.socket.sendall((head + one) * 3)
            while caller.data.count(b'{"from": "upstream"}') < 3:
                self.assertTrue(caller.receive())
        self.assertEqual(len(self.claude.asked), 3)

    def test_expect_100_continue(self) -> None:
        data = json.dumps(message()).encode()
        with Connection(self.port) as caller:
            headers = {"expect": "100-continue", "content-length": str(len(data))}
            caller.send("POST", "/v1/messages", b"", headers)
            caller.until(b"100 Continue\r\n\r\n")
            caller.data = b""
            caller.socket.sendall(data)
            self.assertEqual(caller.reply().status, 200)

    def test_chunked_request(self) -> None:
        data = json.dumps(message()).encode()
        with Connection(self.port) as caller:
            caller.send("POST", "/v1/messages", b"", {"transfer-encoding": "chunked"})
            for piece in (data[:7], data[7:]):
                caller.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            caller.socket.sendall(b"0\r\n\r\n")
            self.assertEqual(caller.reply().status, 200)
        self.assertEqual(self.claude.asked[0].body, data)

    def test_large_heads(self) -> None:
        """Headers of more than 16 KiB, from callers and from upstreams."""
        many = [(f"X-Many-{number}", "v" * 1000) for number in range(60)]
        self.claude.answers(answer(headers=[("Content-Type", "application/json"), *many]))
        reply = post(self.port, "/v1/messages", message(), [*ANTHROPIC.items(), *many])
        self.assertEqual(reply.status, 200)
        for name, value in many:
            self.assertEqual(reply[name.lower()], value)
            self.assertEqual(self.claude.asked[0].header(name.lower()), value)
