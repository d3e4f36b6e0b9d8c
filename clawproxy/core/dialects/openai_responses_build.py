"""Write a turn as a Responses request.

1. The conversation is written by :mod:`.openai_responses_conversation`, the tools by :mod:`.openai_responses_tools`.
2. Nothing is stored at the vendor (``store: false``): the caller's dialect sends its conversation
   whole, and did not ask for a copy. Reasoning comes back encrypted instead, and goes home with it.
3. What the API cannot express (stop sequences, penalties) is refused under the caller's name of it.

Field by field: https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from clawproxy.core.dialects.naming import short_tool_name
from clawproxy.core.dialects.openai_responses_conversation import write_input
from clawproxy.core.dialects.openai_responses_tools import write_tool
from clawproxy.core.dialects.openai_schema import strict_ready
from clawproxy.core.dialects.rawjson import encode
from clawproxy.core.dialects.tools import CustomTool, ServerTool
from clawproxy.core.dialects.traits import most_tokens, openai_effort, reasons, thinks_unasked
from clawproxy.core.dialects.turn import Turn, field_name, unsupported

Json = dict[str, Any]

MAX_USER = 64
"""The longest ``user`` that the API has always taken; a longer one goes as a hash."""

_SHARED = (
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "safety_identifier",
)
"""Hints of a Chat Completions caller that have the same name and meaning here."""


def build_request(turn: Turn, *, model: str, stream: bool) -> bytes:
    """Write the body of ``POST /v1/responses``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.build_request`.
    """
    _refuse(turn)
    out: Json = {"model": model}
    instructions, items = write_input(turn)
    if instructions is not None:
        out["instructions"] = instructions
    out["input"] = items
    tools = [write_tool(tool) for tool in turn.tools if not _left_out(tool)]
    if tools:
        out["tools"] = tools
        _tool_choice(out, turn)
    if turn.max_tokens is not None:
        out["max_output_tokens"] = min(max(turn.max_tokens, MIN_OUTPUT), most_tokens(model))
    _sampling(out, turn, model)
    _reasoning(out, turn, model)
    _text_options(out, turn)
    if turn.user is not None:
        out["user"] = short_user(turn.user)
    if turn.metadata is not None and turn.dialect != "anthropic":
        out["metadata"] = msgspec.Raw(turn.metadata)
    for name, raw in turn.extras.items():
        if turn.dialect == "openai_responses" or (
            turn.dialect == "openai_chat" and name in _SHARED
        ):
            out.setdefault(name, msgspec.Raw(raw))
    out.setdefault("store", False)
    if stream:
        out["stream"] = True
    return encode(out)


MIN_OUTPUT = 16
"""The smallest ``max_output_tokens`` that the API takes; Claude Code asks for 1 to test a key."""


def short_user(user: str) -> str:
    """Fit an end user's name into :data:`MAX_USER` characters, the same way each time."""
    if len(user) <= MAX_USER:
        return user
    return sha256(user.encode("utf-8", "replace")).hexdigest()


def _refuse(turn: Turn) -> None:
    if turn.stop_sequences:
        raise unsupported(
            field_name(turn, "stop_sequences"), "the Responses API has no stop sequences."
        )
    sampling = turn.sampling
    for name in ("top_k", "frequency_penalty", "presence_penalty", "logit_bias"):
        value = getattr(sampling, name)
        if value and value != b"{}":
            raise unsupported(name, "the Responses API has no such parameter.")


def _left_out(tool: object) -> bool:
    return isinstance(tool, ServerTool) and tool.origin != "openai_responses" and tool.optional


def _tool_choice(out: Json, turn: Turn) -> None:
    if turn.parallel_tool_calls is not None:
        out["parallel_tool_calls"] = turn.parallel_tool_calls
    choice = turn.tool_choice
    if choice is None:
        return

    custom = {tool.name for tool in turn.tools if isinstance(tool, CustomTool)}

    def tool(name: str) -> Json:
        kind = "custom" if name in custom else "function"
        return {"type": kind, "name": short_tool_name(name)}

    if choice.allowed is not None:
        out["tool_choice"] = {
            "type": "allowed_tools",
            "mode": "required" if choice.mode == "required" else "auto",
            "tools": [tool(name) for name in choice.allowed],
        }
    elif choice.mode == "tool" and choice.name is not None:
        out["tool_choice"] = tool(choice.name)
    else:
        out["tool_choice"] = choice.mode


def _sampling(out: Json, turn: Turn, model: str) -> None:
    if reasons(model):
        return  # these models answer 400 to both, at any value
    if turn.sampling.temperature is not None:
        out["temperature"] = turn.sampling.temperature
    if turn.sampling.top_p is not None:
        out["top_p"] = turn.sampling.top_p


def _reasoning(out: Json, turn: Turn, model: str) -> None:
    reasoning: Json = {}
    effort = openai_effort(model, turn.reasoning)
    if effort is not None:
        reasoning["effort"] = effort
    if reasons(model) and not thinks_unasked(model):
        if turn.reasoning.summary is not None and effort != "none":
            reasoning["summary"] = turn.reasoning.summary
        if "include" not in turn.extras:
            out["include"] = ["reasoning.encrypted_content"]
    if reasoning:
        out["reasoning"] = reasoning


def _text_options(out: Json, turn: Turn) -> None:
    options: Json = {}
    shape = turn.output
    if shape is not None:
        options["format"] = {"type": shape.kind}
        if shape.schema is not None:
            options["format"] |= {
                "name": shape.name or "answer",
                "schema": msgspec.Raw(shape.schema),
            }
            if shape.strict is not None:
                options["format"]["strict"] = shape.strict and strict_ready(shape.schema)
            if shape.description is not None:
                options["format"]["description"] = shape.description
    if turn.verbosity is not None:
        options["verbosity"] = turn.verbosity
    if options:
        out["text"] = options
