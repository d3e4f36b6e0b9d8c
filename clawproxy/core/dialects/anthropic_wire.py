"""What an Anthropic upstream sends, as msgspec reads it: only the fields that are looked at, in a stream and without
one.

Every field is optional and may be ``null``, since servers that imitate the API leave them out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.events import CitationAdded, Stopped, StopReason, TokenUsage
from clawproxy.core.dialects.rawjson import (
    MALFORMED,
    String,
    count,
    decode,
    is_null,
    members,
    one_line,
    says_nothing,
    text_of,
)

STOP_REASONS: dict[str, StopReason] = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause_turn",
    "compaction": "pause_turn",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}


class Delta(msgspec.Struct, gc=False):
    """What a block or the message gains."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: msgspec.Raw = msgspec.Raw()
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None


class Frame(msgspec.Struct, gc=False):
    """The fields of all events that matter."""

    type: str = ""
    index: int | None = None
    delta: Delta | None = None
    content_block: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


class Type(msgspec.Struct):
    """A frame's type alone, for frames of another shape."""

    type: Any = None


class Block(msgspec.Struct):
    """A content block, as it starts in a stream and as it stands in a whole message."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    citations: list[msgspec.Raw] | None = None


class StartedMessage(msgspec.Struct):
    """The message as it stands when it begins."""

    id: str | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()


class Citation(msgspec.Struct):
    """A source of a text, of any kind."""

    url: str | None = None
    source: str | None = None
    title: str | None = None
    document_title: str | None = None
    cited_text: str | None = None


frame_decoder = msgspec.json.Decoder(Frame)
type_decoder = msgspec.json.Decoder(Type)
message_decoder = msgspec.json.Decoder(StartedMessage)
_citation = msgspec.json.Decoder(Citation)
block_decoder = msgspec.json.Decoder(Block)


def input_text(raw: msgspec.Raw) -> str:
    """Return a call's ``input`` as JSON text, ``""`` if it holds nothing; imitators put a string there."""
    if is_null(raw):
        return ""
    text = text_of(raw)
    if text.startswith('"'):
        text = decode(String, raw)
    return "" if says_nothing(text) or text == "{}" else text


def read_usage(raw: msgspec.Raw) -> TokenUsage | None:
    """Read a ``usage`` object, of which upstreams send any part; ``None`` if it says nothing."""
    if is_null(raw) or not (found := members(raw)):
        return None
    details = found.get("output_tokens_details")
    usage = TokenUsage(
        count(found.get("input_tokens")),
        count(found.get("output_tokens")),
        count(found.get("cache_read_input_tokens")),
        count(found.get("cache_creation_input_tokens")),
        count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
    )
    return None if usage == TokenUsage() else usage


def read_citation(raw: msgspec.Raw) -> CitationAdded | None:
    """Read a citation of any kind; ``None`` if it is none."""
    try:
        found = decode(_citation, raw)
    except MALFORMED:
        return None
    return CitationAdded(
        url=found.url or found.source or "",
        title=found.title or found.document_title or "",
        cited=found.cited_text or "",
        origin="anthropic",
        raw=one_line(raw),
    )


def read_stop(reason: object, sequence: str | None, details: Any) -> Stopped:
    """Read ``stop_reason`` and its companions."""
    known = STOP_REASONS.get(reason, "end_turn") if isinstance(reason, str) else "end_turn"
    fields = details if isinstance(details, dict) else {}
    explanation, category = fields.get("explanation"), fields.get("category")
    return Stopped(
        known,
        sequence,
        explanation if isinstance(explanation, str) else None,
        category if isinstance(category, str) else None,
    )
