"""What all exchanges share: :class:`Switchboard` holds the configuration in the form the relay uses.

A reload makes a new :class:`Wiring` and swaps it in; exchanges under way keep the one they began with.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from clawproxy.config.model import (
    Config,
    DemoProviderConfig,
    HTTPProviderConfig,
    OpenClawProviderConfig,
)
from clawproxy.core.circuit import Circuit
from clawproxy.core.keys import Account, Callers
from clawproxy.core.pricing import PriceTable
from clawproxy.core.record import Exchange
from clawproxy.core.routing import Router, Rule
from clawproxy.core.subagents import Definition, Subagents
from clawproxy.drain import Drain
from clawproxy.metrics.counts import Counts
from clawproxy.relay import accesslog
from clawproxy.relay.observer import Observer
from clawproxy.relay.recording import NullRecorder, Recorder
from clawproxy.upstream.http import HTTPProvider
from clawproxy.upstream.provider import TurnProvider
from clawproxy.web.cors import Cors

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward

AnyProvider = HTTPProvider | TurnProvider

Agents = Mapping[str, Sequence[str]]
"""The agents of each OpenClaw provider that has told them."""


@frozen
class Wiring:
    """A configuration as the relay uses it.

    :ivar providers: what answers, by name.
    :ivar subagents: recognises Claude Code's subagents, where that is enabled.
    """

    config: Config
    router: Router
    callers: Callers
    accounts: Mapping[str, Account]
    providers: Mapping[str, AnyProvider]
    cors: Cors
    subagents: Subagents | None = None


def wire(
    config: Config,
    providers: Mapping[str, AnyProvider],
    definitions: Sequence[Definition] = (),
) -> Wiring:
    """Put a configuration and its providers into the form that the relay uses.

    :param definitions: Claude Code's subagents, as the agents' directories describe them.
    """
    keys = []
    for number, key in enumerate(config.auth.api_keys, 1):
        keys.append((key.name or f"key-{number}", key.key))
    accounts = {}
    for name, provider in config.providers.items():
        if isinstance(provider, HTTPProviderConfig):
            accounts[name] = Account(
                name,
                provider.kind,
                provider.api_key,
                provider.version if provider.kind == "anthropic" else None,
                tuple(provider.headers.items()),
            )
        elif isinstance(provider, DemoProviderConfig | OpenClawProviderConfig):
            accounts[name] = Account(name, provider.kind)
    router = Router(
        rules=tuple(
            Rule(route.match, route.provider, route.model, tuple(route.fallbacks))
            for route in config.routes
        ),
        providers={name: provider.kind for name, provider in config.providers.items()},
        defaults={
            "anthropic": config.default_provider.anthropic,
            "openai": config.default_provider.openai,
        },
        expected={
            name: provider.default_agent
            for name, provider in config.providers.items()
            if isinstance(provider, OpenClawProviderConfig)
        },
    )
    subagents = None
    if config.subagents.enable:
        subagents = Subagents(config.subagents.mappings, definitions)
    return Wiring(
        config,
        router,
        Callers(tuple(keys)),
        accounts,
        providers,
        Cors(config.server.cors.origins),
        subagents,
    )


async def _nobody() -> Agents:
    return {}


class Switchboard:
    """The relay's shared state.

    :param observers: are told of every exchange.
    :ivar running: the exchanges under way.
    :ivar counts: what has happened so far, for metrics.
    :ivar access_log: writes an exchange's access line.
    :ivar look_again: has the gateways tell their agents anew, for a name that nobody knows.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        wiring: Wiring,
        drain: Drain,
        recorder: Recorder | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.reactor = reactor
        self.wiring = wiring
        self.drain = drain
        self.recorder: Recorder = recorder or NullRecorder()
        self.observers = list(observers)
        self.prices: PriceTable | None = None
        self.counts = Counts()
        self.observers.append(self.counts)
        self.running: set[Forward] = set()
        self._circuits: dict[str, Circuit] = {}
        self.access_log: Callable[[Exchange], None] = accesslog.access
        self.look_again: Callable[[], Coroutine[Deferred[Any], Any, Agents]] = _nobody
        self.random = random.Random()
        self._numbers = count(self.random.getrandbits(24))

    @property
    def watched(self) -> bool:
        """Whether anybody wants to see the pieces of answers."""
        return any(observer.watching for observer in self.observers)

    @property
    def circuits(self) -> dict[str, str]:
        """Every circuit's state by its provider's name."""
        now = self.reactor.seconds()
        return {name: circuit.state(now).value for name, circuit in self._circuits.items()}

    def circuit(self, provider: str) -> Circuit:
        """Give what is remembered of a provider's failures."""
        circuit = self._circuits.get(provider)
        if circuit is None:
            circuit = self._circuits[provider] = Circuit(provider)
        return circuit

    def forget(self, provider: str) -> None:
        """Begin anew with a provider that is configured otherwise now: its failures were another's."""
        self._circuits.pop(provider, None)

    def new_id(self) -> str:
        """Make an exchange's id: sortable by time, unique over restarts and processes."""
        moment = int(self.reactor.seconds() * 1000)
        number = next(self._numbers) & 0xFFFFFF
        return f"cp_{moment:011x}{number:06x}{self.random.getrandbits(40):010x}"

    def cut(self) -> list[str]:
        """End every exchange under way; gives words about each for the log."""
        return [forward.cut() for forward in list(self.running)]
