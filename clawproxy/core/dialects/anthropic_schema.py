"""JSON schemas as Anthropic's grammar compiler takes them, since it answers 400 to most of what OpenAI's
schemas may say.

1. :func:`closed` rewrites a schema as the vendor's own SDKs do before they send one: objects are
   closed, and bounds, patterns and unknown formats move into descriptions, where the model reads them.
   What cannot be rewritten without changing the answer is :class:`Unfit`.
2. :class:`Budget` adds up what all schemas of a request cost, against the API's limits.

The rules: https://platform.claude.com/docs/en/build-with-claude/structured-outputs (JSON Schema
limitations); ``anthropic/lib/_parse/_transform.py`` in the Python SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
from attrs import define

from clawproxy.core.dialects.openai_schema import required_of
from clawproxy.core.dialects.rawjson import MALFORMED

Json = dict[str, Any]

_KEPT = frozenset(
    {
        "type",
        "enum",
        "const",
        "title",
        "description",
        "default",
        "required",
        "$ref",
        "additionalProperties",
    }
)
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_SILENT = frozenset(
    {"$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly"}
)
"""What says nothing to a model and is left out."""

_NAMED = ("$defs", "definitions", "properties")
_LISTED = ("anyOf", "allOf")


class Unfit(ValueError):
    """A schema that no grammar can have; its text says why."""


def closed(schema: bytes) -> msgspec.Raw | Json:
    """Rewrite a schema for ``output_config.format`` or a strict tool; one that fits stays as spelled.

    :raises Unfit: it holds an object without named members, or itself.
    """
    try:
        given = msgspec.json.decode(schema)
        fitting = _closed(given)
        if _holds_itself(given):
            raise Unfit("a schema that holds itself has no end")
    except Unfit:
        raise
    except MALFORMED:
        return msgspec.Raw(schema)
    return msgspec.Raw(schema) if fitting == given else fitting


def _closed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    out: Json = {}
    said: Json = {}
    for name, value in node.items():
        if name in _NAMED and isinstance(value, dict):
            out[name] = {key: _closed(inner) for key, inner in value.items()}
        elif name in _LISTED and isinstance(value, list):
            out[name] = [_closed(inner) for inner in value]
        elif name == "oneOf" and isinstance(value, list) and "anyOf" not in node:
            out["anyOf"] = [_closed(inner) for inner in value]
        elif name == "items" and isinstance(value, dict):
            out[name] = _closed(value)
        elif (
            name in _KEPT
            or (name == "format" and isinstance(value, str) and value in _FORMATS)
            or (name == "minItems" and value in (0, 1))
        ):
            out[name] = value
        elif name not in _SILENT:
            said[name] = value
    if _is_object(node):
        more = node.get("additionalProperties", "properties" not in node)
        if more is not False and not node.get("properties"):
            raise Unfit("an object without named properties would be emptied by closing it")
        out["additionalProperties"] = False
    if said:
        words = ", ".join(
            f"{name}: {msgspec.json.encode(value).decode()}" for name, value in said.items()
        )
        before = f"{node['description']}\n\n" if isinstance(node.get("description"), str) else ""
        out["description"] = f"{before}{{{words}}}"
    return out


def _holds_itself(schema: Any) -> bool:
    """Tell whether references lead in a circle."""
    named = {"#": schema} | {
        f"#/{place}/{name}": inner
        for place in ("$defs", "definitions")
        if isinstance(schema, dict) and isinstance(schema.get(place), dict)
        for name, inner in schema[place].items()
    }
    leads: dict[str, int] = {}
    led_to: dict[str, list[str]] = {}
    for name, inner in named.items():
        others = set(_references(inner, top=name == "#")) & named.keys()
        leads[name] = len(others)
        for other in others:
            led_to.setdefault(other, []).append(name)
    # Each is taken away once it leads nowhere any more; what is left then leads in a circle, or to one.
    leaves = [name for name, count in leads.items() if not count]
    taken = 0
    while leaves:
        taken += 1
        for name in led_to.get(leaves.pop(), ()):
            leads[name] -= 1
            if not leads[name]:
                leaves.append(name)
    return taken < len(named)


def _references(node: Any, *, top: bool = False) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference
        for name, inner in node.items():
            if not (top and name in ("$defs", "definitions")):
                yield from _references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _references(inner)


def _is_object(node: Json) -> bool:
    kind = node.get("type")
    return kind == "object" or "properties" in node or (isinstance(kind, list) and "object" in kind)


@define(slots=True)
class Budget:
    """What a request's grammars cost.

    :ivar tools: strict tools.
    :ivar optional: members that may be missing, in all schemas.
    :ivar unions: members of more than one type.
    """

    tools: int = 0
    optional: int = 0
    unions: int = 0

    def add(self, schema: msgspec.Raw | Json | None) -> None:
        """Count a schema."""
        with suppress(*MALFORMED):  # the API will say what is wrong with it
            self._count(msgspec.json.decode(schema) if isinstance(schema, msgspec.Raw) else schema)

    def _count(self, node: Any) -> None:
        if isinstance(node, list):
            for inner in node:
                self._count(inner)
        if not isinstance(node, dict):
            return
        properties = node.get("properties")
        if isinstance(properties, dict):
            self.optional += len(properties.keys() - required_of(node))
            self.unions += sum(map(_is_union, properties.values()))
        for inner in node.values():
            self._count(inner)

    @property
    def exceeded(self) -> bool:
        """Whether the API would answer 400: at most 20 strict tools, 24 optional members, 16 unions."""
        return self.tools > 20 or self.optional > 24 or self.unions > 16


def _is_union(node: Any) -> bool:
    return isinstance(node, dict) and ("anyOf" in node or isinstance(node.get("type"), list))
