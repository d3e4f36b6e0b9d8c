"""What a Responses upstream sends, as msgspec reads it: only the fields that are looked at.

Every field is optional, since servers that imitate the API leave them out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.events import TokenUsage
from clawproxy.core.dialects.rawjson import (
    MALFORMED,
    String,
    count,
    decode,
    is_null,
    says_nothing,
    text_of,
)


class Part(msgspec.Struct, gc=False):
    """A part of a message or of reasoning."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[msgspec.Raw] | None = None


class Item(msgspec.Struct, gc=False):
    """An output item, as far as any kind of it matters."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()
    input: str | None = None
    content: list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None


class Frame(msgspec.Struct, gc=False):
    """The fields of all events that matter."""

    type: str = ""
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    item_id: str | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()
    input: str | None = None
    item: msgspec.Raw = msgspec.Raw()
    part: Part | None = None
    annotation: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    code: Any = None
    message: str | None = None
    param: str | None = None
    error: Any = None


class Type(msgspec.Struct):
    """A frame's type alone, for frames of another shape."""

    type: Any = None


class Response(msgspec.Struct):
    """The object of lifecycle events and of a whole answer."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[msgspec.Raw] | None = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None


class Annotation(msgspec.Struct):
    """A citation."""

    url: str | None = None
    title: str | None = None
    filename: str | None = None
    start_index: int | None = None
    end_index: int | None = None


def arguments_text(raw: msgspec.Raw) -> str:
    """Return a call's arguments as JSON text; imitators write the object itself."""
    if is_null(raw):
        return ""
    try:
        text = decode(String, raw)
    except MALFORMED:
        return text_of(raw)
    return "" if says_nothing(text) else text


frame_decoder = msgspec.json.Decoder(Frame)
type_decoder = msgspec.json.Decoder(Type)
item_decoder = msgspec.json.Decoder(Item)
response_decoder = msgspec.json.Decoder(Response)
annotation_decoder = msgspec.json.Decoder(Annotation)


def read_usage(usage: object) -> TokenUsage | None:
    """Read a ``usage`` object; ``None`` if it says nothing."""
    if not isinstance(usage, dict):
        return None
    details = usage.get("input_tokens_details")
    details = details if isinstance(details, dict) else {}
    read, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    whole = count(usage.get("input_tokens"))
    output = usage.get("output_tokens_details")
    found = TokenUsage(
        None if whole is None else max(0, whole - (read or 0) - (written or 0)),
        count(usage.get("output_tokens")),
        read,
        written,
        count(output.get("reasoning_tokens")) if isinstance(output, dict) else None,
    )
    return None if found == TokenUsage() else found
