"""Write a turn as an Anthropic Messages request.

1. Leading ``system`` and ``developer`` messages become ``system``; later ones stay where they are
   if the model takes them there, else they go to the user's side, marked as what they are.
2. Consecutive messages of one role become one, with tool results in front, as the API wants them.
3. Fields that the model or the API's version refuses are left out where they are hints and refused
   where they change what is asked.

Rules and their sources: docs/decisions/dialects.rst.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from attrs import evolve

from clawproxy.core.dialects.anthropic_cache import mark
from clawproxy.core.dialects.anthropic_schema import Unfit, closed
from clawproxy.core.dialects.anthropic_tools import cached, write_choice, write_tools
from clawproxy.core.dialects.freeform import custom_arguments
from clawproxy.core.dialects.naming import (
    MAX_CLAUDE_TOOL_NAME,
    claude_call_id,
    short_tool_name,
)
from clawproxy.core.dialects.parts import (
    FilePart,
    ImagePart,
    InlineData,
    Message,
    OpaquePart,
    Part,
    PlainText,
    RefusalPart,
    RemoteUrl,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    VendorFile,
)
from clawproxy.core.dialects.rawjson import encode, is_object, says_nothing
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

OPENING = "(The conversation begins.)"
"""Stands for the user's first words where a conversation has none, since the API wants a user to
begin.
"""

NO_PREFILL_SINCE: Version = (4, 6)
"""The first models that answer 400 to a conversation whose last words are the assistant's."""

CLOSING = "(Please go on.)"
"""Stands for the user's last words where those models need some."""

RAW_ARGUMENTS = "raw_arguments"
"""The member under which arguments that are no JSON object (a cut answer's) are kept as text:
``input`` has to be an object.
"""

_MAX_USER_ID = 256


def build_request(turn: Turn, *, model: str, stream: bool, api_version: str | None) -> bytes:
    """Write the body of ``POST /v1/messages``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.build_request`.
    """
    version = claude_version(model)
    system, messages = _split_system(turn)
    max_tokens = turn.max_tokens if turn.max_tokens is not None else default_max_tokens(model)
    max_tokens = min(max_tokens, most_claude_tokens(model))
    out: Json = {"model": model, "max_tokens": max_tokens}
    if system:
        out["system"] = [_text(part) for part in system]
    own = messages if turn.dialect == "anthropic" else _with_own_ids(messages)
    out["messages"] = _messages(own, version)
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


def _split_system(turn: Turn) -> tuple[list[TextPart], list[Message]]:
    """Separate the instructions that come before everything from the conversation."""
    system = list(turn.system)
    messages = list(turn.messages)
    while messages and messages[0].role in ("system", "developer"):
        system += [part for part in messages.pop(0).parts if isinstance(part, TextPart)]
    return [part for part in system if part.text.strip()], messages


def _with_own_ids(messages: list[Message]) -> Iterator[Message]:
    """Give each call an id that the API allows and no other call has, and its result the same.

    Some servers count their calls anew in each answer, and a conversation that comes from there would be
    refused as a whole.
    """
    taken: set[str] = set()
    current: dict[str, str] = {}

    def renamed(part: Part) -> Part:
        if isinstance(part, ToolCallPart):
            plain = name = claude_call_id(part.id)
            while name in taken:
                name = f"{plain}_{len(taken)}"
            taken.add(name)
            current[part.id] = name
            return part if name == part.id else evolve(part, id=name)
        if isinstance(part, ToolResultPart):
            known = current.get(part.call_id)
            name = claude_call_id(part.call_id) if known is None else known
            return part if name == part.call_id else evolve(part, call_id=name)
        return part

    for message in messages:
        if any(isinstance(part, (ToolCallPart, ToolResultPart)) for part in message.parts):
            yield Message(message.role, tuple(map(renamed, message.parts)), message.name)
        else:
            yield message


def _messages(messages: Iterable[Message], version: Version) -> list[Json]:
    out: list[Json] = []
    for message in messages:
        role: str = message.role
        if role in ("system", "developer"):
            content = [
                _text(p) for p in message.parts if isinstance(p, TextPart) and p.text.strip()
            ]
            if version >= (4, 8) and out and out[-1]["role"] == "user":
                role = "system"
            else:
                role = "user"
                for block in content:
                    block["text"] = f"<system>\n{block['text']}\n</system>"
        else:
            content = [block for part in message.parts for block in _block(part, role)]
        if not content:
            continue
        if out and out[-1]["role"] == role:
            out[-1]["content"] += content
        else:
            out.append({"role": role, "content": content})
    out = _without_last_thoughts(out)
    if not out or out[0]["role"] != "user":
        out.insert(0, {"role": "user", "content": [{"type": "text", "text": OPENING}]})
    for message_out in out:
        if message_out["role"] == "user":  # results answer the calls of the message before: first
            message_out["content"].sort(key=lambda block: block["type"] != "tool_result")
    if out[-1]["role"] == "assistant" and "text" in (last := out[-1]["content"][-1]):
        last["text"] = last["text"].rstrip()  # the API refuses a prefill that ends in whitespace
        if version >= NO_PREFILL_SINCE:
            out.append({"role": "user", "content": [{"type": "text", "text": CLOSING}]})
    return out


def _without_last_thoughts(messages: list[Json]) -> list[Json]:
    """Leave out thinking that nothing follows, which a limit cut: the API refuses a message that ends in it."""
    out: list[Json] = []
    for message in messages:
        content = message["content"]
        while content and content[-1]["type"] in ("thinking", "redacted_thinking"):
            content.pop()
        if content and out and out[-1]["role"] == message["role"]:
            out[-1]["content"] += content
        elif content:
            out.append(message)
    return out


def _block(part: Part, role: str) -> list[Json]:
    match part:
        case TextPart():
            return [_text(part)] if part.text.strip() else []  # the API refuses empty text
        case RefusalPart(text):
            return [{"type": "text", "text": text}] if text.strip() else []
        case ThinkingPart():
            return _thinking_block(part)
        case ImagePart() | FilePart() if role == "assistant":
            raise unsupported(part.where, "an assistant's message cannot hold images or files.")
        case ImagePart():
            return [cached({"type": "image", "source": _image(part)}, part.cache)]
        case FilePart():
            return [_document(part)]
        case ToolCallPart():
            call: Json = {
                "type": "tool_use",
                "id": part.id,
                "name": short_tool_name(part.name, MAX_CLAUDE_TOOL_NAME),
                "input": tool_input(
                    custom_arguments(part.arguments) if part.custom else part.arguments
                ),
            }
            return [cached(call, part.cache)]
        case ToolResultPart():
            return [_tool_result(part)]
        case OpaquePart():
            if part.origin != "anthropic":
                raise unsupported(part.where, f"{part.kind} cannot be expressed for Anthropic.")
            return [msgspec.json.decode(part.raw, type=dict[str, msgspec.Raw])]


def tool_input(arguments: str) -> msgspec.Raw | Json:
    """Return arguments as the object that ``input`` has to be, each number as it was spelled."""
    if says_nothing(arguments):
        return {}
    if is_object(arguments):
        return msgspec.Raw(arguments.encode())
    return {RAW_ARGUMENTS: arguments}


def _thinking_block(part: ThinkingPart) -> list[Json]:
    if part.origin != "anthropic":
        return []
    if part.redacted:
        return [{"type": "redacted_thinking", "data": part.redacted}]
    if part.signature:
        return [{"type": "thinking", "thinking": part.text, "signature": part.signature}]
    return []


def _text(part: TextPart) -> Json:
    return cached({"type": "text", "text": part.text}, part.cache)


def _image(part: ImagePart) -> Json:
    match part.source:
        case InlineData(media_type, data):
            return {"type": "base64", "media_type": media_type, "data": data}
        case RemoteUrl(url):
            return {"type": "url", "url": url}
        case VendorFile(file_id, origin):
            if origin != "anthropic":
                raise unsupported(part.where, "a file at another vendor cannot be read.")
            return {"type": "file", "file_id": file_id}


def _document(part: FilePart) -> Json:
    source: Json
    match part.source:
        case InlineData("application/pdf", data):
            source = {"type": "base64", "media_type": "application/pdf", "data": data}
        case InlineData(media_type, data) if media_type.startswith("text/"):
            source = {"type": "text", "media_type": "text/plain", "data": _decoded(data, part)}
        case InlineData(media_type, _):
            raise unsupported(part.where, f"files of the type {media_type!r} cannot be read.")
        case PlainText(text):
            source = {"type": "text", "media_type": "text/plain", "data": text}
        case RemoteUrl(url):
            source = {"type": "url", "url": url}
        case VendorFile(file_id, origin):
            if origin != "anthropic":
                raise unsupported(part.where, "a file at another vendor cannot be read.")
            source = {"type": "file", "file_id": file_id}
    block: Json = {"type": "document", "source": source}
    if part.name:
        block["title"] = part.name
    if part.context:
        block["context"] = part.context
    if part.citations:
        block["citations"] = {"enabled": True}
    return cached(block, part.cache)


def _decoded(data: str, part: FilePart) -> str:
    try:
        return base64.b64decode(data, validate=False).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise unsupported(part.where, "its base64 data cannot be decoded.") from None


def _tool_result(part: ToolResultPart) -> Json:
    out: Json = {"type": "tool_result", "tool_use_id": part.call_id}
    content = [block for inner in part.content for block in _block(inner, "user")]
    if part.is_error and not content:  # the API wants an error to say something
        content = [{"type": "text", "text": "The tool failed."}]
    if content:
        out["content"] = content
    if part.is_error:
        out["is_error"] = True
    return cached(out, part.cache)


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
