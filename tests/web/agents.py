"""A proxy in memory before a gateway in memory: the base of the tests of agents as callers see them."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryCaller, MemoryProxy
from clawproxy.upstream.catalogue import PATIENCE
from tests.upstream.openclaw.gateway import AgentGateway


@frozen
class Reply:
    """An answer."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """Its body, read."""
        return json.loads(self.body)


class AgentsCase(SynchronousTestCase):
    """A proxy, and a gateway whose runs are played here."""

    def begin(self, *sets: str, gateway: AgentGateway | None = None) -> None:
        self.gateway = gateway or AgentGateway()
        claw = (
            f"{{kind: openclaw, url: 'ws://127.0.0.1:9', token: t-1, device_file: {self.mktemp()}}}"
        )
        self.proxy = MemoryProxy(f"providers.claw={claw}", *sets)
        self.provider = self.proxy.assembly.providers.gateways["claw"]
        self.provider._connection._endpoint = self.gateway
        self.provider.startService()
        self.addCleanup(self.provider.stopService)

    def offer(self, *agents: str) -> None:
        """Have the gateway tell of these agents from now on."""
        listed = [{"id": name, "name": name.title()} for name in agents]
        self.gateway.answers["agents.list"] = {"defaultId": agents[0], "agents": listed}

    @property
    def times_asked(self) -> int:
        """How often the gateway was asked for its agents."""
        return len(self.gateway.last.asked("agents.list"))

    def send(self, method: str, path: str, body: object = None) -> MemoryCaller:
        """Send a request on a connection of its own."""
        caller = self.proxy.caller()
        data = b"" if body is None else json.dumps(body).encode()
        caller.post(path, data, {"Connection": "close"}, method=method)
        return caller

    def read(self, caller: MemoryCaller) -> Reply:
        """Take a whole answer."""
        head, _, body = caller.read().partition(b"\r\n\r\n")
        self.assertTrue(caller.closed, head)
        return Reply(int(head.split()[1]), body)

    def get(self, path: str) -> Reply:
        """Ask for a page, as patiently as the catalogue is with providers that are not there."""
        caller = self.send("GET", path)
        if not caller.closed:
            self.proxy.advance(PATIENCE)
        return self.read(caller)

    def chat(self, model: str, path: str = "/v1/chat/completions") -> MemoryCaller:
        """Ask a model."""
        return self.send(
            "POST", path, {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        )
