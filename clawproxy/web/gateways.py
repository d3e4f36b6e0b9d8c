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

    An agent is listed by its id and as ``openclaw/<agent>``, which is never another model's name; the
    default one also by the two names under which the gateway's own API lists it.
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
        named = [(name, each) for each in agents for name in (each.id, f"openclaw/{each.id}")]
        default = self._gateway.agents.default
        if default is not None:
            named += [(name, default) for name in ("openclaw/default", "openclaw")]
        return [
            Model(name, self.name, agent.name or agent.id, self._gateway.since)
            for name, agent in named
        ]


class AgentSearch:
    """Looks for an agent that no list has: it may be new, or its gateway may never have been there."""

    def __init__(self, board: Switchboard, providers: Providers) -> None:
        self._board = board
        self._providers = providers

    async def __call__(self, name: str) -> None:
        """Have the lists be as complete as they can be.

        :raise ProxyError: the gateway that would be asked for this model is not connected, or does not
            tell its agents. A request for the model has the same answer.
        """
        await self._board.look_again()
        try:
            decision = self._board.wiring.router.route(None, name)
        except ProxyError:
            return
        gateway = self._providers.gateways.get(decision.provider)
        if gateway is None:
            return
        # A rule or a default leads to it, too, whatever the name and whichever agents were known once.
        await gateway.ready()
        if not gateway.agent_ids:
            await gateway.models()


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
        gateway = await self._gateway(model)
        tools = await gateway.tools(model.removeprefix("openclaw/"))
        return {"object": "list", "data": tools, "tools": tools}

    async def _gateway(self, model: str) -> OpenClawProvider:
        gateways = self._providers.gateways
        if not gateways:
            raise ProxyError(
                Kind.MODEL_NOT_FOUND, "no OpenClaw provider is configured, so no agent has tools"
            )
        if not model:
            return next(iter(gateways.values()))
        found = self._of_agent(model)
        if found is None:
            await self._board.look_again()
            found = self._of_agent(model)
        if found is None:
            raise ProxyError(
                Kind.MODEL_NOT_FOUND, f"no agent is called {model[:200]!r}", param="model"
            )
        return found

    def _of_agent(self, model: str) -> OpenClawProvider | None:
        """Find the gateway whose agent a model name means; ``None`` where it is nobody's or another model's."""
        try:
            decision = self._board.wiring.router.route("openai_chat", model)
        except ProxyError:
            return None
        return self._providers.gateways.get(decision.provider)
