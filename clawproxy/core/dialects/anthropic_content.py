"""Read the messages of an Anthropic request.

Blocks are decoded one by one; kinds that only Anthropic knows stay raw as :class:`~.parts.OpaquePart`.
"""

from __future__ import annotations

from typing import cast, get_args

import msgspec

from clawproxy.core.dialects.naming import original_call_id
from clawproxy.core.dialects.parts import (
    CacheControl,
    FilePart,
    ImagePart,
    InlineData,
    Message,
    OpaquePart,
    Part,
    PlainText,
    RemoteUrl,
    Role,
    Source,
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
    text_of,
)
from clawproxy.core.dialects.seal import unwrap
from clawproxy.core.dialects.turn import unsupported
from clawproxy.core.errors import Kind, ProxyError

_ROLES = frozenset(get_args(Role)) - {"developer"}


class _Cache(msgspec.Struct):
    type: str | None = None
    ttl: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[msgspec.Raw] | None = None


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    source: msgspec.Raw = msgspec.Raw()
    title: str | None = None
    context: str | None = None
    citations: msgspec.Raw = msgspec.Raw()
    cache_control: _Cache | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    tool_use_id: str | None = None
    tool_name: str | None = None
    content: msgspec.Raw = msgspec.Raw()
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class _Source(msgspec.Struct):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: msgspec.Raw = msgspec.Raw()


class _Citations(msgspec.Struct):
    enabled: bool | None = None


_message = msgspec.json.Decoder(_Message)
_block = msgspec.json.Decoder(_Block)
_source = msgspec.json.Decoder(_Source)
_citations = msgspec.json.Decoder(_Citations)
_content = msgspec.json.Decoder(str | list[msgspec.Raw])


def read_texts(raw: msgspec.Raw, where: str) -> tuple[TextPart, ...]:
    """Read a string or an array of text blocks, which stay apart and in order."""
    try:
        content = decode(_content, raw)
    except MALFORMED as error:
        raise invalid(where, error) from None
    return tuple(part for part in _parts(content, where) if isinstance(part, TextPart))


def read_message(raw: msgspec.Raw, where: str) -> Message:
    """Read one of the ``messages``.

    :param where: its place in the request.
    :raises ProxyError: ``INVALID_REQUEST`` for a wrong shape, ``UNSUPPORTED_PARAMETER`` for what no other dialect can
        express.
    """
    try:
        message = decode(_message, raw)
    except MALFORMED as error:
        raise invalid(where, error) from None
    if message.role not in _ROLES:
        raise ProxyError(
            Kind.INVALID_REQUEST,
            f"{where}.role: user, assistant or system is expected.",
            param=f"{where}.role",
        )
    return Message(cast(Role, message.role), _parts(message.content, f"{where}.content"))


def _parts(content: str | list[msgspec.Raw] | None, where: str) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (TextPart(content),)
    parts: list[Part] = []
    for index, raw in enumerate(content):
        parts += _read_block(raw, f"{where}[{index}]")
    return tuple(parts)


def _read_block(raw: msgspec.Raw, where: str) -> list[Part]:
    try:
        block = decode(_block, raw)
    except MALFORMED as error:
        raise invalid(where, error) from None
    cache = CacheControl(block.cache_control.ttl) if block.cache_control else None
    match block.type:
        case "text":
            return [TextPart(_given(block.text, where, "text"), cache)]
        case "image":
            return [ImagePart(_image(block.source, where), cache=cache, where=where)]
        case "document":
            return _document(block, cache, where)
        case "search_result":
            return _search_result(block, cache, where)
        case "thinking":
            origin, seal, item = unwrap(block.signature or "", "anthropic")
            return [ThinkingPart(origin, block.thinking or "", signature=seal, id=item)]
        case "redacted_thinking":
            return [ThinkingPart("anthropic", redacted=_given(block.data, where, "data"))]
        case "tool_use":
            arguments = "{}" if is_null(block.input) else text_of(block.input)
            if not arguments.startswith("{"):
                raise ProxyError(
                    Kind.INVALID_REQUEST,
                    f"{where}.input: an object is expected.",
                    param=f"{where}.input",
                )
            return [
                ToolCallPart(
                    original_call_id(_given(block.id, where, "id")),
                    _given(block.name, where, "name"),
                    arguments,
                    cache=cache,
                )
            ]
        case "tool_result":
            return [_tool_result(block, cache, where)]
        case "tool_reference":
            return [TextPart(f"The tool {block.tool_name or block.name or ''} is available.")]
        case kind:
            return [OpaquePart("anthropic", kind, bytes(raw), where)]


def _given(value: str | None, where: str, name: str) -> str:
    if value is None:
        raise missing(f"{where}.{name}", "a string")
    return value


def _tool_result(block: _Block, cache: CacheControl | None, where: str) -> ToolResultPart:
    content: tuple[Part, ...] = ()
    if not is_null(block.content):
        try:
            content = _parts(decode(_content, block.content), f"{where}.content")
        except MALFORMED as error:
            raise invalid(f"{where}.content", error) from None
    kept: list[TextPart | ImagePart | FilePart] = []
    for part in content:
        if not isinstance(part, (TextPart, ImagePart, FilePart)):
            name = part.kind if isinstance(part, OpaquePart) else "such"
            raise unsupported(f"{where}.content", f"{name} blocks cannot be passed on.")
        kept.append(part)
    return ToolResultPart(
        original_call_id(_given(block.tool_use_id, where, "tool_use_id")),
        tuple(kept),
        is_error=block.is_error or False,
        cache=cache,
    )


def _read_source(raw: msgspec.Raw, where: str) -> _Source:
    if is_null(raw):
        raise missing(f"{where}.source", "an object")
    try:
        return decode(_source, raw)
    except MALFORMED as error:
        raise invalid(f"{where}.source", error) from None


def _image(raw: msgspec.Raw, where: str) -> InlineData | RemoteUrl | VendorFile:
    found = _plain_source(_read_source(raw, where), where)
    if isinstance(found, PlainText):
        raise unsupported(f"{where}.source.type", "text is not an image.")
    return found


def _plain_source(source: _Source, where: str) -> Source:
    at = f"{where}.source"
    match source.type:
        case "base64":
            return InlineData(
                _given(source.media_type, at, "media_type"), _given(source.data, at, "data")
            )
        case "url":
            return RemoteUrl(_given(source.url, at, "url"))
        case "file":
            return VendorFile(_given(source.file_id, at, "file_id"), "anthropic")
        case "text":
            return PlainText(_given(source.data, at, "data"))
        case kind:
            raise unsupported(f"{at}.type", f"sources of the type {kind!r} are not known.")


def _document(block: _Block, cache: CacheControl | None, where: str) -> list[Part]:
    source = _read_source(block.source, where)
    if source.type == "content":  # a document made of blocks: the blocks themselves say it all
        try:
            inner = decode(_content, source.content)
        except MALFORMED as error:
            raise invalid(f"{where}.source.content", error) from None
        head: list[Part] = [TextPart(block.title)] if block.title else []
        return head + list(_parts(inner, f"{where}.source.content"))
    citations = None
    if not is_null(block.citations):
        try:
            citations = decode(_citations, block.citations)
        except MALFORMED as error:
            raise invalid(f"{where}.citations", error) from None
    return [
        FilePart(
            _plain_source(source, where),
            name=block.title,
            context=block.context,
            citations=bool(citations and citations.enabled),
            cache=cache,
            where=where,
        )
    ]


def _search_result(block: _Block, cache: CacheControl | None, where: str) -> list[Part]:
    try:
        source = decode(String, block.source)
    except MALFORMED as error:
        raise invalid(f"{where}.source", error) from None
    text = "\n\n".join(part.text for part in read_texts(block.content, f"{where}.content"))
    return [TextPart(f"{block.title or ''}\n{source}\n\n{text}".strip(), cache)]
