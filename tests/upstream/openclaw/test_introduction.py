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

    def test_slow_to_tell(self) -> None:
        """A gateway that is there and tells nothing holds up the proxy's start no longer either."""
        gateway = AgentGateway()
        agents = gateway.answers.pop("agents.list")
        self.begin(gateway)
        waiting = Deferred.fromCoroutine(self.provider.introduced(3))
        self.assertNoResult(waiting)
        self.clock.advance(3)
        self.assertIsNone(self.successResultOf(waiting))
        gateway.last.answer(gateway.last.asked("agents.list")[0], agents)
        self.assertEqual(self.provider.agent_ids, ("main", "dev"))

    def test_slow_to_tell_anew(self) -> None:
        """A call to an agent that is known does not wait for the list that a tick asks for."""
        self.begin()
        del self.gateway.answers["agents.list"]
        for _ in range(2):
            self.clock.advance(30)
            self.gateway.last.event("tick", {})
        self.assertEqual(len(self.gateway.last.asked("agents.list")), 2)
        self.caller.ask("hi")
        self.assertEqual(len(self.gateway.runs()), 1)

    def test_agents_that_are_not_told(self) -> None:
        """The approvals are asked for all the same."""
        gateway = AgentGateway()
        del gateway.answers["agents.list"]
        self.begin(gateway)
        (request,) = gateway.last.asked("agents.list")
        gateway.last.answer(request, None, code="FORBIDDEN", message="missing scope")
        self.assertEqual(len(gateway.last.asked("exec.approval.list")), 1)

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
