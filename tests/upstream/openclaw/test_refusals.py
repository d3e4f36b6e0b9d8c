"""A gateway that says no is asked once, and what to do is said."""

from __future__ import annotations

from clawproxy.core.errors import Kind, ProxyError
from tests.upstream.openclaw.connecting import ConnectionTestCase, RefusingGateway
from tests.upstream.openclaw.gateway import Connection, Gateway, ObligingGateway


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

    def test_no_token_configured(self) -> None:
        """A provider without a key is answered 401, as one of any other kind is."""
        words = "unauthorized: gateway token missing (provide gateway auth token)"
        for details in ({"code": "AUTH_TOKEN_MISSING"}, {}):
            error = self.refused(
                RefusingGateway(code="INVALID_REQUEST", message=words, details=details)
            )
            self.assertIs(error.kind, Kind.AUTHENTICATION)
            self.assertIn("Set the provider's token", error.message)

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

    def test_starting_with_a_caller(self) -> None:
        """The caller waits for a gateway that is about to be there, and no longer than it may."""
        gateway = ObligingGateway()
        gateway.refusal = {"code": "UNAVAILABLE", "message": "starting", "retryAfterMs": 500}
        connection = self.connect(gateway)
        served, late = connection.ready(10), connection.ready(1)
        self.clock.pump([0.5] * 2)
        error = self.failure(late)
        self.assertIs(error.kind, Kind.UPSTREAM_TIMEOUT)
        self.assertIn("starting", error.message)
        self.assertNoResult(served)
        gateway.refusal = {}
        self.clock.advance(0.5)
        self.assertEqual(self.successResultOf(served).protocol, 4)

    def test_starting_for_long(self) -> None:
        """A caller does not wait for what is too far away."""
        gateway = RefusingGateway(1013, code="UNAVAILABLE", message="later", retryAfterMs=20000)
        connection = self.connect(gateway)
        waiting = connection.ready(10)
        self.clock.advance(1)
        self.assertEqual(gateway.attempts, 2)
        self.assertIn("later", self.failure(waiting).message)

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
