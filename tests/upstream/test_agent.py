"""The connections to one upstream: opened within a time, lent, replaced when stale, counted exactly."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import readBody

from clawproxy.upstream.agent import (
    OutgoingRequest,
    StreamClient,
    UpstreamAgent,
)
from clawproxy.upstream.failure import UpstreamFailure, connect_failure
from clawproxy.upstream.pool import IDLE_KEPT, Origin
from clawproxy.upstream.response import H1Response

URL = b"http://127.0.0.1:1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Transport(StringTransport):
    """A transport whose end reaches its protocol, as a socket's does."""

    protocol: Any = None
    lost = False

    def lose(self, reason: Exception) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(reason))

    def loseConnection(self) -> None:
        self.lose(ConnectionDone())

    def abortConnection(self) -> None:
        self.lose(ConnectionLost())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Take the option."""


class AgentCase(SynchronousTestCase):
    """An agent on a clock, whose connections the test makes."""

    max_connections = 1000

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.agent = UpstreamAgent(self.reactor, 10.0, self.max_connections)
        self.client = StreamClient(self.agent)

    def ask(self, body: bytes = b"{}") -> Deferred[H1Response]:
        outgoing = OutgoingRequest(b"/v1/x?y=%20z", [(b"X-Y", b"z")], body, 300.0, 300.0)

        def unwrapped(_: object) -> H1Response:
            assert outgoing.response is not None
            return outgoing.response

        return self.client.request("POST", URL, data=outgoing).addCallback(unwrapped)

    def accept(self) -> Transport:
        *_, factory, _timeout, _bind = self.reactor.tcpClients.pop(0)
        transport = Transport(peerAddress=IPv4Address("TCP", "127.0.0.1", 1))
        transport.protocol = factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        return transport

    def refuse(self, reason: Exception | None = None) -> None:
        *_, factory, _timeout, _bind = self.reactor.tcpClients.pop(0)
        factory.clientConnectionFailed(cast(Any, None), Failure(reason or ConnectionRefusedError()))

    def answer(self, transport: Transport, asking: Deferred[H1Response], wire: bytes = OK) -> bytes:
        transport.protocol.dataReceived(wire)
        body: bytes = self.successResultOf(readBody(self.successResultOf(asking)))
        return body

    def failed(self, asking: Deferred[H1Response]) -> UpstreamFailure:
        error: UpstreamFailure = self.failureResultOf(asking, UpstreamFailure).value
        return error

    @property
    def open(self) -> int:
        return self.agent.pool(URL).open


class RequestTests(AgentCase):
    """What is sent, and on which connection."""

    def test_request_is_exactly_what_was_given(self) -> None:
        asking = self.ask()
        transport = self.accept()
        self.assertEqual(
            transport.value(),
            b"POST /v1/x?y=%20z HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-Y: z\r\nContent-Length: 2\r\n\r\n{}",
        )
        self.assertEqual(self.answer(transport, asking), b"ok")

    def test_no_body_has_no_length(self) -> None:
        outgoing = OutgoingRequest(b"/v1/x", [], None)
        self.client.request("GET", URL, data=outgoing)
        self.assertEqual(self.accept().value(), b"GET /v1/x HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")

    def test_options_of_treq_that_would_change_an_answer_are_refused(self) -> None:
        outgoing = OutgoingRequest(b"/", [], None)
        options: list[dict[str, Any]] = [
            {"allow_redirects": True},
            {"cookies": {}},
            {"params": {}},
            {"json": {}},
        ]
        for option in options:
            with self.assertRaises(TypeError):
                self.client.request("GET", URL, data=outgoing, **option)

    def test_connection_is_used_again(self) -> None:
        first = self.ask()
        transport = self.accept()
        self.answer(transport, first)
        second = self.ask()
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertEqual(self.answer(transport, second), b"ok")
        self.assertEqual(self.open, 1)

    def test_most_recently_used_connection_first(self) -> None:
        asking = [self.ask() for _ in range(2)]
        transports = [self.accept() for _ in range(2)]
        for transport, each in zip(transports, asking, strict=True):
            self.answer(transport, each)
            transport.clear()
        self.ask()
        self.assertEqual(transports[0].value(), b"")
        self.assertNotEqual(transports[1].value(), b"")

    def test_unused_connection_is_closed_after_a_while(self) -> None:
        asking = self.ask()
        transport = self.accept()
        self.answer(transport, asking)
        self.reactor.advance(IDLE_KEPT / 2)
        self.assertFalse(transport.lost)
        self.reactor.pump([1.0] * int(IDLE_KEPT))
        self.assertTrue(transport.lost)
        self.assertEqual(self.open, 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close_ends_the_idle_and_lets_the_busy_finish(self) -> None:
        first, second = self.ask(), self.ask()
        idle, busy = self.accept(), self.accept()
        self.answer(idle, first)
        self.agent.close()
        self.assertTrue(idle.lost)
        self.assertFalse(busy.lost)
        self.assertEqual(self.answer(busy, second), b"ok")
        self.assertTrue(busy.lost)
        self.assertEqual((self.open, self.reactor.getDelayedCalls()), (0, []))


class StaleTests(AgentCase):
    """A kept connection that the upstream had closed."""

    def reuse(self) -> tuple[Transport, Deferred[H1Response]]:
        first = self.ask()
        transport = self.accept()
        self.answer(transport, first)
        transport.clear()
        return transport, self.ask()

    def test_it_is_replaced_once_and_silently(self) -> None:
        for reason in (ConnectionDone(), ConnectionLost()):
            old, asking = self.reuse()
            sent = old.value()
            old.lose(reason)
            new = self.accept()
            self.assertEqual(new.value(), sent)
            self.assertEqual(self.answer(new, asking), b"ok")
            self.assertEqual(self.open, 1)
            new.lose(ConnectionDone())

    def test_replacement_that_fails_too_is_a_failure(self) -> None:
        old, asking = self.reuse()
        old.lose(ConnectionDone())
        self.accept().lose(ConnectionDone())
        failure = self.failed(asking)
        self.assertEqual((failure.phase, self.reactor.tcpClients), ("headers", []))
        self.assertEqual(self.open, 0)

    def test_after_a_byte_of_an_answer_there_is_no_other_try(self) -> None:
        for wire in (b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n"):
            old, asking = self.reuse()
            old.protocol.dataReceived(wire)
            old.lose(ConnectionDone())
            self.assertEqual(self.failed(asking).phase, "headers", wire)
            self.assertEqual(self.reactor.tcpClients, [])

    def test_several_dead_connections_cost_nothing(self) -> None:
        asking = [self.ask() for _ in range(3)]
        transports = [self.accept() for _ in range(3)]
        for transport, each in zip(transports, asking, strict=True):
            self.answer(transport, each)
        again = self.ask()
        for transport in transports:
            transport.lose(ConnectionDone())
        self.assertEqual(self.answer(self.accept(), again), b"ok")
        self.assertEqual(self.open, 1)


class ConnectTests(AgentCase):
    """Connections that do not come about."""

    def test_refused(self) -> None:
        asking = self.ask()
        self.refuse()
        failure = self.failed(asking)
        self.assertEqual((failure.phase, failure.timeout), ("connect", False))
        self.assertIn("127.0.0.1:1", failure.message)
        self.assertEqual(self.open, 0)

    def test_nobody_answers_in_time(self) -> None:
        asking = self.ask()
        self.reactor.pump([0.5] * 25)
        failure = self.failed(asking)
        self.assertEqual((failure.phase, failure.timeout), ("connect", True))
        self.assertEqual(self.open, 0)

    def test_caller_that_leaves_while_connecting_is_no_timeout(self) -> None:
        asking = self.ask()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual(self.open, 0)

    def test_caller_that_leaves_while_the_name_is_looked_up_is_no_failure(self) -> None:
        class Endpoint:
            """Fails when it is cancelled as HostnameEndpoint does."""

            def connect(self, factory: Any) -> Deferred[Any]:
                return Deferred(lambda d: d.errback(Failure(DNSLookupError("cancelled"))))

        self.agent.pool(URL)._endpoint = cast(Any, Endpoint())
        asking = self.ask()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        late = self.ask()
        self.reactor.pump([1.0] * 11)
        self.assertTrue(self.failed(late).timeout, "time that runs out is no failed look-up either")
        self.assertEqual(self.open, 0)

    def test_words_for_what_can_go_wrong(self) -> None:
        for error, word in (
            (DNSLookupError("no results"), "could not be resolved"),
            (ConnectionRefusedError(), "refused"),
            (ConnectionLost(), "failed"),
            (ValueError("odd"), "ValueError: odd"),
        ):
            failure = connect_failure(Failure(error), "host", 1)
            self.assertIn(word, failure.message)
            self.assertFalse(failure.timeout)


class SecureConnectTests(AgentCase):
    """The time for a connection includes TLS."""

    def ask(self, body: bytes = b"{}") -> Deferred[H1Response]:
        outgoing = OutgoingRequest(b"/v1/x", [], body, 300.0, 300.0)
        return self.client.request("POST", b"https://127.0.0.1:1", data=outgoing)  # type: ignore[return-value]

    def test_handshake_that_never_ends_is_a_timeout(self) -> None:
        asking = self.ask()
        self.reactor.advance(6)
        transport = self.accept()
        self.assertIn(b"\x16\x03", transport.value()[:2])
        self.reactor.advance(3.5)
        self.assertNoResult(asking)
        self.reactor.advance(1)
        failure = self.failed(asking)
        self.assertEqual((failure.phase, failure.timeout), ("connect", True))
        self.assertTrue(transport.lost)
        self.assertEqual(self.agent.pool(b"https://127.0.0.1:1").open, 0)

    def test_caller_that_leaves_in_the_handshake(self) -> None:
        asking = self.ask()
        self.accept()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual(self.agent.pool(b"https://127.0.0.1:1").open, 0)

    def test_what_speaks_no_tls(self) -> None:
        asking = self.ask()
        transport = self.accept()
        transport.protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        failure = self.failed(asking)
        self.assertEqual((failure.phase, failure.timeout), ("connect", False))
        self.assertIn("TLS", failure.message)

    def test_end_in_the_handshake(self) -> None:
        asking = self.ask()
        self.accept().lose(ConnectionDone())
        self.assertEqual(self.failed(asking).phase, "connect")


class QueueTests(AgentCase):
    """No more than ``max_connections`` at once; the others wait in line."""

    max_connections = 2

    def test_waiting_request_takes_the_connection_that_is_free_again(self) -> None:
        asking = [self.ask() for _ in range(4)]
        transports = [self.accept(), self.accept()]
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertEqual(self.answer(transports[0], asking[0]), b"ok")
        self.assertEqual(self.answer(transports[0], asking[2]), b"ok")
        self.assertEqual(self.answer(transports[1], asking[1]), b"ok")
        self.assertEqual(
            [each.called for each in asking], [True, True, True, False], "the last one waits"
        )
        waiting = transports[0] if transports[0].value().count(b"POST") == 3 else transports[1]
        self.assertEqual(self.answer(waiting, asking[3]), b"ok")
        self.assertEqual(self.open, 2)

    def test_waiting_request_opens_one_when_another_is_gone(self) -> None:
        asking = [self.ask() for _ in range(3)]
        first, second = self.accept(), self.accept()
        first.lose(ConnectionLost())
        self.failed(asking[0])
        self.assertEqual(self.answer(self.accept(), asking[2]), b"ok")
        self.assertEqual(self.answer(second, asking[1]), b"ok")

    def test_waiting_request_gets_its_turn_when_another_is_refused(self) -> None:
        asking = [self.ask() for _ in range(3)]
        self.refuse()
        self.failed(asking[0])
        self.accept()
        self.assertEqual(self.answer(self.accept(), asking[2]), b"ok")
        self.assertEqual(self.open, 2)

    def test_waiting_too_long_is_a_timeout(self) -> None:
        asking = [self.ask() for _ in range(3)]
        self.accept(), self.accept()
        self.reactor.pump([1.0] * 11)
        failure = self.failed(asking[2])
        self.assertEqual((failure.phase, failure.timeout), ("connect", True))
        self.assertIn("2 connections", failure.message)

    def test_caller_that_leaves_the_line(self) -> None:
        asking = [self.ask() for _ in range(4)]
        first, _ = self.accept(), self.accept()
        asking[2].cancel()
        self.failureResultOf(asking[2], CancelledError)
        self.assertEqual(self.answer(first, asking[0]), b"ok")
        self.assertEqual(self.answer(first, asking[3]), b"ok")
        self.assertEqual(self.open, 2)

    def test_waiting_request_that_meets_a_stale_connection(self) -> None:
        asking = [self.ask() for _ in range(3)]
        first, _ = self.accept(), self.accept()
        self.answer(first, asking[0])
        # The waiting one is on the first connection now, which ends without a byte.
        first.lose(ConnectionDone())
        self.assertEqual(self.answer(self.accept(), asking[2]), b"ok")
        self.assertEqual(self.open, 2)


class OriginTests(SynchronousTestCase):
    """Where a URL leads."""

    def test_origins(self) -> None:
        for url, host, port, authority in (
            (b"https://api.example", "api.example", 443, b"api.example"),
            (b"https://api.example:8443", "api.example", 8443, b"api.example:8443"),
            (b"http://[::1]:81", "::1", 81, b"[::1]:81"),
            (b"http://h", "h", 80, b"h"),
        ):
            origin = Origin.of(url)
            self.assertEqual((origin.host, origin.port, origin.authority), (host, port, authority))
