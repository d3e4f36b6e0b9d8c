"""The one connection: what a gateway costs that is away, refuses, falls silent, or goes."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.secret import Secret
from clawproxy.upstream.openclaw.address import GatewayAddress
from clawproxy.upstream.openclaw.connection import GatewayConnection
from clawproxy.upstream.openclaw.frames import Event, Response
from clawproxy.upstream.openclaw.handshake import Credentials, Hello, Refusal
from clawproxy.upstream.openclaw.identity import DeviceIdentity
from tests.upstream.openclaw.gateway import Connection, Gateway, JSONObject, ObligingGateway, hello

URL = "ws://gateway.test:18789/ws?x=1"


@define
class Heard:
    """What a listener heard."""

    hellos: list[Hello] = field(factory=list)
    events: list[Event] = field(factory=list)
    losses: list[Refusal] = field(factory=list)

    def gateway_connected(self, hello: Hello) -> None:
        self.hellos.append(hello)

    def gateway_event(self, event: Event) -> None:
        self.events.append(event)

    def gateway_lost(self, refusal: Refusal) -> None:
        self.losses.append(refusal)


class RefusingGateway(Gateway):
    """A gateway that answers ``connect`` with an error and closes."""

    def __init__(self, close: int = 1008, **error: object) -> None:
        super().__init__()
        self.error = error
        self.code = close

    def upgrading(self, connection: Connection) -> None:
        connection.accept()
        connection.event("connect.challenge", {"nonce": "n", "ts": 1})

    def requested(self, connection: Connection, frame: JSONObject) -> None:
        connection.answer(frame, None, **self.error)
        connection.close(self.code, str(self.error["message"]))


class ConnectionTestCase(SynchronousTestCase):
    """A connection to a gateway in memory."""

    def connect(self, gateway: Gateway, *, start: bool = True) -> GatewayConnection:
        self.clock = Clock()
        self.heard = Heard()
        self.identity = DeviceIdentity.generate()
        connection = GatewayConnection(
            self.clock,
            gateway,
            GatewayAddress.parse(URL),
            url=URL,
            identity=self.identity,
            credentials=Credentials(Secret("token-1")),
            connect_timeout=10,
            listener=self.heard,
            rng=lambda: 0.5,
            clock=lambda: 1_700_000_000 + self.clock.seconds(),
        )
        if start:
            connection.startService()
            self.addCleanup(self.stop, connection)
        return connection

    def stop(self, connection: GatewayConnection) -> None:
        connection.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def failure(self, waiting: Deferred[Any]) -> ProxyError:
        return self.failureResultOf(waiting, ProxyError).value  # type: ignore[no-any-return]


class Handshakes(ConnectionTestCase):
    """From the first byte to ``hello-ok``."""

    def test_connects(self) -> None:
        gateway = ObligingGateway()
        connection = self.connect(gateway)
        self.assertTrue(connection.state.connected)
        self.assertEqual(connection.state.protocol, 4)
        self.assertEqual(len(self.heard.hellos), 1)
        self.assertEqual(self.successResultOf(connection.ready(1)).version, "2026.9.6")

    def test_upgrade(self) -> None:
        """Host carries the port, nothing makes this client look like a browser or a proxied one."""
        gateway = ObligingGateway()
        self.connect(gateway)
        upgrade = gateway.last.upgrade
        assert upgrade is not None
        self.assertEqual(upgrade.host, "gateway.test:18789")
        self.assertEqual(upgrade.target, "/ws?x=1")
        names = {name.lower() for name, _ in upgrade.extra_headers}
        self.assertFalse(names & {b"origin", b"x-forwarded-for", b"forwarded"})

    def test_connect_frame(self) -> None:
        gateway = ObligingGateway()
        self.connect(gateway)
        (frame,) = gateway.last.asked("connect")
        params = frame["params"]
        self.assertEqual((params["minProtocol"], params["maxProtocol"]), (3, 4))
        self.assertEqual(params["client"]["id"], "gateway-client")
        self.assertEqual(params["auth"], {"token": "token-1"})
        self.assertIn("operator.admin", params["scopes"])
        self.assertIn("exec-approvals", params["caps"])
        self.assertEqual(params["device"]["nonce"], "n-1")
        self.assertEqual(params["device"]["signedAt"], 1_700_000_000_000)

    def test_second_challenge_is_ignored(self) -> None:
        class Twice(ObligingGateway):
            def upgrading(self, connection: Connection) -> None:
                super().upgrading(connection)
                connection.event("connect.challenge", {"nonce": "n-2", "ts": 2})

        gateway = Twice()
        self.connect(gateway)
        self.assertEqual(len(gateway.last.asked("connect")), 1)

    def test_silence(self) -> None:
        """Who upgrades and then says nothing is given up after the connect timeout."""
        gateway = Gateway()
        connection = self.connect(gateway)
        waiting = connection.ready(60)
        self.clock.advance(10)
        self.assertIn("did not complete the handshake", str(self.failure(waiting)))
        self.assertIsNotNone(gateway.last.closed)

    def test_no_answer_at_all(self) -> None:
        gateway = Gateway()
        gateway.reachable = None
        connection = self.connect(gateway)
        waiting = connection.ready(5)
        self.clock.advance(5)
        self.assertIs(self.failure(waiting).kind, Kind.UPSTREAM_TIMEOUT)

    def test_not_a_gateway(self) -> None:
        class Chatty(Gateway):
            def upgrading(self, connection: Connection) -> None:
                connection.accept()
                connection.text("hello there")

        gateway = Chatty()
        connection = self.connect(gateway)
        self.assertIn("not an OpenClaw Gateway", str(self.failure(connection.ready(1))))
        self.clock.advance(600)
        self.assertEqual(gateway.attempts, 1)

    def test_not_a_websocket(self) -> None:
        class Web(Gateway):
            def upgrading(self, connection: Connection) -> None:
                connection.reject(403, b'{"error":"proxy_attribution_required"}')

        connection = self.connect(Web())
        error = self.failure(connection.ready(1))
        self.assertIn("HTTP 403", error.message)
        self.assertIn("proxy_attribution_required", error.message)
        self.assertIn("trustedProxies", error.message)

    def test_device_token_is_kept(self) -> None:
        gateway = ObligingGateway()
        gateway.hello["auth"] = {"deviceToken": "device-1", "scopes": ["operator.admin"]}
        self.connect(gateway)
        token = self.identity.token(URL)
        assert token is not None
        self.assertEqual(token.reveal(), "device-1")
        self.assertNotIn("device-1", repr(self.heard.hellos))


class Refusals(ConnectionTestCase):
    """A gateway that says no is asked once, and what to do is said."""

    def refused(self, gateway: RefusingGateway, *, attempts: int = 1) -> ProxyError:
        connection = self.connect(gateway)
        for _ in range(50):
            self.failure(connection.ready(1))
            self.clock.advance(1)
        self.assertEqual(gateway.attempts, attempts)
        return self.failure(connection.ready(1))

    def test_wrong_token(self) -> None:
        gateway = RefusingGateway(
            code="INVALID_REQUEST",
            message="unauthorized: gateway token mismatch (provide gateway auth token)",
            details={"code": "AUTH_TOKEN_MISMATCH"},
        )
        error = self.refused(gateway)
        self.assertIs(error.kind, Kind.UPSTREAM_UNREACHABLE)
        self.assertIn("token mismatch", error.message)
        self.assertIn("OPENCLAW_GATEWAY_TOKEN", error.message)
        self.assertNotIn("token-1", error.message)

    def test_wrong_token_old(self) -> None:
        """Gateways before 2026.3 say it in words alone."""
        gateway = RefusingGateway(
            code="INVALID_REQUEST",
            message="unauthorized: gateway token mismatch (provide gateway auth token)",
        )
        self.assertIn("OPENCLAW_GATEWAY_TOKEN", self.refused(gateway).message)

    def test_protocol(self) -> None:
        gateway = RefusingGateway(
            1002,
            code="INVALID_REQUEST",
            message="protocol mismatch",
            details={"code": "PROTOCOL_MISMATCH", "expectedProtocol": 5},
        )
        error = self.refused(gateway)
        self.assertIn("protocol 5", error.message)
        self.assertIn("Upgrade", error.message)

    def test_pairing(self) -> None:
        gateway = RefusingGateway(
            code="NOT_PAIRED",
            message="pairing required: device is not approved yet",
            details={"code": "PAIRING_REQUIRED", "requestId": "req-1", "reason": "not-paired"},
        )
        self.assertIn("openclaw devices approve req-1", self.refused(gateway).message)

    def test_pairing_is_looked_at_again(self) -> None:
        """A person may have paired the device meanwhile: a caller has it tried again after a
        minute."""
        gateway = RefusingGateway(code="NOT_PAIRED", message="pairing required")
        connection = self.connect(gateway)
        self.clock.advance(3600)
        self.assertEqual(gateway.attempts, 1)
        waiting = connection.ready(1)
        self.clock.advance(0)
        self.failure(waiting)
        self.assertEqual(gateway.attempts, 2)
        self.failure(connection.ready(1))
        self.assertEqual(gateway.attempts, 2)

    def test_stop_with_a_caller(self) -> None:
        """Who waits for an attempt that will not be made hears so."""
        gateway = RefusingGateway(code="NOT_PAIRED", message="pairing required")
        connection = self.connect(gateway)
        self.clock.advance(100)
        waiting = connection.ready(5)
        connection.stopService()
        self.assertIn("stopping", self.failure(waiting).message)

    def test_no_token(self) -> None:
        gateway = RefusingGateway(code="NOT_PAIRED", message="device identity required")
        self.assertIn("identity required", self.refused(gateway).message)

    def test_retry_after_a_new_configuration(self) -> None:
        gateway = RefusingGateway(code="INVALID_REQUEST", message="unauthorized: token")
        connection = self.connect(gateway)
        connection.retry()
        self.assertEqual(gateway.attempts, 2)

    def test_starting(self) -> None:
        """A gateway that is starting says when to come back."""
        gateway = RefusingGateway(
            1013, code="UNAVAILABLE", message="gateway starting; retry shortly", retryAfterMs=500
        )
        connection = self.connect(gateway)
        self.assertEqual(connection.state.obstacle, "starting")
        self.clock.advance(0.4)
        self.assertEqual(gateway.attempts, 1)
        self.clock.advance(0.2)
        self.assertEqual(gateway.attempts, 2)

    def test_closed_without_a_word(self) -> None:
        class Closing(Gateway):
            def upgrading(self, connection: Connection) -> None:
                connection.accept()
                connection.close(1008, "go away")

        gateway = Closing()
        connection = self.connect(gateway)
        self.clock.advance(100)
        self.assertEqual(gateway.attempts, 1)
        self.assertIn("go away", self.failure(connection.ready(1)).message)


class Absence(ConnectionTestCase):
    """A gateway that is down: one timer, growing delays, and a budget."""

    def test_delays_grow(self) -> None:
        gateway = Gateway()
        gateway.reachable = False
        self.connect(gateway)
        moments = []
        for _ in range(1200):
            before = gateway.attempts
            self.clock.advance(0.25)
            moments += [self.clock.seconds()] * (gateway.attempts - before)
        gaps = [b - a for a, b in pairwise(moments)]
        self.assertEqual(gaps, sorted(gaps))
        self.assertLessEqual(max(gaps), 30.25)
        self.assertLessEqual(len([m for m in moments if m <= 60]), 8)

    def test_one_timer(self) -> None:
        gateway = Gateway()
        gateway.reachable = False
        connection = self.connect(gateway)
        for _ in range(20):
            connection.ready(100).addErrback(lambda _: None)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1 + 20)
        self.clock.advance(1)
        self.assertEqual(gateway.attempts, 2)

    def test_a_minute_with_callers(self) -> None:
        """However many callers come, a minute costs at most twenty attempts, and none of them waits
        long."""
        gateway = Gateway()
        gateway.reachable = False
        connection = self.connect(gateway)
        outcomes: list[float] = []
        for _ in range(600):
            asked = self.clock.seconds()
            waiting = connection.ready(10)
            waiting.addErrback(self.note_wait, outcomes, asked)
            self.clock.advance(0.1)
        self.assertLessEqual(gateway.attempts, 20)
        self.assertGreaterEqual(gateway.attempts, 12)
        self.assertGreater(len(outcomes), 500)
        self.assertLessEqual(max(outcomes), 5.5)

    def note_wait(self, failure: Failure, outcomes: list[float], asked: float) -> None:
        failure.trap(ProxyError)
        outcomes.append(self.clock.seconds() - asked)

    def test_found_again(self) -> None:
        """A caller that waits gets the gateway when it is back."""
        gateway = ObligingGateway()
        gateway.reachable = False
        connection = self.connect(gateway)
        self.clock.advance(100)
        gateway.reachable = True
        waiting = connection.ready(10)
        self.clock.advance(5)
        self.successResultOf(waiting)

    def test_callers_share_an_attempt(self) -> None:
        gateway = ObligingGateway()
        gateway.reachable = None
        connection = self.connect(gateway)
        waiting = [connection.ready(1) for _ in range(5)]
        self.assertEqual(gateway.attempts, 1)
        self.clock.advance(1)
        for each in waiting:
            self.failure(each)

    def test_cancelled_caller(self) -> None:
        gateway = ObligingGateway()
        gateway.reachable = None
        connection = self.connect(gateway)
        waiting = connection.ready(100)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.assertEqual(connection._waiting, [])

    def test_stopped(self) -> None:
        gateway = Gateway()
        gateway.reachable = False
        connection = self.connect(gateway, start=False)
        connection.startService()
        connection.stopService()
        self.clock.advance(100)
        self.assertEqual(gateway.attempts, 1)
        self.assertIn("stopping", self.failure(connection.ready(1)).message)


class Requests(ConnectionTestCase):
    """Questions and their answers."""

    def setUp(self) -> None:
        self.gateway = ObligingGateway()
        self.gateway.answers.clear()
        self.connection = self.connect(self.gateway)

    def test_answer(self) -> None:
        waiting = self.connection.request("agents.list", {})
        self.gateway.last.answer(self.gateway.last.requests[-1], {"agents": []})
        self.assertEqual(self.successResultOf(waiting).payload, {"agents": []})

    def test_error(self) -> None:
        waiting = self.connection.request("nope", {})
        self.gateway.last.answer(
            self.gateway.last.requests[-1], None, code="INVALID_REQUEST", message="unknown method"
        )
        response = self.successResultOf(waiting)
        assert response.error is not None
        self.assertEqual(response.error.code, "INVALID_REQUEST")

    def test_answers_out_of_order(self) -> None:
        first, second = (self.connection.request(m, {}) for m in ("a", "b"))
        a, b = self.gateway.last.requests[-2:]
        self.gateway.last.answer(b, {"of": "b"})
        self.gateway.last.answer(a, {"of": "a"})
        self.assertEqual(self.successResultOf(first).payload, {"of": "a"})
        self.assertEqual(self.successResultOf(second).payload, {"of": "b"})

    def test_no_answer(self) -> None:
        waiting = self.connection.request("a", {}, timeout=3)
        self.clock.advance(3)
        self.assertIs(self.failure(waiting).kind, Kind.UPSTREAM_TIMEOUT)

    def test_lost(self) -> None:
        waiting = self.connection.request("a", {})
        self.gateway.last.drop()
        self.assertIs(self.failure(waiting).kind, Kind.UPSTREAM_UNREACHABLE)
        self.assertEqual(len(self.heard.losses), 1)

    def test_two_answers(self) -> None:
        heard: list[Response] = []
        self.connection.open(
            "agent",
            {},
            heard.append,
            self.fail,
            repeats=lambda r: r.payload["status"] == "accepted",
        )
        request = self.gateway.last.requests[-1]
        for status in ("accepted", "ok", "late"):
            self.gateway.last.answer(request, {"status": status})
        self.assertEqual([r.payload["status"] for r in heard], ["accepted", "ok"])

    def test_too_long(self) -> None:
        """A frame longer than the gateway takes is not sent: it would cost every run its
        connection."""
        self.gateway.hello = hello(maxPayload=2000)
        self.gateway.last.drop()
        self.clock.advance(5)
        before = len(self.gateway.last.requests)
        waiting = self.connection.request("agent", {"message": "x" * 2000})
        error = self.failure(waiting)
        self.assertIs(error.kind, Kind.TOO_LARGE)
        self.assertIn("2000", error.message)
        self.assertEqual(len(self.gateway.last.requests), before)

    def test_size_counts_bytes(self) -> None:
        self.gateway.hello = hello(maxPayload=2000)
        self.gateway.last.drop()
        self.clock.advance(5)
        self.assertIs(
            self.failure(self.connection.request("agent", {"message": "é" * 1000})).kind,
            Kind.TOO_LARGE,
        )

    def test_ping_and_pieces(self) -> None:
        """Pings are answered, and messages in pieces are put together."""
        waiting = self.connection.request("a", {})
        self.gateway.last.ping()
        request = self.gateway.last.requests[-1]
        self.gateway.last.text(
            json.dumps(
                {"type": "res", "id": request["id"], "ok": True, "payload": {"x": "é€😀"}},
                ensure_ascii=False,
            ),
            chunk=7,
        )
        self.assertEqual(self.successResultOf(waiting).payload, {"x": "é€😀"})

    def test_nonsense_is_given_up(self) -> None:
        self.gateway.last.raw(b"\xff\xff\xff\xff")
        self.assertFalse(self.connection.state.connected)


class Ticks(ConnectionTestCase):
    """A gateway that falls silent is given up."""

    def test_silence(self) -> None:
        gateway = ObligingGateway()
        connection = self.connect(gateway)
        for _ in range(20):
            self.clock.advance(30)
            gateway.last.event("tick", {"ts": 1})
        self.assertEqual(gateway.attempts, 1)
        self.clock.pump([10] * 7)
        self.assertEqual(gateway.connections[0].closed, 4000)
        self.assertIn("silent", self.heard.losses[0].message)
        self.assertTrue(connection.state.connected)
        self.assertEqual(gateway.attempts, 2)


class Losses(ConnectionTestCase):
    """A connection that goes comes back."""

    def test_restart(self) -> None:
        gateway = ObligingGateway()
        connection = self.connect(gateway)
        gateway.last.event("shutdown", {"reason": "gateway stopping"})
        gateway.last.close(1012, "service restart")
        self.assertFalse(connection.state.connected)
        self.assertTrue(self.heard.losses[0].going)
        self.assertIn("service restart", str(connection.state.reason))
        self.clock.advance(2)
        self.assertTrue(connection.state.connected)
        self.assertEqual(len(self.heard.hellos), 2)

    def test_stop_says_goodbye(self) -> None:
        gateway = ObligingGateway()
        connection = self.connect(gateway)
        waiting = connection.request("a", {})
        connection.stopService()
        self.failure(waiting)
        self.assertEqual(gateway.last.closed, 1001)
