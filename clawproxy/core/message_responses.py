"""Responses of the OpenAI Responses dialect: from a stream's events, and as whole bodies.

The stream's last event brings the whole response
(https://platform.openai.com/docs/api-reference/responses-streaming), so nothing has to be put
together, except where the stream broke off: then the response is the last one seen, with the items
that were done and those that had begun, as far as they came.
"""

from __future__ import annotations

from clawproxy.core.facts import Facts
from clawproxy.core.jsonread import Members, peek, read
from clawproxy.core.message_base import (
    MAX_MESSAGE,
    Accumulator,
    Finished,
    Spelling,
    error_text,
    integer,
    items,
    spell,
    spell_list,
    string,
    tool_names,
    unfold,
)
from clawproxy.core.sse import SSEEvent

_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})

# Which member of an item each delta extends.
_ITEM_DELTAS = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}
# Which list of an item, and which member of its entry, each delta extends; and the entry's index.
_PART_DELTAS = {
    "response.output_text.delta": ("content", "text", "content_index"),
    "response.refusal.delta": ("content", "refusal", "content_index"),
    "response.reasoning_text.delta": ("content", "text", "content_index"),
    "response.reasoning_summary_text.delta": ("summary", "text", "summary_index"),
}
_PART_MEMBERS = {
    "response.output_text.delta": {"type": b'"output_text"', "annotations": b"[]"},
    "response.refusal.delta": {"type": b'"refusal"'},
    "response.reasoning_text.delta": {"type": b'"reasoning_text"'},
    "response.reasoning_summary_text.delta": {"type": b'"summary_text"'},
}
_MOST_PARTS = 10_000


class _Item:
    """One output item while it grows; once it is done, only its final JSON counts."""

    def __init__(self, raw: bytes) -> None:
        self.members = unfold(raw)
        self._strings: dict[str, Spelling] = {}
        self._parts: dict[tuple[str, int], tuple[dict[str, bytes], str, Spelling]] = {}

    def delta(self, kind: str, members: Members) -> None:
        """Apply a delta of the item or of one of its parts."""
        piece = members.raw("delta")
        if (name := _ITEM_DELTAS.get(kind)) is not None:
            self._strings.setdefault(name, Spelling(self.members.get(name))).add(piece)
        elif (part := _PART_DELTAS.get(kind)) is not None and len(self._parts) < _MOST_PARTS:
            where, name, index_name = part
            key = (where, integer(members.get(index_name)) or 0)
            self._parts.setdefault(key, (_PART_MEMBERS[kind], name, Spelling()))[2].add(piece)

    def raw(self) -> bytes:
        """Give the item's JSON as far as it came."""
        members = dict(self.members)
        for name, spelling in self._strings.items():
            members[name] = spelling.raw()
        for where in {where for where, _ in self._parts}:
            members[where] = spell_list(
                spell({**part, name: spelling.raw()})
                for (place, _), (part, name, spelling) in sorted(
                    self._parts.items(), key=lambda entry: entry[0]
                )
                if place == where
            )
        return spell(members)


class ResponsesAccumulator(Accumulator):
    """Events of ``/v1/responses`` to the response that a call without ``stream`` gives."""

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        super().__init__(limit)
        self._response: bytes | None = None
        self._items: dict[int, _Item] = {}
        self._ended = False

    def _take(self, event: SSEEvent) -> None:
        members = peek(event.data)
        kind = members.text("type") or event.event
        if kind.endswith(".delta"):
            item = self._items.get(_index(members))
            if item is not None:
                item.delta(kind, members)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            if members.kind("item") == "object":
                self._items[_index(members)] = _Item(members.raw("item") or b"{}")
        elif kind == "error" or event.event == "error":
            self._fail(event.data, members.get("error") or read(event.data))
        elif members.kind("response") == "object":
            self._response = members.raw("response") or b"{}"
            self._ended = self._ended or kind in _ENDS
            if kind == "response.failed":
                self._fail(event.data, peek(self._response).get("error"))

    def _finished(self) -> Finished:
        if self._response is None:
            return Finished(error=self._error, error_event=self._error_event)
        message = self._response
        if not self._ended and self._items:
            parts = unfold(message)
            parts["output"] = spell_list(self._items[index].raw() for index in sorted(self._items))
            message = spell(parts)
        return _read(
            message,
            ended=self._ended,
            whole=self._ended and self._error is None and not self.broken,
            error=self._error,
            error_event=self._error_event,
        )


def _index(members: Members) -> int:
    return integer(members.get("output_index")) or 0


def _read(
    message: bytes, *, ended: bool, whole: bool, error: str | None, error_event: bytes | None
) -> Finished:
    members = peek(message)
    facts = Facts("openai_responses")
    facts.response(members)
    summary = facts.summary(complete=ended)
    names: list[str | None] = []
    texts: list[str] = []
    for raw in items(members.raw("output")):
        item = unfold(raw)
        kind = string(item.get("type")) or ""
        if kind == "message":
            texts += (string(unfold(part).get("text")) or "" for part in items(item.get("content")))
        elif kind.endswith("_call"):
            names.append(string(item.get("name")) or kind.removesuffix("_call"))
    return Finished(
        message=message,
        usage=summary.usage,
        model=summary.model,
        stop_reason=summary.stop_reason,
        error=error or summary.error,
        error_event=error_event,
        complete=whole,
        tools=tool_names(names),
        text="".join(texts),
    )


def read_responses(body: bytes) -> Finished:
    """Read a whole answer, response or error.

    :raises JSONError: if it is not a JSON object.
    """
    members = peek(body)
    if members.kind("error") in ("object", "string") and "output" not in members:
        error = error_text(members.get("error"))
        return Finished(error=error, error_event=body, complete=True)
    return _read(body, ended=True, whole=True, error=None, error_event=None)
