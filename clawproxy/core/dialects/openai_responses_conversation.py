"""Write a turn's conversation as the items of a Responses ``input``.

1. Standing instructions go into ``instructions`` where they are one text, else they open ``input``
   as developer messages: separate parts stay apart.
2. The words of a message are one item; calls, answers and reasoning are items of their own.
3. Calls of custom tools are freeform calls here, and so are their answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from clawproxy.core.dialects.dataurl import write_url
from clawproxy.core.dialects.freeform import custom_input
from clawproxy.core.dialects.naming import MAX_RESPONSES_CALL_ID, short_call_id, short_tool_name
from clawproxy.core.dialects.openai_conversation import document_text, failed, foreign_block
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
from clawproxy.core.dialects.tools import CustomTool
from clawproxy.core.dialects.turn import Turn, unsupported

Json = dict[str, Any]


def write_input(turn: Turn) -> tuple[str | None, list[Json | msgspec.Raw]]:
    """Write ``instructions``, if the standing instructions are one text, and ``input``.

    :raises ProxyError: ``UNSUPPORTED_PARAMETER`` for what this dialect cannot express.
    """
    items: list[Json | msgspec.Raw] = []
    instructions = None
    if len(turn.system) == 1:
        instructions = turn.system[0].text
    else:
        items += [_words("developer", part.text) for part in turn.system]
    custom = {tool.name for tool in turn.tools if isinstance(tool, CustomTool)}
    freeform: set[str] = set()
    for message in turn.messages:
        items += _items(message, custom, freeform)
    return instructions, items


def _words(role: str, text: str) -> Json:
    return {
        "type": "message",
        "role": role,
        "content": [{"type": "input_text", "text": text}],
    }


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
    for part in _known(parts):
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


def _known(parts: Iterable[Part]) -> Iterator[Part]:
    """Put what a model can be told in the place of blocks that only another dialect knows."""
    for part in parts:
        if not isinstance(part, OpaquePart) or part.origin == "openai_responses":
            yield part
        elif (said := foreign_block(part, "for the Responses API")) is not None:
            yield said


def _is_no_result(part: Part) -> bool:
    return not isinstance(part, ToolResultPart)


def _message(message: Message, words: list[Json]) -> Json:
    return {"type": "message", "role": message.role, "content": words}


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
        case OpaquePart(raw=raw):
            yield msgspec.Raw(raw)


def _output(part: ToolResultPart) -> str | list[Json]:
    """Write a tool's answer."""
    parts = list(part.content)
    if part.is_error:
        first = parts[0] if parts else None
        words = first.text if isinstance(first, TextPart) else ""
        parts[: isinstance(first, TextPart)] = [TextPart(failed(words))]
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
        case VendorFile(file_id):
            return {"file_id": _own_file(part, file_id)}
        case source:
            return {"image_url": write_url(source)}


def _file(part: FilePart) -> Json:
    match part.source:
        case PlainText() as source:
            return {"type": "input_text", "text": document_text(part, source)}
        case InlineData(media_type) as source:
            suffix = "pdf" if media_type == "application/pdf" else "txt"
            return {
                "type": "input_file",
                "filename": part.name or f"document.{suffix}",
                "file_data": write_url(source),
            }
        case RemoteUrl(url):
            return {"type": "input_file", "file_url": url}
        case VendorFile(file_id):
            return {"type": "input_file", "file_id": _own_file(part, file_id)}


def _own_file(part: ImagePart | FilePart, file_id: str) -> str:
    if isinstance(part.source, VendorFile) and part.source.origin == "anthropic":
        raise unsupported(part.where, "a file at another vendor cannot be read.")
    return file_id
