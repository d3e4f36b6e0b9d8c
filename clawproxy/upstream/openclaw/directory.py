"""Which agents a gateway has, as far as it has told: :class:`AgentDirectory`.

What it told last is kept over a restart of the proxy, so that an agent's name leads to its gateway
while that is away. A name that is not in it may be a new agent's: the gateway is asked anew then,
at most once in :data:`UNKNOWN_REST` seconds and with one request for all who wait.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.errors import ProxyError
from clawproxy.upstream.openclaw.agents import Agent, Roster, read_agents
from clawproxy.upstream.openclaw.connection import GatewayConnection
from clawproxy.upstream.openclaw.faults import refused
from clawproxy.upstream.openclaw.identity import DeviceIdentity, IdentityError

ROSTER_AGE = 60.0
"""Seconds after which the agents are asked for anew: with the next tick, or when somebody looks."""

UNKNOWN_REST = 2.0
"""Seconds after such a question in which unknown names are answered from what is known."""


class AgentDirectory:
    """Know a gateway's agents.

    :param device: remembers their names. :param url: the gateway that they are remembered for.
    :param preferred: the configured default agent.
    :ivar on_change: called with the agents' ids whenever they become known or change.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        connection: GatewayConnection,
        device: DeviceIdentity,
        url: str,
        preferred: str,
    ) -> None:
        self._reactor = reactor
        self._connection = connection
        self._device = device
        self._url = url
        self._preferred = preferred
        self._roster = Roster(tuple(Agent(name) for name in device.agents(url)))
        self._told_at: float | None = None
        self._looked_at: float | None = None
        self._asking: list[Deferred[None]] | None = None
        self.on_change: Callable[[tuple[str, ...]], None] = lambda _: None

    @property
    def agents(self) -> tuple[Agent, ...]:
        """All agents that are known."""
        return self._roster.agents

    @property
    def ids(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(agent.id for agent in self._roster.agents)

    @property
    def stale(self) -> bool:
        """Whether the agents should be asked for anew."""
        if self._told_at is None:
            return True
        return self._reactor.seconds() - self._told_at >= ROSTER_AGE

    @property
    def default(self) -> Agent | None:
        """Whom ``openclaw/default`` means; ``None`` where no agent is known."""
        return self._roster.find("default", self._preferred) if self._roster.agents else None

    async def find(self, model: str) -> Agent:
        """Find the agent that a model name means, asking the gateway if need be.

        :raises ProxyError: ``MODEL_NOT_FOUND``, or the gateway does not tell its agents.
        """
        if self._told_at is None:
            await self.ask()
        else:
            try:
                return self._roster.find(model, self._preferred)
            except ProxyError:
                await self.look_again()
        return self._roster.find(model, self._preferred)

    async def look_again(self) -> None:
        """Ask anew, since a name is unknown, unless that was done just now.

        :raises ProxyError: the gateway does not tell.
        """
        now = self._reactor.seconds()
        if self._asking is None:
            if self._looked_at is not None and now < self._looked_at + UNKNOWN_REST:
                return
            self._looked_at = now
        await self.ask()

    def ask(self) -> Deferred[None]:
        """Have the gateway tell its agents; whoever asks meanwhile hears the same answer.

        :returns: fires when it has; fails with a ``ProxyError`` where it does not.
        """
        waiter: Deferred[None] = Deferred(self._given_up)
        if self._asking is not None:
            self._asking.append(waiter)
            return waiter
        self._asking = [waiter]
        question = Deferred.fromCoroutine(self._ask())
        question.addBoth(self._answered)
        return waiter

    def _given_up(self, waiter: Deferred[None]) -> None:
        if self._asking is not None and waiter in self._asking:
            self._asking.remove(waiter)

    def _answered(self, result: Failure | None) -> None:
        waiters, self._asking = self._asking or [], None
        for waiter in waiters:
            waiter.callback(None if result is None else Failure(result.value))
        if result is None or waiters:
            return
        # Whoever asked is gone.
        if result.check(ProxyError):
            self.log.info("the gateway does not tell its agents: {why}", why=str(result.value))
        else:
            self.log.failure("the gateway's agents could not be read", result)

    async def _ask(self) -> None:
        response = await self._connection.request("agents.list", {})
        if response.error is not None:
            raise refused(response.error, "")
        before = self._roster
        self._roster = read_agents(response.payload)
        self._told_at = self._reactor.seconds()
        if self._roster.agents != before.agents:
            try:
                self._device.remember_agents(self._url, self.ids)
            except IdentityError as error:
                self.log.warn("the agents' names are not kept: {error}", error=str(error))
            self.on_change(self.ids)
