"""Tests for :mod:`clawproxy.core.routing`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.decision import Decision, Target
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.routing import (
    MAX_FALLBACKS,
    Family,
    ProviderKind,
    Router,
    Rule,
)

PROVIDERS: dict[str, ProviderKind] = {"anthropic": "anthropic", "openai": "openai"}
DEFAULTS: dict[Family, str | None] = {"anthropic": "anthropic", "openai": "openai"}
RULES = (
    Rule("claude-*", "anthropic"),
    Rule("gpt-*", "openai"),
    Rule("o[0-9]*", "openai"),
)


def router(
    *rules: Rule,
    providers: Mapping[str, ProviderKind] = PROVIDERS,
    defaults: Mapping[Family, str | None] = DEFAULTS,
    agents: Mapping[str, Iterable[str]] | None = None,
) -> Router:
    """Make a router of the default configuration with other rules in front."""
    made = Router(rules + RULES, providers, defaults)
    return made if agents is None else made.with_agents(agents)


class Rules(SynchronousTestCase):
    """Globs, aliases and defaults."""

    def test_the_model_decides_and_not_the_dialect(self) -> None:
        for dialect in ("anthropic", "openai_chat", "openai_responses"):
            for model, provider in (
                ("claude-sonnet-5", "anthropic"),
                ("gpt-6-sol", "openai"),
                ("o3", "openai"),
            ):
                decision = router().route(dialect, model)
                self.assertEqual(decision, Decision(provider, model, reason="rule"))

    def test_the_first_match_wins(self) -> None:
        made = router(Rule("claude-haiku-*", "openai"), Rule("claude-haiku-4-5", "anthropic"))
        self.assertEqual(made.route("anthropic", "claude-haiku-4-5").provider, "openai")

    def test_globs_mind_case_and_cover_the_whole_name(self) -> None:
        for model in ("Claude-sonnet-5", "my-claude-x", "oh", "gpt", "claude-x\n"):
            reason = router().route("openai_chat", model).reason
            self.assertEqual(reason, "rule" if model.startswith("claude") else "default", model)

    def test_an_alias_changes_the_model(self) -> None:
        made = router(Rule("fast", "openai", model="gpt-5-mini"))
        self.assertEqual(
            made.route("anthropic", "fast"), Decision("openai", "gpt-5-mini", reason="rule")
        )

    def test_defaults_go_by_dialect(self) -> None:
        for dialect, provider in (
            ("anthropic", "anthropic"),
            ("openai_chat", "openai"),
            ("openai_responses", "openai"),
            (None, "openai"),
        ):
            decision = router().route(dialect, "llama")  # type: ignore[arg-type]
            self.assertEqual(decision, Decision(provider, "llama", reason="default"))

    def test_without_a_default_it_is_404(self) -> None:
        made = router(defaults={"anthropic": None})
        for dialect in ("anthropic", "openai_chat"):
            error = self.assertRaises(ProxyError, made.route, dialect, "llama")
            self.assertIs(error.kind, Kind.MODEL_NOT_FOUND)
            self.assertEqual((error.http_status, error.param), (404, "model"))
            self.assertIn("llama", error.message)

    def test_unknown_names_are_refused_at_once(self) -> None:
        self.assertRaises(ValueError, router, Rule("x", "nobody"))
        self.assertRaises(ValueError, Router, (), PROVIDERS, {"openai": "nobody"})

    def test_demo_answers_to_its_name_after_the_rules(self) -> None:
        providers: dict[str, ProviderKind] = {**PROVIDERS, "show": "demo"}
        self.assertEqual(
            router(providers=providers).route("anthropic", "demo"),
            Decision("show", "demo", reason="demo"),
        )
        made = router(Rule("*", "openai"), providers=providers)
        self.assertEqual(made.route("anthropic", "demo").provider, "openai")
        self.assertEqual(router().route("anthropic", "demo").provider, "anthropic")

    def test_the_cache_keeps_no_long_names(self) -> None:
        made = router()
        self.assertEqual(made.route("anthropic", "claude-" + "x" * 1000).provider, "anthropic")
        self.assertEqual(made._cache, {})

    def test_the_cache_is_bounded(self) -> None:
        made = router()
        for number in range(10_000):
            made.route("anthropic", f"claude-{number}")
        self.assertLessEqual(len(made._cache), 4096)
        self.assertIs(
            made.route("anthropic", "claude-9999"), made.route("anthropic", "claude-9999")
        )


class Pins(SynchronousTestCase):
    """The caller names the provider."""

    def test_a_pin_outdoes_rules_aliases_and_fallbacks(self) -> None:
        made = router(Rule("fast", "openai", model="gpt-5-mini", fallbacks=("claude-x",)))
        self.assertEqual(
            made.route("anthropic", "fast", "anthropic"),
            Decision("anthropic", "fast", pinned=True, reason="pinned"),
        )

    def test_an_unknown_pin_lists_the_known(self) -> None:
        for call in (
            lambda: router().route("openai_chat", "gpt-5", "nobody"),
            lambda: router().passthrough("anthropic", "nobody"),
        ):
            error = self.assertRaises(ProxyError, call)
            self.assertEqual(error.http_status, 404)
            self.assertIn("anthropic, openai", error.message)

    def test_paths_without_a_model(self) -> None:
        self.assertEqual(router().passthrough("anthropic").provider, "anthropic")
        self.assertEqual(router().passthrough(None).provider, "openai")
        self.assertEqual(router().passthrough("anthropic", "openai").provider, "openai")
        error = self.assertRaises(ProxyError, router(defaults={}).passthrough, None)
        self.assertEqual(error.http_status, 404)


class Fallbacks(SynchronousTestCase):
    """What comes next should the first fail."""

    def test_they_are_routed_by_the_same_rules(self) -> None:
        made = router(
            Rule("fast", "openai", model="gpt-5-mini", fallbacks=("claude-haiku-4-5", "slow")),
            Rule("slow", "openai", model="o3"),
        )
        decision = made.route("openai_chat", "fast")
        self.assertEqual(
            decision.targets,
            (
                Target("openai", "gpt-5-mini"),
                Target("anthropic", "claude-haiku-4-5"),
                Target("openai", "o3"),
            ),
        )

    def test_loops_and_repetitions_end(self) -> None:
        made = router(
            Rule("a", "openai", fallbacks=("b", "a", "c", "gpt-5")),
            Rule("b", "anthropic", fallbacks=("a", "gpt-5", "b")),
            Rule("c", "anthropic", model="b"),
        )
        self.assertEqual(
            made.route("anthropic", "a").fallbacks,
            (Target("anthropic", "b"), Target("openai", "gpt-5")),
        )

    def test_there_is_an_end_to_them(self) -> None:
        rules = [
            Rule(f"m{n}", "openai", fallbacks=tuple(f"m{k}" for k in range(50))) for n in range(50)
        ]
        decision = router(*rules).route("anthropic", "m7")
        self.assertEqual(len(decision.fallbacks), MAX_FALLBACKS)

    def test_dead_ends_are_passed_over(self) -> None:
        made = router(
            Rule("a", "openai", fallbacks=("llama", "openclaw/gone", "claude-x")),
            providers={**PROVIDERS, "claw": "openclaw"},
            defaults={"openai": "openai"},
            agents={"claw": ["main"]},
        )
        self.assertEqual(made.route("anthropic", "a").fallbacks, (Target("anthropic", "claude-x"),))

    @settings(deadline=None, max_examples=100)
    @given(st.data())
    def test_any_rules_end_without_repetition(self, data: st.DataObject) -> None:
        names = st.sampled_from([f"m{n}" for n in range(6)])
        rules = data.draw(
            st.lists(
                st.builds(
                    Rule,
                    match=names,
                    provider=st.sampled_from(["anthropic", "openai"]),
                    model=st.none() | names,
                    fallbacks=st.lists(names, max_size=4).map(tuple),
                ),
                max_size=8,
            )
        )
        decision = router(*rules).route("anthropic", data.draw(names))
        self.assertEqual(len(set(decision.targets)), len(decision.targets))
        self.assertLessEqual(len(decision.fallbacks), MAX_FALLBACKS)


class Agents(SynchronousTestCase):
    """OpenClaw's agents come before all routes."""

    providers: Mapping[str, ProviderKind] = {**PROVIDERS, "claw": "openclaw"}

    def test_ids_and_prefixed_ids(self) -> None:
        made = router(
            Rule("*", "openai"), providers=self.providers, agents={"claw": ["main", "gpt-dev"]}
        )
        for model, sent in (
            ("main", "main"),
            ("gpt-dev", "gpt-dev"),
            ("openclaw/gpt-dev", "gpt-dev"),
            ("openclaw", "default"),
            ("openclaw/default", "default"),
        ):
            self.assertEqual(
                made.route("openai_chat", model), Decision("claw", sent, reason="agent"), model
            )
        self.assertEqual(made.route("openai_chat", "gpt-5").provider, "openai")

    def test_an_unknown_agent_is_404_and_the_known_are_listed(self) -> None:
        made = router(providers=self.providers, agents={"claw": ["main", "dev"]})
        error = self.assertRaises(ProxyError, made.route, "openai_chat", "openclaw/nobody")
        self.assertIs(error.kind, Kind.MODEL_NOT_FOUND)
        self.assertIn("dev, main", error.message)

    def test_before_the_gateway_told_its_agents_it_is_asked(self) -> None:
        made = router(providers=self.providers)
        self.assertEqual(
            made.route("anthropic", "openclaw/any"), Decision("claw", "any", reason="agent")
        )
        self.assertEqual(made.route("anthropic", "main").provider, "anthropic")

    def test_before_that_the_configured_agent_is_the_gateways(self) -> None:
        """What is meant for the agent is not sent to a default provider while its gateway is
        away."""
        made = Router(RULES, self.providers, DEFAULTS, expected={"claw": "main"})
        self.assertEqual(
            made.route("openai_chat", "main"), Decision("claw", "main", reason="agent")
        )
        self.assertEqual(made.route("openai_chat", "dev").provider, "openai")
        told = made.with_agents({"claw": ["dev"]})
        self.assertEqual(told.route("openai_chat", "main").provider, "openai")
        self.assertEqual(told.route("openai_chat", "dev").provider, "claw")

    def test_the_agent_decides_between_two_gateways(self) -> None:
        made = router(
            providers={**self.providers, "far": "openclaw"},
            agents={"claw": ["main"], "far": ["main", "dev"]},
        )
        self.assertEqual(made.route("anthropic", "dev").provider, "far")
        self.assertEqual(made.route("anthropic", "openclaw/dev").provider, "far")
        self.assertEqual(made.route("anthropic", "main").provider, "claw")

    def test_without_a_gateway_the_prefix_means_nothing(self) -> None:
        self.assertEqual(router().route("openai_chat", "openclaw/main").reason, "default")

    def test_a_route_to_a_gateway_names_the_agent_as_it_knows_it(self) -> None:
        made = router(
            Rule("gpt-4", "claw"),
            Rule("helper", "claw", model="openclaw/dev"),
            providers=self.providers,
        )
        self.assertEqual(made.route("openai_chat", "gpt-4").model, "gpt-4")
        self.assertEqual(made.route("openai_chat", "helper").model, "dev")
        self.assertEqual(made.route("openai_chat", "openclaw/dev", "claw").model, "dev")

    def test_new_agents_give_a_new_router(self) -> None:
        first = router(providers=self.providers, agents={"claw": ["main"]})
        self.assertEqual(first.route("openai_chat", "dev").provider, "openai")
        second = first.with_agents({"claw": ["main", "dev"]})
        self.assertEqual(second.route("openai_chat", "dev").provider, "claw")
        self.assertEqual(first.route("openai_chat", "dev").provider, "openai")
