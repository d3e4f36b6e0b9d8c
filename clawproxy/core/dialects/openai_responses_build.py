"""Write a turn as a Responses request.

1. Standing instructions go into ``instructions`` where they are one text, else they open ``input``
   as developer messages: separate parts stay apart.
2. Nothing is stored at the vendor (``store: false``): the caller's dialect sends its conversation
   whole, and did not ask for a copy. Reasoning comes back encrypted instead, and goes home with it.
3. What the API cannot express (stop sequences, penalties) is refused under the caller's name of it.

Field by field: https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec

from clawproxy.core.dialects.freeform import custom_input
from clawproxy.core.dialects.naming import MAX_RESPONSES_CALL_ID, short_call_id, short_tool_name
from clawproxy.core.dialects.openai_chat_conversation import ERROR_MARK
from clawproxy.core.dialects.openai_responses_tools import write_tool
from clawproxy.core.dialects.openai_schema import strict_ready
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
from clawproxy.core.dialects.rawjson import encode
from clawproxy.core.dialects.tools import CustomTool, ServerTool
from clawproxy.core.dialects.traits import most_tokens, openai_effort, reasons
from clawproxy.core.dialects.turn import Turn, field_name, unsupported

Json = dict[str, Any]

MAX_USER = 64
"""The longest ``user`` that the API has always taken; a longer one goes as a hash."""

_MACHINERY = frozenset({"fallback", "tool_search_tool_result"})
"""Anthropic's blocks that tell of its own machinery and say nothing to another model."""

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
    items: list[Json | msgspec.Raw] = []
    if len(turn.system) == 1:
        out["instructions"] = turn.system[0].text
    else:
        items += [_words("developer", part.text) for part in turn.system]
    custom = {tool.name for tool in turn.tools if isinstance(tool, CustomTool)}
    freeform: set[str] = set()
    for message in turn.messages:
        items += _items(message, custom, freeform)
    out["input"] = items
    tools = [write_tool(tool) for tool in turn.tools if not _left_out(tool)]
    if tools:
        out["tools"] = tools
        _tool_choice(out, turn, custom)
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


def _items(message: Message, custom: set[str], freeform: set[str]) -> Iterable[Json | msgspec.Raw]:
    """Write a message: its words as one item; calls, answers and reasoning as their own.

    :param custom: the names of freeform tools.
    :param freeform: the ids of calls of such tools so far; added to.
    """
    words: list[Json] = []
    thoughts: list[Json | msgspec.Raw] = []  # the API refuses reasoning that nothing follows
    assistant = message.role == "assistant"
    # Results answer the calls of the message before: first.
    parts = message.parts if assistant else sorted(message.parts, key=_is_no_result)
    for part in parts:
        if isinstance(part, TextPart | RefusalPart | ImagePart | FilePart):
            words.append(_output_content(part) if assistant else content(part))
            continue
        if words:
            yield from (*thoughts, _message(message, words))
            words, thoughts = [], []
        items = _item(part, custom, freeform)
        if isinstance(part, ThinkingPart):
            thoughts += items
            continue
        yield from (*thoughts, *items)
        thoughts = []
    if words:
        yield from (*thoughts, _message(message, words))


def _is_no_result(part: Part) -> bool:
    return not isinstance(part, ToolResultPart)


def _message(message: Message, words: list[Json]) -> Json:
    return {"type": "message", "role": message.role, "content": words}


def _words(role: str, text: str) -> Json:
    return {
        "type": "message",
        "role": role,
        "content": [{"type": "input_text", "text": text}],
    }


def _item(part: Part, custom: set[str], freeform: set[str]) -> Iterable[Json | msgspec.Raw]:
    match part:
        case ThinkingPart(origin="openai_responses", signature=signature) if signature:
            reasoning: Json = {"type": "reasoning", "summary": []}
            if part.id:
                reasoning["id"] = part.id
            if part.text:
                reasoning["summary"] = [{"type": "summary_text", "text": part.text}]
            yield reasoning | {"encrypted_content": signature}
        case ToolCallPart() if part.custom or part.name in custom:
            freeform.add(part.id)
            yield {
                "type": "custom_tool_call",
                "call_id": short_call_id(part.id, MAX_RESPONSES_CALL_ID),
                "name": short_tool_name(part.name),
                "input": part.arguments if part.custom else custom_input(part.arguments),
            }
        case ToolCallPart():
            yield {
                "type": "function_call",
                "call_id": short_call_id(part.id, MAX_RESPONSES_CALL_ID),
                "name": short_tool_name(part.name),
                "arguments": part.arguments or "{}",
            }
        case ToolResultPart():
            kind = "custom_tool_call" if part.call_id in freeform else "function_call"
            yield {
                "type": f"{kind}_output",
                "call_id": short_call_id(part.call_id, MAX_RESPONSES_CALL_ID),
                "output": _output(part),
            }
        case OpaquePart(origin="openai_responses", raw=raw):
            yield msgspec.Raw(raw)
        case OpaquePart(kind=kind) if kind in _MACHINERY:
            pass
        case OpaquePart():
            raise unsupported(part.where, f"{part.kind} cannot be expressed for the Responses API.")


def _output(part: ToolResultPart) -> str | list[Json]:
    """Write a tool's answer; the API has no flag for a failed one, so its text has to say it."""
    parts = list(part.content)
    if part.is_error:
        first = parts[0] if parts else None
        words = (first.text if isinstance(first, TextPart) else "") or "The tool failed."
        if not words.startswith("Error"):
            words = ERROR_MARK + words
        parts[: isinstance(first, TextPart)] = [TextPart(words)]
    if all(isinstance(each, TextPart) for each in parts):
        return "\n\n".join(each.text for each in parts if isinstance(each, TextPart))
    return [content(each) for each in parts]


def _output_content(part: TextPart | RefusalPart | ImagePart | FilePart) -> Json:
    match part:
        case TextPart(text):
            return {"type": "output_text", "text": text, "annotations": []}
        case RefusalPart(text):
            return {"type": "refusal", "refusal": text}
        case _:
            raise unsupported(part.where, "an assistant's message cannot hold images or files.")


def content(part: TextPart | RefusalPart | ImagePart | FilePart) -> Json:
    """Write a part of a message that is not the assistant's, or of a tool's answer."""
    match part:
        case TextPart(text) | RefusalPart(text):
            return {"type": "input_text", "text": text}
        case ImagePart():
            return {"type": "input_image", "detail": part.detail or "auto"} | _image(part)
        case FilePart():
            return _file(part)


def _image(part: ImagePart) -> Json:
    match part.source:
        case InlineData(media_type, data):
            return {"image_url": f"data:{media_type};base64,{data}"}
        case RemoteUrl(url):
            return {"image_url": url}
        case VendorFile(file_id):
            return {"file_id": _own_file(part, file_id)}


def _file(part: FilePart) -> Json:
    match part.source:
        case PlainText(text):
            head = "\n".join(said for said in (part.name, part.context) if said)
            return {"type": "input_text", "text": f"{head}\n\n{text}" if head else text}
        case InlineData(media_type, data):
            suffix = "pdf" if media_type == "application/pdf" else "txt"
            return {
                "type": "input_file",
                "filename": part.name or f"document.{suffix}",
                "file_data": f"data:{media_type};base64,{data}",
            }
        case RemoteUrl(url):
            return {"type": "input_file", "file_url": url}
        case VendorFile(file_id):
            return {"type": "input_file", "file_id": _own_file(part, file_id)}


def _own_file(part: ImagePart | FilePart, file_id: str) -> str:
    if isinstance(part.source, VendorFile) and part.source.origin == "anthropic":
        raise unsupported(part.where, "a file at another vendor cannot be read.")
    return file_id


def _tool_choice(out: Json, turn: Turn, custom: set[str]) -> None:
    if turn.parallel_tool_calls is not None:
        out["parallel_tool_calls"] = turn.parallel_tool_calls
    choice = turn.tool_choice
    if choice is None:
        return

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
    if reasons(model):
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
