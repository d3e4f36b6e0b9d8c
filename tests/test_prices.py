"""Tests for :mod:`clawproxy.prices` and the table that comes with the program."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.pricing import Charge
from clawproxy.prices import PriceError, load, parse

MILLION = 1_000_000


class BuiltIn(SynchronousTestCase):
    """The table of the program."""

    def setUp(self) -> None:
        self.table = load()

    def test_models_of_both_vendors(self) -> None:
        for model, put_in, put_out in (
            ("claude-opus-5-5", 4, 20),
            ("claude-sonnet-4-5-20250929", 3, 15),
            ("claude-haiku-4-5", 1, 5),
            ("claude-3-5-haiku-latest", 0.8, 4),
            ("gpt-6.1-sol", 2, 10),
            ("gpt-5-mini-2025-08-07", 0.25, 2),
            ("gpt-4o-2024-05-13", 5, 15),
            ("gpt-4o-2024-11-20", 2.5, 10),
            ("o3", 2, 8),
            ("demo", 0, 0),
        ):
            price = self.table.price(model)
            assert price is not None, model
            self.assertEqual((price.input, price.output), (put_in, put_out), model)

    def test_models_of_tomorrow_are_unknown(self) -> None:
        for model in ("claude-opus-7", "gpt-9", "claude-opus-5-7", "gpt-5.5-max", "llama"):
            self.assertIsNone(self.table.price(model), model)

    def test_the_cache_is_never_dearer_to_read_nor_cheaper_to_keep(self) -> None:
        for _, price in self.table._prices:
            self.assertLessEqual(price.cache_read, price.input)
            self.assertLessEqual(price.cache_write_5m, price.cache_write_1h)
            self.assertLessEqual(price.input, max(price.output, price.cache_write_5m))

    def test_tiers(self) -> None:
        for model, tier, cost in (
            ("claude-opus-5-5", "batch", 2),
            ("claude-opus-5-5", "fast", 8),
            ("gpt-6-sol", "flex", 2),  # a long prompt, at half the price
            ("gpt-5-mini", "priority", 0.45),
        ):
            charge = Charge(model, input=MILLION, tiers=frozenset({tier}))
            self.assertAlmostEqual(self.table.cost([charge]) or 0, cost)
        charge = Charge("claude-sonnet-5", input=1, tiers=frozenset({"fast"}))
        self.assertIsNone(self.table.cost([charge]))


class Own(SynchronousTestCase):
    """An operator's file."""

    def test_it_comes_first_and_the_rest_still_holds(self) -> None:
        path = Path(self.mktemp())
        path.write_text("prices:\n- {match: [Claude-Opus-*, llama-*], input: 1, output: 2}\n")
        table = load(str(path))
        for model in ("claude-opus-5-5", "llama-4"):
            price = table.price(model)
            assert price is not None
            self.assertEqual((price.input, price.output), (1, 2))
            self.assertEqual((price.cache_read, price.cache_write_1h), (1, 1))
        self.assertIsNotNone(table.price("claude-haiku-4-5"))

    def test_all_mistakes_at_once(self) -> None:
        text = b"""
prices:
- {match: a, input: 1}
- {match: a, input: -1, output: 1}
- {match: a, input: .nan, output: 1}
- {match: a, input: true, output: 1}
- {match: [], input: 1, output: 1}
- {match: a, inptu: 1, output: 1}
- {match: a, input: 1, output: 1, tiers: {batch: x}}
- {match: a, input: 1, output: 1, tiers: 2}
- {match: a, input: 1, output: 1, long_prompt: {above: 1}}
- {match: a, input: 1, output: 1, long_prompt: {above: x, input: 1, output: 1}}
- odd
"""
        error = self.assertRaises(PriceError, parse, text, "own.yaml")
        lines = str(error).splitlines()
        self.assertEqual(len(lines), 11)
        for index, (key, line) in enumerate(
            zip(
                (
                    ".output",
                    ".input",
                    ".input",
                    ".input",
                    ".match",
                    ".inptu",
                    ".tiers.batch",
                    ".tiers",
                    ".long_prompt",
                    ".long_prompt.above",
                    "",
                ),
                lines,
                strict=True,
            )
        ):
            self.assertTrue(line.startswith(f"own.yaml: prices.{index}{key}:"), line)

    def test_what_is_no_table(self) -> None:
        for text in (b"", b"[]", b"prices: {}", b"a: [", b"\xff\xfe\x00"):
            self.assertRaises(PriceError, parse, text, "own.yaml")
