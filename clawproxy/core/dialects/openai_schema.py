"""JSON schemas as OpenAI's APIs take them, which refuse those of tools that other vendors take."""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.rawjson import MALFORMED, Object

Json = dict[str, Any]


def object_schema(parameters: bytes | None) -> msgspec.Raw | Json:
    """Return a function's schema as OpenAI takes it: 400 is the answer to one whose top is not called an
    object or has no ``properties``, as many MCP tools without arguments have it.
    """
    try:
        members = Object.decode(parameters) if parameters else {}
    except MALFORMED:
        members = {}
    if parameters and "type" in members and "properties" in members:
        return msgspec.Raw(parameters)
    return {"type": "object", "properties": {}} | members


def strict_ready(schema: bytes) -> bool:
    """Tell whether OpenAI takes a schema with ``strict``: each object has to close itself and
    require all of its properties.

    Anthropic's schemas need only the former, and OpenAI answers 400 to the rest
    (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas).
    """
    try:
        return _strict(msgspec.json.decode(schema))
    except MALFORMED:
        return False


def required_of(node: Json) -> set[str]:
    """Return the names that an object's schema requires, whatever stands in their place."""
    required = node.get("required")
    if not isinstance(required, list):
        return set()
    return {name for name in required if isinstance(name, str)}


def _strict(node: Any) -> bool:
    if isinstance(node, list):
        return all(_strict(item) for item in node)
    if not isinstance(node, dict):
        return True
    properties = node.get("properties")
    if node.get("type") == "object" or isinstance(properties, dict):
        if node.get("additionalProperties") is not False:
            return False
        names = properties if isinstance(properties, dict) else {}
        if names.keys() - required_of(node):
            return False
    return all(_strict(value) for value in node.values())
