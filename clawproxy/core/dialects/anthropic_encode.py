"""Write neutral events as an Anthropic stream for a caller.

1. :class:`AnthropicEncoder` numbers the blocks and writes each event's frame as soon as it comes.
2. Usage is kept until ``message_delta``, where the API reports it; ``message_start`` shows what is
   known by then.
3. Thinking of another vendor is shown without a signature, or with that vendor's seal marked as
   foreign (:mod:`.seal`).

Frames carry their ``event:`` name: the SDKs skip frames without one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    CitationAdded,
    Event,
    MessageStarted,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Stopped,
    StopReason,
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    TokenUsage,
    ToolCallStarted,
    UsageReported,
    made_up_call_id,
)
from clawproxy.core.dialects.freeform import custom_arguments
from clawproxy.core.dialects.naming import escaped_call_id
from clawproxy.core.dialects.rawjson import encode, quote
from clawproxy.core.dialects.seal import wrap
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.dialects.upstream_error import unfinished
from clawproxy.core.errors import ProxyError, render_event

STOP_REASONS: dict[StopReason, str] = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "pause_turn": "pause_turn",
    "refusal": "refusal",
    "context_window": "model_context_window_exceeded",
}

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":'


def frame(event: str, data: dict[str, Any]) -> bytes:
    """Return one SSE frame."""
    return b"event: " + event.encode() + b"\ndata: " + encode({"type": event} | data) + b"\n\n"


def usage_json(usage: TokenUsage) -> dict[str, Any]:
    """Return a whole ``usage`` object; what was never reported counts 0."""
    out: dict[str, Any] = {
        "input_tokens": usage.input_tokens or 0,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens or 0,
        "cache_read_input_tokens": usage.cache_read_input_tokens or 0,
        "output_tokens": usage.output_tokens or 0,
    }
    if usage.reasoning_tokens is not None:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return out


def stop_json(stopped: Stopped) -> dict[str, Any]:
    """Return ``stop_reason``, ``stop_sequence`` and, for a refusal, ``stop_details``."""
    out: dict[str, Any] = {
        "stop_reason": STOP_REASONS[stopped.reason],
        "stop_sequence": stopped.sequence,
    }
    if stopped.reason == "refusal":
        out["stop_details"] = {
            "type": "refusal",
            "category": stopped.category,
            "explanation": stopped.explanation,
        }
    return out


def own_signature(signature: str, origin: DialectName | None, item: str) -> str:
    """Return what stands in ``signature``: Anthropic's own, a marked foreign one, or ``""``."""
    if origin is None or origin == "anthropic" or not signature:
        return signature
    return wrap(origin, signature, item)


class AnthropicEncoder:
    """See :class:`~.dialect.StreamEncoder`."""

    request_id: str = ""

    def __init__(self, turn: Turn, *, model: str, response_id: str) -> None:
        self._turn = turn
        self._model = model
        self._id = response_id
        self._index = -1
        self._head = b""  # the open block's deltas, up to their kind
        self._thinking: ThinkingStarted | None = None
        self._custom: list[str] | None = None  # a custom call's free text, wrapped when complete
        self._calls = 0
        self._usage = TokenUsage()
        self._started = False
        self._ended = False

    def encode(self, event: Event) -> bytes:
        """Return an event's frames."""
        if self._ended:
            return b""
        if self._started:
            return self._encode(event)
        match event:
            case UsageReported(usage):
                self._usage = self._usage.merged(usage)
                return b""
            case Ping():
                return b""
            case StreamFailed(error):
                return self.error(error)
            case MessageStarted():
                return self._start()
            case _:
                return self._start() + self._encode(event)

    def ping(self) -> bytes:
        """Return a ``ping``."""
        return _PING if self._started and not self._ended else b""

    def error(self, error: ProxyError) -> bytes:
        """Return the ``error`` event."""
        self._ended = True
        return render_event(error, "anthropic", self.request_id or self._id)

    def close(self) -> bytes:
        """Return an error if the answer never ended."""
        return b"" if self._ended else self.error(unfinished())

    def _start(self) -> bytes:
        self._started = True
        message: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_json(self._usage),
        }
        return frame("message_start", {"message": message})

    def _encode(self, event: Event) -> bytes:
        match event:
            case TextDelta(text):
                return self._head + b'"text_delta","text":' + quote(text) + b"}}\n\n"
            case ArgumentsDelta(text):
                if self._custom is not None:
                    self._custom.append(text)
                    return b""
                return self._arguments(text)
            case ThinkingDelta(text):
                return self._head + b'"thinking_delta","thinking":' + quote(text) + b"}}\n\n"
            case BlockStopped():
                return self._stop_block()
            case TextStarted():
                return self._start_block({"type": "text", "text": ""})
            case ThinkingStarted():
                return self._start_thinking(event)
            case ToolCallStarted():
                return self._start_call(event)
            case SignatureDelta(signature, origin):
                item = self._thinking.id if self._thinking else ""
                seal = own_signature(signature, origin, item)
                if not seal:
                    return b""
                return self._head + b'"signature_delta","signature":' + quote(seal) + b"}}\n\n"
            case CitationAdded():
                if event.origin != "anthropic":
                    return b""
                return self._head + b'"citations_delta","citation":' + event.raw + b"}}\n\n"
            case OpaqueBlock():
                return self._opaque(event)
            case UsageReported(usage):
                self._usage = self._usage.merged(usage)
                return b""
            case Ping():
                return _PING
            case Stopped():
                self._ended = True
                return frame(
                    "message_delta",
                    {"delta": stop_json(event), "usage": usage_json(self._usage)},
                ) + frame("message_stop", {})
            case StreamFailed(error):
                return self.error(error)
            case MessageStarted():
                return b""

    def _start_block(self, block: dict[str, Any]) -> bytes:
        self._index += 1
        self._head = _DELTA + b'%d,"delta":{"type":' % self._index
        self._thinking = None
        self._custom = None
        return frame("content_block_start", {"index": self._index, "content_block": block})

    def _start_thinking(self, event: ThinkingStarted) -> bytes:
        if event.redacted:
            return self._start_block({"type": "redacted_thinking", "data": event.redacted})
        out = self._start_block({"type": "thinking", "thinking": "", "signature": ""})
        self._thinking = event
        return out

    def _start_call(self, event: ToolCallStarted) -> bytes:
        out = self._start_block(
            {
                "type": "tool_use",
                "id": escaped_call_id(event.id) or made_up_call_id(self._id, self._calls),
                "name": self._turn.original_tool_name(event.name),
                "input": {},
            }
        )
        self._custom = [] if event.custom else None
        self._calls += 1
        return out

    def _arguments(self, text: str) -> bytes:
        return self._head + b'"input_json_delta","partial_json":' + quote(text) + b"}}\n\n"

    def _stop_block(self) -> bytes:
        out = b""
        if self._custom is not None:
            out = self._arguments(custom_arguments("".join(self._custom)))
            self._custom = None
        return out + frame("content_block_stop", {"index": self._index})

    def _opaque(self, event: OpaqueBlock) -> bytes:
        if event.origin != "anthropic":
            return b""
        return self._start_block(msgspec.json.decode(event.raw, type=dict[str, msgspec.Raw])) + (
            self._stop_block()
        )
