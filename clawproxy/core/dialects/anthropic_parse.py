"""Read an Anthropic Messages request into a turn.

1. Top-level fields go through :class:`~.rawjson.Fields`; what is left over goes into ``extras``, so
   that the flags of tomorrow's Claude Code (``context_management``, ``speed``, …) stop no request.
   What must not be lost (:data:`_REFUSED`) is refused by name.
2. Blocks are decoded one by one; kinds that only Anthropic knows stay raw as
   :class:`~.parts.OpaquePart`.

Field by field: https://docs.claude.com/en/api/messages.
"""

from __future__ import annotations

from typing import cast, get_args

import msgspec

from clawproxy.core.dialects.anthropic_client_tools import read_client_tool
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
    Array,
    Boolean,
    Fields,
    Integer,
    Number,
    String,
    decode,
    invalid,
    is_null,
    missing,
    text_of,
)
from clawproxy.core.dialects.seal import unwrap
from clawproxy.core.dialects.tools import FunctionTool, ServerTool, Tool, ToolChoice
from clawproxy.core.dialects.turn import (
    Effort,
    OutputFormat,
    Reasoning,
    Sampling,
    Turn,
    unsupported,
)
from clawproxy.core.errors import Kind, ProxyError

THREAD_REFUSAL = "capability_rejected: beta_header:message-threads-2026-08-12"
"""The words on which Claude Code sends the whole conversation instead of continuing a thread that
only Anthropic holds.
"""

_REFUSED = {
    "mcp_servers": "servers that Anthropic connects to",
    "container": "a container at Anthropic's",
    "inference_geo": "a promise of where Anthropic computes",
}


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


def parse_request(body: bytes) -> Turn:
    """Read the body of ``POST /v1/messages``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.parse_request`.
    """
    fields = Fields.of_body(body)
    model = fields.need("model", String, "a string")
    messages = fields.need("messages", Array, "an array of messages")
    for name in ("thread", "previous_message_id"):
        if fields.raw(name) is not None:
            raise ProxyError(
                Kind.UNSUPPORTED_PARAMETER,
                THREAD_REFUSAL,
                param=name,
                details={"error_code": "thread_unsupported_request"},
            )
    for name, what in _REFUSED.items():
        raw = fields.raw(name)
        if raw is not None and bytes(raw) != b"[]":
            raise unsupported(name, f"{what} cannot be had from the model's provider.")
    choice, parallel = _tool_choice(fields)
    reasoning, output = _thinking(fields)
    metadata = fields.object("metadata")
    user = metadata.take("user_id", String) if metadata else None
    rest = metadata.rest() if metadata else {}
    return Turn(
        dialect="anthropic",
        model=model,
        system=_system(fields),
        messages=tuple(_read_message(raw, f"messages[{i}]") for i, raw in enumerate(messages)),
        tools=_tools(fields),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        max_tokens=fields.take("max_tokens", Integer),
        stop_sequences=tuple(fields.strings("stop_sequences")),
        sampling=Sampling(
            temperature=fields.take("temperature", Number),
            top_p=fields.take("top_p", Number),
            top_k=fields.take("top_k", Integer),
        ),
        reasoning=reasoning,
        output=output,
        stream=fields.take("stream", Boolean) or False,
        user=user,
        metadata=msgspec.json.encode({k: msgspec.Raw(v) for k, v in rest.items()})
        if rest
        else None,
        extras=fields.rest(),
    )


def _system(fields: Fields) -> tuple[TextPart, ...]:
    where = fields.path("system")
    raw = fields.raw("system")
    return () if raw is None else _texts(raw, where)


def _texts(raw: msgspec.Raw, where: str) -> tuple[TextPart, ...]:
    """Read a string or an array of text blocks, which stay apart and in order."""
    try:
        content = decode(_content, raw)
    except MALFORMED as error:
        raise invalid(where, error) from None
    return tuple(part for part in _parts(content, where) if isinstance(part, TextPart))


def _read_message(raw: msgspec.Raw, where: str) -> Message:
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
                    _given(block.id, where, "id"),
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
        _given(block.tool_use_id, where, "tool_use_id"),
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
    text = "\n\n".join(part.text for part in _texts(block.content, f"{where}.content"))
    return [TextPart(f"{block.title or ''}\n{source}\n\n{text}".strip(), cache)]


def _tools(fields: Fields) -> tuple[Tool, ...]:
    return tuple(_read_tool(raw, f"tools[{i}]") for i, raw in enumerate(fields.array("tools")))


def _read_tool(raw: msgspec.Raw, where: str) -> Tool:
    fields = Fields.of(raw, where)
    kind = fields.take("type", String)
    if kind is None or kind == "custom":
        schema = fields.raw("input_schema")
        if schema is not None and not text_of(schema).startswith("{"):
            raise ProxyError(
                Kind.INVALID_REQUEST,
                f"{where}.input_schema: an object is expected.",
                param=f"{where}.input_schema",
            )
        cache = fields.object("cache_control")
        return FunctionTool(
            name=fields.need("name", String, "a string"),
            description=fields.take("description", String),
            parameters=None if schema is None else bytes(schema),
            strict=fields.take("strict", Boolean),
            cache=CacheControl(cache.take("ttl", String)) if cache else None,
        )
    name = fields.take("name", String)
    if client_tool := read_client_tool(kind, name, bytes(raw)):
        return client_tool
    return ServerTool(
        "anthropic",
        kind,
        name or kind,
        bytes(raw),
        where,
        # All tools are sent in full, so there is nothing to search; advice can be done without.
        optional=kind.startswith(("tool_search_tool", "advisor_")),
    )


def _tool_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    choice = fields.object("tool_choice")
    if choice is None:
        return None, None
    kind = choice.need("type", String, "a string")
    parallel = False if choice.take("disable_parallel_tool_use", Boolean) else None
    match kind:
        case "auto":
            return ToolChoice("auto"), parallel
        case "any":
            return ToolChoice("required"), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "tool":
            return ToolChoice("tool", choice.need("name", String, "a string")), parallel
        case _:
            raise unsupported("tool_choice.type", f"{kind!r} is not known.")


def _thinking(fields: Fields) -> tuple[Reasoning, OutputFormat | None]:
    thinking = fields.object("thinking")
    config = fields.object("output_config")
    enabled: bool | None = None
    budget: int | None = None
    summary: str | None = None
    effort: str | None = None
    shape = fields.object("output_format")  # the name it had while it was a beta
    if thinking is not None:
        kind = thinking.take("type", String)
        enabled = None if kind is None else kind != "disabled"
        budget = thinking.take("budget_tokens", Integer)
        summary = "auto" if thinking.take("display", String) == "summarized" else None
    if config is not None:
        effort = config.take("effort", String)
        shape = config.object("format") or shape
    reasoning = Reasoning(
        enabled=enabled,
        budget_tokens=budget if enabled else None,
        effort=cast(Effort, effort) if effort in get_args(Effort) else None,
        summary=summary,
    )
    if shape is None:
        return reasoning, None
    if (kind := shape.need("type", String, "a string")) != "json_schema":
        raise unsupported(shape.path("type"), f"{kind!r} is not known.")
    schema = shape.raw("schema")
    if schema is None:
        raise missing(shape.path("schema"), "an object")
    return reasoning, OutputFormat("json_schema", schema=bytes(schema), strict=True)
