"""Read an Anthropic Messages request into a turn.

1. Top-level fields go through :class:`~.rawjson.Fields`; what is left over goes into ``extras``, so
   that the flags of tomorrow's Claude Code (``context_management``, ``speed``, …) stop no request.
   What must not be lost (:data:`_REFUSED`) is refused by name.
2. Messages are read by :mod:`.anthropic_content`.

Field by field: https://docs.claude.com/en/api/messages.
"""

from __future__ import annotations

from typing import cast, get_args

import msgspec

from clawproxy.core.dialects.anthropic_client_tools import read_client_tool
from clawproxy.core.dialects.anthropic_content import read_message, read_texts
from clawproxy.core.dialects.parts import CacheControl, TextPart
from clawproxy.core.dialects.rawjson import (
    Array,
    Boolean,
    Fields,
    Integer,
    Number,
    String,
    missing,
    text_of,
)
from clawproxy.core.dialects.tools import FunctionTool, ServerTool, Tool, ToolChoice
from clawproxy.core.dialects.turn import (
    Effort,
    OutputFormat,
    Reasoning,
    Sampling,
    Turn,
    unsupported,
)
from clawproxy.core.errors import Kind, ProxyError

THREAD_REFUSAL = "capability_rejected: beta_header:message-threads-2026-08-12"
"""The words on which Claude Code sends the whole conversation instead of continuing a thread that
only Anthropic holds.
"""

_REFUSED = {
    "mcp_servers": "servers that Anthropic connects to",
    "container": "a container at Anthropic's",
    "inference_geo": "a promise of where Anthropic computes",
}


def parse_request(body: bytes) -> Turn:
    """Read the body of ``POST /v1/messages``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.parse_request`.
    """
    fields = Fields.of_body(body)
    model = fields.need("model", String, "a string")
    messages = fields.need("messages", Array, "an array of messages")
    for name in ("thread", "previous_message_id"):
        if fields.raw(name) is not None:
            raise ProxyError(
                Kind.UNSUPPORTED_PARAMETER,
                THREAD_REFUSAL,
                param=name,
                details={"error_code": "thread_unsupported_request"},
            )
    for name, what in _REFUSED.items():
        raw = fields.raw(name)
        if raw is not None and bytes(raw) != b"[]":
            raise unsupported(name, f"{what} cannot be had from the model's provider.")
    choice, parallel = _tool_choice(fields)
    reasoning, output = _thinking(fields)
    metadata = fields.object("metadata")
    user = metadata.take("user_id", String) if metadata else None
    rest = metadata.rest() if metadata else {}
    return Turn(
        dialect="anthropic",
        model=model,
        system=_system(fields),
        messages=tuple(read_message(raw, f"messages[{i}]") for i, raw in enumerate(messages)),
        tools=_tools(fields),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_tokens=fields.take("max_tokens", Integer),
        stop_sequences=tuple(fields.strings("stop_sequences")),
        sampling=Sampling(
            temperature=fields.take("temperature", Number),
            top_p=fields.take("top_p", Number),
            top_k=fields.take("top_k", Integer),
        ),
        reasoning=reasoning,
        output=output,
        stream=fields.take("stream", Boolean) or False,
        user=user,
        metadata=msgspec.json.encode({k: msgspec.Raw(v) for k, v in rest.items()})
        if rest
        else None,
        extras=fields.rest(),
    )


def _system(fields: Fields) -> tuple[TextPart, ...]:
    where = fields.path("system")
    raw = fields.raw("system")
    return () if raw is None else read_texts(raw, where)


def _tools(fields: Fields) -> tuple[Tool, ...]:
    return tuple(_read_tool(raw, f"tools[{i}]") for i, raw in enumerate(fields.array("tools")))


def _read_tool(raw: msgspec.Raw, where: str) -> Tool:
    fields = Fields.of(raw, where)
    kind = fields.take("type", String)
    if kind is None or kind == "custom":
        schema = fields.raw("input_schema")
        if schema is not None and not text_of(schema).startswith("{"):
            raise ProxyError(
                Kind.INVALID_REQUEST,
                f"{where}.input_schema: an object is expected.",
                param=f"{where}.input_schema",
            )
        cache = fields.object("cache_control")
        return FunctionTool(
            name=fields.need("name", String, "a string"),
            description=fields.take("description", String),
            parameters=None if schema is None else bytes(schema),
            strict=fields.take("strict", Boolean),
            cache=CacheControl(cache.take("ttl", String)) if cache else None,
        )
    name = fields.take("name", String)
    if client_tool := read_client_tool(kind, name, bytes(raw)):
        return client_tool
    return ServerTool(
        "anthropic",
        kind,
        name or kind,
        bytes(raw),
        where,
        # All tools are sent in full, so there is nothing to search; advice can be done without.
        optional=kind.startswith(("tool_search_tool", "advisor_")),
    )


def _tool_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    choice = fields.object("tool_choice")
    if choice is None:
        return None, None
    kind = choice.need("type", String, "a string")
    parallel = False if choice.take("disable_parallel_tool_use", Boolean) else None
    match kind:
        case "auto":
            return ToolChoice("auto"), parallel
        case "any":
            return ToolChoice("required"), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "tool":
            return ToolChoice("tool", choice.need("name", String, "a string")), parallel
        case _:
            raise unsupported("tool_choice.type", f"{kind!r} is not known.")


def _thinking(fields: Fields) -> tuple[Reasoning, OutputFormat | None]:
    thinking = fields.object("thinking")
    config = fields.object("output_config")
    enabled: bool | None = None
    budget: int | None = None
    summary: str | None = None
    effort: str | None = None
    shape = fields.object("output_format")  # the name it had while it was a beta
    if thinking is not None:
        kind = thinking.take("type", String)
        enabled = None if kind is None else kind != "disabled"
        budget = thinking.take("budget_tokens", Integer)
        summary = "auto" if thinking.take("display", String) == "summarized" else None
    if config is not None:
        effort = config.take("effort", String)
        shape = config.object("format") or shape
    reasoning = Reasoning(
        enabled=enabled,
        budget_tokens=budget if enabled else None,
        effort=cast(Effort, effort) if effort in get_args(Effort) else None,
        summary=summary,
    )
    if shape is None:
        return reasoning, None
    if (kind := shape.need("type", String, "a string")) != "json_schema":
        raise unsupported(shape.path("type"), f"{kind!r} is not known.")
    schema = shape.raw("schema")
    if schema is None:
        raise missing(shape.path("schema"), "an object")
    return reasoning, OutputFormat("json_schema", schema=bytes(schema), strict=True)
