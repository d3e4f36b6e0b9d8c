"""Read a Chat Completions request into a turn.

1. Top-level fields go through :class:`~.rawjson.Fields`. What no other API can give
   (:data:`_REFUSED`) is refused by name, unless it asks for nothing; what is a hint to OpenAI
   (``store``, ``service_tier``, …) or nobody knows is left in ``extras``.
2. Messages are read by :mod:`.openai_chat_content`.

Field by field: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from typing import cast, get_args

import msgspec

from clawproxy.core.dialects.openai_chat_content import read_messages
from clawproxy.core.dialects.parts import CacheControl
from clawproxy.core.dialects.rawjson import (
    Array,
    Boolean,
    Fields,
    Integer,
    Number,
    String,
    decode,
    missing,
    text_of,
)
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, Tool, ToolChoice
from clawproxy.core.dialects.turn import (
    Effort,
    OutputFormat,
    Reasoning,
    Sampling,
    Turn,
    unsupported,
)

_REFUSED: dict[str, tuple[frozenset[bytes], str]] = {
    "n": (frozenset({b"1"}), "one answer a request is all that other APIs give."),
    "best_of": (frozenset({b"1"}), "one answer a request is all that other APIs give."),
    "logprobs": (frozenset({b"false"}), "token probabilities cannot be had."),
    "top_logprobs": (frozenset({b"0"}), "token probabilities cannot be had."),
    "audio": (frozenset(), "answers cannot be spoken."),
    "modalities": (frozenset({b'["text"]', b"[]"}), "answers are text alone."),
    "functions": (frozenset({b"[]"}), "this old form is not translated; tools are."),
    "function_call": (frozenset({b'"auto"', b'"none"'}), "tool_choice takes its place."),
    "web_search_options": (frozenset(), "OpenAI's search cannot be had."),
    "moderation": (frozenset(), "OpenAI's moderation cannot be had."),
    "min_p": (frozenset({b"0", b"0.0"}), "this way of sampling cannot be had."),
    "repetition_penalty": (frozenset({b"1", b"1.0"}), "this way of sampling cannot be had."),
}
"""Fields with the values that ask for nothing, and why they are refused otherwise."""


_stop = msgspec.json.Decoder(str | list[str])


def parse_request(body: bytes) -> Turn:
    """Read the body of ``POST /v1/chat/completions``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.parse_request`.
    """
    fields = Fields.of_body(body)
    model = fields.need("model", String, "a string")
    messages = fields.need("messages", Array, "an array of messages")
    for name, (harmless, why) in _REFUSED.items():
        raw = fields.raw(name)
        if raw is not None and bytes(raw).replace(b" ", b"") not in harmless:
            raise unsupported(name, why)
    stop = fields.take("stop", _stop)
    options = fields.object("stream_options")
    include_usage = options.take("include_usage", Boolean) if options else None
    limit = fields.take("max_completion_tokens", Integer)
    older_limit = fields.take("max_tokens", Integer)
    user = fields.take("user", String)
    metadata = fields.raw("metadata")
    bias = fields.raw("logit_bias")
    cache = fields.object("cache_control")  # OpenRouter's and LiteLLM's word to Anthropic
    return Turn(
        dialect="openai_chat",
        model=model,
        messages=read_messages(messages),
        tools=tuple(_tool(raw, f"tools[{i}]") for i, raw in enumerate(fields.array("tools"))),
        tool_choice=_tool_choice(fields),
        parallel_tool_calls=fields.take("parallel_tool_calls", Boolean),
        max_tokens=older_limit if limit is None else limit,
        stop_sequences=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        sampling=Sampling(
            temperature=fields.take("temperature", Number),
            top_p=fields.take("top_p", Number),
            top_k=fields.take("top_k", Integer),
            frequency_penalty=fields.take("frequency_penalty", Number),
            presence_penalty=fields.take("presence_penalty", Number),
            seed=fields.take("seed", Integer),
            logit_bias=None if bias is None else bytes(bias),
        ),
        reasoning=_reasoning(fields),
        output=_output(fields),
        stream=fields.take("stream", Boolean) or False,
        include_usage=include_usage or False,
        cache=CacheControl(cache.take("ttl", String)) if cache else None,
        user=user if user is not None else fields.take("safety_identifier", String),
        verbosity=fields.take("verbosity", String),
        metadata=None if metadata is None else bytes(metadata),
        extras=fields.rest(),
    )


def _tool(raw: msgspec.Raw, where: str) -> Tool:
    fields = Fields.of(raw, where)
    kind = fields.take("type", String) or "function"
    if kind == "function":
        function = fields.object("function")
        if function is None:
            raise missing(f"{where}.function", "an object")
        schema = function.raw("parameters")
        cache = fields.object("cache_control") or function.object("cache_control")
        return FunctionTool(
            name=function.need("name", String, "a string"),
            description=function.take("description", String),
            parameters=None if schema is None else bytes(schema),
            strict=function.take("strict", Boolean),
            cache=CacheControl(cache.take("ttl", String)) if cache else None,
        )
    if kind == "custom":
        custom = fields.object("custom")
        if custom is None:
            raise missing(f"{where}.custom", "an object")
        form = custom.raw("format")
        return CustomTool(
            name=custom.need("name", String, "a string"),
            description=custom.take("description", String),
            format=None if form is None else bytes(form),
        )
    raise unsupported(f"{where}.type", f"tools of the type {kind!r} cannot be passed on.")


def _tool_choice(fields: Fields) -> ToolChoice | None:
    raw = fields.raw("tool_choice")
    if raw is None:
        return None
    if text_of(raw).startswith('"'):
        match decode(String, raw):
            case "auto":
                return ToolChoice("auto")
            case "none":
                return ToolChoice("none")
            case "required" | "any":
                return ToolChoice("required")
            case word:
                raise unsupported("tool_choice", f"{word!r} is not known.")
    choice = Fields.of(raw, "tool_choice")
    kind = choice.need("type", String, "a string")
    if kind in ("function", "custom"):
        return ToolChoice("tool", _name(choice, kind))
    if kind == "allowed_tools":
        inner = choice.object("allowed_tools")
        if inner is None:
            raise missing("tool_choice.allowed_tools", "an object")
        mode = inner.take("mode", String)
        names = [
            _allowed(tool, f"{inner.where}.tools[{i}]")
            for i, tool in enumerate(inner.array("tools"))
        ]
        return ToolChoice("required" if mode == "required" else "auto", allowed=tuple(names))
    raise unsupported("tool_choice.type", f"{kind!r} is not known.")


def _name(fields: Fields, kind: str) -> str:
    inner = fields.object(kind)
    if inner is None:
        raise missing(fields.path(kind), "an object")
    return inner.need("name", String, "a string")


def _allowed(raw: msgspec.Raw, where: str) -> str:
    fields = Fields.of(raw, where)
    return _name(fields, fields.take("type", String) or "function")


def _reasoning(fields: Fields) -> Reasoning:
    effort = fields.take("reasoning_effort", String)
    budget: int | None = None
    enabled: bool | None = None
    # OpenRouter's and Anthropic's forms, which clients of compatible servers send.
    if (nested := fields.object("reasoning")) is not None:
        effort = nested.take("effort", String) or effort
        budget = nested.take("max_tokens", Integer)
        enabled = nested.take("enabled", Boolean)
    if (thinking := fields.object("thinking")) is not None:
        enabled = thinking.take("type", String) != "disabled"
        budget = thinking.take("budget_tokens", Integer) if enabled else None
    if effort is not None and effort not in get_args(Effort):
        raise unsupported("reasoning_effort", f"{effort!r} is not known.")
    if effort == "none":
        enabled = False
    return Reasoning(enabled, budget, cast(Effort | None, effort))


def _output(fields: Fields) -> OutputFormat | None:
    shape = fields.object("response_format")
    if shape is None:
        return None
    kind = shape.need("type", String, "a string")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat("json_object")
    inner = shape.object("json_schema")
    if kind != "json_schema" or inner is None:
        raise unsupported("response_format", f"{kind!r} is not known, or has no schema.")
    schema = inner.raw("schema")
    return OutputFormat(
        "json_schema",
        name=inner.take("name", String),
        schema=b'{"type":"object"}' if schema is None else bytes(schema),
        strict=inner.take("strict", Boolean),
        description=inner.take("description", String),
    )
