"""Questions over the connection, and their answers."""

from __future__ import annotations

import json

from clawproxy.core.errors import Kind
from clawproxy.upstream.openclaw.frames import Response
from tests.upstream.openclaw.connecting import ConnectionTestCase
from tests.upstream.openclaw.gateway import ObligingGateway, hello


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
