"""Read a Chat Completions request into a turn.

1. Top-level fields go through :class:`~.rawjson.Fields`. What no other API can give
   (:data:`_REFUSED`) is refused by name, unless it asks for nothing; what is a hint to OpenAI
   (``store``, ``service_tier``, …) or nobody knows is left in ``extras``.
2. ``tool`` messages become results on the user's side; several in a row are one message.

Field by field: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

import base64
from typing import cast, get_args
from urllib.parse import unquote_to_bytes

import msgspec
from attrs import evolve

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
    says_nothing,
    text_of,
)
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, Tool, ToolChoice
from clawproxy.core.dialects.turn import (
    Effort,
    OutputFormat,
    Reasoning,
    Sampling,
    Turn,
    unsupported,
)
from clawproxy.core.errors import Kind, ProxyError

_REFUSED: dict[str, tuple[frozenset[bytes], str]] = {
    "n": (frozenset({b"1"}), "one answer a request is all that other APIs give."),
    "best_of": (frozenset({b"1"}), "one answer a request is all that other APIs give."),
    "logprobs": (frozenset({b"false"}), "token probabilities cannot be had."),
    "top_logprobs": (frozenset({b"0"}), "token probabilities cannot be had."),
    "audio": (frozenset(), "answers cannot be spoken."),
    "modalities": (frozenset({b'["text"]', b"[]"}), "answers are text alone."),
    "functions": (frozenset({b"[]"}), "this old form is not translated; tools are."),
    "function_call": (frozenset({b'"auto"', b'"none"'}), "tool_choice takes its place."),
    "web_search_options": (frozenset(), "OpenAI's search cannot be had."),
    "moderation": (frozenset(), "OpenAI's moderation cannot be had."),
    "min_p": (frozenset({b"0", b"0.0"}), "this way of sampling cannot be had."),
    "repetition_penalty": (frozenset({b"1", b"1.0"}), "this way of sampling cannot be had."),
}
"""Fields with the values that ask for nothing, and why they are refused otherwise."""


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
_stop = msgspec.json.Decoder(str | list[str])
_choice = msgspec.json.Decoder(str | msgspec.Raw)


def parse_request(body: bytes) -> Turn:
    """Read the body of ``POST /v1/chat/completions``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.parse_request`.
    """
    fields = Fields.of_body(body)
    model = fields.need("model", String, "a string")
    messages = fields.need("messages", Array, "an array of messages")
    for name, (harmless, why) in _REFUSED.items():
        raw = fields.raw(name)
        if raw is not None and bytes(raw).replace(b" ", b"") not in harmless:
            raise unsupported(name, why)
    stop = fields.take("stop", _stop)
    options = fields.object("stream_options")
    include_usage = options.take("include_usage", Boolean) if options else None
    limit = fields.take("max_completion_tokens", Integer)
    older_limit = fields.take("max_tokens", Integer)
    user = fields.take("user", String)
    metadata = fields.raw("metadata")
    bias = fields.raw("logit_bias")
    cache = fields.object("cache_control")  # OpenRouter's and LiteLLM's word to Anthropic
    return Turn(
        dialect="openai_chat",
        model=model,
        messages=_messages(messages),
        tools=tuple(_tool(raw, f"tools[{i}]") for i, raw in enumerate(fields.array("tools"))),
        tool_choice=_tool_choice(fields),
        parallel_tool_calls=fields.take("parallel_tool_calls", Boolean),
        max_tokens=older_limit if limit is None else limit,
        stop_sequences=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        sampling=Sampling(
            temperature=fields.take("temperature", Number),
            top_p=fields.take("top_p", Number),
            top_k=fields.take("top_k", Integer),
            frequency_penalty=fields.take("frequency_penalty", Number),
            presence_penalty=fields.take("presence_penalty", Number),
            seed=fields.take("seed", Integer),
            logit_bias=None if bias is None else bytes(bias),
        ),
        reasoning=_reasoning(fields),
        output=_output(fields),
        stream=fields.take("stream", Boolean) or False,
        include_usage=include_usage or False,
        cache=CacheControl(cache.take("ttl", String)) if cache else None,
        user=user if user is not None else fields.take("safety_identifier", String),
        verbosity=fields.take("verbosity", String),
        metadata=None if metadata is None else bytes(metadata),
        extras=fields.rest(),
    )


def _messages(raws: list[msgspec.Raw]) -> tuple[Message, ...]:
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


def read_url(url: str, where: str) -> InlineData | RemoteUrl:
    """Read an address: a data URL's bytes (RFC 2397), or a web address.

    :raises ProxyError: it is neither.
    """
    scheme = url[:8].lower()
    if scheme.startswith(("http://", "https://")):
        return RemoteUrl(url)
    head, comma, data = url.partition(",")
    if not scheme.startswith("data:") or not comma:
        raise ProxyError(
            Kind.INVALID_REQUEST, f"{where}: a data, http or https URL is expected.", param=where
        )
    media_type, *options = head[5:].split(";")
    if any(option.strip().lower() == "base64" for option in options):
        # Percent-escapes are legal here, and some browsers' "+" arrives as a space.
        data = unquote_to_bytes(data).decode("ascii", "replace") if "%" in data else data
        data = data.replace(" ", "+")
    else:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return InlineData(media_type.strip().lower() or "text/plain", data)


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


def _tool(raw: msgspec.Raw, where: str) -> Tool:
    fields = Fields.of(raw, where)
    kind = fields.take("type", String) or "function"
    if kind == "function":
        function = fields.object("function")
        if function is None:
            raise missing(f"{where}.function", "an object")
        schema = function.raw("parameters")
        cache = fields.object("cache_control") or function.object("cache_control")
        return FunctionTool(
            name=function.need("name", String, "a string"),
            description=function.take("description", String),
            parameters=None if schema is None else bytes(schema),
            strict=function.take("strict", Boolean),
            cache=CacheControl(cache.take("ttl", String)) if cache else None,
        )
    if kind == "custom":
        custom = fields.object("custom")
        if custom is None:
            raise missing(f"{where}.custom", "an object")
        form = custom.raw("format")
        return CustomTool(
            name=custom.need("name", String, "a string"),
            description=custom.take("description", String),
            format=None if form is None else bytes(form),
        )
    raise unsupported(f"{where}.type", f"tools of the type {kind!r} cannot be passed on.")


def _tool_choice(fields: Fields) -> ToolChoice | None:
    raw = fields.raw("tool_choice")
    if raw is None:
        return None
    if text_of(raw).startswith('"'):
        match decode(String, raw):
            case "auto":
                return ToolChoice("auto")
            case "none":
                return ToolChoice("none")
            case "required" | "any":
                return ToolChoice("required")
            case word:
                raise unsupported("tool_choice", f"{word!r} is not known.")
    choice = Fields.of(raw, "tool_choice")
    kind = choice.need("type", String, "a string")
    if kind in ("function", "custom"):
        return ToolChoice("tool", _name(choice, kind))
    if kind == "allowed_tools":
        inner = choice.object("allowed_tools")
        if inner is None:
            raise missing("tool_choice.allowed_tools", "an object")
        mode = inner.take("mode", String)
        names = [
            _allowed(tool, f"{inner.where}.tools[{i}]")
            for i, tool in enumerate(inner.array("tools"))
        ]
        return ToolChoice("required" if mode == "required" else "auto", allowed=tuple(names))
    raise unsupported("tool_choice.type", f"{kind!r} is not known.")


def _name(fields: Fields, kind: str) -> str:
    inner = fields.object(kind)
    if inner is None:
        raise missing(fields.path(kind), "an object")
    return inner.need("name", String, "a string")


def _allowed(raw: msgspec.Raw, where: str) -> str:
    fields = Fields.of(raw, where)
    return _name(fields, fields.take("type", String) or "function")


def _reasoning(fields: Fields) -> Reasoning:
    effort = fields.take("reasoning_effort", String)
    budget: int | None = None
    enabled: bool | None = None
    # OpenRouter's and Anthropic's forms, which clients of compatible servers send.
    if (nested := fields.object("reasoning")) is not None:
        effort = nested.take("effort", String) or effort
        budget = nested.take("max_tokens", Integer)
        enabled = nested.take("enabled", Boolean)
    if (thinking := fields.object("thinking")) is not None:
        enabled = thinking.take("type", String) != "disabled"
        budget = thinking.take("budget_tokens", Integer) if enabled else None
    if effort is not None and effort not in get_args(Effort):
        raise unsupported("reasoning_effort", f"{effort!r} is not known.")
    if effort == "none":
        enabled = False
    return Reasoning(enabled, budget, cast(Effort | None, effort))


def _output(fields: Fields) -> OutputFormat | None:
    shape = fields.object("response_format")
    if shape is None:
        return None
    kind = shape.need("type", String, "a string")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat("json_object")
    inner = shape.object("json_schema")
    if kind != "json_schema" or inner is None:
        raise unsupported("response_format", f"{kind!r} is not known, or has no schema.")
    schema = inner.raw("schema")
    return OutputFormat(
        "json_schema",
        name=inner.take("name", String),
        schema=b'{"type":"object"}' if schema is None else bytes(schema),
        strict=inner.take("strict", Boolean),
        description=inner.take("description", String),
    )
