"""All configured providers as one part of the service: made, kept over a reload, started and stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.config.model import (
    Config,
    DemoProviderConfig,
    HTTPProviderConfig,
    OpenClawProviderConfig,
    ProviderConfig,
)
from clawproxy.core.errors import ProxyError
from clawproxy.upstream.demo import DemoProvider
from clawproxy.upstream.http import HTTPProvider
from clawproxy.upstream.openclaw.provider import OpenClawProvider

INTRODUCTION = 3.0
"""Seconds at most that a start waits for a gateway that accepts the connection and then takes its time."""

AnyProvider = HTTPProvider | DemoProvider | OpenClawProvider


class Providers:
    """What answers, by name.

    :param agents_known: called whenever an OpenClaw gateway tells its agents.
    :ivar by_name: those in use now.
    """

    _log = Logger()

    def __init__(
        self, config: Config, reactor: Any, agents_known: Callable[[], None] = lambda: None
    ) -> None:
        self._reactor = reactor
        self._agents_known = agents_known
        self._configs: Mapping[str, ProviderConfig] = {}
        self._running = False
        self.by_name: dict[str, AnyProvider] = {}
        self.change(config)

    def change(self, config: Config) -> None:
        """Use other providers; one whose configuration is the same keeps its connections."""
        before, self.by_name = self.by_name, {}
        for name, each in config.providers.items():
            if self._configs.get(name) == each:
                self.by_name[name] = before[name]
            else:
                self.by_name[name] = self._make(each)
        self._configs = dict(config.providers)
        for name, provider in before.items():
            if self.by_name.get(name) is provider:
                continue
            if isinstance(provider, OpenClawProvider) and provider.running:
                # Its calls go on to their end; new ones come to its successor.
                provider.retire()
            else:
                self._close(provider)
        if self._running:
            for name, provider in self.by_name.items():
                if isinstance(provider, OpenClawProvider):
                    if before.get(name) is provider:
                        provider.retry()
                    else:
                        provider.startService()

    def _make(self, config: ProviderConfig) -> AnyProvider:
        if isinstance(config, HTTPProviderConfig):
            return HTTPProvider(config, self._reactor)
        if isinstance(config, DemoProviderConfig):
            return DemoProvider(config, self._reactor)
        assert isinstance(config, OpenClawProviderConfig)
        provider = OpenClawProvider(self._reactor, config)
        provider.agents.on_change = lambda _: self._agents_known()
        return provider

    def _close(self, provider: AnyProvider) -> None:
        if isinstance(provider, HTTPProvider):
            provider.close()
        elif isinstance(provider, OpenClawProvider) and provider.running:
            provider.stopService()

    @property
    def gateways(self) -> Mapping[str, OpenClawProvider]:
        """The OpenClaw gateways among them."""
        return {
            name: provider
            for name, provider in self.by_name.items()
            if isinstance(provider, OpenClawProvider)
        }

    @property
    def agents(self) -> dict[str, tuple[str, ...]]:
        """The agents of the gateways that have told them, for the router."""
        known = {name: gateway.agent_ids for name, gateway in self.gateways.items()}
        return {name: ids for name, ids in known.items() if ids}

    async def look_again(self) -> dict[str, tuple[str, ...]]:
        """Have the gateways tell their agents anew: a name that nobody knows may be a new agent's.

        :returns: the agents as they are known then. A gateway that does not tell has those of before.
        """
        looks = [self._look(each) for each in self.gateways.values() if each.hello is not None]
        for _, told in await DeferredList(looks, consumeErrors=True):
            if isinstance(told, Failure):
                # Cancelled by a caller that left, the questions go on for the others, but not the caller's own way.
                told.raiseException()
        return self.agents

    def _look(self, gateway: OpenClawProvider) -> Deferred[None]:
        def failed(reason: Failure) -> None:
            reason.trap(ProxyError)
            self._log.info(
                "{provider} does not tell its agents: {why}",
                provider=gateway.name,
                why=reason.getErrorMessage(),
            )

        return Deferred.fromCoroutine(gateway.agents.look_again()).addErrback(failed)

    async def start(self) -> None:
        """Connect to the gateways; HTTP upstreams are connected to when they are asked.

        Callers come in once the gateways' agents are known, or cannot be: until then the name of an agent
        would lead to a default provider.
        """
        self._running = True
        for gateway in self.gateways.values():
            gateway.startService()
        for gateway in self.gateways.values():
            await gateway.introduced(INTRODUCTION)

    async def stop(self) -> None:
        """Close every connection that carries nothing any more."""
        self._running = False
        for provider in self.by_name.values():
            self._close(provider)
