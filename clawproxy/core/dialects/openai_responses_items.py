"""The output items of a Responses stream as neutral blocks.

1. Text parts, reasoning and calls are blocks, put in order by a :class:`~.sequence.BlockSequence`, since the API may
   interleave output items.
2. Servers that imitate the API leave out events and reuse indexes (:mod:`.openai_responses_places`). A ``done`` that
   says what no delta said is made up for; nothing is given twice.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    CitationAdded,
    Event,
    OpaqueBlock,
    SignatureDelta,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
)
from clawproxy.core.dialects.openai_responses_places import CALLS, KnownItem, Places
from clawproxy.core.dialects.openai_responses_tools import flat_name
from clawproxy.core.dialects.openai_responses_wire import (
    Frame,
    Item,
    Part,
    annotation_decoder,
    arguments_text,
    item_decoder,
)
from clawproxy.core.dialects.rawjson import MALFORMED, decode, is_null
from clawproxy.core.dialects.sequence import BlockSequence
from clawproxy.core.dialects.upstream_error import malformed


class OutputItems:
    """What is known of an answer's items so far.

    Its methods take the stream's events and give what they add; all raise ``ProxyError`` for an item that cannot be
    read.

    :ivar calls: whether a tool was called.
    :ivar words: whether something was said that is no refusal.
    :ivar refused: whether the model refused in words of its own.
    """

    def __init__(self) -> None:
        self._blocks = BlockSequence()
        self._places = Places()
        self.calls = False
        self.words = False
        self.refused = False

    def __len__(self) -> int:
        return len(self._places)

    def recall(self) -> None:
        """Take note of what the stream gave, before the terminal event says it again."""
        self._places.recall()

    def stop_all(self) -> list[Event]:
        """End what is open."""
        return self._blocks.stop_all()

    def added(self, found: Frame) -> list[Event]:
        """Read ``response.output_item.added``; a call begins with it."""
        if is_null(found.item):
            return []  # some servers announce an item before they know it
        try:
            item = decode(item_decoder, found.item)
        except MALFORMED:
            raise malformed("an output item") from None
        if self._places.knows(item):
            return []
        index, state = self._places.add(item, found.output_index)
        if item.type in CALLS and item.name:
            return self._call(index, state, item)
        return []

    def _call(self, index: int, state: KnownItem, item: Item) -> list[Event]:
        self.calls = True
        state.key = (index, "call")
        self._places.called(index, item)
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

    def _whole_arguments(self, state: KnownItem, item: Item) -> list[Event]:
        text = item.input or ""
        if item.type == "function_call":
            text = arguments_text(item.arguments)
            if text.strip() == "{}":  # often a placeholder for what is still to come
                text = ""
        if not text or state.given:
            return []
        state.given = len(text)
        return self._blocks.delta(state.key, ArgumentsDelta(text))

    def arguments(self, found: Frame, text: str | None) -> list[Event]:
        """Read a piece of a call's arguments."""
        state = self._places.get(self._places.index(found))
        if not text or state is None or state.key is None or state.done:
            return []  # a call without a name yet is given whole, by its ``done``
        state.given += len(text)
        return self._blocks.delta(state.key, ArgumentsDelta(text))

    def arguments_done(self, found: Frame) -> list[Event]:
        """Read the end of a call's arguments, which count if no piece of them came."""
        state = self._places.get(self._places.index(found))
        text = arguments_text(found.arguments) or found.input
        if state is None or state.given:
            return []
        return self.arguments(found, text)

    def text(self, found: Frame, text: str | None, *, refusal: bool) -> list[Event]:
        """Read a piece of a message's text, or of its refusal."""
        index = self._places.index(found)
        state = self._places.at(index, "message")
        return self._part_text(index, state, found.content_index or 0, text, refusal=refusal)

    def _part_text(
        self, index: int, state: KnownItem, part: int, text: str | None, *, refusal: bool
    ) -> list[Event]:
        key = (index, part)
        out: list[Event] = []
        if part not in state.texts:
            state.texts[part] = 0
            self.refused = self.refused or refusal
            self.words = self.words or not refusal
            out += self._blocks.start(key, TextStarted(refusal))
        if text:
            state.texts[part] += len(text)
            out += self._blocks.delta(key, TextDelta(text))
        return out

    def text_done(self, found: Frame, refusal: bool) -> list[Event]:
        """Read the end of a text, which counts if no piece of it came."""
        text = found.refusal if refusal else found.text
        state = self._places.get(self._places.index(found))
        if state is not None and state.texts.get(found.content_index or 0):
            text = None
        return self.text(found, text, refusal=refusal)

    def part_done(self, found: Frame) -> list[Event]:
        """Read the end of a part of a message."""
        index, part = self._places.index(found), found.content_index or 0
        out: list[Event] = []
        if found.part is not None and found.part.type in ("output_text", "refusal"):
            out += self._missing_text(index, self._places.at(index, "message"), part, found.part)
        return out + self._blocks.stop((index, part))

    def _missing_text(self, index: int, state: KnownItem, part: int, content: Part) -> list[Event]:
        """Give what a finished part says and no delta did."""
        if state.texts.get(part):
            return []
        refusal = content.type == "refusal"
        text = content.refusal if refusal else content.text
        known = part in state.texts
        out: list[Event] = []
        if text or not known:
            out += self._part_text(index, state, part, text, refusal=refusal)
        if not known:
            for raw in content.annotations or ():
                out += self._cite((index, part), raw)
        return out

    def annotation(self, found: Frame) -> list[Event]:
        """Read a source of a text."""
        return self._cite((self._places.index(found), found.content_index or 0), found.annotation)

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

    def thinking(self, found: Frame, source: str, part: int | None) -> list[Event]:
        """Read a piece of reasoning, of its ``summary`` or of its ``content``."""
        index = self._places.index(found)
        state = self._places.at(index, "reasoning")
        return self._thought(index, state, source, part or 0, found.delta or "", found.item_id)

    def _thought(
        self, index: int, state: KnownItem, source: str, part: int, text: str, item_id: str | None
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

    def _begin_thinking(self, index: int, state: KnownItem, item_id: str | None) -> list[Event]:
        state.key = (index, "thinking")
        summary = state.source != "content"
        return self._blocks.start(state.key, ThinkingStarted(summary, item_id or ""))

    def done(self, found: Frame) -> list[Event]:
        """Read ``response.output_item.done``."""
        if is_null(found.item):
            return []
        return self.item_done(self._places.index(found), found.item)

    def item_done(self, index: int, raw: msgspec.Raw) -> list[Event]:
        """Read a whole item, and give of it what did not come before.

        :param index: its place in the output, where its id does not tell it.
        """
        try:
            item = decode(item_decoder, raw)
        except MALFORMED:
            raise malformed("an output item") from None
        place = self._places.find(index, item)
        if place is None:
            return []
        index, state = place
        if state.done:
            return []
        out: list[Event] = []
        match item.type:
            case "message":
                for part, content in enumerate(item.content or ()):
                    if content.type in ("output_text", "refusal"):
                        out += self._missing_text(index, state, part, content)
                for part in state.texts:
                    out += self._blocks.stop((index, part))
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

    def _reasoning_done(self, index: int, state: KnownItem, item: Item) -> list[Event]:
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
