"""Read a Responses request into a turn.

1. Top-level fields go through :class:`~.rawjson.Fields`; what is left over goes into ``extras``, so
   that no new hint of a client stops its requests.
2. What keeps the conversation at the vendor (:data:`_KEPT_AT_VENDOR`) or asks for what no other
   vendor gives (log probabilities, background work) is refused by name.
3. The turn is a :class:`ResponsesTurn`: the answer's ``response`` object repeats the request.

Field by field: https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from typing import cast, get_args

from attrs import frozen

from clawproxy.core.dialects.openai_responses_input import read_input
from clawproxy.core.dialects.openai_responses_tools import flat_name, read_tools
from clawproxy.core.dialects.parts import CacheControl, TextPart
from clawproxy.core.dialects.rawjson import (
    MALFORMED,
    Array,
    Boolean,
    Fields,
    Integer,
    Number,
    String,
    Strings,
    decode,
    missing,
)
from clawproxy.core.dialects.tools import ServerTool, Tool, ToolChoice
from clawproxy.core.dialects.turn import (
    Effort,
    OutputFormat,
    Reasoning,
    Sampling,
    Turn,
    unsupported,
)
from clawproxy.core.errors import Kind, ProxyError

_KEPT_AT_VENDOR = {
    "previous_response_id": "an earlier response that OpenAI keeps",
    "conversation": "a conversation that OpenAI keeps",
    "prompt": "a prompt template that OpenAI keeps",
    "moderation": "a check of input and output that OpenAI runs",
}

_ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
    "user",
)


@frozen(slots=True, kw_only=True)
class ResponsesTurn(Turn):
    """A turn of a Responses caller.

    :ivar echo: the members of the request that its answer repeats, by name, as raw JSON.
    """

    echo: dict[str, bytes]


def parse_request(body: bytes) -> ResponsesTurn:
    """Read the body of ``POST /v1/responses``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.parse_request`.
    """
    fields = Fields.of_body(body)
    whole = fields.rest()
    model = fields.need("model", String, "a string")
    for name, what in _KEPT_AT_VENDOR.items():
        if fields.raw(name) is not None:
            raise unsupported(name, f"{what}; the model's provider does not have it.")
    _refuse_extras(fields)
    given = fields.raw("input")
    if given is None:
        raise missing("input", "a string or an array of items")
    found = read_input(given)
    tools = _merged(read_tools(fields.raw("tools")), found.tools)
    instructions = fields.take("instructions", String)
    reasoning = _reasoning(fields)
    output, verbosity = _text(fields)
    metadata = fields.raw("metadata")
    user = fields.take("user", String)
    safety_identifier = fields.take("safety_identifier", String)
    cache = fields.object("cache_control")  # OpenRouter's and LiteLLM's word to Anthropic
    return ResponsesTurn(
        dialect="openai_responses",
        model=model,
        system=(TextPart(instructions),) if instructions else (),
        messages=tuple(found.messages),
        tools=tools,
        tool_choice=_tool_choice(fields, tools),
        parallel_tool_calls=fields.take("parallel_tool_calls", Boolean),
        max_tokens=fields.take("max_output_tokens", Integer),
        sampling=Sampling(
            temperature=fields.take("temperature", Number), top_p=fields.take("top_p", Number)
        ),
        reasoning=reasoning,
        output=output,
        stream=fields.take("stream", Boolean) or False,
        cache=CacheControl(cache.take("ttl", String)) if cache else None,
        user=safety_identifier or user,
        verbosity=verbosity,
        metadata=None if metadata is None or bytes(metadata) == b"{}" else bytes(metadata),
        extras=fields.rest(),
        echo={name: whole[name] for name in _ECHOED if whole.get(name, b"null") != b"null"},
    )


def _refuse_extras(fields: Fields) -> None:
    if fields.take("background", Boolean):
        raise unsupported("background", "the model's provider answers at once or not at all.")
    if fields.take("top_logprobs", Integer):
        raise unsupported("top_logprobs", "the model's provider gives no log probabilities.")
    for name in fields.take("include", Strings) or ():
        if name.endswith(".logprobs"):
            raise unsupported("include", f"{name!r}: the model's provider gives none.")


def _merged(tools: list[Tool], later: list[Tool]) -> tuple[Tool, ...]:
    """Join the request's tools with those that its items made known; a later one replaces."""
    byname = {tool.name: tool for tool in tools}
    for tool in later:
        byname.pop(tool.name, None)
        byname[tool.name] = tool
    return tuple(byname.values())


def _reasoning(fields: Fields) -> Reasoning:
    reasoning = fields.object("reasoning")
    if reasoning is None:
        return Reasoning()
    effort = reasoning.take("effort", String)
    summary = reasoning.take("summary", String) or reasoning.take("generate_summary", String)
    if effort is not None and effort not in get_args(Effort):
        known = ", ".join(get_args(Effort))
        raise ProxyError(
            Kind.INVALID_REQUEST,
            f"reasoning.effort: {effort!r} is not one of {known}.",
            "reasoning.effort",
        )
    return Reasoning(
        enabled=False if effort == "none" else None,
        effort=cast("Effort | None", effort),
        summary=None if summary == "none" else summary,
    )


def _text(fields: Fields) -> tuple[OutputFormat | None, str | None]:
    text = fields.object("text")
    if text is None:
        return None, None
    verbosity = text.take("verbosity", String)
    shape = text.object("format")
    if shape is None:
        return None, verbosity
    kind = shape.need("type", String, "text, json_object or json_schema")
    if kind in ("text", "json_object"):
        return OutputFormat("text" if kind == "text" else "json_object"), verbosity
    if kind != "json_schema":
        raise unsupported("text.format.type", f"{kind!r} is not known.")
    schema = shape.raw("schema")
    if schema is None:
        raise missing("text.format.schema", "an object")
    return (
        OutputFormat(
            "json_schema",
            name=shape.take("name", String),
            schema=bytes(schema),
            strict=shape.take("strict", Boolean),
            description=shape.take("description", String),
        ),
        verbosity,
    )


def _tool_choice(fields: Fields, tools: tuple[Tool, ...]) -> ToolChoice | None:
    raw = fields.raw("tool_choice")
    if raw is None:
        return None
    try:
        word = decode(String, raw)
    except MALFORMED:
        return _chosen(Fields.of(raw, "tool_choice"), tools)
    if word == "required":
        _refuse_hosted_only(tools)
        return ToolChoice("required")
    if word == "auto" or word == "none":
        return ToolChoice("auto" if word == "auto" else "none")
    raise ProxyError(
        Kind.INVALID_REQUEST,
        f"tool_choice: {word!r} is not one of auto, none, required.",
        "tool_choice",
    )


def _refuse_hosted_only(tools: tuple[Tool, ...]) -> None:
    if tools and all(isinstance(tool, ServerTool) for tool in tools):
        raise unsupported(
            "tool_choice", "only tools that OpenAI runs are offered; the provider has none of them."
        )


def _chosen(choice: Fields, tools: tuple[Tool, ...]) -> ToolChoice:
    kind = choice.need("type", String, "a string")
    if kind == "allowed_tools":
        mode = choice.take("mode", String)
        names = []
        allowed = choice.need("tools", Array, "an array of tools")
        for index, each in enumerate(allowed):
            entry = Fields.of(each, f"tool_choice.tools[{index}]")
            names.append(_named(entry, entry.need("type", String, "a string"), tools))
        return ToolChoice("required" if mode == "required" else "auto", allowed=tuple(names))
    return ToolChoice("tool", _named(choice, kind, tools))


def _named(entry: Fields, kind: str, tools: tuple[Tool, ...]) -> str:
    if kind in ("function", "custom"):
        name = entry.need("name", String, "a tool's name")
        return flat_name(name, entry.take("namespace", String))
    if any(tool.name == kind and not isinstance(tool, ServerTool) for tool in tools):
        return kind
    raise unsupported(
        entry.path("type"), f"{kind!r} is a tool that OpenAI runs; the provider has none like it."
    )
