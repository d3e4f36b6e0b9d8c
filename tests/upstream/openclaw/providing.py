"""A provider before a gateway whose runs a test plays: the base of the tests of calls."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.upstream.openclaw.calling import Caller
from tests.upstream.openclaw.gateway import AgentGateway, JSONObject


class ProviderTestCase(SynchronousTestCase):
    """A provider and a gateway whose runs are played here."""

    def begin(self, gateway: AgentGateway | None = None, **config: Any) -> Caller:
        self.gateway = gateway or AgentGateway()
        self.caller = Caller.make(self.gateway, **config)
        self.clock = self.caller.clock
        self.provider = self.caller.provider
        self.addCleanup(self.end)
        return self.caller

    def end(self) -> None:
        if self.provider.running:
            self.provider.stopService()

    def params(self, number: int = -1) -> JSONObject:
        found: JSONObject = self.gateway.runs()[number]["params"]
        return found
