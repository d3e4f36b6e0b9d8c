"""Read an Anthropic stream: SSE bytes become neutral events.

1. :class:`AnthropicDecoder` takes bytes and never raises; frames of unknown types and unknown
   fields are passed over.
2. ``message_delta`` is kept until ``message_stop``, the terminal event; an end before it is a
   failure.
3. Blocks go through a :class:`~.sequence.BlockSequence`, so that even an upstream that muddles its
   indices gives clean blocks.

Events: https://docs.claude.com/en/docs/build-with-claude/streaming.
"""

from __future__ import annotations

from clawproxy.core.dialects.anthropic_wire import (
    Frame,
    block_decoder,
    frame_decoder,
    input_text,
    message_decoder,
    read_citation,
    read_stop,
    read_usage,
    type_decoder,
)
from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    Event,
    MessageStarted,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Stopped,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    UsageReported,
)
from clawproxy.core.dialects.frame_reader import FrameReader
from clawproxy.core.dialects.rawjson import MALFORMED, decode, is_null, one_line
from clawproxy.core.dialects.sequence import BlockSequence
from clawproxy.core.dialects.upstream_error import anthropic_fault, malformed, openai_fault
from clawproxy.core.errors import ProxyError
from clawproxy.core.sse import SSEEvent

_KNOWN = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    }
)


class AnthropicDecoder(FrameReader):
    """See :class:`~.dialect.StreamDecoder`."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks = BlockSequence()
        self._keys: dict[int, int] = {}  # an index becomes a key that no earlier block had
        self._next = 0
        self._ids: dict[int, str] = {}  # of the open calls, by index
        self._inputs: dict[int, str] = {}  # arguments that came whole with a call's start
        self._opaque: dict[int, OpaqueBlock] = {}
        self._stopped: Stopped | None = None
        self._calls = False
        self._started = False

    def read_frame(self, frame: SSEEvent) -> list[Event]:
        """See :class:`~.frame_reader.FrameReader`."""
        try:
            found = self.halves.decode(frame_decoder, frame.data)
        except MALFORMED:
            if self._foreign(frame):
                return []
            return self.fail(malformed("an event"))
        try:
            return self._event(found, found.type or frame.event)
        except ProxyError as error:
            return self.fail(error)

    def _event(self, found: Frame, kind: str) -> list[Event]:
        if kind == "content_block_delta":
            return self._delta(found)
        match kind:
            case "message_start":
                return self._message_start(found)
            case "content_block_start":
                return self._block_start(found)
            case "content_block_stop":
                return self._block_stop(found.index)
            case "message_delta":
                return self._message_delta(found)
            case "message_stop":
                return self._message_stop()
            case "ping":
                return [Ping()]
            case "error":
                return self.fail(anthropic_fault(found.error or {}))
            case "" if found.error is not None:  # as gateways of OpenAI's dialect tell it
                return self.fail(openai_fault(found.error))
            case _:
                return []

    @staticmethod
    def _foreign(frame: SSEEvent) -> bool:
        """Tell whether a frame that cannot be read is one whose shape nobody knows."""
        try:
            kind = decode(type_decoder, frame.data).type or frame.event
        except MALFORMED:
            return False
        return not isinstance(kind, str) or kind not in _KNOWN

    def _message_start(self, found: Frame) -> list[Event]:
        if self._started or self._next:
            return []  # a second start, or one behind its blocks
        self._started = True
        if is_null(found.message):
            return [MessageStarted()]
        try:
            message = decode(message_decoder, found.message)
        except MALFORMED:
            return self.fail(malformed("a message_start"))
        out: list[Event] = [MessageStarted(message.id or "", message.model or "")]
        if usage := read_usage(message.usage):
            out.append(UsageReported(usage))
        return out

    def _block_start(self, found: Frame) -> list[Event]:
        if found.index is None or is_null(found.content_block):
            return self.fail(malformed("a content_block_start"))
        try:
            block = decode(block_decoder, found.content_block)
            arguments = input_text(block.input)
        except MALFORMED:
            return self.fail(malformed("a content_block_start"))
        if block.type == "tool_use" and block.id and self._ids.get(found.index) == block.id:
            return []  # the call's start once more
        out = self._block_stop(found.index)  # of an earlier block that nobody stopped
        key = self._next
        self._next += 1
        self._keys[found.index] = key
        blocks = self._blocks
        match block.type:
            case "text":
                out += blocks.start(key, TextStarted())
                if block.text:
                    out += blocks.delta(key, TextDelta(block.text))
            case "thinking":
                out += blocks.start(key, ThinkingStarted())
                if block.thinking:
                    out += blocks.delta(key, ThinkingDelta(block.thinking))
                if block.signature:
                    out += blocks.delta(key, SignatureDelta(block.signature, "anthropic"))
            case "redacted_thinking":
                out += blocks.start(key, ThinkingStarted(redacted=block.data or ""))
            case "tool_use":
                self._calls = True
                self._ids[found.index] = block.id or ""
                out += blocks.start(key, ToolCallStarted(block.id or "", block.name or ""))
                if arguments:
                    self._inputs[key] = arguments
            case kind:
                self._opaque[key] = OpaqueBlock("anthropic", kind, one_line(found.content_block))
        return out

    def _delta(self, found: Frame) -> list[Event]:
        delta = found.delta
        key = self._keys.get(found.index) if found.index is not None else None
        if delta is None or key is None:
            return []
        match delta.type:
            case "text_delta":
                return self._blocks.delta(key, TextDelta(delta.text)) if delta.text else []
            case "input_json_delta":
                if not delta.partial_json or key in self._opaque:
                    return []
                self._inputs.pop(key, None)
                return self._blocks.delta(key, ArgumentsDelta(delta.partial_json))
            case "thinking_delta":
                if not delta.thinking:
                    return []
                return self._blocks.delta(key, ThinkingDelta(delta.thinking))
            case "signature_delta":
                if not delta.signature:
                    return []
                return self._blocks.delta(key, SignatureDelta(delta.signature, "anthropic"))
            case "citations_delta":
                citation = None if is_null(delta.citation) else read_citation(delta.citation)
                return self._blocks.delta(key, citation) if citation else []
            case _:
                return []

    def _block_stop(self, index: int | None) -> list[Event]:
        key = self._keys.pop(index, None) if index is not None else None
        if key is None or index is None:
            return []
        self._ids.pop(index, None)
        if opaque := self._opaque.pop(key, None):
            return self._blocks.whole(key, opaque)
        out: list[Event] = []
        if text := self._inputs.pop(key, None):
            out += self._blocks.delta(key, ArgumentsDelta(text))
        return out + self._blocks.stop(key)

    def _message_delta(self, found: Frame) -> list[Event]:
        if (delta := found.delta) is not None and delta.stop_reason is not None:
            self._stopped = read_stop(delta.stop_reason, delta.stop_sequence, delta.stop_details)
        usage = read_usage(found.usage)
        return [UsageReported(usage)] if usage else []

    def _message_stop(self) -> list[Event]:
        out: list[Event] = []
        for index in list(self._keys):
            out += self._block_stop(index)
        self.final = True
        ending = self._stopped or Stopped("tool_use" if self._calls else "end_turn")
        return [*out, ending]
