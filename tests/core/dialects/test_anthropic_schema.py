"""Schemas are closed and thinned out as the vendor's own SDK does it."""

from __future__ import annotations

import json
import time
from typing import Any
from unittest import TestCase

from anthropic import transform_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from clawproxy.core.dialects.anthropic_schema import Budget, Unfit, closed
from clawproxy.core.dialects.openai_schema import strict_ready
from clawproxy.core.dialects.rawjson import encode

_BOUNDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "integer": st.fixed_dictionaries(
        {}, optional={"minimum": st.integers(), "multipleOf": st.just(2)}
    ),
    "string": st.fixed_dictionaries(
        {},
        optional={
            "maxLength": st.integers(0, 9),
            "pattern": st.just("^a+$"),
            "format": st.sampled_from(("date", "email", "binary")),
        },
    ),
    "boolean": st.just({}),
}
_leaf = st.sampled_from(sorted(_BOUNDS)).flatmap(
    lambda kind: _BOUNDS[kind].map(lambda bounds: {"type": kind, **bounds})
)


def _objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    members = st.dictionaries(st.sampled_from("abc"), inner, min_size=1)
    return members.map(
        lambda found: {"type": "object", "properties": found, "required": sorted(found)[:1]}
    )


_plain = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        _objects(inner),
        st.builds(
            lambda item, least: {"type": "array", "items": item, "minItems": least},
            inner,
            st.integers(0, 3),
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"anyOf": found}),
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"oneOf": found}),
    ),
    max_leaves=8,
)
schemas = _plain | _plain.map(lambda found: {"$defs": {"x": found}, "$ref": "#/$defs/x"})


def rewritten(schema: dict[str, Any]) -> Any:
    """What is sent for a schema."""
    return json.loads(encode(closed(json.dumps(schema).encode())))


def without_words(node: Any) -> Any:
    """A schema without descriptions, whose spelling is each writer's own."""
    if isinstance(node, list):
        return [without_words(inner) for inner in node]
    if isinstance(node, dict):
        return {name: without_words(inner) for name, inner in node.items() if name != "description"}
    return node


class ClosedTests(TestCase):
    """:func:`~clawproxy.core.dialects.anthropic_schema.closed`."""

    def test_what_is_no_schema(self) -> None:
        """Values that are none in their place are the vendor's to refuse."""
        for members in ({"required": [["a"], {}, 5]}, {"format": ["date"]}, {"required": {"a": 1}}):
            schema = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
            text = json.dumps(schema | members).encode()
            Budget().add(closed(text))
            self.assertFalse(strict_ready(text))

    @settings(deadline=None)
    @given(schemas)
    def test_as_the_sdk_does(self, schema: dict[str, Any]) -> None:
        """The SDK's transformation says the same, but for the words of descriptions."""
        expected = without_words(transform_schema(schema))
        self.assertEqual(without_words(rewritten(schema)), expected)

    @settings(deadline=None)
    @given(schemas)
    def test_twice_is_once(self, schema: dict[str, Any]) -> None:
        once = rewritten(schema)
        self.assertEqual(rewritten(once), once)

    def test_one_that_fits_stays_as_spelled(self) -> None:
        for spelled in (
            b'{ "type":"object", "properties":{"n":{"type":"number","default":1.50}},'
            b'"required":["n"], "additionalProperties":false}',
            b'{"type":"object","properties":{"n":{"const":1e400}},"additionalProperties":false}',
        ):
            self.assertEqual(encode(closed(spelled)), spelled)

    def test_bounds_become_words(self) -> None:
        self.assertEqual(
            rewritten({"type": "integer", "description": "A count.", "minimum": 1, "maximum": 9}),
            {"type": "integer", "description": "A count.\n\n{minimum: 1, maximum: 9}"},
        )

    def test_property_that_is_called_like_a_keyword(self) -> None:
        schema = {
            "type": "object",
            "properties": {"minimum": {"type": "string"}, "oneOf": {"type": "string"}},
        }
        self.assertEqual(rewritten(schema), schema | {"additionalProperties": False})

    def test_objects_that_cannot_be_closed(self) -> None:
        for schema in (
            {"type": "object"},
            {"type": ["object", "null"]},
            {"type": "object", "properties": {}, "additionalProperties": True},
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "array", "items": {"type": "object"}},
        ):
            with self.assertRaises(Unfit):
                rewritten(schema)
        nothing: dict[str, Any] = {"type": "object", "properties": {}}
        self.assertEqual(rewritten(nothing), nothing | {"additionalProperties": False})

    def test_long_chain_of_definitions(self) -> None:
        """It is gone through once, and not once for each of its links."""
        links = {f"{n}": {"$ref": f"#/$defs/{n + 1}"} for n in range(20_000)}
        chain: dict[str, Any] = {"$ref": "#/$defs/0", "$defs": links | {"20000": {"type": "null"}}}
        started = time.monotonic()
        rewritten(chain)
        links["20000"] = {"$ref": "#/$defs/19999"}
        with self.assertRaises(Unfit):
            rewritten({"$ref": "#/$defs/0", "$defs": links})
        self.assertLess(time.monotonic() - started, 5)

    def test_schemas_that_hold_themselves(self) -> None:
        """By themselves, by each other, from the top; a definition that is used twice is none."""
        one = {"type": "object", "properties": {"a": {"$ref": "#/$defs/B"}}}
        two = {
            "type": "object",
            "properties": {"a": {"type": "array", "items": {"$ref": "#/$defs/A"}}},
        }
        plain = {"type": "string"}
        for schema in (
            {"$ref": "#/$defs/A", "$defs": {"A": one, "B": two}},
            {"$ref": "#/$defs/A", "$defs": {"A": two}},
            {"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#"}, plain]}}},
        ):
            with self.assertRaises(Unfit):
                rewritten(schema)
        both = {"a": {"$ref": "#/$defs/B"}, "b": {"$ref": "#/$defs/B"}}
        schema = {"type": "object", "properties": both, "$defs": {"B": plain}}
        self.assertEqual(rewritten(schema), schema | {"additionalProperties": False})


class BudgetTests(TestCase):
    """:class:`~clawproxy.core.dialects.anthropic_schema.Budget`."""

    def test_counts(self) -> None:
        budget = Budget()
        budget.add(
            {
                "type": "object",
                "properties": {
                    "a": {"type": ["string", "null"]},
                    "b": {"anyOf": [{"type": "object", "properties": {"c": {}}}]},
                },
                "required": ["a"],
            }
        )
        self.assertEqual((budget.optional, budget.unions, budget.exceeded), (2, 2, False))
        budget.optional = 25
        self.assertTrue(budget.exceeded)
