"""Write a turn's conversation as Anthropic's messages.

1. Leading ``system`` and ``developer`` messages become ``system``; later ones stay where they are
   if the model takes them there, else they go to the user's side, marked as what they are.
2. Consecutive messages of one role become one, with tool results in front, as the API wants them. A user begins, and
   ends where the model wants it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from attrs import evolve

from clawproxy.core.dialects.anthropic_tools import cached
from clawproxy.core.dialects.freeform import custom_arguments, object_arguments
from clawproxy.core.dialects.naming import MAX_CLAUDE_TOOL_NAME, claude_call_id, short_tool_name
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
from clawproxy.core.dialects.traits import Version
from clawproxy.core.dialects.turn import Turn, unsupported
from clawproxy.core.imagesize import true_media_type

Json = dict[str, Any]

OPENING = "(The conversation begins.)"
"""Stands for the user's first words where a conversation has none, since the API wants a user to
begin.
"""

NO_PREFILL_SINCE: Version = (4, 6)
"""The first models that answer 400 to a conversation whose last words are the assistant's."""

CLOSING = "(Please go on.)"
"""Stands for the user's last words where those models need some."""


def split_system(turn: Turn) -> tuple[list[TextPart], list[Message]]:
    """Separate the instructions that come before everything from the conversation."""
    system = list(turn.system)
    messages = list(turn.messages)
    while messages and messages[0].role in ("system", "developer"):
        system += [part for part in messages.pop(0).parts if isinstance(part, TextPart)]
    return [part for part in system if part.text.strip()], messages


def with_own_ids(messages: list[Message]) -> Iterator[Message]:
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


def write_messages(messages: Iterable[Message], version: Version) -> list[Json]:
    """Write ``messages``.

    :param version: of the model, which decides where instructions may stand and who may speak last.
    :raises ProxyError: ``UNSUPPORTED_PARAMETER`` for what this dialect cannot express.
    """
    out: list[Json] = []
    for message in messages:
        role: str = message.role
        if role in ("system", "developer"):
            content = [
                write_text(p) for p in message.parts if isinstance(p, TextPart) and p.text.strip()
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
            return [write_text(part)] if part.text.strip() else []  # the API refuses empty text
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


def tool_input(arguments: str) -> msgspec.Raw:
    """Return arguments as the object that ``input`` has to be, each number as it was spelled."""
    return msgspec.Raw(object_arguments(arguments).encode())


def _thinking_block(part: ThinkingPart) -> list[Json]:
    if part.origin != "anthropic":
        return []
    if part.redacted:
        return [{"type": "redacted_thinking", "data": part.redacted}]
    if part.signature:
        return [{"type": "thinking", "thinking": part.text, "signature": part.signature}]
    return []


def write_text(part: TextPart) -> Json:
    """Write words."""
    return cached({"type": "text", "text": part.text}, part.cache)


def _image(part: ImagePart) -> Json:
    match part.source:
        case InlineData(media_type, data):
            # OpenAI looks at the bytes alone; Anthropic refuses a picture under another name than its own.
            kind = true_media_type(media_type, data)
            return {"type": "base64", "media_type": kind, "data": data}
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
