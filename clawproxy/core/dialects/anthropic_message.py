"""Whole Anthropic messages: an upstream's becomes events, events become a caller's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from clawproxy.core.dialects.answer import Block as AnswerBlock
from clawproxy.core.dialects.answer import CallBlock, TextBlock, ThinkingBlock, collect
from clawproxy.core.dialects.anthropic_conversation import tool_input
from clawproxy.core.dialects.anthropic_encode import own_signature, stop_json, usage_json
from clawproxy.core.dialects.anthropic_wire import (
    Block,
    block_decoder,
    input_text,
    read_citation,
    read_stop,
    read_usage,
)
from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    Event,
    MessageStarted,
    OpaqueBlock,
    SignatureDelta,
    Stopped,
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    UsageReported,
    made_up_call_id,
)
from clawproxy.core.dialects.freeform import custom_arguments
from clawproxy.core.dialects.naming import escaped_call_id
from clawproxy.core.dialects.rawjson import MALFORMED, decode, encode, one_line
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.dialects.upstream_error import anthropic_fault, malformed


class _Message(msgspec.Struct):
    type: str = ""
    id: str | None = None
    model: str | None = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None


_message = msgspec.json.Decoder(_Message)


def parse_response(body: bytes) -> list[Event]:
    """Read a message.

    :raises ProxyError: the body is none.
    """
    try:
        message = decode(_message, body)
        blocks = [(raw, decode(block_decoder, raw)) for raw in message.content or ()]
    except MALFORMED:
        raise malformed("a message") from None
    if message.error is not None:
        return [StreamFailed(anthropic_fault(message.error))]
    if message.content is None:
        raise malformed("a message without content")
    out: list[Event] = [MessageStarted(message.id or "", message.model or "")]
    for raw, block in blocks:
        out += _block(raw, block)
    if usage := read_usage(message.usage):
        out.append(UsageReported(usage))
    stopped = read_stop(message.stop_reason, message.stop_sequence, message.stop_details)
    if message.stop_reason is None and any(block.type == "tool_use" for _, block in blocks):
        stopped = Stopped("tool_use")
    return [*out, stopped]


def _block(raw: msgspec.Raw, block: Block) -> list[Event]:
    out: list[Event]
    match block.type:
        case "text":
            out = [TextStarted()]
            if block.text:
                out.append(TextDelta(block.text))
            out += [found for c in block.citations or () if (found := read_citation(c))]
        case "thinking":
            out = [ThinkingStarted()]
            if block.thinking:
                out.append(ThinkingDelta(block.thinking))
            if block.signature:
                out.append(SignatureDelta(block.signature, "anthropic"))
        case "redacted_thinking":
            out = [ThinkingStarted(redacted=block.data or "")]
        case "tool_use":
            out = [ToolCallStarted(block.id or "", block.name or "")]
            if text := input_text(block.input):
                out.append(ArgumentsDelta(text))
        case kind:
            return [OpaqueBlock("anthropic", kind, one_line(raw))]
    return [*out, BlockStopped()]


def build_response(events: Iterable[Event], turn: Turn, *, model: str, response_id: str) -> bytes:
    """Write a message.

    :raises ProxyError: see :meth:`~.dialect.Dialect.build_response`.
    """
    answer = collect(events)
    calls = 0
    content: list[Any] = []
    for block in answer.blocks:
        content += _content(block, turn, response_id, calls)
        calls += isinstance(block, CallBlock)
    return encode(
        {
            "id": response_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            **stop_json(answer.stopped),
            "usage": usage_json(answer.usage),
        }
    )


def _content(block: AnswerBlock, turn: Turn, response_id: str, ordinal: int) -> list[Any]:
    match block:
        case TextBlock():
            out: dict[str, Any] = {"type": "text", "text": block.text}
            if own := [msgspec.Raw(c.raw) for c in block.citations if c.origin == "anthropic"]:
                out["citations"] = own
            return [out]
        case ThinkingBlock():
            if block.started.redacted:
                return [{"type": "redacted_thinking", "data": block.started.redacted}]
            seal = own_signature(block.signature, block.origin, block.started.id)
            return [{"type": "thinking", "thinking": block.text, "signature": seal}]
        case CallBlock():
            text = custom_arguments(block.arguments) if block.started.custom else block.arguments
            return [
                {
                    "type": "tool_use",
                    "id": escaped_call_id(block.started.id)
                    or made_up_call_id(response_id, ordinal),
                    "name": turn.original_tool_name(block.started.name),
                    "input": tool_input(text),
                }
            ]
        case OpaqueBlock():
            return [msgspec.Raw(block.raw)] if block.origin == "anthropic" else []
