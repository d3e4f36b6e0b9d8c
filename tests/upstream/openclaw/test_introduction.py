"""What a gateway is asked on each new connection."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.upstream.openclaw.gateway import AgentGateway
from tests.upstream.openclaw.providing import ProviderTestCase


class Introductions(ProviderTestCase):
    """Agents and approvals are known before a caller's turn."""

    def test_introduced(self) -> None:
        self.begin()
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(self.provider.introduced(3))))
        gateway = AgentGateway()
        gateway.reachable = None
        self.begin(gateway)
        waiting = Deferred.fromCoroutine(self.provider.introduced(3))
        self.assertNoResult(waiting)
        self.clock.advance(3)
        self.assertIsNone(self.successResultOf(waiting))

    def test_told_anew(self) -> None:
        """Agents come and go; a tick after a minute the router knows."""
        self.begin()
        heard: list[tuple[str, ...]] = []
        self.provider.agents.on_change = heard.append
        self.gateway.answers["agents.list"] = {"agents": [{"id": "new"}]}
        for _ in range(3):
            self.clock.advance(30)
            self.gateway.last.event("tick", {})
        self.assertEqual(heard, [("new",)])
        self.assertEqual(len(self.gateway.last.asked("agents.list")), 2)
