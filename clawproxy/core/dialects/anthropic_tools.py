"""Write a turn's tools, and what may be done with them, for an Anthropic upstream.

Tools whose arguments must match their schema exactly need a schema that Anthropic's grammars allow
(:mod:`.anthropic_schema`); where that cannot be, they are offered without the guarantee.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.anthropic_client_tools import ClientTool
from clawproxy.core.dialects.anthropic_schema import Budget, Json, Unfit, closed
from clawproxy.core.dialects.naming import MAX_CLAUDE_TOOL_NAME, short_tool_name
from clawproxy.core.dialects.parts import CacheControl
from clawproxy.core.dialects.rawjson import MALFORMED, Object, encode
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, ServerTool, Tool
from clawproxy.core.dialects.traits import Version
from clawproxy.core.dialects.turn import Turn, unsupported

STRICT_SINCE: Version = (4, 5)
"""The first models that know strict tools."""


def cached(block: Json, cache: CacheControl | None) -> Json:
    """Set a block's ``cache_control``, if the caller marked it."""
    if cache is not None:
        block["cache_control"] = {"type": "ephemeral"} | ({"ttl": cache.ttl} if cache.ttl else {})
    return block


def write_tools(turn: Turn, version: Version) -> list[Json]:
    """Write ``tools``: those that may be called.

    :raises ProxyError: ``UNSUPPORTED_PARAMETER`` for a tool that another vendor runs.
    """
    allowed = turn.tool_choice.allowed if turn.tool_choice else None
    offered = [tool for tool in turn.tools if allowed is None or tool.name in allowed]
    strict = _strict(offered, turn, version)
    return [found for tool in offered if (found := _tool(tool, strict)) is not None]


def _strict(tools: list[Tool], turn: Turn, version: Version) -> dict[str, Any]:
    """Return the schemas of the tools that can be strict, by name.

    OpenAI's SDKs ask for it by default, and Anthropic refuses the whole request where a schema, their
    number or the model does not allow it; then the tools go without the guarantee.
    """
    asked = [tool for tool in tools if isinstance(tool, FunctionTool) and tool.strict]
    if turn.dialect == "anthropic":
        return {tool.name: _schema(tool.parameters) for tool in asked}
    if (0, 0) < version < STRICT_SINCE:
        return {}
    budget = Budget()
    found: dict[str, Any] = {}
    if turn.output is not None and turn.output.schema is not None:
        budget.add(_closed(turn.output.schema))
    for tool in asked:
        schema = _schema(tool.parameters)
        fitting = _closed(bytes(schema) if isinstance(schema, msgspec.Raw) else encode(schema))
        if fitting is not None:
            found[tool.name] = fitting
            budget.add(fitting)
            budget.tools += 1
    return {} if budget.exceeded else found


def _closed(schema: bytes) -> msgspec.Raw | Json | None:
    try:
        return closed(schema)
    except Unfit:
        return None


def _tool(tool: Tool, strict: dict[str, Any]) -> Json | None:
    match tool:
        case ClientTool(raw=raw):
            return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        case FunctionTool():
            out: Json = {"name": short_tool_name(tool.name, MAX_CLAUDE_TOOL_NAME)}
            if tool.description:
                out["description"] = tool.description
            out["input_schema"] = strict.get(tool.name) or _schema(tool.parameters)
            if tool.name in strict:
                out["strict"] = True
            return cached(out, tool.cache)
        case CustomTool():
            return _tool(tool.as_function(), strict)
        case ServerTool():
            if tool.origin == "anthropic":
                return msgspec.json.decode(tool.raw, type=dict[str, msgspec.Raw])
            if tool.optional:
                return None
            raise unsupported(tool.where, f"{tool.kind} cannot be expressed for Anthropic.")


def _schema(parameters: bytes | None) -> msgspec.Raw | Json:
    """Return a schema whose top is an object's, as the API requires; OpenAI takes any."""
    try:
        members = Object.decode(parameters) if parameters else {}
    except MALFORMED:
        members = {}
    if "type" in members and parameters:
        return msgspec.Raw(parameters)
    return {"type": "object", "properties": {}} | members


def write_choice(turn: Turn) -> Json | None:
    """Write ``tool_choice``, ``None`` to leave it to the API."""
    choice = turn.tool_choice
    out: Json | None = None
    if choice is not None:
        match choice.mode:
            case "auto":
                out = {"type": "auto"}
            case "required":
                out = {"type": "any"}
            case "none":
                return {"type": "none"}
            case "tool":
                name = short_tool_name(choice.name or "", MAX_CLAUDE_TOOL_NAME)
                out = {"type": "tool", "name": name}
    if turn.parallel_tool_calls is False:
        out = (out or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    return out
