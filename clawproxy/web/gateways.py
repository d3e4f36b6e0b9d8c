"""What callers may ask about the agents of OpenClaw gateways: ``/v1/tools``, and their place in ``/v1/models``."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core import headers as heads
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.models import Model
from clawproxy.relay.switchboard import Switchboard
from clawproxy.upstream.openclaw.provider import OpenClawProvider
from clawproxy.upstream.providers import Providers
from clawproxy.web.site import ProxyRequest
from clawproxy.web.v1 import refuse, refuse_method


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
            Model(model, self.name, agent.name or agent.id)
            for agent in agents
            for model in (agent.id, f"openclaw/{agent.id}")
        ]


class Tools:
    """Answers ``GET /v1/tools``: an agent's skills as OpenAI tools.

    The query may name a ``model``; without one it is the default agent of the first gateway.
    """

    _log = Logger()

    def __init__(self, board: Switchboard, providers: Providers) -> None:
        self._board = board
        self._providers = providers

    def answer(self, request: ProxyRequest, target: bytes) -> bool:
        """Answer GET and HEAD."""
        if request.method not in (b"GET", b"HEAD"):
            refuse_method(self._board, request, "/v1/tools")
            return True
        answering = Deferred.fromCoroutine(self._answer(request, target))
        request.notifyFinish().addErrback(lambda _: answering.cancel())
        answering.addErrback(self._failed, request)
        return True

    async def _answer(self, request: ProxyRequest, target: bytes) -> None:
        board = self._board
        lines = [
            (name, value)
            for name, values in request.requestHeaders.getAllRawHeaders()
            for value in values
        ]
        query = parse_qs(target.partition(b"?")[2].decode("latin-1"))
        model = query.get("model", [""])[0]
        try:
            board.wiring.callers.authenticate(lines)
            tools = await self._gateway(model).tools(model.removeprefix("openclaw/"))
        except ProxyError as error:
            refuse(board, request, "/v1/tools", error)
            return
        first = heads.firsts(lines)
        own = board.new_id()
        caller = first.get(b"x-request-id")
        chosen = heads.request_id(None, caller.decode("latin-1") if caller else None, own)
        answer = heads.stamp([], own_id=own, request_id=chosen, stream=False)
        if board.wiring.cors:
            answer += board.wiring.cors.answer(first.get(b"origin"))
        request.answer_json(200, {"object": "list", "data": tools, "tools": tools}, answer)

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

    def _failed(self, failure: Failure, request: ProxyRequest) -> None:
        if failure.check(CancelledError) or request.gone:
            return
        self._log.failure("bug: the list of tools failed", failure)
        words = ProxyError(Kind.INTERNAL, "the proxy failed; its log says more")
        refuse(self._board, request, "/v1/tools", words)
