"""Write neutral events as a Responses stream for a caller.

1. Text blocks that follow one another are parts of one message item; thinking is the summary of a
   reasoning item; a call is an item of the kind in which its tool was offered.
2. An item's ``done`` waits for what follows it: only the end tells whether the last one is
   ``incomplete``. Its text and arguments do not wait.
3. A failure ends the stream with ``response.failed``, which Codex reads, and ``error``, which
   the SDKs read.

Events: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import define, field

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
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    UsageReported,
    made_up_call_id,
)
from clawproxy.core.dialects.freeform import FreeformText
from clawproxy.core.dialects.openai_responses_calls import PREFIXES, call_item
from clawproxy.core.dialects.openai_responses_input import REDACTED
from clawproxy.core.dialects.openai_responses_output import Json, ResponseObject, error_code
from clawproxy.core.dialects.openai_responses_tools import Origin, origin_of
from clawproxy.core.dialects.rawjson import encode, quote
from clawproxy.core.dialects.seal import wrap
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.dialects.upstream_error import unfinished
from clawproxy.core.errors import ProxyError


@define(slots=True)
class _Message:
    """An open message item.

    :ivar parts: its finished parts.
    :ivar pieces: the open part's text so far.
    """

    id: str
    parts: list[Json] = field(factory=list)
    pieces: list[str] = field(factory=list)
    notes: list[Any] = field(factory=list)
    refusal: bool = False
    part_open: bool = False


@define(slots=True)
class _Thinking:
    """An open reasoning item; it begins with its first text or seal."""

    id: str
    redacted: str = ""
    sealed: str = ""
    pieces: list[str] = field(factory=list)
    announced: bool = False


@define(slots=True)
class _Call:
    """An open call."""

    id: str
    call_id: str
    origin: Origin
    freeform: FreeformText | None = None
    pieces: list[str] = field(factory=list)


class ResponsesEncoder:
    """See :class:`~.dialect.StreamEncoder`."""

    request_id: str = ""  # the API's error events have no place for it

    def __init__(self, turn: Turn, *, model: str, response_id: str, created: int) -> None:
        self._turn = turn
        self._response = ResponseObject(turn, model=model, response_id=response_id, created=created)
        self._response_id = response_id
        self._tools = {tool.name: tool for tool in turn.tools}
        self._sequence = 0
        self._calls = 0
        self._open: _Message | _Thinking | _Call | None = None
        self._refused = False
        self._begun = False
        self._final = False
        #: The finished response object, once ``Stopped`` has come.
        self.finished: Json | None = None

    def encode(self, event: Event) -> bytes:
        """Return an event's frames."""
        match event:
            case _ if self._final:
                return b""
            case TextDelta(text):
                return self._text(text)
            case ArgumentsDelta(text):
                return self._arguments(text)
            case ThinkingDelta(text):
                return self._thought(text)
            case StreamFailed(error):
                return self.error(error)
            case UsageReported(usage):
                self._response.usage = self._response.usage.merged(usage)
                return b""
            case Ping():
                return self.ping()
            case MessageStarted():
                return self._begin()
            case TextStarted(refusal):
                return self._begin() + self._start_text(refusal)
            case ThinkingStarted():
                return self._begin() + self._start_thinking(event)
            case ToolCallStarted():
                return self._begin() + self._start_call(event)
            case CitationAdded():
                return self._cite(event)
            case SignatureDelta(signature, origin) if isinstance(self._open, _Thinking):
                foreign = origin != "openai_responses"
                self._open.sealed = wrap(origin, signature) if foreign else signature
                return b""
            case BlockStopped():
                return self._stop_block()
            case Stopped():
                return self._begin() + self._stop(event)
            case OpaqueBlock() | SignatureDelta():
                return b""

    def ping(self) -> bytes:
        """Return a repeated ``response.in_progress``; Codex's idle clock does not see comments."""
        if not self._begun or self._final:
            return b""
        return self._frame("response.in_progress", {"response": self._response.alive()})

    def error(self, error: ProxyError, request_id: str = "") -> bytes:
        """Return the frames that end the stream with an error."""
        if self._final:
            return b""
        out = self._begin()  # the SDKs take no other first event
        self._final = True
        out += self._frame("response.failed", {"response": self._response.failed(error)})
        code = error_code(error)
        return out + self._frame(
            "error", {"code": code, "message": error.message, "param": error.param}
        )

    def close(self) -> bytes:
        """End the stream; without a final event that is an error."""
        return b"" if self._final else self.error(unfinished())

    def _frame(self, event: str, data: Json) -> bytes:
        head = {"type": event, "sequence_number": self._sequence}
        self._sequence += 1
        return b"event: " + event.encode() + b"\ndata: " + encode(head | data) + b"\n\n"

    def _delta(self, event: bytes, item_id: str, place: bytes, text: str) -> bytes:
        """Write a delta's frame; the one kind that comes for every token."""
        sequence = self._sequence
        self._sequence += 1
        return (
            b'event: %b\ndata: {"type":"%b","sequence_number":%d,"item_id":"%b",'
            b'"output_index":%d,%b"delta":%b}\n\n'
            % (event, event, sequence, item_id.encode(), self._index, place, quote(text))
        )

    @property
    def _index(self) -> int:
        return len(self._response.items)

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        begun = {"response": self._response.begun()}
        return self._frame("response.created", begun) + self._frame("response.in_progress", begun)

    def _added(self, item: Json) -> bytes:
        return self._frame(
            "response.output_item.added", {"output_index": self._index, "item": item}
        )

    def _item_done(self, item: Json) -> bytes:
        frame = self._frame(
            "response.output_item.done", {"output_index": self._index, "item": item}
        )
        self._response.items.append(item)
        self._open = None
        return frame

    def _close_item(self, status: str = "completed") -> bytes:
        """End the open item: something else follows, or nothing."""
        match self._open:
            case _Message() as message:
                return self._message_done(message, status)
            case _Thinking() as thinking:
                return self._thinking_done(thinking)
            case _Call() as call:
                return self._call_done(call, status)
            case None:
                return b""

    # Messages

    def _start_text(self, refusal: bool) -> bytes:
        out = b""
        message = self._open
        if isinstance(message, _Message):
            out += self._part_done(message)
        else:
            out += self._close_item()
            message = _Message(self._response.item_id("msg_", self._index))
            self._open = message
            out += self._added(_message_json(message, "in_progress"))
        message.part_open = True
        message.refusal = refusal
        self._refused = self._refused or refusal
        return out + self._frame(
            "response.content_part.added", self._place(message) | {"part": _part_json(message)}
        )

    def _place(self, message: _Message) -> Json:
        return {
            "item_id": message.id,
            "output_index": self._index,
            "content_index": len(message.parts),
        }

    def _text(self, text: str) -> bytes:
        message = self._open
        if not isinstance(message, _Message) or not message.part_open or not text:
            return b""
        message.pieces.append(text)
        part = b'"content_index":%d,' % len(message.parts)
        if message.refusal:
            return self._delta(b"response.refusal.delta", message.id, part, text)
        part += b'"logprobs":[],'
        return self._delta(b"response.output_text.delta", message.id, part, text)

    def _cite(self, citation: CitationAdded) -> bytes:
        message = self._open
        if not isinstance(message, _Message) or not message.part_open or message.refusal:
            return b""
        if citation.origin == "openai_responses":
            note: Any = msgspec.Raw(citation.raw)
        elif citation.url:
            length = sum(map(len, message.pieces))
            note = {
                "type": "url_citation",
                "url": citation.url,
                "title": citation.title,
                "start_index": 0 if citation.start is None else citation.start,
                "end_index": length if citation.end is None else citation.end,
            }
        else:
            return b""  # a document of the request has no id here that an annotation could name
        message.notes.append(note)
        return self._frame(
            "response.output_text.annotation.added",
            self._place(message) | {"annotation_index": len(message.notes) - 1, "annotation": note},
        )

    def _part_done(self, message: _Message) -> bytes:
        if not message.part_open:
            return b""
        message.part_open = False
        place = self._place(message)
        part = _part_json(message)
        if message.refusal:
            out = self._frame("response.refusal.done", place | {"refusal": part["refusal"]})
        else:
            done = {"text": part["text"], "logprobs": []}
            out = self._frame("response.output_text.done", place | done)
        out += self._frame("response.content_part.done", place | {"part": part})
        message.parts.append(part)
        message.pieces, message.notes = [], []
        return out

    def _message_done(self, message: _Message, status: str) -> bytes:
        out = self._part_done(message)
        return out + self._item_done(_message_json(message, status))

    # Reasoning

    def _start_thinking(self, event: ThinkingStarted) -> bytes:
        out = self._close_item()
        name = self._response.item_id("rs_", self._index)
        sealed = wrap("anthropic", event.redacted, REDACTED) if event.redacted else ""
        self._open = _Thinking(name, event.redacted, sealed)
        return out

    def _thought(self, text: str) -> bytes:
        thinking = self._open
        if not isinstance(thinking, _Thinking) or not text:
            return b""
        out = b""
        if not thinking.pieces:
            out = self._announce(thinking) + self._frame(
                "response.reasoning_summary_part.added",
                self._summary(thinking) | {"part": {"type": "summary_text", "text": ""}},
            )
        thinking.pieces.append(text)
        return out + self._delta(
            b"response.reasoning_summary_text.delta", thinking.id, b'"summary_index":0,', text
        )

    def _announce(self, thinking: _Thinking) -> bytes:
        if thinking.announced:
            return b""
        thinking.announced = True
        return self._added({"id": thinking.id, "type": "reasoning", "summary": []})

    def _summary(self, thinking: _Thinking) -> Json:
        return {"item_id": thinking.id, "output_index": self._index, "summary_index": 0}

    def _thinking_done(self, thinking: _Thinking) -> bytes:
        if not thinking.pieces and not thinking.sealed:
            self._open = None
            return b""
        out = self._announce(thinking)
        item: Json = {"id": thinking.id, "type": "reasoning", "summary": []}
        if thinking.pieces:
            text = "".join(thinking.pieces)
            part = {"type": "summary_text", "text": text}
            place = self._summary(thinking)
            out += self._frame("response.reasoning_summary_text.done", place | {"text": text})
            out += self._frame("response.reasoning_summary_part.done", place | {"part": part})
            item["summary"] = [part]
        if thinking.sealed:
            item["encrypted_content"] = thinking.sealed
        return out + self._item_done(item)

    # Calls

    def _start_call(self, event: ToolCallStarted) -> bytes:
        out = self._close_item()
        name = self._turn.original_tool_name(event.name)
        origin = origin_of(self._tools.get(name), name)
        if event.custom and origin.flavour == "function":
            origin = Origin("custom", origin.name, origin.namespace)
        call = _Call(
            self._response.item_id(PREFIXES[origin.flavour], self._index),
            event.id or made_up_call_id(self._response_id, self._calls),
            origin,
            FreeformText() if origin.flavour == "custom" and not event.custom else None,
        )
        self._calls += 1
        self._open = call
        if origin.flavour in ("function", "custom"):
            out += self._added(_call_json(call, "", "in_progress"))
        return out

    def _arguments(self, text: str) -> bytes:
        call = self._open
        if not isinstance(call, _Call) or not text:
            return b""
        if call.freeform is not None:
            text = call.freeform.feed(text)
        return self._add_arguments(call, text)

    def _add_arguments(self, call: _Call, text: str) -> bytes:
        if not text:
            return b""
        call.pieces.append(text)
        if call.origin.flavour == "custom":
            return self._delta(b"response.custom_tool_call_input.delta", call.id, b"", text)
        if call.origin.flavour == "function":
            return self._delta(b"response.function_call_arguments.delta", call.id, b"", text)
        return b""  # a built-in's action is an object, which is shown when it is whole

    def _stop_block(self) -> bytes:
        match self._open:
            case _Call() as call if call.freeform is not None:
                return self._add_arguments(call, call.freeform.close())
            case _Call() as call if not call.pieces and call.origin.flavour != "custom":
                return self._add_arguments(call, "{}")  # the API's arguments are always JSON
            case _Message() as message:
                return self._part_done(message)
        return b""

    def _call_done(self, call: _Call, status: str) -> bytes:
        arguments = "".join(call.pieces)
        item = _call_json(call, arguments, status)
        place = {"item_id": call.id, "output_index": self._index}
        if item["type"] == "function_call" and call.origin.flavour == "function":
            done = place | {"name": item["name"], "arguments": arguments}
            out = self._frame("response.function_call_arguments.done", done)
        elif call.origin.flavour == "custom":
            done = place | {"input": arguments}
            out = self._frame("response.custom_tool_call_input.done", done)
        else:
            out = self._added(item | {"status": "in_progress"})
        return out + self._item_done(item)

    # The end

    def _stop(self, stopped: Stopped) -> bytes:
        refused = self._refused and stopped.reason == "refusal"
        cut = stopped.reason in ("max_tokens", "context_window", "refusal") and not refused
        out = self._close_item("incomplete" if cut else "completed")
        if stopped.reason == "refusal" and stopped.explanation and not refused:
            out += self._start_text(refusal=True)
            out += self._text(stopped.explanation)
            out += self._close_item()
        self._final = True
        self.finished = self._response.ended(stopped, refused=refused)
        kind = f"response.{self.finished['status']}"
        return out + self._frame(kind, {"response": self.finished})


def _message_json(message: _Message, status: str) -> Json:
    return {
        "id": message.id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": message.parts,
    }


def _part_json(message: _Message) -> Json:
    text = "".join(message.pieces)
    if message.refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": message.notes, "logprobs": [], "text": text}


def _call_json(call: _Call, arguments: str, status: str) -> Json:
    return call_item(
        call.origin.flavour,
        item_id=call.id,
        call_id=call.call_id,
        name=call.origin.name,
        namespace=call.origin.namespace,
        arguments=arguments,
        status=status,
    )
