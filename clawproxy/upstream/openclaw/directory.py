"""Which agents a gateway has, as far as it has told: :class:`AgentDirectory`.

What it told last is kept over a restart of the proxy, so that an agent's name leads to its gateway
while that is away.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from clawproxy.core.errors import ProxyError
from clawproxy.upstream.openclaw.agents import Agent, Roster, read_agents
from clawproxy.upstream.openclaw.connection import GatewayConnection
from clawproxy.upstream.openclaw.faults import refused
from clawproxy.upstream.openclaw.identity import DeviceIdentity, IdentityError

ROSTER_AGE = 60.0
"""Seconds after which the agents are asked for anew: with the next tick, or when somebody looks."""


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

    async def find(self, model: str) -> Agent:
        """Find the agent that a model name means, asking the gateway if need be.

        :raises ProxyError: ``MODEL_NOT_FOUND``, or the gateway does not tell its agents.
        """
        if self._told_at is not None:
            try:
                return self._roster.find(model, self._preferred)
            except ProxyError:
                # It may be new.
                pass
        await self.ask()
        return self._roster.find(model, self._preferred)

    async def ask(self) -> None:
        """Have the gateway tell its agents.

        :raises ProxyError: it does not.
        """
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
