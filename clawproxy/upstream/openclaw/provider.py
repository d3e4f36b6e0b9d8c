"""OpenClaw agents as models: :class:`OpenClawProvider`, the turn provider of an OpenClaw Gateway.

1. It keeps one :class:`~.connection.GatewayConnection`; what the gateway tells goes to the runs
   (:mod:`.underway`), the agents (:mod:`.directory`) or the approvals (:mod:`.questions`). On a
   new connection it is asked for the latter two (:mod:`.introduction`).
2. :meth:`OpenClawProvider.start` answers a turn (:mod:`.call`).
3. :meth:`OpenClawProvider.models`, :meth:`OpenClawProvider.tools`,
   :attr:`OpenClawProvider.approvals` and
   :meth:`OpenClawProvider.health` are for the other pages of the proxy.
"""

from __future__ import annotations

import random
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from clawproxy.config.gateway import OpenClawProviderConfig
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.address import GatewayAddress, endpoint_for
from clawproxy.upstream.openclaw.agents import Agent, read_tools
from clawproxy.upstream.openclaw.approvals import ApprovalBook
from clawproxy.upstream.openclaw.call import Call
from clawproxy.upstream.openclaw.connection import GatewayConnection
from clawproxy.upstream.openclaw.conversation import Conversations
from clawproxy.upstream.openclaw.desk import ApprovalDesk
from clawproxy.upstream.openclaw.directory import AgentDirectory
from clawproxy.upstream.openclaw.errand import Errand, plan
from clawproxy.upstream.openclaw.faults import refused, unreachable
from clawproxy.upstream.openclaw.frames import Event
from clawproxy.upstream.openclaw.gateway_run import RESUME_LIMIT
from clawproxy.upstream.openclaw.handshake import Credentials, Hello
from clawproxy.upstream.openclaw.identity import DeviceIdentity, IdentityError
from clawproxy.upstream.openclaw.introduction import Introduction
from clawproxy.upstream.openclaw.questions import Questions
from clawproxy.upstream.openclaw.refusal import Refusal
from clawproxy.upstream.openclaw.underway import RunsUnderway
from clawproxy.upstream.openclaw.wire import MaskedWire
from clawproxy.upstream.provider import CallContext, EventSink, Run, Wire


def _silent(_: object, timeout: float) -> NoReturn:
    raise ProxyError(
        Kind.UPSTREAM_TIMEOUT, f"the OpenClaw gateway does not tell them in {timeout:g} s"
    )


class OpenClawProvider(Service):
    """Answer turns by the agents of one gateway.

    :param config: what the operator said.
    :param endpoint: where to connect, instead of where the config's URL leads.
    :param identity: this device, instead of the one in the config's file.
    :param clock: gives seconds since the epoch. :param rng: gives floats in [0, 1).
    :ivar since: the second since the epoch from which its agents are offered.
    :ivar agents: which there are. :ivar runs: those that are shown to somebody.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        config: OpenClawProviderConfig,
        *,
        endpoint: IStreamClientEndpoint | None = None,
        identity: DeviceIdentity | None = None,
        clock: Callable[[], float] = time.time,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.config = config
        self.name: str = config.name
        self._reactor = reactor
        self._clock = clock
        self.since = int(clock())
        address = GatewayAddress.parse(config.url)
        self._device = device = identity or self._identity(config)
        self._connection = GatewayConnection(
            reactor,
            endpoint or endpoint_for(reactor, address, config.connect_timeout),
            address,
            url=config.url,
            identity=device,
            credentials=Credentials.configured(
                config.token, config.password, approvals=config.approvals
            ),
            connect_timeout=config.connect_timeout,
            listener=self,
            rng=rng,
            clock=clock,
        )
        self._retrieval = tuple(re.compile(p) for p in config.retrieval_patterns)
        self._going = False
        self._calls: set[Call] = set()
        self._retiring = False
        self.agents = AgentDirectory(
            reactor, self._connection, device, config.url, config.default_agent
        )
        self.conversations = Conversations()
        self.runs = RunsUnderway(reactor, self._connection, config, self.conversations)
        self.approvals = ApprovalDesk(self.name, self._connection, ApprovalBook(clock))
        self._questions = Questions(
            self._connection, self.approvals, self.conversations, self.runs, clock
        )
        self._introduction = Introduction(
            self.agents, self._questions if config.approvals else None
        )

    def _identity(self, config: OpenClawProviderConfig) -> DeviceIdentity:
        try:
            return DeviceIdentity.load(Path(config.device_file).expanduser())
        except IdentityError as error:
            # On loopback a gateway takes any device, so this is no reason not to start.
            self.log.error("{error}; this run uses an identity of its own", error=str(error))
            return DeviceIdentity.generate()

    # --- the service's life

    def startService(self) -> None:
        super().startService()
        self._connection.startService()

    def stopService(self) -> None:
        super().stopService()
        self._connection.stopService()

    async def introduced(self, timeout: float) -> None:
        """Wait until the agents' names are known, or it is clear that they will not be for now.

        :param timeout: seconds, at most.
        """
        if not self.agents.ids:
            waiting = Deferred.fromCoroutine(self._introduced(timeout))
            waiting.addTimeout(timeout, self._reactor, _silent)
            try:
                await waiting
            except ProxyError as error:
                self.log.info("the agents are not known yet: {error}", error=error.message)

    async def _introduced(self, timeout: float) -> None:
        await self._connection.ready(timeout)
        await self._introduction.over()

    def retire(self) -> None:
        """Stop once the last call has its answer: the configuration names another gateway now."""
        self._retiring = True
        self._leave()

    def _leave(self) -> None:
        if self._retiring and not self._calls and self.running:
            self.stopService()

    def retry(self) -> None:
        """Connect again although the gateway refused: the configuration was read anew."""
        self._connection.retry()

    # --- the relay's side

    def start(self, turn: Turn, context: CallContext, sink: EventSink) -> Run:
        """Begin answering; failures go to ``sink.ended``."""
        call = Call(self, turn, context, sink)
        self._calls.add(call)
        call.start()
        return call

    def call_ended(self, call: Call) -> None:
        """Forget a call that has its answer, or whose caller is gone."""
        self._calls.discard(call)
        self._leave()

    # --- what calls use

    @property
    def hello(self) -> Hello | None:
        """What the gateway granted, while it is connected."""
        return self._connection.hello

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock()

    async def ready(self) -> Hello:
        """Wait for the gateway, no longer than the config's ``connect_timeout``, and then until it
        has told which approvals wait.

        :raises ProxyError: it does not connect; says why.
        """
        hello = await self._connection.ready(self.config.connect_timeout)
        await self._introduction.over()
        return hello

    def masked(self, wire: Wire | None) -> Wire | None:
        """Give a wire that passes no secret of the gateway's on."""
        if wire is None:
            return None
        config = self.config
        return MaskedWire(wire, (config.token, config.password, self._device.token(config.url)))

    def plan(self, turn: Turn, context: CallContext, agent: Agent) -> Errand:
        """Make an errand of a turn."""
        return plan(
            turn,
            context.headers,
            agent,
            mode=self.config.session_mode,
            retrieval=self._retrieval,
            stripping=self.config.strip_retrieval,
            once=f"once-{uuid.uuid4().hex}",
            caller=context.caller,
            ignoring_tools=self.config.client_tools == "ignore",
        )

    # --- the gateway's side

    def gateway_connected(self, hello: Hello) -> None:
        """Take up what the last connection left, and ask what is new."""
        self._going = False
        self.runs.regained(hello)
        self._introduction.begin(hello)

    def gateway_event(self, event: Event) -> None:
        """Give an event to whom it concerns: a run, the approvals, the list of agents."""
        match event.name:
            case "agent" | "chat":
                self.runs.event(event)
            case "exec.approval.requested" if self.config.approvals:
                self._questions.requested(event)
            case "exec.approval.resolved":
                self.approvals.ended(event.payload)
            case "shutdown":
                self._going = True
            case "tick":
                self._introduction.ticked()
            case _:
                pass

    def gateway_lost(self, refusal: Refusal) -> None:
        """Fail what is lost, and keep what may be taken up again."""
        final = self._going or refusal.going or refusal.terminal or not self.running
        self.runs.lost(unreachable(refusal), final=final)
        if self.runs and self.running:
            again = self._connection.ready(RESUME_LIMIT)
            again.addErrback(lambda failure: failure.trap(ProxyError))

    # --- the other pages

    @property
    def agent_ids(self) -> tuple[str, ...]:
        """The ids of all agents that are known, for the router."""
        return self.agents.ids

    async def models(self) -> tuple[Agent, ...]:
        """List the agents; the last known ones where the gateway is away.

        :raises ProxyError: they were never known, and the gateway cannot be asked.
        """
        if self.agents.stale and (self.hello is not None or not self.agents.ids):
            await self.ready()
            if self.agents.stale:
                await self.agents.ask()
        return self.agents.agents

    async def tools(self, model: str = "") -> list[dict[str, object]]:
        """List an agent's skills as OpenAI tools.

        :param model: as in a request; empty means the default agent.
        :raises ProxyError: ``MODEL_NOT_FOUND``, or the gateway does not tell.
        """
        await self.ready()
        agent = await self.agents.find(model)
        response = await self._connection.request("skills.status", {"agentId": agent.id})
        if response.error is not None:
            raise refused(response.error, agent.id)
        return read_tools(response.payload)

    def health(self) -> dict[str, object]:
        """Whether the gateway is connected, and why not."""
        state = self._connection.state
        return {
            "kind": "openclaw",
            "connected": state.connected,
            "reason": state.reason,
            "remedy": state.remedy,
            "obstacle": state.obstacle,
            "gateway_version": state.version,
            "protocol": state.protocol,
            "agents": len(self.agents.ids),
            "runs": len(self.runs),
            "approvals": len(self.approvals.book.pending()),
        }
