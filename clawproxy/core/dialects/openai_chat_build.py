"""Write a turn as a Chat Completions request.

1. The system prompt's parts stay apart and in order, in one ``system`` message; later ``system``
   messages stay in their places.
2. Tool results become ``tool`` messages right after the assistant's; their images and files, for
   which such a message has no place, follow in a ``user`` message, each with the call it belongs
   to.
3. Sealed thinking is left out; it means nothing to another vendor and is never sent as text.
   Thinking that such a server gave out itself goes back to it under the name it had there, and Gemini's
   seals go back beside the calls that they came with.
4. Usage is always asked for in a stream, but of Mistral's own server, which tell it without being asked.

Rules and their sources: docs/decisions/dialects.rst.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.naming import short_tool_name
from clawproxy.core.dialects.openai_chat_conversation import write_messages
from clawproxy.core.dialects.openai_schema import object_schema, strict_ready
from clawproxy.core.dialects.rawjson import encode
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, ServerTool, Tool
from clawproxy.core.dialects.traits import (
    at_mistral,
    most_tokens,
    openai_effort,
    parallel,
    reasons,
)
from clawproxy.core.dialects.turn import OutputFormat, Turn, field_name, unsupported

Json = dict[str, Any]

_MAX_USER = 64


def build_request(turn: Turn, *, model: str, stream: bool, server: str = "") -> bytes:
    """Write the body of ``POST /v1/chat/completions``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.build_request`.
    """
    out: Json = {"model": model, "messages": write_messages(turn, model, server)}
    tools = [found for tool in turn.tools if (found := _tool(tool)) is not None]
    if tools:
        out["tools"] = tools
        if choice := _tool_choice(turn):
            out["tool_choice"] = choice
        if turn.parallel_tool_calls is not None and parallel(model):
            out["parallel_tool_calls"] = turn.parallel_tool_calls
    if turn.max_tokens is not None:
        if turn.max_tokens < 1:
            raise unsupported(field_name(turn, "max_tokens"), "at least 1 is expected.")
        name = "max_completion_tokens" if reasons(model) else "max_tokens"
        out[name] = min(turn.max_tokens, most_tokens(model))
    if turn.stop_sequences:
        out["stop"] = list(turn.stop_sequences)
    out |= _sampling(turn, model)
    if effort := openai_effort(model, turn.reasoning):
        out["reasoning_effort"] = effort
    if turn.output is not None and turn.output.kind != "text":
        out["response_format"] = _response_format(turn.output)
    if turn.verbosity and reasons(model):
        out["verbosity"] = turn.verbosity
    if turn.user is not None and len(turn.user) <= _MAX_USER and not at_mistral(server):
        out["user"] = turn.user
    if turn.dialect == "openai_chat":
        if turn.metadata is not None:
            out["metadata"] = msgspec.Raw(turn.metadata)
        for name, raw in turn.extras.items():
            out.setdefault(name, msgspec.Raw(raw))
    if stream:
        out["stream"] = True
        if not at_mistral(server):
            out["stream_options"] = {"include_usage": True}
    return encode(out)


def _tool(tool: Tool) -> Json | None:
    match tool:
        case FunctionTool():
            function: Json = {"name": short_tool_name(tool.name)}
            if tool.description:
                function["description"] = tool.description
            function["parameters"] = object_schema(tool.parameters)
            if tool.strict is not None:
                function["strict"] = tool.strict and strict_ready(tool.parameters or b"{}")
            return {"type": "function", "function": function}
        case CustomTool():
            return _tool(tool.as_function())
        case ServerTool():
            if tool.optional:
                return None
            raise unsupported(
                tool.where, f"the tool {tool.kind} cannot be expressed in Chat Completions."
            )


def _tool_choice(turn: Turn) -> str | Json | None:
    choice = turn.tool_choice
    if choice is None:
        return None
    if choice.allowed is not None:
        names = [
            {"type": "function", "function": {"name": short_tool_name(name)}}
            for name in choice.allowed
        ]
        mode = "required" if choice.mode == "required" else "auto"
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": names}}
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": short_tool_name(choice.name or "")}}
    return choice.mode


def _sampling(turn: Turn, model: str) -> Json:
    sampling = turn.sampling
    if sampling.top_k is not None:
        raise unsupported("top_k", "OpenAI's API does not take it.")
    out: Json = {}
    for name in ("temperature", "top_p"):
        value = getattr(sampling, name)
        if value is not None and not reasons(model):
            out[name] = value
    for name in ("frequency_penalty", "presence_penalty", "seed"):
        if (value := getattr(sampling, name)) is not None:
            out[name] = value
    if sampling.logit_bias is not None:
        out["logit_bias"] = msgspec.Raw(sampling.logit_bias)
    return out


def _response_format(shape: OutputFormat) -> Json:
    if shape.kind == "json_object" or shape.schema is None:
        return {"type": "json_object"}
    inner: Json = {"name": shape.name or "answer", "schema": msgspec.Raw(shape.schema)}
    if shape.description:
        inner["description"] = shape.description
    if shape.strict is not None:
        inner["strict"] = shape.strict and strict_ready(shape.schema)
    return {"type": "json_schema", "json_schema": inner}
