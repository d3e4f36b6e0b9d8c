"""Write a turn's conversation as the messages of Chat Completions.

1. Each result follows its call at once, whatever stood between them; instructions can wait.
2. What a ``tool`` message has no place for (images, files, a failure) follows in a ``user`` message, or is said in
   its text.
3. Sealed thinking goes back to the servers that want it, and to no other; any other to where its server has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from attrs import evolve

from clawproxy.core.dialects.dataurl import write_url
from clawproxy.core.dialects.freeform import custom_arguments, object_arguments
from clawproxy.core.dialects.naming import short_tool_name
from clawproxy.core.dialects.openai_chat_reasoning import details_of
from clawproxy.core.dialects.openai_chat_servers import chat_call_id, fit, in_one
from clawproxy.core.dialects.openai_conversation import document_text, failed, foreign_block
from clawproxy.core.dialects.parts import (
    FilePart,
    ImagePart,
    InlineData,
    Message,
    OpaquePart,
    PlainText,
    RefusalPart,
    RemoteUrl,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    VendorFile,
)
from clawproxy.core.dialects.rawjson import is_object
from clawproxy.core.dialects.seal import UNSEALED_PARTS, UNSEALED_REASONING
from clawproxy.core.dialects.traits import is_mistral, seals_calls
from clawproxy.core.dialects.turn import Turn, unsupported

Json = dict[str, Any]

UNKNOWN_SEAL = {"google": {"thought_signature": "skip_thought_signature_validator"}}
"""Stands for the seal of a call that another model made; without one Gemini answers 400
(https://ai.google.dev/gemini-api/docs/thought-signatures).
"""


def write_messages(turn: Turn, model: str, server: str) -> list[Json]:
    """Write ``messages``, the standing instructions first.

    :param server: the upstream's address.
    :raises ProxyError: ``UNSUPPORTED_PARAMETER`` for what this dialect cannot express.
    """
    out: list[Json] = []
    if turn.system:
        out.append({"role": "system", "content": _joined([_text(p) for p in turn.system])})
    waiting: list[Json] = []  # results have to follow their calls, instructions can wait for them
    for message in _adjoined(turn.messages):
        if message.role == "assistant":
            out += waiting + _assistant(message, model)
            waiting = []
        elif message.role != "user" and (waiting or (out and out[-1].get("tool_calls"))):
            waiting += _other(message, model)
        else:
            mine = _other(message, model)
            results = [one for one in mine if one["role"] == "tool"]
            out += results + waiting + mine[len(results) :]
            waiting = []
    out += waiting
    if turn.dialect != "openai_chat":
        for written in out:
            if written["role"] in ("assistant", "tool") and isinstance(written["content"], list):
                written["content"] = in_one(written["content"])
    return fit(out, model, server)


def _adjoined(messages: Iterable[Message]) -> Iterator[Message]:
    """Join messages of one role that stand between calls and their results, as Anthropic reads them: here
    each call's result has to follow at once.
    """
    last: Message | None = None
    for message in messages:
        if last is not None and last.role == message.role and _belong(last, message):
            last = evolve(last, parts=last.parts + message.parts)
            continue
        if last is not None:
            yield last
        last = message
    if last is not None:
        yield last


def _belong(one: Message, other: Message) -> bool:
    if one.role == "assistant":
        return any(isinstance(part, ToolCallPart) for part in one.parts)
    return one.role == "user" and any(isinstance(part, ToolResultPart) for part in other.parts)


def _other(message: Message, model: str) -> list[Json]:
    """Write a ``user``, ``system`` or ``developer`` message, tool results first."""
    results: list[Json] = []
    moved: list[Json] = []  # what a result holds beside text
    content: list[Json] = []
    for part in message.parts:
        match part:
            case ToolResultPart():
                call_id = chat_call_id(part.call_id, model)
                text, rest = _result(part, call_id)
                results.append({"role": "tool", "tool_call_id": call_id, "content": text})
                moved += rest
            case ImagePart():
                content.append(_image(part))
            case FilePart():
                content.append(_file(part))
            case TextPart() | RefusalPart():
                content.append(_text(part))
            case OpaquePart():
                content += _opaque(part)
            case ThinkingPart() | ToolCallPart():
                pass  # only an assistant's
    content = moved + content
    if content:
        out: Json = {"role": message.role, "content": _joined(content)}
        if message.name:
            out["name"] = message.name
        return [*results, out]
    return results


def _assistant(message: Message, model: str) -> list[Json]:
    content: list[Json] = []
    calls: list[Json] = []
    refusals: list[str] = []
    reasoning: dict[str, str] = {}  # by the name under which its server has it
    details: list[msgspec.Raw] = []
    seal: Json = {}  # of the thinking about the call that follows
    for part in message.parts:
        match part:
            case TextPart():
                if part.text:
                    content.append(_text(part))
            case RefusalPart(text):
                refusals.append(text)
            case ToolCallPart():
                calls.append(_call(part, model) | seal)
                seal = {}
            case ThinkingPart() if part.origin == "openai_chat" and is_object(part.signature):
                if seals_calls(model):
                    seal = {"extra_content": msgspec.Raw(part.signature.encode())}
            case ThinkingPart(origin="openai_chat") if found := details_of(part.signature):
                details += found
            case ThinkingPart(origin="openai_chat", signature=mark, text=text) if text:
                if mark != UNSEALED_PARTS:
                    name = "reasoning" if mark == UNSEALED_REASONING else "reasoning_content"
                    reasoning[name] = reasoning.get(name, "") + text
                elif is_mistral(model):
                    thought = {"type": "text", "text": text}
                    content.append({"type": "thinking", "thinking": [thought]})
            case ThinkingPart():
                pass  # another vendor's
            case OpaquePart():
                content += _opaque(part)
            case ImagePart() | FilePart():
                raise unsupported(part.where, "an assistant's message cannot hold images or files.")
            case ToolResultPart():
                pass  # only a user's
    if not content and not calls and not refusals:
        return []
    out: Json = {"role": "assistant", "content": _joined(content) if content else None}
    out |= reasoning
    if details:
        out["reasoning_details"] = details
    if refusals:
        out["refusal"] = "".join(refusals)
    if calls:
        if seals_calls(model) and not details:
            calls[0].setdefault("extra_content", UNKNOWN_SEAL)
        out["tool_calls"] = calls
    if message.name:
        out["name"] = message.name
    return [out]


def _joined(content: list[Json]) -> str | list[Json]:
    """Return one text as a string, which every server takes; more parts stay apart."""
    if len(content) == 1 and content[0]["type"] == "text":
        return str(content[0]["text"])
    return content


def _text(part: TextPart | RefusalPart) -> Json:
    return {"type": "text", "text": part.text}


def _call(part: ToolCallPart, model: str) -> Json:
    call_id = chat_call_id(part.id, model)
    name = short_tool_name(part.name)
    # A custom tool is offered as its stand-in function, so its calls are that function's.
    arguments = custom_arguments(part.arguments) if part.custom else part.arguments
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": object_arguments(arguments)},
    }


def _result(part: ToolResultPart, call_id: str) -> tuple[str | list[Json], list[Json]]:
    """Return a ``tool`` message's content, and what has to follow in a ``user`` message."""
    texts: list[Json] = []
    moved: list[Json] = []
    for inner in part.content:
        match inner:
            case TextPart():
                texts.append(_text(inner))
            case FilePart(source=PlainText()):
                texts.append(_file(inner))
            case ImagePart():
                moved.append(_image(inner))
            case FilePart():
                moved.append(_file(inner))
    if moved:
        label = f"What the tool call {call_id} returned beside text:"
        moved.insert(0, {"type": "text", "text": label})
        if not texts:
            texts.append({"type": "text", "text": "(The result is in the next message.)"})
    if part.is_error:
        texts[:1] = [{"type": "text", "text": failed(texts[0]["text"] if texts else "")}]
    return (_joined(texts) if texts else ""), moved


def _image(part: ImagePart) -> Json:
    if isinstance(part.source, VendorFile):
        raise unsupported(part.where, "a file at another vendor cannot be read.")
    image = {"url": write_url(part.source)}
    return {
        "type": "image_url",
        "image_url": image | ({"detail": part.detail} if part.detail else {}),
    }


def _file(part: FilePart) -> Json:
    match part.source:
        case PlainText() as source:
            return {"type": "text", "text": document_text(part, source)}
        case InlineData(media_type) as source:
            name = part.name or ("document.pdf" if media_type == "application/pdf" else "document")
            return {"type": "file", "file": {"filename": name, "file_data": write_url(source)}}
        case VendorFile(file_id, origin) if origin != "anthropic":
            return {"type": "file", "file": {"file_id": file_id}}
        case VendorFile():
            raise unsupported(part.where, "a file at another vendor cannot be read.")
        case RemoteUrl():
            raise unsupported(part.where, "Chat Completions takes files' data, not their address.")


def _opaque(part: OpaquePart) -> list[Json]:
    known = foreign_block(part, "in Chat Completions")
    return [] if known is None else [_text(known)]
