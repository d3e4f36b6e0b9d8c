"""Random answers, requests and hostile bytes for the dialects' property tests."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    Event,
    MessageStarted,
    Ping,
    Stopped,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    TokenUsage,
    ToolCallStarted,
    UsageReported,
)

STOP = BlockStopped()

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,30}", fullmatch=True)
ids = st.from_regex(r"(call|toolu)_[a-zA-Z0-9]{4,12}", fullmatch=True)
numbers = st.one_of(
    st.integers(), st.integers(10**18, 10**40), st.floats(allow_nan=False, allow_infinity=False)
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(words, json_values, max_size=3)
counts = st.one_of(st.none(), st.integers(0, 10**6))


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """Cut a text into pieces, none of them empty."""
    places = draw(st.lists(st.integers(1, max(1, len(text) - 1)), max_size=3, unique=True))
    edges = [0, *sorted(place for place in places if place < len(text)), len(text)]
    return [text[a:b] for a, b in pairwise(edges) if a < b]


@st.composite
def text_block(draw: st.DrawFn) -> list[Event]:
    """A text of some deltas."""
    return [TextStarted(), *map(TextDelta, draw(st.lists(words, min_size=1, max_size=4))), STOP]


@st.composite
def thinking_block(draw: st.DrawFn) -> list[Event]:
    """A thinking block of some deltas."""
    deltas = draw(st.lists(words, min_size=1, max_size=3))
    return [ThinkingStarted(), *map(ThinkingDelta, deltas), STOP]


@st.composite
def call_block(draw: st.DrawFn) -> list[Event]:
    """A tool call whose arguments come in any pieces."""
    arguments = json.dumps(draw(objects), ensure_ascii=draw(st.booleans()))
    pieces = draw(cut(arguments))
    return [ToolCallStarted(draw(ids), draw(names)), *map(ArgumentsDelta, pieces), STOP]


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """A whole answer: thinking, text, calls, with pings between."""
    out: list[Event] = [MessageStarted("up", "m")]
    if draw(st.booleans()):
        out += draw(thinking_block())
    if draw(st.booleans()):
        out += draw(text_block())
    calls = draw(st.lists(call_block(), max_size=3, unique_by=lambda block: block[0].id))  # type: ignore[union-attr]
    for call in calls:
        if draw(st.booleans()):
            out.append(Ping())
        out += call
    read = draw(counts)
    usage = TokenUsage(draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6)), read)
    out.append(UsageReported(usage))
    if calls:
        return [*out, Stopped("tool_use")]
    return [*out, Stopped(draw(st.sampled_from(["end_turn", "max_tokens", "refusal"])))]


def pieces_of(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Cut bytes anywhere."""

    def apply(places: list[int]) -> list[bytes]:
        edges = [0, *sorted(places), len(data)]
        return [data[a:b] for a, b in pairwise(edges)]

    return st.lists(st.integers(0, len(data)), max_size=12).map(apply)


FIELDS = (
    "type",
    "index",
    "delta",
    "text",
    "content_block",
    "message",
    "usage",
    "error",
    "id",
    "name",
    "input",
    "partial_json",
    "thinking",
    "signature",
    "data",
    "citation",
    "stop_reason",
    "stop_sequence",
    "choices",
    "content",
    "tool_calls",
    "function",
    "arguments",
    "finish_reason",
    "refusal",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "role",
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "source",
    "media_type",
    "url",
    "image_url",
    "file",
    "tool_call_id",
    "tool_use_id",
    "is_error",
    "max_tokens",
    "stop",
    "thinking",
    "output_config",
    "response_format",
    "metadata",
    "stream",
    "stream_options",
    "input_schema",
    "parameters",
)
VALUES = (
    "text",
    "tool_use",
    "thinking",
    "redacted_thinking",
    "tool_result",
    "image",
    "document",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
    "text_delta",
    "input_json_delta",
    "user",
    "assistant",
    "system",
    "tool",
    "function",
    "base64",
    "url",
    "stop",
    "tool_calls",
    "auto",
    "enabled",
    "json_schema",
    "data:image/png;base64,AA==",
    "https://e.org",
    "{}",
    "[DONE]",
)
hostile_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.sampled_from(VALUES), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), words), inner, max_size=6),
    ),
    max_leaves=25,
)
"""JSON that looks like an API's from afar."""


@st.composite
def hostile_streams(draw: st.DrawFn) -> bytes:
    """Frames of almost the right shape, and bytes of none."""
    out = b""
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            out += draw(st.binary(max_size=20)) + b"\n\n"
            continue
        body = draw(hostile_values)
        if kind == 1:
            body = {"type": draw(st.sampled_from(VALUES)), "index": 0, "delta": body} | (
                {"content_block": draw(hostile_values)} if draw(st.booleans()) else {}
            )
        elif kind == 2:
            body = {"choices": [{"delta": body, "finish_reason": draw(st.sampled_from(VALUES))}]}
        out += b"data: " + json.dumps(body).encode() + b"\n\n"
    return out
