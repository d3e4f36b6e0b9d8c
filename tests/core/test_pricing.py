"""Tests for :mod:`clawproxy.core.pricing`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.pricing import Charge, LongPrompt, Price, PriceTable, charges
from clawproxy.core.record import Usage

SONNET = Price(3, 15, 0.3, 3.75, 6, tiers={"batch": 0.5, "fast": 2}, geo={"us": 1.1}, web_search=10)
SHORT = Price(1, 10, 0.1, 1.25, 2, long_prompt=LongPrompt(100, 2, 1.5))
TABLE = PriceTable([("claude-s-5", SONNET), ("gpt-s*", SHORT), ("*-s*", Price(9, 9, 9, 9, 9))])
MILLION = 1_000_000


class Prices(SynchronousTestCase):
    """Finding a price and applying it."""

    def test_each_kind_of_token_has_its_price(self) -> None:
        for name, cost in (
            ("input", 3),
            ("output", 15),
            ("cache_read", 0.3),
            ("cache_write_5m", 3.75),
            ("cache_write_1h", 6),
        ):
            charge = Charge("claude-s-5", **{name: MILLION})  # type: ignore[arg-type]
            self.assertEqual(TABLE.cost([charge]), cost, name)
        self.assertEqual(TABLE.cost([Charge("claude-s-5", web_searches=3)]), 0.03)

    def test_tiers_and_places_are_factors(self) -> None:
        for tiers, geo, cost in (
            (frozenset({"batch"}), None, 1.5),
            (frozenset({"fast"}), "us", 6.6),
            (frozenset({"fast", "batch"}), None, 3.0),
            (frozenset[str](), "mars", 3.0),
        ):
            charge = Charge("claude-s-5", input=MILLION, tiers=tiers, geo=geo)
            self.assertAlmostEqual(TABLE.cost([charge]) or 0, cost)
        strange = Charge("claude-s-5", input=1, tiers=frozenset({"of_tomorrow"}))
        self.assertIsNone(TABLE.cost([strange]))

    def test_a_long_prompt_costs_more_as_a_whole(self) -> None:
        usual = Charge("gpt-s", input=60, cache_read=40, output=10)
        self.assertAlmostEqual(TABLE.cost([usual]) or 0, (60 + 4 + 100) / MILLION)
        longer = Charge("gpt-s", input=61, cache_read=40, output=10)
        self.assertAlmostEqual(TABLE.cost([longer]) or 0, (2 * (61 + 4) + 1.5 * 100) / MILLION)

    def test_the_unknown_is_unknown_and_not_free(self) -> None:
        self.assertIsNone(TABLE.cost([Charge("llama", input=1)]))
        self.assertIsNone(TABLE.cost([Charge("claude-s-5", input=1), Charge("llama")]))
        self.assertIsNone(PriceTable([]).cost_usd("claude-s-5", Usage(input_tokens=1)))
        self.assertEqual(TABLE.cost([]), 0)

    def test_how_names_are_matched(self) -> None:
        for model in (
            "claude-s-5",
            "Claude-S-5",
            "claude-s-5-20260423",
            "claude-s-5-2026-04-23",
            "claude-s-5@20260423",
            "claude-s-5-latest",
            "anthropic/claude-s-5",
            "anthropic/claude-s-5-latest",
        ):
            price = PriceTable([("claude-s-5", SONNET)]).price(model)
            self.assertIs(price, SONNET, model)
        for model in ("claude-s-5-5", "claude-s-50", "claude-s", "claude-s-5/x", ""):
            self.assertIsNone(PriceTable([("claude-s-5", SONNET)]).price(model), model)

    def test_the_first_match_wins(self) -> None:
        self.assertIs(TABLE.price("gpt-s"), SHORT)

    def test_a_records_counts(self) -> None:
        usage = Usage(10, 20, 30, 40, 5)
        self.assertAlmostEqual(
            TABLE.cost_usd("claude-s-5", usage) or 0,
            (10 * 3 + 20 * 15 + 30 * 0.3 + 40 * 3.75) / MILLION,
        )

    def test_the_memory_of_names_is_bounded(self) -> None:
        table = PriceTable([])
        for number in range(3000):
            table.price(str(number))
        self.assertLessEqual(len(table._found), 1024)


class Charges(SynchronousTestCase):
    """Reading what is billed."""

    def test_anthropics_lifetimes_tiers_and_tools(self) -> None:
        usage = {
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 10,
            "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 4},
            "service_tier": "batch",
            "speed": "fast",
            "inference_geo": "us",
            "server_tool_use": {"web_search_requests": 2},
        }
        self.assertEqual(
            charges("anthropic", "m", usage),
            (
                Charge("m", 1, 2, 3, 6, 4, 0, frozenset({"batch", "fast"}), "us"),
                Charge("m", web_searches=2),
            ),
        )

    def test_without_lifetimes_writes_are_short_lived(self) -> None:
        (charge,) = charges("anthropic", "m", {"cache_creation_input_tokens": 10})
        self.assertEqual((charge.cache_write_5m, charge.cache_write_1h), (10, 0))
        self.assertEqual((charge.tiers, charge.geo), (frozenset(), None))

    def test_iterations_are_priced_by_their_models(self) -> None:
        usage = {
            "input_tokens": 5,
            "output_tokens": 5,
            "service_tier": "standard",
            "iterations": [
                {"type": "message", "input_tokens": 5, "output_tokens": 5},
                {"type": "compaction", "input_tokens": 100, "output_tokens": 50},
                {"type": "fallback_message", "model": "other", "input_tokens": 7},
                "odd",
            ],
        }
        self.assertEqual(
            charges("anthropic", "m", usage),
            (Charge("m", 5, 5), Charge("m", 100, 50), Charge("other", 7)),
        )
        for none in (None, [], "odd", ["odd"]):
            plain = charges("anthropic", "m", {"input_tokens": 5, "iterations": none})
            self.assertEqual(plain, (Charge("m", 5),))

    def test_openais_counts_are_made_disjoint(self) -> None:
        chat = {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 15},
        }
        self.assertEqual(
            charges("openai_chat", "m", chat, "priority"),
            (Charge("m", 30, 20, 60, 10, tiers=frozenset({"priority"})),),
        )
        responses = {"input_tokens": 100, "output_tokens": 20}
        for tier in (None, "default", "auto", 7):
            self.assertEqual(
                charges("openai_responses", "m", responses, tier), (Charge("m", 100, 20),)
            )

    @settings(deadline=None, max_examples=150)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "input_tokens",
                            "output_tokens",
                            "cache_creation",
                            "ephemeral_1h_input_tokens",
                            "iterations",
                            "server_tool_use",
                            "service_tier",
                            "model",
                            "prompt_tokens",
                            "prompt_tokens_details",
                        ]
                    ),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=12,
        )
    )
    def test_no_usage_raises_and_no_cost_is_negative(self, usage: object) -> None:
        for dialect in ("anthropic", "openai_chat", "openai_responses"):
            found = charges(dialect, "claude-s-5", usage)
            cost = TABLE.cost(found)
            self.assertTrue(cost is None or cost >= 0)
