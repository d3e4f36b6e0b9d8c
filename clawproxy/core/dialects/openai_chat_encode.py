"""Write neutral events as a Chat Completions stream for a caller.

1. :class:`ChatEncoder` writes each delta's chunk as soon as it comes; ``role`` goes first.
2. The finish chunk, the usage chunk (for a caller that asked for it, and only then) and ``[DONE]``
   come together.
3. Thinking is shown as ``reasoning_content``, the name under which chat front-ends look for it;
   seals have no place.
"""

from __future__ import annotations

from typing import Any

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
from clawproxy.core.dialects.freeform import FreeformText
from clawproxy.core.dialects.openai_chat_usage import usage_json
from clawproxy.core.dialects.rawjson import encode, quote
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.dialects.upstream_error import unfinished
from clawproxy.core.errors import ProxyError, render_event

FINISH_REASONS: dict[StopReason, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "context_window": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_reason(reason: StopReason, *, said: bool) -> str:
    """Return why an answer ended.

    :param said: the answer holds the model's own words of refusal; it is whole then, and the SDKs raise an
        error at ``content_filter`` instead of showing them.
    """
    return "stop" if said and reason == "refusal" else FINISH_REASONS[reason]


_PING = b": ping\n\n"


def annotation(citation: CitationAdded, start: int, end: int) -> dict[str, Any] | None:
    """Return a citation as an annotation; only those of web pages have a form here.

    :param start: :param end: the text block that it belongs to, in the characters of the whole answer; where
        the upstream says more, that counts.
    """
    if not citation.url:
        return None
    return {
        "type": "url_citation",
        "url_citation": {
            "url": citation.url,
            "title": citation.title,
            "start_index": start + (citation.start or 0),
            "end_index": end if citation.end is None else start + citation.end,
        },
    }


class ChatEncoder:
    """See :class:`~.dialect.StreamEncoder`."""

    request_id: str = ""

    def __init__(self, turn: Turn, *, model: str, response_id: str, created: int) -> None:
        self._turn = turn
        self._id = response_id
        self._base = b'data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s' % (
            quote(response_id),
            created,
            quote(model),
        )
        usage = b',"usage":null' if turn.include_usage else b""
        self._head = self._base + b',"choices":[{"index":0,"delta":'
        self._tail = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
        self._end = b"]" + usage + b"}\n\n"
        self._usage = TokenUsage()
        self._calls = 0
        self._refusal = False
        self._refused = False
        self._length = 0  # characters of the answer's text, and of that before the open block
        self._block = 0
        self._call: bytes | None = None  # the open call's deltas, up to their text
        self._freeform: FreeformText | None = (
            None  # takes a custom call's text out of its stand-in's
        )
        self._argued = False
        self._started = False
        self._ended = False

    def encode(self, event: Event) -> bytes:
        """Return an event's chunks."""
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
            case _:
                self._started = True
                first = self._chunk(b'{"role":"assistant","content":""}')
                return first + self._encode(event)

    def ping(self) -> bytes:
        """Return a comment."""
        return _PING if self._started and not self._ended else b""

    def error(self, error: ProxyError) -> bytes:
        """Return the error's frame; no ``[DONE]`` follows, so that the answer is not taken for
        whole.
        """
        self._ended = True
        return render_event(error, "openai_chat", self.request_id)

    def close(self) -> bytes:
        """Return an error if the answer never ended."""
        return b"" if self._ended else self.error(unfinished())

    def _chunk(self, delta: bytes) -> bytes:
        return self._head + delta + self._tail

    def _encode(self, event: Event) -> bytes:
        match event:
            case TextDelta(text):
                name = b'{"refusal":' if self._refusal else b'{"content":'
                if not self._refusal:
                    self._length += len(text)
                return self._chunk(name + quote(text) + b"}")
            case ArgumentsDelta(text):
                self._argued = True
                if self._freeform is not None:
                    text = self._freeform.feed(text)
                return self._arguments(text)
            case ThinkingDelta(text):
                return self._chunk(b'{"reasoning_content":' + quote(text) + b"}")
            case BlockStopped():
                return self._stop_block()
            case TextStarted(refusal):
                self._refusal = refusal
                self._block = self._length
                self._refused = self._refused or refusal
                return b""
            case ToolCallStarted():
                return self._start_call(event)
            case UsageReported(usage):
                self._usage = self._usage.merged(usage)
                return b""
            case CitationAdded():
                note = annotation(event, self._block, self._length)
                return self._chunk(encode({"annotations": [note]})) if note else b""
            case Ping():
                return _PING
            case Stopped():
                return self._stop(event)
            case StreamFailed(error):
                return self.error(error)
            case MessageStarted() | ThinkingStarted() | SignatureDelta() | OpaqueBlock():
                return b""

    def _start_call(self, event: ToolCallStarted) -> bytes:
        name = self._turn.original_tool_name(event.name)
        custom = self._turn.custom_tool(name) is not None
        kind = "custom" if custom or event.custom else "function"
        call: dict[str, Any] = {
            "index": self._calls,
            "id": event.id or made_up_call_id(self._id, self._calls),
            "type": kind,
            kind: {"name": name, "input" if kind == "custom" else "arguments": ""},
        }
        field = b'"custom":{"input":' if kind == "custom" else b'"function":{"arguments":'
        self._call = b'{"tool_calls":[{"index":%d,' % self._calls + field
        self._freeform = FreeformText() if custom and not event.custom else None
        self._argued = custom or event.custom
        self._calls += 1
        return self._chunk(encode({"tool_calls": [call]}))

    def _arguments(self, text: str) -> bytes:
        if self._call is None or not text:
            return b""
        return self._chunk(self._call + quote(text) + b"}}]}")

    def _stop_block(self) -> bytes:
        if self._call is None:
            return b""
        out = b""
        if self._freeform is not None:
            out = self._arguments(self._freeform.close())
        elif not self._argued:
            out = self._arguments("{}")  # callers parse the arguments of every call
        self._call = None
        self._freeform = None
        return out

    def _stop(self, event: Stopped) -> bytes:
        self._ended = True
        out = b""
        if event.reason == "refusal" and event.explanation:
            out = self._chunk(b'{"refusal":' + quote(event.explanation) + b"}")
        reason = quote(finish_reason(event.reason, said=self._refused))
        out += self._head + b'{},"logprobs":null,"finish_reason":' + reason + b"}" + self._end
        if self._turn.include_usage:
            usage = encode(usage_json(self._usage))
            out += self._base + b',"choices":[],"usage":' + usage + b"}\n\n"
        return out + b"data: [DONE]\n\n"
