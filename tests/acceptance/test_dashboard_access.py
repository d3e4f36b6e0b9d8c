"""Who may see the records."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from twisted.trial.unittest import SkipTest

from tests.acceptance.caller import ANTHROPIC, ask, message, parsed, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program, free_port, other_address
from tests.acceptance.test_records import MESSAGE, RecordCase
from tests.acceptance.upstream import Upstream, answer


class LoopbackTests(RecordCase):
    """With `dashboard.password: null` only callers on a loopback address, whose `Host` is a loopback name."""

    PLACES = ("/api/requests", "/ui/")

    def test_hosts(self) -> None:
        for host, allowed in (
            ("localhost", True),
            (f"localhost:{self.port}", True),
            ("127.0.0.1", True),
            (f"127.0.0.1:{self.port}", True),
            ("127.8.8.8", True),
            ("[::1]", True),
            (f"[::1]:{self.port}", True),
            ("evil.example", False),
            (f"evil.example:{self.port}", False),
            ("127.0.0.1.evil.example", False),
            ("localhost.evil.example", False),
            ("192.168.0.1", False),
            ("", False),
        ):
            for place in self.PLACES:
                status = self.get(place, host=host).status
                self.assertEqual(status, 200 if allowed else 403, (host, place))

    def test_origins(self) -> None:
        """A foreign `Origin` is refused (403) on every `/api/` call, and `/api/` sends no CORS headers."""
        own = f"http://127.0.0.1:{self.port}"
        host = f"127.0.0.1:{self.port}"
        id = self.made(message())[1]["id"]
        targets = ("/api/requests", f"/api/requests/{id}", f"/api/requests/{id}/events", "/api/x")
        for origin in (
            "https://evil.example",
            "null",
            f"http://127.0.0.1:{self.port + 1}",
            f"http://127.0.0.1:{self.port}.evil.example",
        ):
            for target in targets:
                for method in ("GET", "DELETE", "OPTIONS", "HEAD"):
                    headers = {
                        "origin": origin,
                        "host": host,
                        "access-control-request-method": "GET",
                    }
                    reply = ask(self.port, method, target, b"", headers)
                    self.assertEqual(reply.status, 403, (origin, target, method))
                    names = [n for n, _ in reply.headers if n.startswith("access-control")]
                    self.assertEqual(names, [])
        self.assertEqual(self.record(id)["id"], id)
        reply = self.get("/api/requests", host=host, origin=own)
        self.assertEqual(reply.status, 200)
        self.assertEqual([n for n, _ in reply.headers if n.startswith("access-control")], [])

    def test_callers_from_elsewhere(self) -> None:
        """Only callers on a loopback address, whatever they call the host."""
        address = other_address()
        if address.startswith("127."):
            raise SkipTest("this machine has no address but those of the loopback")
        port = free_port()
        settings = ("--set", "storage.url=none", "--listen", f"tcp:{port}:interface={address}")
        self.program(None, *settings)
        for target, status in (("/api/requests", 403), ("/ui/", 403), ("/health", 200)):
            with socket.create_connection((address, port), timeout=10) as caller:
                caller.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                self.assertTrue(caller.recv(65_536).startswith(b"HTTP/1.1 %d " % status))

    def test_the_proxys_own_keys_open_nothing(self) -> None:
        reply = self.get("/api/requests", host="evil.example", authorization="Bearer pk-alice")
        self.assertEqual(reply.status, 403)


def guarded(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy whose dashboard has a password, and which keeps no text."""
    upstream = stack.enter_context(Upstream())
    config = {
        "providers": {"anthropic": {"base_url": upstream.url}},
        "storage": {"url": "sqlite:records.db", "bodies": "metadata"},
        "dashboard": {"password": "open sesame"},
    }
    return upstream, stack.enter_context(Program(folder, config))


class PasswordTests(AcceptanceCase):
    """With a password, anyone who has logged in (cookie) or sends `Authorization: Bearer <password>`."""

    BEARER: ClassVar = {"authorization": "Bearer open sesame"}

    def setUp(self) -> None:
        super().setUp()
        self.up, self.proxy = shared(guarded)
        self.port = self.proxy.port
        self.up.answers(answer(MESSAGE))

    def test_bearer(self) -> None:
        for host in ("127.0.0.1", "proxy.example.com"):
            headers = {**self.BEARER, "host": host}
            self.assertEqual(ask(self.port, "GET", "/api/requests", b"", headers).status, 200)
        self.assertEqual(ask(self.port, "GET", "/api/requests").status, 401)
        for wrong in ("Bearer open", "Bearer ", "Basic open sesame", "open sesame"):
            headers = {"authorization": wrong}
            self.assertEqual(ask(self.port, "GET", "/api/requests", b"", headers).status, 401)

    def test_the_pages_lead_to_a_login(self) -> None:
        reply = ask(self.port, "GET", "/ui/", b"", {"accept": "text/html"})
        self.assertIn(reply.status, (302, 303, 401))

    def test_cookie(self) -> None:
        form = {"content-type": "application/x-www-form-urlencoded"}
        reply = post(self.port, "/ui/login", b"password=wrong", form)
        self.assertEqual((reply.status, reply["set-cookie"]), (401, None))
        reply = post(self.port, "/ui/login", b"password=open+sesame", form)
        self.assertEqual(reply.status, 303)
        cookie = reply["set-cookie"] or ""
        self.assertIn("httponly", cookie.lower())
        self.assertIn("samesite", cookie.lower())
        self.assertNotIn("sesame", cookie)
        headers = {"cookie": cookie.partition(";")[0]}
        self.assertEqual(ask(self.port, "GET", "/api/requests", b"", headers).status, 200)
        forged = {"cookie": cookie.partition(";")[0][:-4] + "AAAA"}
        self.assertEqual(ask(self.port, "GET", "/api/requests", b"", forged).status, 401)
        foreign = {**headers, "origin": "https://evil.example"}
        for method in ("GET", "DELETE"):
            self.assertEqual(ask(self.port, method, "/api/requests", b"", foreign).status, 403)

    def test_a_foreign_origin_with_the_password(self) -> None:
        headers = {**self.BEARER, "origin": "https://evil.example"}
        self.assertEqual(ask(self.port, "GET", "/api/requests", b"", headers).status, 403)

    def test_the_api_itself_needs_no_password(self) -> None:
        self.assertEqual(post(self.port, "/v1/messages", message(), ANTHROPIC).status, 200)

    def test_metadata_alone(self) -> None:
        """`bodies: metadata`: no prompt or answer text is kept."""
        word = "Xylophone-4711"
        body = message(messages=[{"role": "user", "content": word}])
        self.up.answers(answer({**MESSAGE, "content": [{"type": "text", "text": word}]}))
        reply = post(self.port, "/v1/messages", body, ANTHROPIC)
        target = f"/api/requests/{reply['x-clawproxy-id']}"
        self.eventually(lambda: ask(self.port, "GET", target, b"", self.BEARER).status == 200)
        record = parsed(ask(self.port, "GET", target, b"", self.BEARER))
        self.assertEqual((record["request"], record["response"]), (None, None))
        self.assertEqual(record["usage"]["input_tokens"], 11)
        for name in ("request", "response"):
            reply = ask(self.port, "GET", f"{target}/{name}", b"", self.BEARER)
            self.assertNotIn(word.encode(), reply.body)
        time.sleep(0.5)
        for file in self.proxy.folder.rglob("*"):
            if file.is_file():
                self.assertNotIn(word.encode(), file.read_bytes(), file)
