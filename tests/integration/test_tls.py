"""TLS on both sides: upstreams that are and are not to be trusted, callers over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import json
import os
import socket
import ssl
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.threads import deferToThread

from clawproxy.testing import Hang, Pause, Reset, ScriptedUpstream, Send, answer, event_stream
from tests.integration import certificates
from tests.integration.live import Caller, LiveCase, reactor
from tests.wire import ASK, STREAM_HEAD, chunk

try:
    from tests.integration.h2caller import H2Caller
except ImportError:  # the extra "all" is not installed
    H2Caller = None  # type: ignore[assignment,misc]

BIG = b"data: " + b"x" * 1_000_000 + b"\n\n"


class Plain(Protocol):
    """Answers in plain HTTP whatever comes."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.transport.loseConnection()


class TLSCase(LiveCase):
    def setUp(self) -> None:
        """Trust the tests' authority, in the way in which an operator does it."""
        super().setUp()
        folder = Path(self.mktemp())
        folder.mkdir()
        self.folder = folder
        trusted = folder / "authority.pem"
        trusted.write_bytes(certificates.authority_pem())
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(trusted)

        def restore() -> None:
            os.environ.pop("SSL_CERT_FILE")
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before

        self.addCleanup(restore)

    async def secure_upstream(self, pem: bytes) -> str:
        await self.upstream.stop()
        self.upstream = ScriptedUpstream(reactor)
        self.addCleanup(self._stop_upstream, self.upstream)
        return self.upstream.listen(certificates.context(pem))

    def _stop_upstream(self, upstream: ScriptedUpstream) -> Any:
        from twisted.internet.defer import Deferred

        return Deferred.fromCoroutine(upstream.stop())


class UpstreamTests(TLSCase):
    async def start(self, pem: bytes | None = None, *sets: str) -> Caller:
        url = await self.secure_upstream(pem or certificates.signed_pem("localhost"))
        await self.proxy(f"providers.anthropic.base_url={url}", *sets)
        return await self.caller()

    async def refused(self, caller: Caller, word: str) -> None:
        caller.post("/v1/messages")
        reply = await caller.reply()
        error = json.loads(reply.body)
        self.assertEqual((reply.status, error["error"]["type"]), (502, "api_error"))
        self.assertIn(word, error["error"]["message"])
        self.assertEqual(self.upstream.requests, [])

    async def test_stream(self) -> None:
        caller = await self.start()
        self.upstream.script(event_stream(b"data: 1\n\n", 0.05, b"data: 2\n\n"))
        for _ in range(2):
            caller.post("/v1/messages")
            self.assertEqual((await caller.reply()).body, b"data: 1\n\ndata: 2\n\n")
        self.assertEqual(self.upstream.connections, 1)

    async def test_large_request_and_answer(self) -> None:
        caller = await self.start()
        body = b'{"model":"claude-x","messages":["' + b"x" * 5_000_000 + b'"]}'
        self.upstream.script(answer(BIG * 5))
        caller.post("/v1/messages", body)
        self.assertEqual((await caller.reply()).body, BIG * 5)
        self.assertEqual(self.upstream.requests[0].body, body)

    async def test_nobody_has_signed_it(self) -> None:
        caller = await self.start(certificates.self_signed_pem("localhost"))
        await self.refused(caller, "certificate verify failed")

    async def test_somebody_elses_name(self) -> None:
        caller = await self.start(certificates.signed_pem("elsewhere.example"))
        await self.refused(caller, "its certificate is not one of 'localhost'")

    async def test_no_name_at_all(self) -> None:
        caller = await self.start(certificates.nameless_pem("localhost"))
        await self.refused(caller, "its certificate names no host")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_hung_up_in_the_handshake(self) -> None:
        class Shy(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.loseConnection()

        port = reactor.listenTCP(0, Factory.forProtocol(Shy), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        await self.proxy(f"providers.anthropic.base_url=https://localhost:{port.getHost().port}")
        await self.refused(await self.caller(), "failed: it was closed in the handshake")

    async def test_no_tls_at_all(self) -> None:
        port = reactor.listenTCP(0, Factory.forProtocol(Plain), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        await self.proxy(f"providers.anthropic.base_url=https://localhost:{port.getHost().port}")
        await self.refused(await self.caller(), "TLS with localhost")

    async def test_caller_that_leaves_while_paused(self) -> None:
        caller = await self.start()
        self.upstream.script(event_stream(*[BIG] * 60))
        caller.transport.pauseProducing()
        caller.post("/v1/messages")
        await self.pause(0.5)
        self.assertEqual((self.in_flight, self.upstream.open), (1, 1))
        caller.leave()
        await self.eventually(lambda: self.in_flight == 0, 1.0)
        await self.eventually(lambda: self.upstream.open == 0, 1.0)
        self.assertEqual(self.exchanges[0].outcome, "client_gone")

    async def test_caller_that_leaves_in_silence(self) -> None:
        caller = await self.start()
        self.upstream.script([Send(STREAM_HEAD), Hang()])
        caller.post("/v1/messages")
        await caller.until(b"\r\n\r\n")
        caller.leave()
        await self.eventually(lambda: self.upstream.open == 0, 1.0)

    async def test_cut_in_the_middle(self) -> None:
        caller = await self.start()
        self.upstream.script([Send(STREAM_HEAD + chunk(b"data: ")), Pause(0.05), Reset()])
        caller.post("/v1/messages")
        reply = await caller.reply()
        self.assertFalse(reply.whole)
        self.assertTrue(reply.body.startswith(b"data: \n\nevent: error\n"), reply.body)


class CallerTests(TLSCase):
    """The proxy's own TLS, as ``ssl:`` endpoints have it."""

    async def start(self, *sets: str) -> None:
        key = self.folder / "proxy.pem"
        key.write_bytes(certificates.signed_pem("localhost"))
        await self.proxy(*sets, listen=f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={key}")

    def endpoint(self, *protocols: bytes) -> Any:
        address: Any = self.service.addresses[0]
        options = optionsForClientTLS(
            "localhost",
            trustRoot=Certificate.loadPEM(certificates.authority_pem()),
            acceptableProtocols=list(protocols) or None,
        )
        return wrapClientTLS(options, TCP4ClientEndpoint(reactor, "127.0.0.1", address.port))

    async def h2(self, *, reading: bool = True) -> H2Caller:
        if H2Caller is None:
            self.skipTest("h2 is not installed")
        caller = H2Caller(reading=reading)
        await connectProtocol(self.endpoint(b"h2"), caller)
        self.addCleanup(caller.leave)
        return caller

    async def test_http_1(self) -> None:
        await self.start()
        self.upstream.script(event_stream(b"data: 1\n\n", 0.02, b"data: 2\n\n"))
        caller = await self.caller(self.endpoint())
        for _ in range(2):
            caller.post("/v1/messages")
            self.assertEqual((await caller.reply()).body, b"data: 1\n\ndata: 2\n\n")

    async def test_http_1_caller_that_leaves(self) -> None:
        await self.start()
        self.upstream.script(event_stream(*[BIG] * 60))
        caller = await self.caller(self.endpoint(b"http/1.1"))
        caller.post("/v1/messages")
        await caller.until(b"data: ")
        caller.transport.pauseProducing()
        await self.pause(0.3)
        caller.leave()
        await self.eventually(lambda: self.in_flight == 0, 1.0)
        await self.eventually(lambda: self.upstream.open == 0, 1.0)

    async def test_http_1_caller_that_says_nothing_to_the_end_of_tls(self) -> None:
        """As Python's, that keeps its socket until somebody closes it: a cut answer is over all the same."""
        await self.start()
        self.upstream.script([Send(STREAM_HEAD + chunk(b"data: 1\n\n")), Pause(0.05), Reset()])
        address: Any = self.service.addresses[0]
        context = ssl.create_default_context(cadata=certificates.authority_pem().decode())

        def ask() -> tuple[ssl.SSLSocket, bytes]:
            plain = socket.create_connection(("127.0.0.1", address.port))
            caller = context.wrap_socket(plain, server_hostname="localhost")
            head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ASK)}\r\n\r\n"
            caller.sendall(head.encode() + ASK)
            received = b""
            while piece := caller.recv(65536):
                received += piece
            return caller, received

        caller, received = await deferToThread(ask)
        self.addCleanup(caller.close)
        self.assertIn(b"event: error\n", received)
        await self.eventually(lambda: self.in_flight == 0, 3.0)

    async def test_streams_side_by_side(self) -> None:
        await self.start()
        self.upstream.script(event_stream(b"data: 1\n\n", 0.1, b"data: 2\n\n"))
        caller = await self.h2()
        streams = [caller.ask("POST", "/v1/messages?beta=true", ASK) for _ in range(5)]
        await caller.until(lambda: all(stream.body for stream in streams))
        self.assertEqual([stream.ended for stream in streams], [False] * 5)
        self.assertEqual(self.in_flight, 5)
        await caller.until(lambda: all(stream.ended for stream in streams))
        for stream in streams:
            self.assertEqual(stream.body, b"data: 1\n\ndata: 2\n\n")
            self.assertEqual(stream.headers[":status"], "200")
            self.assertEqual(stream.headers["content-type"], "text/event-stream")
            self.assertIn("x-clawproxy-id", stream.headers)
            self.assertNotIn("transfer-encoding", stream.headers)
        self.assertEqual(
            {each.target for each in self.upstream.requests}, {"/v1/messages?beta=true"}
        )
        self.assertEqual({each.body for each in self.upstream.requests}, {ASK})

    async def test_request_that_http_1_could_not_say(self) -> None:
        """It ends its own stream, reaches nobody, and leaves the connection to the others."""
        await self.start()
        self.upstream.script(event_stream(b"data: 1\n\n"))
        caller = await self.h2()
        caller.connection.config.validate_outbound_headers = False
        wrong = [
            caller.ask("GET /admin?", "/v1/files"),
            caller.ask("POST", "/v1/messages HTTP/1.0 x", ASK),
            caller.ask("GET", "/v1/files\tx"),
            caller.ask("GET", "v1/files"),
            caller.ask("GET", "/v1/files", b"", ("x(y)", "1")),
            caller.ask("GET", "/v1/files", b"", ("x" * 300, "1")),
        ]
        right = caller.ask("POST", "/v1/messages", ASK)
        await caller.until(lambda: right.ended and all(stream.reset for stream in wrong))
        self.assertEqual(right.headers[":status"], "200")
        self.assertEqual([each.target for each in self.upstream.requests], ["/v1/messages"])

    async def test_cancelled_stream(self) -> None:
        await self.start()
        self.upstream.script([Send(STREAM_HEAD + chunk(b"data: 1\n\n")), Hang()])
        caller = await self.h2()
        streams = [caller.ask("POST", "/v1/messages", ASK) for _ in range(2)]
        await caller.until(lambda: all(stream.body for stream in streams))
        caller.cancel(streams[0])
        await self.eventually(lambda: self.in_flight == 1, 1.0)
        await self.eventually(lambda: self.upstream.open == 1, 1.0)
        caller.leave()
        await self.eventually(lambda: self.in_flight == 0, 1.0)
        await self.eventually(lambda: self.upstream.open == 0, 1.0)
        self.assertEqual([each.outcome for each in self.exchanges], ["client_gone"] * 2)

    async def test_slow_reader(self) -> None:
        await self.start()
        self.upstream.script(event_stream(*[BIG] * 60))
        caller = await self.h2(reading=False)
        stream = caller.ask("POST", "/v1/messages", ASK)
        await self.pause(0.5)
        self.assertEqual(self.in_flight, 1)
        self.assertLess(len(stream.body), 100_000)
        caller.cancel(stream)
        await self.eventually(lambda: self.upstream.open == 0, 1.0)

    async def test_reader_that_stops_for_good(self) -> None:
        """It counts as gone after a while, whether its windows or its socket are full."""
        self.upstream.script(event_stream(*[BIG] * 60))
        await self.start("server.send_timeout=0.6")
        for socket_too in (False, True):
            self.exchanges.clear()
            caller = await self.h2(reading=socket_too)
            stream = caller.ask("POST", "/v1/messages", ASK)
            await caller.until(lambda: stream.body)  # noqa: B023 - awaited here
            if socket_too:
                caller.transport.pauseProducing()
            await self.eventually(lambda: self.exchanges, 5)
            self.assertIn("send_timeout", self.exchanges[0].error or "")
            self.assertEqual(self.exchanges[0].outcome, "client_gone")
            await self.eventually(lambda: (self.in_flight, self.upstream.open) == (0, 0), 2)
            caller.leave()

    async def test_http_1_reader_that_stops_for_good(self) -> None:
        self.upstream.script(event_stream(*[BIG] * 60))
        await self.start("server.send_timeout=0.6")
        caller = await self.caller(self.endpoint())
        caller.post("/v1/messages")
        await caller.until(b"data: ")
        caller.transport.pauseProducing()
        await self.eventually(lambda: self.exchanges, 5)
        self.assertIn("send_timeout", self.exchanges[0].error or "")
        await self.eventually(lambda: (self.in_flight, self.upstream.open) == (0, 0), 2)

    async def test_silence_is_not_idleness(self) -> None:
        await self.start("server.idle_timeout=0.3")
        self.upstream.script(event_stream(b"data: 1\n\n", 1.2, b"data: 2\n\n"))
        caller = await self.h2()
        stream = caller.ask("POST", "/v1/messages", ASK)
        await caller.until(lambda: stream.ended or caller.lost)
        self.assertEqual(stream.body, b"data: 1\n\ndata: 2\n\n")
        await caller.until(lambda: caller.lost)

    async def test_broken_stream(self) -> None:
        await self.start()
        self.upstream.script([Send(STREAM_HEAD + chunk(b"data: ")), Pause(0.05), Reset()])
        caller = await self.h2()
        stream = caller.ask("POST", "/v1/messages", ASK)
        await caller.until(lambda: stream.reset or stream.ended)
        self.assertFalse(stream.ended, "a cut answer was ended as if it were whole")
        self.assertTrue(stream.body.startswith(b"data: \n\nevent: error\n"), stream.body)
        await self.eventually(lambda: self.in_flight == 0, 1.0)
        again = caller.ask("GET", "/livez")
        await caller.until(lambda: again.ended)
        self.assertEqual(json.loads(again.body)["in_flight"], 0)

    async def test_errors(self) -> None:
        await self.start("server.max_body=1000")
        caller = await self.h2()
        for status, stream in (
            ("405", caller.ask("GET", "/v1/messages")),
            ("404", caller.ask("GET", "/nothing")),
            ("400", caller.ask("POST", "/v1/messages", b"{")),
            ("413", caller.ask("POST", "/v1/messages", b"x" * 1001)),
            (
                "413",
                caller.ask(
                    "POST", "/v1/messages", b"x" * 900, ("content-length", "5000"), end=False
                ),
            ),
            ("413", caller.ask("POST", "/v1/messages", b"x" * 60_000)),
        ):
            await caller.until(lambda stream=stream: stream.ended)  # type: ignore[misc]
            self.assertEqual(stream.headers[":status"], status)
            self.assertIn("error", json.loads(stream.body))
        head = caller.ask("HEAD", "/")
        await caller.until(lambda: head.ended)
        self.assertEqual(head.headers[":status"], "200")
        self.assertEqual(self.in_flight, 0)

    async def test_no_body_without_a_key(self) -> None:
        await self.start("auth.api_keys.0=opensesame")
        caller = await self.h2()
        stream = caller.ask("POST", "/v1/messages", b" " * 20_000, end=False)
        await caller.until(lambda: stream.ended)
        self.assertEqual(stream.headers[":status"], "401")
        self.assertEqual(json.loads(stream.body)["type"], "error")
        health = caller.ask("GET", "/health")
        await caller.until(lambda: health.ended)
        self.assertEqual((health.headers[":status"], self.in_flight), ("200", 0))
        self.assertFalse(caller.lost)

    async def test_drain(self) -> None:
        await self.start()
        self.upstream.script(event_stream(b"data: 1\n\n", 0.3, b"data: 2\n\n"))
        idle, busy = await self.h2(), await self.h2()
        livez = idle.ask("GET", "/livez")
        stream = busy.ask("POST", "/v1/messages", ASK)
        await busy.until(lambda: stream.body)
        await idle.until(lambda: livez.ended)
        stopping = self.service.stopService()
        await idle.until(lambda: idle.lost)
        self.assertTrue(idle.goodbye)
        late = busy.ask("POST", "/v1/messages", ASK)
        await busy.until(lambda: stream.ended and late.ended)
        self.assertEqual((stream.body, late.body), (b"data: 1\n\ndata: 2\n\n",) * 2)
        await busy.until(lambda: busy.lost)
        await stopping
        self.assertTrue(self.service.whole)
