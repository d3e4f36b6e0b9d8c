"""Agents in the catalogue of models."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.web.gateways import AgentSource
from tests.upstream.openclaw.calling import Caller
from tests.upstream.openclaw.gateway import AgentGateway


class AgentSourceTests(SynchronousTestCase):
    """What ``/v1/models`` says of agents."""

    def test_agents(self) -> None:
        """Each has two names, and a time of creation that clients can take for one."""
        caller = Caller.make(AgentGateway())
        self.addCleanup(caller.provider.stopService)
        source = AgentSource(caller.provider)
        models = self.successResultOf(Deferred.fromCoroutine(source.fetch(())))
        self.assertEqual(
            [(model.id, model.display_name) for model in models],
            [
                ("main", "Main Agent"),
                ("openclaw/main", "Main Agent"),
                ("dev", "Dev Agent"),
                ("openclaw/dev", "Dev Agent"),
            ],
        )
        self.assertEqual({model.created for model in models}, {1_800_000_000})
