"""Write a turn as an Anthropic Messages request.

1. The conversation is written by :mod:`.anthropic_conversation`, the tools by :mod:`.anthropic_tools`.
2. Fields that the model or the API's version refuses are left out where they are hints and refused
   where they change what is asked.

Rules and their sources: docs/decisions/dialects.rst.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.anthropic_cache import mark
from clawproxy.core.dialects.anthropic_conversation import (
    split_system,
    with_own_ids,
    write_messages,
    write_text,
)
from clawproxy.core.dialects.anthropic_schema import Unfit, closed
from clawproxy.core.dialects.anthropic_tools import write_choice, write_tools
from clawproxy.core.dialects.parts import ThinkingPart, ToolResultPart
from clawproxy.core.dialects.rawjson import encode
from clawproxy.core.dialects.traits import (
    MIN_BUDGET,
    NEWEST,
    Version,
    claude_budget,
    claude_version,
    default_max_tokens,
    most_claude_tokens,
)
from clawproxy.core.dialects.turn import Turn, field_name, unsupported

Json = dict[str, Any]

NO_SAMPLING_SINCE = "2026-10-21"
"""The first ``anthropic-version`` that answers 400 to ``temperature``, ``top_p`` and ``top_k``."""

PAIRLESS: Version = (4, 1)
"""The first models that answer 400 to ``temperature`` and ``top_p`` together."""

_MAX_USER_ID = 256


def build_request(turn: Turn, *, model: str, stream: bool, api_version: str | None) -> bytes:
    """Write the body of ``POST /v1/messages``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.build_request`.
    """
    version = claude_version(model)
    system, messages = split_system(turn)
    max_tokens = turn.max_tokens if turn.max_tokens is not None else default_max_tokens(model)
    max_tokens = min(max_tokens, most_claude_tokens(model))
    out: Json = {"model": model, "max_tokens": max_tokens}
    if system:
        out["system"] = [write_text(part) for part in system]
    own = messages if turn.dialect == "anthropic" else with_own_ids(messages)
    out["messages"] = write_messages(own, version)
    tools = write_tools(turn, version)
    if tools:
        out["tools"] = tools
    choice = write_choice(turn) if tools else None
    if choice:
        out["tool_choice"] = choice
    forced = choice is not None and choice["type"] in ("any", "tool")
    thinking, effort = _thinking(turn, version, max_tokens, forced)
    if thinking:
        out["thinking"] = thinking
    config = _output_config(turn, effort)
    if config:
        out["output_config"] = config
    on = thinking is not None and thinking["type"] != "disabled"
    out |= _sampling(turn, version, api_version, thinking=on)
    if turn.stop_sequences:
        out["stop_sequences"] = _stop_sequences(turn)
    if turn.user is not None and len(turn.user) <= _MAX_USER_ID:
        out["metadata"] = {"user_id": turn.user}
    if turn.dialect == "anthropic":
        for name, raw in turn.extras.items():
            out.setdefault(name, msgspec.Raw(raw))
    if turn.cache is not None:
        mark(out, turn.cache)
    if stream:
        out["stream"] = True
    return encode(out)


def _thinking(
    turn: Turn, version: Version, max_tokens: int, forced: bool
) -> tuple[Json | None, str | None]:
    """Return ``thinking`` and ``output_config.effort``."""
    wish = turn.reasoning
    off = wish.enabled is False or wish.effort == "none"
    effort = None if off or wish.effort is None else wish.effort.replace("minimal", "low")
    if effort == "xhigh" and version < (4, 7):
        effort = "high"
    wanted = not off and (wish.enabled or wish.effort is not None)
    if turn.dialect == "anthropic" and wish.budget_tokens is None and version == (0, 0):
        # Said by a caller of the same API about a model whose age its name does not tell.
        version = (99, 0)
    if version >= (4, 6):
        if forced:  # forced calls exclude thinking
            return None, effort
        if wanted:
            shown: Json = {"display": "summarized"} if wish.summary else {}
            return {"type": "adaptive"} | shown, effort
        return ({"type": "disabled"} if off else None), None
    if not wanted or forced or (0, 0) < version < (3, 7):
        return None, None
    # A budget that the caller did not count itself leaves half of the tokens for the answer.
    most = max_tokens - 1 if wish.budget_tokens is not None else max_tokens // 2
    budget = min(claude_budget(wish), most)
    if budget < MIN_BUDGET or _in_tool_loop(turn):
        return None, None
    return {"type": "enabled", "budget_tokens": budget}, None


def _in_tool_loop(turn: Turn) -> bool:
    """Tell whether the last message answers calls whose signed thinking did not come back: manual
    thinking is refused then.
    """
    results = False
    for message in reversed(turn.messages):
        if message.role == "assistant":
            sealed = any(
                isinstance(p, ThinkingPart)
                and p.origin == "anthropic"
                and bool(p.signature or p.redacted)
                for p in message.parts
            )
            return results and not sealed
        results = results or any(isinstance(p, ToolResultPart) for p in message.parts)
    return False


def _output_config(turn: Turn, effort: str | None) -> Json:
    out: Json = {}
    if effort:
        out["effort"] = effort
    shape = turn.output
    if shape is not None and shape.kind == "json_schema" and shape.schema is not None:
        out["format"] = {"type": "json_schema", "schema": _output_schema(turn, shape.schema)}
    elif shape is not None and shape.kind != "text":
        raise unsupported(
            field_name(turn, "output"), f"{shape.kind} is not known to Anthropic; a schema is."
        )
    return out


def _output_schema(turn: Turn, schema: bytes) -> msgspec.Raw | Json:
    if turn.dialect == "anthropic":
        return msgspec.Raw(schema)
    try:
        return closed(schema)
    except Unfit as error:
        raise unsupported(
            field_name(turn, "output"), f"Anthropic's models cannot be held to it: {error}."
        ) from None


def _sampling(turn: Turn, version: Version, api_version: str | None, *, thinking: bool) -> Json:
    sampling = turn.sampling
    for name in ("frequency_penalty", "presence_penalty", "logit_bias"):
        value = getattr(sampling, name)
        if value and value != b"{}":
            raise unsupported(name, "Anthropic's models do not take it.")
    # Of a name without a version nothing is known: better a refusal that says so than a silent loss.
    refused = (4, 7) <= version < NEWEST
    if refused or thinking or (api_version is not None and api_version >= NO_SAMPLING_SINCE):
        return {}
    out: Json = {}
    if sampling.temperature is not None:
        if sampling.temperature > 1:
            raise unsupported("temperature", "Anthropic's models take 0 to 1.")
        out["temperature"] = sampling.temperature
    alone = "temperature" not in out or (sampling.top_p != 1 and not PAIRLESS <= version < NEWEST)
    if sampling.top_p is not None and alone:
        out["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        out["top_k"] = sampling.top_k
    return out


def _stop_sequences(turn: Turn) -> list[str]:
    for sequence in turn.stop_sequences:
        if not sequence.strip():
            raise unsupported(
                field_name(turn, "stop_sequences"),
                "Anthropic does not take stop sequences of whitespace alone.",
            )
    return list(turn.stop_sequences)
