"""Which provider answers a model: :class:`Router` turns dialect and model into a
:class:`~.decision.Decision`.

The order in which a model finds its provider:

1. a provider that the caller names itself, by path or by the header ``x-clawproxy-provider``: the
   model is then sent as it is, and nothing falls back;
2. the agents of OpenClaw providers, by id or as ``openclaw/<agent>``;
3. the configured rules, first match wins;
4. the model name ``demo``, where a demo provider is configured;
5. the default provider of the caller's dialect, or 404.

A router is a value: a changed configuration or agent list gives a new one
(:meth:`Router.with_agents`), and exchanges under way keep the decision that they got.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from typing import Literal

from attrs import field, frozen

from clawproxy.core.decision import Decision, Reason, Target
from clawproxy.core.dialects import DialectName
from clawproxy.core.errors import Kind, ProxyError

Family = Literal["anthropic", "openai"]
"""What the default providers are named by: both OpenAI dialects share one."""

ProviderKind = Literal["anthropic", "openai", "openclaw", "demo"]

MAX_FALLBACKS = 8
"""How many targets may follow the first one, however the rules refer to each other."""

_CACHE_LIMIT = 4096
_CACHED_MODEL = 256  # characters: a name may be as long as a body, and thousands are kept
_OPENCLAW_PREFIX = "openclaw/"


def family(dialect: DialectName | None) -> Family:
    """Tell whose kind of provider speaks a dialect; no dialect counts as OpenAI's, as paths do."""
    return "anthropic" if dialect == "anthropic" else "openai"


@frozen
class Rule:
    """One line of ``routes``: what it matches and where that goes.

    :ivar match: a glob on the requested model, case-sensitive (:func:`fnmatch.fnmatchcase`).
    :ivar provider: the provider's configured name.
    :ivar model: the model to send instead of the requested one.
    :ivar fallbacks: model names to try afterwards, each routed by the same rules.
    """

    match: str
    provider: str
    model: str | None = None
    fallbacks: tuple[str, ...] = ()


@frozen
class _Compiled:
    rule: Rule
    pattern: re.Pattern[str]


_First = tuple[Target, Rule | None, Reason]


def _compile(rules: Iterable[Rule]) -> tuple[_Compiled, ...]:
    return tuple(_Compiled(rule, re.compile(translate(rule.match))) for rule in rules)


@frozen(eq=False)
class Router:
    """Decide where each model goes; repeated questions are answered from a bounded cache.

    :param rules: in order; the first that matches wins.
    :param providers: every configured provider's name and kind.
    :param defaults: the default provider of each family; absent or ``None`` is answered 404.
    :param agents: the agents known of each OpenClaw provider; a provider that is absent here has
        not told them yet.
    :param expected: each OpenClaw provider's configured default agent, which is one of its agents
        as long as it has not told them.
    :raises ValueError: a rule or default names a provider that is not configured.
    """

    rules: tuple[Rule, ...]
    providers: Mapping[str, ProviderKind]
    defaults: Mapping[Family, str | None]
    agents: Mapping[str, frozenset[str]] = field(factory=dict)
    expected: Mapping[str, str] = field(factory=dict)
    _compiled: tuple[_Compiled, ...] = field(init=False)
    _openclaw: tuple[str, ...] = field(init=False)
    _demo: str | None = field(init=False)
    _cache: dict[tuple[Family, str, str | None], Decision] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        named = [rule.provider for rule in self.rules]
        named += [name for name in self.defaults.values() if name is not None]
        for name in named:
            if name not in self.providers:
                raise ValueError(f"no provider is called {name!r}")
        kinds = self.providers.items()
        object.__setattr__(self, "_compiled", _compile(self.rules))
        openclaw = tuple(name for name, kind in kinds if kind == "openclaw")
        object.__setattr__(self, "_openclaw", openclaw)
        demo = next((name for name, kind in kinds if kind == "demo"), None)
        object.__setattr__(self, "_demo", demo)

    def with_agents(self, agents: Mapping[str, Iterable[str]]) -> Router:
        """Give a router that knows other agents and is otherwise the same.

        :param agents: the OpenClaw providers' names, each with its agents' ids.
        """
        known = {name: frozenset(ids) for name, ids in agents.items()}
        return Router(self.rules, self.providers, self.defaults, known, self.expected)

    def route(self, dialect: DialectName | None, model: str, pinned: str | None = None) -> Decision:
        """Decide where a request goes.

        :param dialect: the caller's; ``None`` for a path that is of no dialect.
        :param model: as asked.
        :param pinned: the provider that the caller names, by path or header.
        :raises ProxyError: 404, where nothing answers the model or the named provider is unknown.
        """
        key = (family(dialect), model, pinned)
        decision = self._cache.get(key)
        if decision is None:
            decision = self._decide(*key)
            if len(model) <= _CACHED_MODEL:
                if len(self._cache) >= _CACHE_LIMIT:
                    self._cache.clear()
                self._cache[key] = decision
        return decision

    def passthrough(self, dialect: DialectName | None, pinned: str | None = None) -> Decision:
        """Decide where a request goes that has no model, as any other ``/v1/…`` path has none.

        :param dialect: the caller's: ``anthropic`` where ``anthropic-version`` was sent.
        :raises ProxyError: 404, where there is no default provider or the named one is unknown.
        """
        if pinned is not None:
            return self._pin(pinned, "")
        name = self.defaults.get(family(dialect))
        if name is None:
            raise ProxyError(
                Kind.NOT_FOUND, f"no default provider is configured for {family(dialect)} requests"
            )
        return Decision(name, "")

    def _pin(self, name: str, model: str) -> Decision:
        if name not in self.providers:
            known = ", ".join(sorted(self.providers)) or "none"
            raise ProxyError(
                Kind.MODEL_NOT_FOUND, f"no provider is called {name[:100]!r}; configured: {known}"
            )
        target = self._target(name, model)
        return Decision(name, target.model, pinned=True, reason="pinned")

    def _target(self, provider: str, model: str) -> Target:
        """Name a provider's model as that provider knows it: agents go without ``openclaw/``."""
        if self.providers[provider] == "openclaw":
            model = "default" if model == "openclaw" else model.removeprefix(_OPENCLAW_PREFIX)
        return Target(provider, model)

    def _decide(self, of: Family, model: str, pinned: str | None) -> Decision:
        if pinned is not None:
            return self._pin(pinned, model)
        first = self._first(of, model)
        if first is None:
            raise ProxyError(
                Kind.MODEL_NOT_FOUND,
                f"no route matches the model {model[:200]!r} and there is no default provider",
                param="model",
            )
        target, rule, reason = first
        found: dict[Target, None] = {target: None}
        if rule is not None:
            self._follow(of, rule, found)
        return Decision(target.provider, target.model, fallbacks=tuple(found)[1:], reason=reason)

    def _follow(self, of: Family, rule: Rule, found: dict[Target, None]) -> None:
        """Collect a rule's fallbacks and, after each, that one's own, none twice."""
        for name in rule.fallbacks:
            following = self._first_or_none(of, name)
            if following is None or following[0] in found:
                continue
            if len(found) > MAX_FALLBACKS:
                return
            found[following[0]] = None
            if following[1] is not None:
                self._follow(of, following[1], found)

    def _first_or_none(self, of: Family, model: str) -> _First | None:
        """Find a fallback's target; an agent that is gone is passed over as a dead end."""
        try:
            return self._first(of, model)
        except ProxyError:
            return None

    def _first(self, of: Family, model: str) -> _First | None:
        agent = self._agent(model)
        if agent is not None:
            return agent, None, "agent"
        for compiled in self._compiled:
            if compiled.pattern.match(model):
                rule = compiled.rule
                return self._target(rule.provider, rule.model or model), rule, "rule"
        if self._demo is not None and model == "demo":
            return Target(self._demo, model), None, "demo"
        default = self.defaults.get(of)
        return None if default is None else (self._target(default, model), None, "default")

    def _agent(self, model: str) -> Target | None:
        """Find the OpenClaw provider whose agent a model names.

        :raises ProxyError: 404, where the model is ``openclaw/<agent>`` and every provider that
            could have this agent has said that it has not.
        """
        if not self._openclaw:
            return None
        for name in self._openclaw:
            known = self.agents.get(name)
            if model in known if known is not None else model == self.expected.get(name):
                return Target(name, model)
        if model == "openclaw":
            model = "openclaw/default"
        if not model.startswith(_OPENCLAW_PREFIX):
            return None
        agent = model.removeprefix(_OPENCLAW_PREFIX)
        unasked = None
        for name in self._openclaw:
            known = self.agents.get(name)
            if known is None:
                unasked = unasked or name
            elif agent in known or agent == "default":
                return Target(name, agent)
        if unasked is not None:
            return Target(unasked, agent)
        listed = ", ".join(sorted(set().union(*self.agents.values()))) or "none"
        raise ProxyError(
            Kind.MODEL_NOT_FOUND,
            f"no agent is called {agent[:100]!r}; the gateway's agents: {listed}",
            param="model",
        )
