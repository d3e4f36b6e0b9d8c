"""What callers may ask about the agents of OpenClaw gateways: ``/v1/tools``, and their place in ``/v1/models``."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

from clawproxy.core import headers as heads
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.models import Model
from clawproxy.relay.switchboard import Switchboard
from clawproxy.upstream.openclaw.provider import OpenClawProvider
from clawproxy.upstream.providers import Providers
from clawproxy.web.local import answer_with
from clawproxy.web.request import ProxyRequest
from clawproxy.web.v1 import refuse_method

PATH = "/v1/tools"


class AgentSource:
    """A gateway's agents as a source of the catalogue.

    An agent is listed by its id and as ``openclaw/<agent>``, which is never another model's name.
    """

    def __init__(self, gateway: OpenClawProvider) -> None:
        self.name = gateway.name
        self._gateway = gateway

    def scope(self, headers: heads.Headers) -> str | None:
        """The agents are everybody's."""
        return ""

    async def fetch(self, headers: heads.Headers) -> Sequence[Model]:
        """Ask the gateway.

        :raise ProxyError: it cannot be asked.
        """
        agents = await self._gateway.models()
        return [
            Model(model, self.name, agent.name or agent.id, self._gateway.since)
            for agent in agents
            for model in (agent.id, f"openclaw/{agent.id}")
        ]


class Tools:
    """Answers ``GET /v1/tools``: an agent's skills as OpenAI tools.

    The query may name a ``model``; without one it is the default agent of the first gateway.
    """

    def __init__(self, board: Switchboard, providers: Providers) -> None:
        self._board = board
        self._providers = providers

    def answer(self, request: ProxyRequest, target: bytes) -> bool:
        """Answer GET and HEAD."""
        if request.method not in (b"GET", b"HEAD"):
            refuse_method(self._board, request, PATH)
            return True
        answer_with(self._board, request, PATH, lambda _: self._gather(target))
        return True

    async def _gather(self, target: bytes) -> dict[str, object]:
        query = parse_qs(target.partition(b"?")[2].decode("latin-1"))
        model = query.get("model", [""])[0]
        tools = await self._gateway(model).tools(model.removeprefix("openclaw/"))
        return {"object": "list", "data": tools, "tools": tools}

    def _gateway(self, model: str) -> OpenClawProvider:
        gateways = self._providers.gateways
        if not gateways:
            raise ProxyError(
                Kind.MODEL_NOT_FOUND, "no OpenClaw provider is configured, so no agent has tools"
            )
        if model:
            decision = self._board.wiring.router.route("openai_chat", model)
            if decision.provider in gateways:
                return gateways[decision.provider]
            raise ProxyError(
                Kind.MODEL_NOT_FOUND, f"no agent is called {model[:200]!r}", param="model"
            )
        return next(iter(gateways.values()))
