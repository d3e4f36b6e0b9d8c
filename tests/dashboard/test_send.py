"""Requests sent again, in a proxy in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.dashboard.send import Sender
from clawproxy.testing import MemoryCaller, MemoryProxy

REQUEST = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
ANSWER = b'{"type":"message","content":[]}'


class Sent(SynchronousTestCase):
    """What is sent upstream, and what comes back."""

    def setUp(self) -> None:
        """Start a proxy."""
        self.proxy = MemoryProxy()

    def send(self, **asked: Any) -> MemoryCaller:
        """Ask for a request to be sent."""
        caller = self.proxy.caller()
        body = json.dumps(asked).encode()
        caller.write(
            b"POST /api/send HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nCookie: a=b\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        return caller

    def recorded(self, **more: Any) -> None:
        """Have a recorded exchange, as the reader's process would give it."""
        first = {"id": "first", "method": "POST", "path": "/v1/messages", **more}

        async def fetch(_: object, target: str) -> bytes:
            return json.dumps(REQUEST if target.endswith("decoded=1") else first).encode()

        self.patch(Sender, "_fetch", fetch)

    def test_a_real_exchange(self) -> None:
        """It is in flight until its answer is over, and is recorded as any other."""
        caller = self.send(
            request=REQUEST, model="claude-y", headers={"X-Mark": "1"}, key="sk-mine"
        )
        self.assertEqual(self.proxy.assembly.drain.in_flight, 1)
        upstream = self.proxy.upstream()
        head, _, body = upstream.request().partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"POST /v1/messages HTTP/1.1\r\n"))
        lines = head.lower()
        self.assertIn(b"x-mark: 1", lines)
        self.assertIn(b"x-api-key: sk-mine", lines)
        for name in (b"cookie", b"origin"):
            self.assertNotIn(b"\r\n" + name + b":", lines)
        self.assertEqual(json.loads(body), {**REQUEST, "model": "claude-y"})
        upstream.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(ANSWER), ANSWER)
        )
        answer = caller.read()
        self.assertTrue(answer.endswith(ANSWER))
        self.assertNotIn(b"access-control", answer.lower())
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)
        (exchange,) = self.proxy.exchanges
        self.assertEqual(
            (exchange.model, exchange.outcome, exchange.path), ("claude-y", "ok", "/v1/messages")
        )
        self.assertNotIn("sk-mine", json.dumps(exchange.request_headers))

    def test_whoever_asked_leaves(self) -> None:
        """Then the upstream is cancelled."""
        caller = self.send(request=REQUEST)
        upstream = self.proxy.upstream()
        caller.leave()
        self.assertTrue(upstream.aborted)
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)
        self.assertEqual(self.proxy.exchanges[0].outcome, "client_gone")

    def test_to_a_provider_by_path(self) -> None:
        """As a caller may name one."""
        self.send(request=REQUEST, path="/openai/v1/chat/completions", key="sk-mine")
        request = self.proxy.upstream().request()
        self.assertTrue(
            request.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:2\r\n")
        )

    def test_path_without_its_slash(self) -> None:
        """What is recorded is a path, as a caller would have asked for."""
        caller = self.send(request=REQUEST, path="v1/messages?beta=true", key="sk-mine")
        self.assertTrue(self.proxy.upstream().request().startswith(b"POST /v1/messages?beta=true "))
        caller.leave()
        (exchange,) = self.proxy.exchanges
        self.assertEqual(exchange.path, "/v1/messages")

    def test_to_another_api(self) -> None:
        """The key is presented as the API takes it that is asked now, and not the one that was asked first."""
        self.recorded()
        self.send(id="first", path="/openai/v1/chat/completions", key="sk-mine")
        lines = self.proxy.upstream().request().lower()
        self.assertIn(b"authorization: bearer sk-mine", lines)
        self.assertNotIn(b"x-api-key", lines)

    def test_empty_path(self) -> None:
        """It is none, and the first one is asked again, with its query."""
        for path in (None, ""):
            self.recorded(query="beta=true")
            self.send(id="first", path=path, key="sk-mine")
            line, _, _ = self.proxy.upstream().request().partition(b"\r\n")
            self.assertEqual(line, b"POST /v1/messages?beta=true HTTP/1.1")

    def test_imported_headers(self) -> None:
        """What no header may hold is left out, and the rest sent."""
        odd = [["x-snow", "\u2603"], ["x-two", "a\r\nhost: b"], ["x y", "z"], ["x-mark", "1"]]
        self.recorded(request_headers=odd)
        self.send(id="first", key="sk-mine")
        lines = self.proxy.upstream().request().lower()
        self.assertIn(b"x-mark: 1\r\n", lines)
        for name in (b"x-snow", b"x-two", b"x y"):
            self.assertNotIn(name, lines)

    def test_refused(self) -> None:
        """What cannot be sent is said to be so, and nothing is sent."""
        for asked, status in (
            ({}, 400),
            ({"request": REQUEST, "path": "/etc/passwd"}, 400),
            ({"request": REQUEST, "path": "/v1/m\r\nx: y"}, 400),
            ({"request": REQUEST, "path": "/nobody/v1/messages"}, 400),
            ({"request": REQUEST, "headers": {"x": "\u2603"}}, 400),
            ({"request": REQUEST, "headers": {"x": "a\r\nhost: b"}}, 400),
            ({"request": REQUEST, "headers": {"x\r\ny": "a"}}, 400),
            ({"request": "text", "model": "m"}, 400),
            ({"request": REQUEST, "modle": "m"}, 400),
            ({"id": "unknown"}, 503),
        ):
            answer = self.send(**asked).read()
            self.assertEqual(int(answer.split()[1]), status, asked)
        self.assertEqual(self.proxy.reactor.tcpClients, [])
