"""Tests for :mod:`clawproxy.core.models`."""

from __future__ import annotations

import json

from anthropic.types import ModelInfo
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Model as OpenAIModel
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.models import Model, merge, named_by, parse, render_list, render_one
from clawproxy.core.routing import Rule

ANTHROPIC = json.dumps(
    {
        "data": [
            {
                "type": "model",
                "id": "claude-opus-5-5",
                "display_name": "Claude Opus 5.5",
                "created_at": "2026-09-22T00:00:00Z",
                "max_tokens": 128000,
                "lifecycle": "active",
            }
        ],
        "has_more": False,
        "first_id": "claude-opus-5-5",
        "last_id": "claude-opus-5-5",
    }
).encode()
OPENAI = json.dumps(
    {
        "object": "list",
        "data": [
            {"id": "gpt-6-sol", "object": "model", "created": 1790000000, "owned_by": "openai"},
            {"id": "local", "context_length": 4096},
        ],
    }
).encode()
ALL = [
    *parse("anthropic", ANTHROPIC),
    *parse("openai", OPENAI),
    Model("main", "claw", "The main agent"),
]


class Parsing(SynchronousTestCase):
    """What providers answer."""

    def test_both_shapes(self) -> None:
        self.assertEqual(
            [(m.id, m.provider, m.display_name, m.created, m.shape) for m in ALL],
            [
                ("claude-opus-5-5", "anthropic", "Claude Opus 5.5", 1790035200, "anthropic"),
                ("gpt-6-sol", "openai", None, 1790000000, "openai"),
                ("local", "openai", None, 0, "openai"),
                ("main", "claw", "The main agent", 0, None),
            ],
        )

    def test_imitators(self) -> None:
        for body in (b'[{"id":"a"}]', b'{"models":[{"id":"a"},{"name":"b"},7,{"id":""}]}'):
            self.assertEqual([model.id for model in parse("p", body)], ["a"])

    def test_what_is_no_list(self) -> None:
        for body in (b"", b"<html>", b"{}", b'{"data":{}}', b"7", b"\xff"):
            self.assertRaises(ValueError, parse, "p", body)

    @settings(deadline=None, max_examples=150)
    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from(["id", "created", "created_at", "display_name", "type", "x"]),
                st.none()
                | st.integers()
                | st.floats()
                | st.text(max_size=12)
                | st.sampled_from(["model", "2026-09-22T00:00:00Z", "0001-01-01T00:00:00+23:59"]),
            ),
            max_size=4,
        )
    )
    def test_no_list_raises_and_all_can_be_rendered(self, entries: list[object]) -> None:
        models = parse("p", json.dumps({"data": entries}).encode())
        for shape in ("anthropic", "openai"):
            content = json.loads(render_list(models, shape))
            self.assertEqual(len(content["data"]), len(models))


class Merging(SynchronousTestCase):
    """One list of many."""

    def test_each_id_once_in_order(self) -> None:
        lists = [[Model("a", "p"), Model("b", "p")], [Model("b", "q"), Model("c", "q")]]
        self.assertEqual(
            [(m.id, m.provider) for m in merge(lists)], [("a", "p"), ("b", "p"), ("c", "q")]
        )
        self.assertEqual(
            [(m.id, m.provider) for m in merge(lists, {"b": "q", "a": "q"})],
            [("a", "p"), ("b", "q"), ("c", "q")],
        )

    def test_rules_that_name_a_model(self) -> None:
        rules = [
            Rule("claude-*", "p"),
            Rule("fast", "p", model="gpt-5-mini"),
            Rule("demo", "d"),
            Rule("o[0-9]", "p"),
            Rule("a?", "p"),
        ]
        self.assertEqual(
            named_by(rules), [Model("fast", "p", "fast (gpt-5-mini)"), Model("demo", "d")]
        )


class Rendering(SynchronousTestCase):
    """What callers get."""

    def test_openais_shape(self) -> None:
        content = json.loads(render_list(ALL, "openai"))
        self.assertEqual(content["object"], "list")
        self.assertEqual(
            content["data"],
            [
                {
                    "id": "claude-opus-5-5",
                    "object": "model",
                    "created": 1790035200,
                    "owned_by": "anthropic",
                    "display_name": "Claude Opus 5.5",
                },
                {"id": "gpt-6-sol", "object": "model", "created": 1790000000, "owned_by": "openai"},
                {
                    "id": "local",
                    "object": "model",
                    "created": 0,
                    "owned_by": "openai",
                    "context_length": 4096,
                },
                {
                    "id": "main",
                    "object": "model",
                    "created": 0,
                    "owned_by": "claw",
                    "display_name": "The main agent",
                },
            ],
        )
        for entry in content["data"]:
            OpenAIModel.model_validate(entry, strict=True)

    def test_anthropics_shape(self) -> None:
        content = json.loads(render_list(ALL, "anthropic", "limit=1000"))
        self.assertEqual(
            (content["has_more"], content["first_id"], content["last_id"]),
            (False, "claude-opus-5-5", "main"),
        )
        self.assertEqual(content["data"][0]["max_tokens"], 128000)
        self.assertEqual(
            content["data"][1],
            {
                "type": "model",
                "id": "gpt-6-sol",
                "display_name": "gpt-6-sol",
                "created_at": "2026-09-21T14:13:20.000Z",
                "lifecycle": "active",
            },
        )
        self.assertEqual(content["data"][3]["display_name"], "The main agent")
        for entry in content["data"]:
            ModelInfo.model_validate(entry)

    def test_pages(self) -> None:
        models = [Model(f"m{n}", "p") for n in range(5)]
        for query, ids, more in (
            ("", "m0 m1 m2 m3 m4", False),
            ("limit=2", "m0 m1", True),
            ("limit=2&after_id=m1", "m2 m3", True),
            ("limit=2&after_id=m2", "m3 m4", False),
            ("after_id=m4", "", False),
            ("limit=2&before_id=m3", "m1 m2", True),
            ("limit=2&before_id=m2", "m0 m1", False),
            ("before_id=m0", "", False),
            ("beta=true&limit=5", "m0 m1 m2 m3 m4", False),
        ):
            content = json.loads(render_list(models, "anthropic", query))
            self.assertEqual([entry["id"] for entry in content["data"]], ids.split(), query)
            self.assertEqual(content["has_more"], more, query)
        empty = json.loads(render_list([], "anthropic"))
        self.assertEqual(empty, {"data": [], "has_more": False, "first_id": None, "last_id": None})

    def test_queries_that_cannot_be(self) -> None:
        for query in ("limit=0", "limit=1001", "limit=x", "limit=-1", "limit=00001", "after_id=x"):
            error = self.assertRaises(ProxyError, render_list, ALL, "anthropic", query)
            self.assertIs(error.kind, Kind.INVALID_REQUEST)

    def test_one_model(self) -> None:
        self.assertEqual(json.loads(render_one(ALL, "main", "openai"))["owned_by"], "claw")
        self.assertEqual(json.loads(render_one(ALL, "main", "anthropic"))["type"], "model")
        error = self.assertRaises(ProxyError, render_one, ALL, "nobody", "openai")
        self.assertIs(error.kind, Kind.MODEL_NOT_FOUND)
