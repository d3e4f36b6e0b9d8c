"""Read a Chat Completions stream: SSE bytes become neutral events.

1. :class:`ChatDecoder` takes bytes and never raises. Text, refusals, reasoning and tool calls,
   which the API puts side by side into ``delta``, become blocks that follow one another.
2. :class:`_Call` knows one tool call. Parallel calls may interleave, so a call is only ended early
   when its arguments are a whole JSON object and another has begun; else at the stream's end, since
   some servers give a ``finish_reason`` with every chunk. What comes for a later one in the meantime waits.
3. ``[DONE]`` is the terminal event. A stream that ends without it is complete if it had a
   ``finish_reason``, as some servers send no more.

Chunks: https://platform.openai.com/docs/api-reference/chat/streaming. The leniences are those that
servers which imitate the API need: missing or constant ``index``, missing or numeric ``id``, names in pieces,
``finish_reason: ""``, arguments with the name in one chunk, ``tool_calls: []``, empty ``content``, usage in
``choices``, ``reasoning`` beside ``reasoning_content``, reasoning among the parts of ``content``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    Event,
    MessageStarted,
    SignatureDelta,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    TokenUsage,
    ToolCallStarted,
    UsageReported,
)
from clawproxy.core.dialects.frame_reader import FrameReader
from clawproxy.core.dialects.openai_chat_reasoning import Details, read_reasoning
from clawproxy.core.dialects.openai_chat_usage import read_usage
from clawproxy.core.dialects.openai_chat_wire import (
    CallDelta,
    Chunk,
    Delta,
    chunk_decoder,
    content_text,
    name_and_text,
    read_finish,
)
from clawproxy.core.dialects.rawjson import MALFORMED, is_object, says_nothing
from clawproxy.core.dialects.sequence import BlockSequence
from clawproxy.core.dialects.upstream_error import malformed, openai_fault, unfinished
from clawproxy.core.errors import ProxyError
from clawproxy.core.sse import SSEEvent

MAX_HELD = 64 * 1024 * 1024
"""Most characters that are kept of calls' arguments."""

MAX_CALLS = 1024
"""Most tool calls of one answer; a stream with more is hostile."""

_Words = Literal["text", "refusal", "thinking"]


class _Call:
    """A tool call in the making."""

    def __init__(self, key: int, custom: bool) -> None:
        self.key = key
        self.custom = custom
        self.id = ""
        self.name = ""
        self.started = False
        self.empty = False  # it came with no arguments, or with what stands for those to come
        self.pieces: list[str] = []

    def whole(self) -> bool:
        """Tell whether the arguments are complete, so that nothing of this call can still come."""
        if self.custom or not self.pieces:
            return self.empty
        ending = next((piece for piece in reversed(self.pieces) if piece.strip()), "")
        return ending.rstrip().endswith("}") and is_object("".join(self.pieces))


class ChatDecoder(FrameReader):
    """See :class:`~.dialect.StreamDecoder`."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks = BlockSequence()
        self._key = 0
        self._words: _Words | None = None  # the open block that is no call
        self._seal = ""  # of the thinking that came last
        self._details = Details()  # of thinking, that no block has yet
        self._calls: dict[int, _Call] = {}  # by the upstream's index
        self._latest: _Call | None = None
        self._called = 0
        self._held = 0
        self._refused = False
        self._finish = ""
        self._usage: TokenUsage | None = None
        self._started = False

    def read_end(self) -> list[Event]:
        """Be content with a ``finish_reason``."""
        return self._end() if self._finish else super().read_end()

    def _end(self) -> list[Event]:
        try:
            out = self._finish_blocks()
        except ProxyError as error:
            return self.fail(error)
        if self.final:
            return out
        self.final = True
        called, refused = self._called > 0, self._refused
        return [*out, read_finish(self._finish, called=called, refused=refused)]

    def read_frame(self, frame: SSEEvent) -> list[Event]:
        """See :class:`~.frame_reader.FrameReader`."""
        if frame.data.strip() == b"[DONE]":
            if not self._started:
                return self.fail(unfinished())
            return self._end()
        try:
            chunk = self.halves.decode(chunk_decoder, frame.data)
        except MALFORMED:
            return self.fail(malformed("a chunk"))
        if fault := chunk.fault:
            return self.fail(fault)
        if frame.event == "error":
            return self.fail(chunk.flat_fault())
        return self._take(chunk)

    def _take(self, chunk: Chunk) -> list[Event]:
        out: list[Event] = []
        if not self._started:
            self._started = True
            out.append(MessageStarted(str(chunk.id or ""), chunk.model or ""))
        if chunk.choices:
            choice = chunk.choices[0]
            if choice.error is not None:
                return out + self.fail(openai_fault(choice.error))
            if choice.index:  # another answer than the one that was asked for
                return out
            if choice.delta is not None:
                try:
                    out += self._delta(choice.delta)
                except MALFORMED:
                    return out + self.fail(malformed("a tool call"))
                except ProxyError as error:
                    return out + self.fail(error)
            # Blocks stay open until the end: some servers give a reason with every chunk.
            self._finish = choice.finish_reason or self._finish
            out += self._report(choice.usage)
        return out + self._report(chunk.usage)

    def _report(self, raw: msgspec.Raw) -> list[Event]:
        usage = read_usage(raw)
        if usage is None or usage == self._usage:
            return []
        self._usage = usage
        return [UsageReported(usage)]

    def _delta(self, delta: Delta) -> list[Event]:
        content = delta.content if isinstance(delta.content, str) else content_text(delta.content)
        out: list[Event] = []
        if delta.reasoning_details:
            self._weigh(self._details.add(delta.reasoning_details))
        reasoning, seal = read_reasoning(delta)
        if reasoning:
            self._seal = seal
            out += self._write("thinking", ThinkingDelta(reasoning))
        if content:
            out += self._write("text", TextDelta(content))
        if delta.refusal:
            self._refused = True
            out += self._write("refusal", TextDelta(delta.refusal))
        if delta.tool_calls:
            for call in delta.tool_calls:
                out += self._call(call)
        if delta.function_call is not None:
            out += self._call(CallDelta(index=0, function=delta.function_call))
        return out

    def _weigh(self, size: int) -> None:
        self._held += size
        if self._held > MAX_HELD:
            raise ValueError("too much to keep")

    def _write(self, kind: _Words, event: TextDelta | ThinkingDelta) -> list[Event]:
        if self._words == kind:
            return self._blocks.delta(self._key, event)
        out = self._stop_words()
        # Words after calls come in their place: the calls before them cannot go on for long.
        out += self._stop_whole_calls()
        self._words = kind
        self._key -= 1  # words count down from 0, calls up, so that no two keys are equal
        start = ThinkingStarted() if kind == "thinking" else TextStarted(refusal=kind == "refusal")
        return out + self._blocks.start(self._key, start) + self._blocks.delta(self._key, event)

    def _stop_words(self) -> list[Event]:
        if self._words is None:
            return []
        seal: list[Event] = []
        if self._words == "thinking":
            found = self._details.take() or SignatureDelta(self._seal, "openai_chat")
            seal = self._blocks.delta(self._key, found)
        self._words = None
        return seal + self._blocks.stop(self._key)

    def _stop_whole_calls(self) -> list[Event]:
        out: list[Event] = []
        for call in self._calls.values():
            out += self._start(call)
            if call.started and call.whole():
                call.pieces.clear()
                out += self._blocks.stop(call.key)
        return out

    def _call(self, delta: CallDelta) -> list[Event]:
        name, text = name_and_text(delta)
        if not (name or text or delta.call_id):
            return []
        out: list[Event] = []
        call = self._known(delta, name, text)
        if call is None:
            if self._called >= MAX_CALLS:
                raise ValueError("too many calls")
            out += self._stop_words() + self._stop_whole_calls()
            out += self._seals(self._details.take(), delta.seal)
            self._called += 1
            call = self._latest = _Call(self._called, delta.custom is not None)
            index = delta.index
            self._calls[len(self._calls) if index is None else index] = call
        call.id = call.id or delta.call_id
        if not call.started and name != call.name:
            call.name += name  # most servers say it once, some in every chunk, few in pieces
        if text and (name or delta.call_id) and call.pieces and call.whole():
            return out  # the whole call once more, as some servers end it
        if text and not call.custom and not call.pieces and (says_nothing(text) or text == "{}"):
            # Some servers announce a call with these and give its arguments later; encoders fill them in.
            call.empty, text = True, ""
        if text:
            self._weigh(len(text))
            call.pieces.append(text)
        if call.started:
            return out + (self._blocks.delta(call.key, ArgumentsDelta(text)) if text else [])
        return out + (self._start(call) if call.pieces else [])

    def _seals(self, *seals: SignatureDelta | None) -> list[Event]:
        """Give seals that no words came with: each is a block of its own."""
        out: list[Event] = []
        for seal in seals:
            if seal is not None:
                self._key -= 1
                out += self._blocks.start(self._key, ThinkingStarted())
                out += self._blocks.delta(self._key, seal) + self._blocks.stop(self._key)
        return out

    def _start(self, call: _Call) -> list[Event]:
        """Begin a call's block, once its name is whole: its arguments begin, or something else."""
        if call.started or not call.name:
            return []
        call.started = True
        out = self._blocks.start(call.key, ToolCallStarted(call.id, call.name, custom=call.custom))
        if text := "".join(call.pieces):
            out += self._blocks.delta(call.key, ArgumentsDelta(text))
        return out

    def _known(self, delta: CallDelta, name: str, text: str) -> _Call | None:
        """Return the call that a piece belongs to, ``None`` if it begins another one."""
        call = self._latest if delta.index is None else self._calls.get(delta.index)
        if call is None or not name or not call.name:
            return call
        if delta.call_id and call.id:
            # A second whole object makes another call; servers that use ids again exist.
            other = is_object(text) and "".join(call.pieces) not in ("", text) and call.whole()
            return call if delta.call_id == call.id and not other else None
        return None if call.whole() or (call.started and call.key not in self._blocks) else call

    def _finish_blocks(self) -> list[Event]:
        if any(not call.name for call in self._calls.values()):
            return self.fail(malformed("a tool call without a name"))
        out = self._stop_words()
        for call in self._calls.values():
            out += self._start(call)
        out += self._seals(self._details.take())
        self._calls.clear()
        self._latest = None
        return out + self._blocks.stop_all()
