"""The one connection: how it begins, what a gateway costs that is away, and how it goes."""

from __future__ import annotations

from itertools import pairwise

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.python.failure import Failure

from clawproxy.core.errors import Kind, ProxyError
from tests.upstream.openclaw.connecting import URL, ConnectionTestCase
from tests.upstream.openclaw.gateway import Connection, Gateway, ObligingGateway


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
        self.assertEqual(gateway.last.closed, "aborted")

    def test_no_answer_at_all(self) -> None:
        gateway = Gateway()
        gateway.reachable = None
        connection = self.connect(gateway)
        waiting = connection.ready(5)
        self.clock.advance(5)
        self.assertIs(self.failure(waiting).kind, Kind.UPSTREAM_TIMEOUT)

    def test_no_answer_at_all_is_not_waited_for(self) -> None:
        """An attempt that is given up lets go of what is still connecting."""
        cancelled: list[Deferred[IProtocol]] = []

        class Nowhere(Gateway):
            def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
                return Deferred(cancelled.append)

        self.connect(Nowhere())
        self.assertEqual(cancelled, [])
        self.clock.advance(10)
        self.assertEqual(len(cancelled), 1)

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

    def test_read_anew_while_the_timer_runs(self) -> None:
        """The attempt is made now, and not once more when the timer would have been due."""
        gateway = Gateway()
        gateway.reachable = False
        connection = self.connect(gateway)
        gateway.reachable = None
        connection.retry()
        self.clock.advance(5)
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

    def test_stopped(self) -> None:
        gateway = Gateway()
        gateway.reachable = False
        connection = self.connect(gateway, start=False)
        connection.startService()
        connection.stopService()
        self.clock.advance(100)
        self.assertEqual(gateway.attempts, 1)
        self.assertIn("stopping", self.failure(connection.ready(1)).message)


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
        self.assertEqual(gateway.connections[0].closed, "aborted")
        self.assertIn("silent", self.heard.losses[0].message)
        self.assertEqual(len(self.heard.losses), 1)
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
