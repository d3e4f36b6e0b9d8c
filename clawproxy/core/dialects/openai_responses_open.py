"""The items of a Responses answer while they are written: a message, reasoning, a call.

1. Each gives the frames of what happens to it. Its ``end`` waits for what follows it, as only the end of the answer
   tells whether the last item is ``incomplete``; its text and arguments do not wait.
2. Text blocks that follow one another are parts of one message item; thinking is the summary of a reasoning item; a
   call is an item of the kind in which its tool was offered.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.events import CitationAdded, ThinkingStarted
from clawproxy.core.dialects.freeform import FreeformText
from clawproxy.core.dialects.openai_responses_calls import PREFIXES, call_item
from clawproxy.core.dialects.openai_responses_frames import Frames
from clawproxy.core.dialects.openai_responses_input import REDACTED
from clawproxy.core.dialects.openai_responses_output import Json
from clawproxy.core.dialects.openai_responses_tools import Origin
from clawproxy.core.dialects.seal import wrap


class OpenMessage:
    """A message item."""

    __slots__ = ("_frames", "_id", "_notes", "_open", "_parts", "_pieces", "_refusal")

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._id = frames.response.item_id("msg_", frames.index)
        self._parts: list[Json] = []
        self._pieces: list[str] = []  # of the open part
        self._notes: list[Any] = []
        self._refusal = False
        self._open = False

    def start(self) -> bytes:
        """Begin the item."""
        return self._frames.added(self._json("in_progress"))

    def start_part(self, *, refusal: bool) -> bytes:
        """Begin a text, after ending the one before."""
        out = self.stop()
        self._open = True
        self._refusal = refusal
        part = self._place() | {"part": self._part()}
        return out + self._frames.frame("response.content_part.added", part)

    def text(self, text: str) -> bytes:
        """Add to the open text."""
        if not self._open or not text:
            return b""
        self._pieces.append(text)
        place = b'"content_index":%d,' % len(self._parts)
        if self._refusal:
            return self._frames.delta(b"response.refusal.delta", self._id, place, text)
        place += b'"logprobs":[],'
        return self._frames.delta(b"response.output_text.delta", self._id, place, text)

    def cite(self, citation: CitationAdded) -> bytes:
        """Add a source to the open text."""
        if not self._open or self._refusal:
            return b""
        if citation.origin == "openai_responses":
            note: Any = msgspec.Raw(citation.raw)
        elif citation.url:
            length = sum(map(len, self._pieces))
            note = {
                "type": "url_citation",
                "url": citation.url,
                "title": citation.title,
                "start_index": 0 if citation.start is None else citation.start,
                "end_index": length if citation.end is None else citation.end,
            }
        else:
            return b""  # a document of the request has no id here that an annotation could name
        self._notes.append(note)
        return self._frames.frame(
            "response.output_text.annotation.added",
            self._place() | {"annotation_index": len(self._notes) - 1, "annotation": note},
        )

    def stop(self) -> bytes:
        """End the open text."""
        if not self._open:
            return b""
        self._open = False
        place = self._place()
        part = self._part()
        if self._refusal:
            done = place | {"refusal": part["refusal"]}
            out = self._frames.frame("response.refusal.done", done)
        else:
            done = place | {"text": part["text"], "logprobs": []}
            out = self._frames.frame("response.output_text.done", done)
        out += self._frames.frame("response.content_part.done", place | {"part": part})
        self._parts.append(part)
        self._pieces, self._notes = [], []
        return out

    def end(self, status: str) -> bytes:
        """End the item."""
        return self.stop() + self._frames.done(self._json(status))

    def _place(self) -> Json:
        return {
            "item_id": self._id,
            "output_index": self._frames.index,
            "content_index": len(self._parts),
        }

    def _part(self) -> Json:
        text = "".join(self._pieces)
        if self._refusal:
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "annotations": self._notes, "logprobs": [], "text": text}

    def _json(self, status: str) -> Json:
        return {
            "id": self._id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": self._parts,
        }


class OpenReasoning:
    """A reasoning item; it begins with its first text or seal, and without either there is none."""

    __slots__ = ("_announced", "_frames", "_id", "_pieces", "_sealed")

    def __init__(self, frames: Frames, event: ThinkingStarted) -> None:
        self._frames = frames
        self._id = frames.response.item_id("rs_", frames.index)
        self._sealed = wrap("anthropic", event.redacted, REDACTED) if event.redacted else ""
        self._pieces: list[str] = []
        self._announced = False

    def text(self, text: str) -> bytes:
        """Add to the thinking."""
        if not text:
            return b""
        out = b""
        if not self._pieces:
            out = self._announce() + self._frames.frame(
                "response.reasoning_summary_part.added",
                self._place() | {"part": {"type": "summary_text", "text": ""}},
            )
        self._pieces.append(text)
        return out + self._frames.delta(
            b"response.reasoning_summary_text.delta", self._id, b'"summary_index":0,', text
        )

    def seal(self, signature: str, origin: DialectName) -> None:
        """Seal it, marked if another vendor did."""
        self._sealed = signature if origin == "openai_responses" else wrap(origin, signature)

    def end(self, status: str) -> bytes:
        """End the item; reasoning has no status."""
        if not self._pieces and not self._sealed:
            return b""
        out = self._announce()
        item: Json = {"id": self._id, "type": "reasoning", "summary": []}
        if self._pieces:
            text = "".join(self._pieces)
            part = {"type": "summary_text", "text": text}
            place = self._place()
            done = place | {"text": text}
            out += self._frames.frame("response.reasoning_summary_text.done", done)
            done = place | {"part": part}
            out += self._frames.frame("response.reasoning_summary_part.done", done)
            item["summary"] = [part]
        if self._sealed:
            item["encrypted_content"] = self._sealed
        return out + self._frames.done(item)

    def _announce(self) -> bytes:
        if self._announced:
            return b""
        self._announced = True
        return self._frames.added({"id": self._id, "type": "reasoning", "summary": []})

    def _place(self) -> Json:
        return {"item_id": self._id, "output_index": self._frames.index, "summary_index": 0}


class OpenCall:
    """The item of a call.

    :param origin: what the called tool is to the caller.
    :param wrapped: its text comes in the JSON of a stand-in.
    """

    __slots__ = ("_call_id", "_frames", "_freeform", "_id", "_origin", "_pieces")

    def __init__(self, frames: Frames, call_id: str, origin: Origin, *, wrapped: bool) -> None:
        self._frames = frames
        self._id = frames.response.item_id(PREFIXES[origin.flavour], frames.index)
        self._call_id = call_id
        self._origin = origin
        self._freeform = FreeformText() if origin.flavour == "custom" and wrapped else None
        self._pieces: list[str] = []

    def start(self) -> bytes:
        """Begin the item; a built-in's action is an object, which is shown when it is whole."""
        if self._origin.flavour not in ("function", "custom"):
            return b""
        return self._frames.added(self._json("", "in_progress"))

    def arguments(self, text: str) -> bytes:
        """Add to the arguments."""
        if self._freeform is not None:
            text = self._freeform.feed(text)
        return self._add(text)

    def stop(self) -> bytes:
        """End the arguments."""
        if self._freeform is not None:
            return self._add(self._freeform.close())
        if not self._pieces and self._origin.flavour != "custom":
            return self._add("{}")  # the API's arguments are always JSON
        return b""

    def end(self, status: str) -> bytes:
        """End the item."""
        arguments = "".join(self._pieces)
        item = self._json(arguments, status)
        place = {"item_id": self._id, "output_index": self._frames.index}
        if item["type"] == "function_call" and self._origin.flavour == "function":
            done = place | {"name": item["name"], "arguments": arguments}
            out = self._frames.frame("response.function_call_arguments.done", done)
        elif self._origin.flavour == "custom":
            done = place | {"input": arguments}
            out = self._frames.frame("response.custom_tool_call_input.done", done)
        else:
            out = self._frames.added(item | {"status": "in_progress"})
        return out + self._frames.done(item)

    def _add(self, text: str) -> bytes:
        if not text:
            return b""
        self._pieces.append(text)
        if self._origin.flavour == "custom":
            kind = b"response.custom_tool_call_input.delta"
        elif self._origin.flavour == "function":
            kind = b"response.function_call_arguments.delta"
        else:
            return b""
        return self._frames.delta(kind, self._id, b"", text)

    def _json(self, arguments: str, status: str) -> Json:
        return call_item(
            self._origin.flavour,
            item_id=self._id,
            call_id=self._call_id,
            name=self._origin.name,
            namespace=self._origin.namespace,
            arguments=arguments,
            status=status,
        )
