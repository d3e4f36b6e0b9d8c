"""Read a Responses stream: SSE bytes become neutral events.

1. :class:`ResponsesDecoder` takes bytes and never raises; events and items of unknown types are
   passed over or kept opaque.
2. Text parts, reasoning and calls are blocks, put in order by a
   :class:`~.sequence.BlockSequence`, since the API may interleave output items.
3. Servers that imitate the API leave out events and reuse indexes. A ``done`` that says what no
   delta said, and an item that only the terminal event names, are made up for; nothing is given
   twice.

Events: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec
from attrs import define

from clawproxy.core.dialects.events import (
    ArgumentsDelta,
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
)
from clawproxy.core.dialects.halves import Halves
from clawproxy.core.dialects.openai_responses_tools import flat_name
from clawproxy.core.dialects.openai_responses_wire import (
    Frame,
    Item,
    Part,
    Response,
    annotation_decoder,
    arguments_text,
    frame_decoder,
    item_decoder,
    read_usage,
    response_decoder,
    type_decoder,
)
from clawproxy.core.dialects.rawjson import MALFORMED, decode, is_null
from clawproxy.core.dialects.sequence import BlockSequence
from clawproxy.core.dialects.upstream_error import malformed, openai_fault, unfinished
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.sse import SSEDecoder, SSEEvent

MAX_FRAME = 64 * 1024 * 1024
"""Most bytes of one frame; the terminal event repeats the whole answer."""

_TERMINAL = {
    "response.completed": "completed",
    "response.done": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}


_KNOWN_PREFIXES = ("response.output_", "response.content_", "response.function_", "response.reason")


@define(slots=True)
class _Open:
    """What is known of an output item.

    :ivar key: its block, ``None`` until it has one (messages have one per part).
    :ivar given: characters that deltas have given.
    :ivar source: ``summary`` or ``content``: whichever of the two reasoning texts came first.
    :ivar index: the part of that text that came last.
    """

    kind: str = ""
    key: Hashable = None
    given: int = 0
    source: str = ""
    index: int = 0
    done: bool = False


class ResponsesDecoder:
    """See :class:`~.dialect.StreamDecoder`."""

    def __init__(self) -> None:
        self._sse = SSEDecoder(limit=MAX_FRAME)
        self._halves = Halves()
        self._blocks = BlockSequence()
        self._items: dict[int, _Open] = {}
        self._texts: dict[tuple[int, int], int] = {}  # (item, part) -> characters given
        self._ids: dict[str, int] = {}
        self._started = False
        self._calls = False
        self._words = False
        self._refused = False
        self._final = False

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and return what they complete."""
        if self._final:
            return []
        return self._read(self._sse.feed(data))

    def close(self) -> list[Event]:
        """End the stream."""
        if self._final:
            return []
        out = self._read(self._sse.close())
        if not self._final:
            out += self._fail(unfinished())
        return out

    def whole(self, body: bytes) -> list[Event]:
        """Read a whole answer instead of a stream.

        :raises ProxyError: the body is none.
        """
        try:
            response = decode(response_decoder, body)
        except MALFORMED:
            raise malformed("a response") from None
        if response.output is None and response.error is not None:
            return [StreamFailed(openai_fault(response.error))]
        if response.output is None or response.status in ("queued", "in_progress"):
            raise malformed("a response without output")
        return self._ending(response, response.status or "completed")

    def _read(self, frames: list[SSEEvent]) -> list[Event]:
        out: list[Event] = []
        for frame in frames:
            if frame.data and frame.data != b"[DONE]":
                found = self._frame(frame)
                # Whatever begins the answer, a late response.created begins none.
                self._started = self._started or any(not isinstance(e, Ping) for e in found)
                out += found
            if self._final:
                return out
        if self._sse.dropped:
            out += self._fail(malformed("a frame beyond all bounds"))
        return out

    def _fail(self, error: ProxyError) -> list[Event]:
        self._final = True
        return [StreamFailed(error)]

    def _frame(self, frame: SSEEvent) -> list[Event]:
        try:
            found = self._halves.decode(frame_decoder, frame.data)
        except MALFORMED:
            return [] if self._foreign(frame) else self._fail(malformed("an event"))
        kind = found.type or frame.event
        match kind:
            case "response.output_text.delta":
                return self._text(found, found.delta, refusal=False)
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                return self._arguments(found, found.delta)
            case "response.reasoning_summary_text.delta":
                return self._thinking(found, "summary", found.summary_index)
            case "response.reasoning_text.delta":
                return self._thinking(found, "content", found.content_index)
            case "response.refusal.delta":
                return self._text(found, found.delta, refusal=True)
            case "response.output_item.added":
                return self._added(found)
            case "response.output_item.done":
                return self._done(found)
            case "response.content_part.added":
                refusal = found.part is not None and found.part.type == "refusal"
                if found.part is None or found.part.type not in ("output_text", "refusal"):
                    return []
                return self._text(found, found.part.text, refusal=refusal)
            case "response.output_text.annotation.added":
                return self._annotation(found)
            case "response.output_text.done" | "response.refusal.done":
                return self._text_done(found, kind == "response.refusal.done")
            case "response.content_part.done":
                return self._part_done(found)
            case "response.function_call_arguments.done" | "response.custom_tool_call_input.done":
                return self._arguments_done(found)
            case "response.created" | "response.in_progress" | "response.queued":
                return self._lifecycle(found)
            case "ping" | "keepalive":
                return [Ping()]
            case "error":
                flat = {"code": found.code, "message": found.message, "param": found.param}
                return self._fail(openai_fault(found.error or flat))
            case _ if kind in _TERMINAL:
                return self._terminal(found, _TERMINAL[kind])
            case _ if found.error is not None and not kind:
                return self._fail(openai_fault(found.error))
        return []

    @staticmethod
    def _foreign(frame: SSEEvent) -> bool:
        """Tell whether a frame that cannot be read is one whose shape nobody knows."""
        try:
            kind = decode(type_decoder, frame.data).type or frame.event
        except MALFORMED:
            return False
        return not isinstance(kind, str) or not (
            kind.startswith(_KNOWN_PREFIXES) or kind in _TERMINAL or kind in ("error", "")
        )

    def _lifecycle(self, found: Frame) -> list[Event]:
        if self._started or self._items:
            return [Ping()]
        try:
            response = decode(response_decoder, found.response)
        except MALFORMED:
            response = Response()
        return self._start(response)

    def _start(self, response: Response) -> list[Event]:
        if self._started or self._items:
            return []
        self._started = True
        return [MessageStarted(response.id or "", response.model or "")]

    def _index(self, found: Frame) -> int:
        known = self._ids.get(found.item_id or "")
        if known is not None:
            return known
        if found.output_index is not None:
            return found.output_index
        return max(self._items, default=0)

    def _added(self, found: Frame) -> list[Event]:
        if is_null(found.item):
            return []  # some servers announce an item before they know it
        try:
            item = decode(item_decoder, found.item)
        except MALFORMED:
            return self._fail(malformed("an output item"))
        if item.id in self._ids:
            return []
        index = found.output_index
        if index is None or index in self._items:
            index = max(self._items, default=-1) + 1
        self._items[index] = state = _Open(kind=item.type)
        if item.id:
            self._ids[item.id] = index
        if item.type in ("function_call", "custom_tool_call") and item.name:
            return self._call(index, state, item)
        return []

    def _call(self, index: int, state: _Open, item: Item) -> list[Event]:
        self._calls = True
        state.key = (index, "call")
        custom = item.type == "custom_tool_call"
        out = self._blocks.start(
            state.key,
            ToolCallStarted(
                item.call_id or item.id or "",
                flat_name(item.name or "", item.namespace),
                custom,
                item.id or "",
            ),
        )
        return out + self._whole_arguments(state, item)

    def _whole_arguments(self, state: _Open, item: Item) -> list[Event]:
        text = item.input or ""
        if item.type == "function_call":
            text = arguments_text(item.arguments)
            if text.strip() == "{}":  # often a placeholder for what is still to come
                text = ""
        if not text or state.given:
            return []
        state.given = len(text)
        return self._blocks.delta(state.key, ArgumentsDelta(text))

    def _arguments(self, found: Frame, text: str | None) -> list[Event]:
        state = self._items.get(self._index(found))
        if not text or state is None or state.key is None or state.done:
            return []  # a call without a name yet is given whole, by its ``done``
        state.given += len(text)
        return self._blocks.delta(state.key, ArgumentsDelta(text))

    def _arguments_done(self, found: Frame) -> list[Event]:
        state = self._items.get(self._index(found))
        text = arguments_text(found.arguments) or found.input
        if state is None or state.given:
            return []
        return self._arguments(found, text)

    def _text(self, found: Frame, text: str | None, *, refusal: bool) -> list[Event]:
        index = self._index(found)
        self._items.setdefault(index, _Open(kind="message"))
        return self._part_text(index, found.content_index or 0, text, refusal=refusal)

    def _part_text(self, index: int, part: int, text: str | None, *, refusal: bool) -> list[Event]:
        key = (index, part)
        out: list[Event] = []
        if key not in self._texts:
            self._texts[key] = 0
            self._refused = self._refused or refusal
            self._words = self._words or not refusal
            out += self._blocks.start(key, TextStarted(refusal))
        if text:
            self._texts[key] += len(text)
            out += self._blocks.delta(key, TextDelta(text))
        return out

    def _text_done(self, found: Frame, refusal: bool) -> list[Event]:
        text = found.refusal if refusal else found.text
        if self._texts.get((self._index(found), found.content_index or 0)):
            text = None
        return self._text(found, text, refusal=refusal)

    def _part_done(self, found: Frame) -> list[Event]:
        index, part = self._index(found), found.content_index or 0
        out: list[Event] = []
        if found.part is not None and found.part.type in ("output_text", "refusal"):
            out += self._missing_text(index, part, found.part)
        return out + self._blocks.stop((index, part))

    def _missing_text(self, index: int, part: int, content: Part) -> list[Event]:
        """Give what a finished part says and no delta did."""
        if self._texts.get((index, part)):
            return []
        refusal = content.type == "refusal"
        text = content.refusal if refusal else content.text
        known = (index, part) in self._texts
        out: list[Event] = []
        if text or not known:
            out += self._part_text(index, part, text, refusal=refusal)
        if not known:
            for raw in content.annotations or ():
                out += self._cite((index, part), raw)
        return out

    def _annotation(self, found: Frame) -> list[Event]:
        return self._cite((self._index(found), found.content_index or 0), found.annotation)

    def _cite(self, key: Hashable, raw: msgspec.Raw) -> list[Event]:
        if is_null(raw):
            return []
        try:
            note = decode(annotation_decoder, raw)
        except MALFORMED:
            return []
        return self._blocks.delta(
            key,
            CitationAdded(
                url=note.url or "",
                title=note.title or note.filename or "",
                start=note.start_index,
                end=note.end_index,
                origin="openai_responses",
                raw=bytes(raw),
            ),
        )

    def _thinking(self, found: Frame, source: str, part: int | None) -> list[Event]:
        index = self._index(found)
        state = self._items.setdefault(index, _Open(kind="reasoning"))
        return self._thought(index, state, source, part or 0, found.delta or "", found.item_id)

    def _thought(
        self, index: int, state: _Open, source: str, part: int, text: str, item_id: str | None
    ) -> list[Event]:
        if not text or state.done or state.source not in ("", source):
            return []  # the summary and the reasoning itself say the same: one is enough
        out: list[Event] = []
        if not state.source:
            state.source, state.index = source, part
            out += self._begin_thinking(index, state, item_id)
        if part != state.index:
            state.index = part
            text = "\n\n" + text
        return out + self._blocks.delta(state.key, ThinkingDelta(text))

    def _begin_thinking(self, index: int, state: _Open, item_id: str | None) -> list[Event]:
        state.key = (index, "thinking")
        summary = state.source != "content"
        return self._blocks.start(state.key, ThinkingStarted(summary, item_id or ""))

    def _done(self, found: Frame) -> list[Event]:
        if is_null(found.item):
            return []
        return self._item_done(self._index(found), found.item)

    def _item_done(self, index: int, raw: msgspec.Raw) -> list[Event]:
        try:
            item = decode(item_decoder, raw)
        except MALFORMED:
            return self._fail(malformed("an output item"))
        index = self._ids.setdefault(item.id, index) if item.id else index
        state = self._items.setdefault(index, _Open(kind=item.type))
        if state.done:
            return []
        out: list[Event] = []
        match item.type:
            case "message":
                for part, content in enumerate(item.content or ()):
                    if content.type in ("output_text", "refusal"):
                        out += self._missing_text(index, part, content)
                for key in [key for key in self._texts if key[0] == index]:
                    out += self._blocks.stop(key)
            case "function_call" | "custom_tool_call":
                if state.key is None:
                    out += self._call(index, state, item)
                else:
                    out += self._whole_arguments(state, item)
                out += self._blocks.stop(state.key)
            case "reasoning":
                out += self._reasoning_done(index, state, item)
            case kind:
                block = OpaqueBlock("openai_responses", kind, bytes(raw))
                out += self._blocks.whole((index, "opaque"), block)
        state.done = True
        return out

    def _reasoning_done(self, index: int, state: _Open, item: Item) -> list[Event]:
        out: list[Event] = []
        if not state.source:
            source = "summary" if item.summary else "content"
            for part, content in enumerate(item.summary or item.content or ()):
                out += self._thought(index, state, source, part, content.text or "", item.id)
        if item.encrypted_content:
            if state.key is None:
                out += self._begin_thinking(index, state, item.id)
            out += self._blocks.delta(
                state.key, SignatureDelta(item.encrypted_content, "openai_responses")
            )
        return out + (self._blocks.stop(state.key) if state.key is not None else [])

    def _terminal(self, found: Frame, status: str) -> list[Event]:
        try:
            response = decode(response_decoder, found.response)
        except MALFORMED:
            return self._fail(malformed("a terminal event"))
        return self._ending(response, status)

    def _ending(self, response: Response, status: str) -> list[Event]:
        out = self._start(response)
        if status in ("completed", "incomplete"):
            for index, raw in enumerate(response.output or ()):
                out += self._item_done(index, raw)
                if self._final:
                    return out
            out += self._blocks.stop_all()
        if usage := read_usage(response.usage):
            out.append(UsageReported(usage))
        if status not in ("completed", "incomplete"):
            fault = ProxyError(Kind.API, f"The upstream's response ended as {status!r}.")
            return out + self._fail(openai_fault(response.error) if response.error else fault)
        self._final = True
        return [*out, self._stop(response, status)]

    def _stop(self, response: Response, status: str) -> Stopped:
        if status == "incomplete":
            details = response.incomplete_details
            reason = details.get("reason") if isinstance(details, dict) else None
            if reason == "content_filter":
                return Stopped("refusal")
            return Stopped("end_turn" if reason in ("steered", "max_messages") else "max_tokens")
        if self._calls:
            return Stopped("tool_use")
        return Stopped("refusal" if self._refused and not self._words else "end_turn")
