"""Read the messages of a Chat Completions request.

1. Each message is decoded as a whole: its members are few and well known.
2. ``tool`` messages become results on the user's side; several in a row are one message.
"""

from __future__ import annotations

from typing import cast, get_args

import msgspec
from attrs import evolve

from clawproxy.core.dialects.dataurl import read_url
from clawproxy.core.dialects.parts import (
    CacheControl,
    FilePart,
    ImagePart,
    InlineData,
    Message,
    Part,
    RefusalPart,
    RemoteUrl,
    Role,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    VendorFile,
)
from clawproxy.core.dialects.rawjson import (
    MALFORMED,
    String,
    decode,
    invalid,
    is_null,
    missing,
    says_nothing,
    text_of,
)
from clawproxy.core.dialects.turn import unsupported

_ROLES = frozenset(get_args(Role))


class _Cache(msgspec.Struct):
    ttl: str | None = None


class _Image(msgspec.Struct):
    url: str
    detail: str | None = None


class _File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Image | str | None = None
    file: _File | None = None
    cache_control: _Cache | None = None
    prompt_cache_breakpoint: msgspec.Raw = msgspec.Raw()


class _Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw()


class _Custom(msgspec.Struct):
    name: str
    input: str = ""


class _Call(msgspec.Struct):
    id: str
    type: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    function_call: msgspec.Raw = msgspec.Raw()
    audio: msgspec.Raw = msgspec.Raw()
    cache_control: _Cache | None = None


_message = msgspec.json.Decoder(_Message)


def read_messages(raws: list[msgspec.Raw]) -> tuple[Message, ...]:
    """Read ``messages``.

    :raises ProxyError: ``INVALID_REQUEST`` for a wrong shape, ``UNSUPPORTED_PARAMETER`` for what no other dialect can
        express.
    """
    out: list[Message] = []
    results: list[ToolResultPart] = []
    for index, raw in enumerate(raws):
        where = f"messages[{index}]"
        try:
            message = decode(_message, raw)
        except MALFORMED as error:
            raise invalid(where, error) from None
        for name, member in (("function_call", message.function_call), ("audio", message.audio)):
            if not is_null(member):
                raise unsupported(f"{where}.{name}", "this cannot be passed on.")
        if message.role == "tool":
            results.append(_result(message, where))
            continue
        if results:
            out.append(Message("user", tuple(results)))
            results = []
        out.append(_plain_message(message, where))
    if results:
        out.append(Message("user", tuple(results)))
    return tuple(out)


def _plain_message(message: _Message, where: str) -> Message:
    if message.role not in _ROLES:
        raise unsupported(f"{where}.role", f"the role {message.role!r} is not known.")
    parts: list[Part] = []
    if message.reasoning_content:
        parts.append(ThinkingPart("openai_chat", message.reasoning_content))
    parts += _parts(message, where)
    if message.refusal:
        parts.append(RefusalPart(message.refusal))
    for index, call in enumerate(message.tool_calls or ()):
        parts.append(_call(call, f"{where}.tool_calls[{index}]"))
    return Message(cast(Role, message.role), tuple(parts), message.name)


def _result(message: _Message, where: str) -> ToolResultPart:
    if message.tool_call_id is None:
        raise missing(f"{where}.tool_call_id", "a string")
    content = tuple(
        part for part in _parts(message, where) if isinstance(part, (TextPart, ImagePart, FilePart))
    )
    return ToolResultPart(message.tool_call_id, content)


def _parts(message: _Message, where: str) -> list[Part]:
    cache = _cache(message.cache_control)
    if message.content is None:
        return []
    if isinstance(message.content, str):
        return [TextPart(message.content, cache)] if message.content else []
    parts = [_part(part, f"{where}.content[{i}]") for i, part in enumerate(message.content)]
    last = parts[-1] if parts else None
    if cache is not None and isinstance(last, (TextPart, ImagePart, FilePart)):
        parts[-1] = evolve(last, cache=last.cache or cache)
    return parts


def _cache(mark: _Cache | None) -> CacheControl | None:
    return None if mark is None else CacheControl(mark.ttl)


def _part(part: _Part, where: str) -> Part:
    cache = _cache(part.cache_control)
    if cache is None and not is_null(part.prompt_cache_breakpoint):
        cache = CacheControl()
    match part.type:
        case "text":
            if part.text is None:
                raise missing(f"{where}.text", "a string")
            return TextPart(part.text, cache)
        case "refusal":
            return RefusalPart(part.refusal or "")
        case "image_url":
            image = _Image(part.image_url) if isinstance(part.image_url, str) else part.image_url
            if image is None:
                raise missing(f"{where}.image_url", "an object")
            source = read_url(image.url, f"{where}.image_url.url")
            if isinstance(source, InlineData) and source.media_type == "application/pdf":
                # Clients of gateways know no other place for a document, and no vendor takes it for a picture.
                return FilePart(source, cache=cache, where=where)
            return ImagePart(source, image.detail, cache, where)
        case "file":
            return _file(part.file, cache, where)
        case kind:
            raise unsupported(where, f"content of the type {kind!r} cannot be passed on.")


def _file(file: _File | None, cache: CacheControl | None, where: str) -> FilePart:
    if file is not None and file.file_id is not None:
        source: InlineData | RemoteUrl | VendorFile = VendorFile(file.file_id, "openai_chat")
    elif file is not None and file.file_data is not None:
        if file.file_data.startswith(("data:", "http:", "https:")):
            source = read_url(file.file_data, f"{where}.file.file_data")
        else:
            source = InlineData("application/pdf", file.file_data)
    else:
        raise missing(f"{where}.file", "an object with file_data or file_id")
    return FilePart(source, name=file.filename, cache=cache, where=where)


def _call(call: _Call, where: str) -> ToolCallPart:
    if call.custom is not None:
        return ToolCallPart(call.id, call.custom.name, call.custom.input, custom=True)
    if call.function is None:
        raise missing(f"{where}.function", "an object")
    return ToolCallPart(call.id, call.function.name, _arguments(call.function.arguments, where))


def _arguments(raw: msgspec.Raw, where: str) -> str:
    if is_null(raw):
        return ""
    text = text_of(raw)
    if not text.startswith('"'):
        return text  # some clients send the object itself
    try:
        text = decode(String, raw)
    except MALFORMED as error:
        raise invalid(f"{where}.function.arguments", error) from None
    return "" if says_nothing(text) else text
