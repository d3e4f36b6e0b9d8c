"""Messages of the Anthropic dialect: from a stream's events, and as whole bodies.

The rules are the API's (https://docs.anthropic.com/en/docs/build-with-claude/streaming), read as
its own SDK reads them (``accumulate_event`` in ``anthropic/lib/streaming``), and go beyond it only
where that leaves out what it does not know:

* A block type it does not know takes every delta; a delta type it does not know appends strings
  and lists to the block's members of the same name and sets anything else.
* Unknown members of ``message_delta``, its ``delta`` and its ``usage`` are set on the message.

Tool input that is not JSON in the end (cut off by ``max_tokens`` with fine-grained tool streaming)
becomes ``{"INVALID_JSON": "<the raw text>"}``, the wrapping that the API's documentation proposes
for handing such text back to the model.
"""

from __future__ import annotations

import json

import msgspec

from clawproxy.core.jsonread import peek, read
from clawproxy.core.message_base import (
    MAX_MESSAGE,
    Accumulator,
    Finished,
    Spelling,
    encode,
    error_text,
    given,
    integer,
    items,
    spell,
    spell_list,
    string,
    tool_names,
    unfold,
)
from clawproxy.core.message_usage import usage_of
from clawproxy.core.sse import SSEEvent

TOOL_BLOCKS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
"""Blocks that call a tool: they have a ``name`` and an ``input`` that is streamed as JSON text."""

# The one block type (or types) that each known delta belongs to; on other known blocks it is void.
_DELTA_BLOCKS: dict[str, frozenset[str]] = {
    "text_delta": frozenset({"text"}),
    "citations_delta": frozenset({"text"}),
    "input_json_delta": TOOL_BLOCKS,
    "thinking_delta": frozenset({"thinking"}),
    "signature_delta": frozenset({"thinking"}),
    "compaction_delta": frozenset({"compaction"}),
}
_KNOWN_BLOCKS = TOOL_BLOCKS | {
    "text",
    "thinking",
    "redacted_thinking",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "container_upload",
    "advisor_tool_result",
    "mcp_tool_result",
    "mcp_tool_listing",
    "compaction",
    "fallback",
}
_STOP = ("stop_reason", "stop_sequence", "stop_details")


class _Block:
    """One content block while it grows."""

    def __init__(self, raw: bytes) -> None:
        self.members = unfold(raw)
        self.type = string(self.members.get("type")) or ""
        self._strings: dict[str, Spelling] = {}
        self._lists: dict[str, list[bytes]] = {}
        self._json = Spelling()

    def delta(self, raw: bytes | None) -> None:
        """Apply a delta of whatever type."""
        delta = unfold(raw)
        kind = string(delta.pop("type", None)) or ""
        belongs = _DELTA_BLOCKS.get(kind)
        if belongs is not None and self.type in _KNOWN_BLOCKS and self.type not in belongs:
            return
        if kind == "input_json_delta":
            self._json.add(delta.get("partial_json"))
        elif kind == "citations_delta":
            if (citation := delta.get("citation")) is not None:
                self._list("citations").append(citation)
        elif kind == "signature_delta":
            self._set("signature", delta.get("signature"))
        elif kind == "compaction_delta":
            self._set("content", delta.get("content", b"null"))
            self._set("encrypted_content", delta.get("encrypted_content", b"null"))
        elif kind == "text_delta":
            self._string("text").add(delta.get("text"))
        elif kind == "thinking_delta":
            self._string("thinking").add(delta.get("thinking"))
        else:
            for name, value in delta.items():
                self._merge(name, value)

    def _merge(self, name: str, value: bytes) -> None:
        old = self.members.get(name)
        if value.startswith(b'"') and (old is None or old.startswith(b'"')):
            self._string(name).add(value)
        elif value.startswith(b"[") and (old is None or old.startswith(b"[")):
            self._list(name).extend(items(value))
        else:
            self._set(name, value)

    def _set(self, name: str, value: bytes | None) -> None:
        if value is not None:
            self.members[name] = value
            self._strings.pop(name, None)
            self._lists.pop(name, None)

    def _string(self, name: str) -> Spelling:
        if name not in self._strings:
            self._strings[name] = Spelling(self.members.get(name))
            self.members[name] = b'""'
        return self._strings[name]

    def _list(self, name: str) -> list[bytes]:
        if name not in self._lists:
            self._lists[name] = items(self.members.get(name))
            self.members[name] = b"[]"
        return self._lists[name]

    def text(self) -> str:
        """Give the text of a text block so far."""
        spelling = self._strings.get("text")
        return spelling.value() if spelling else string(self.members.get("text")) or ""

    def raw(self) -> bytes:
        """Give the block's JSON."""
        members = dict(self.members)
        for name, spelling in self._strings.items():
            members[name] = spelling.raw()
        for name, entries in self._lists.items():
            members[name] = spell_list(entries)
        if self._json and (text := self._json.value().strip()):
            members["input"] = _input(text)
        return spell(members)


def _input(text: str) -> bytes:
    raw = text.encode()
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Strictly wrong, yet lone surrogates are in order for the clients' readers. NaN is not.
        try:
            json.loads(text, parse_constant=_refuse, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            return spell({"INVALID_JSON": encode(text)})
    return raw


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class AnthropicAccumulator(Accumulator):
    """Events of ``/v1/messages`` to the message that a call without ``stream`` would have given."""

    matters = frozenset(
        {
            "",
            "message_start",
            "content_block_start",
            "content_block_delta",
            "message_delta",
            "message_stop",
        }
    )

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        super().__init__(limit)
        self._message: dict[str, bytes] | None = None
        self._usage: dict[str, bytes] = {}
        self._blocks: list[_Block] = []
        self._by_index: dict[int, _Block] = {}
        self._stopped = False

    def _take(self, event: SSEEvent) -> None:
        members = peek(event.data)
        kind = members.text("type") or event.event
        if kind == "content_block_delta":
            block = self._by_index.get(_index(members.get("index")))
            if block is None:
                self.broken = True
            else:
                block.delta(members.raw("delta"))
        elif kind == "content_block_start":
            self._start_block(_index(members.get("index")), members.raw("content_block"))
        elif kind == "message_start":
            if self._message is None and members.kind("message") == "object":
                self._start(unfold(members.raw("message")))
        elif kind == "message_delta":
            self._delta({name: members.raw(name) or b"null" for name in members})
        elif kind == "message_stop":
            self._stopped = True
        elif kind == "error" or event.event == "error":
            self._fail(event.data, members.get("error") or read(event.data))

    def _start(self, message: dict[str, bytes]) -> None:
        self._message = message
        self._usage = unfold(message.get("usage"))
        for index, raw in enumerate(items(message.get("content"))):
            self._start_block(index, raw)

    def _start_block(self, index: int, raw: bytes | None) -> None:
        if self._message is None or raw is None or not raw.startswith(b"{"):
            return
        block = _Block(raw)
        self._blocks.append(block)
        self._by_index[index] = block
        if block.type == "fallback":
            # What a non-streaming call gives is labelled with the model that served in the end.
            model = unfold(block.members.get("to")).get("model")
            if model is not None and model.startswith(b'"'):
                self._message["model"] = model

    def _delta(self, event: dict[str, bytes]) -> None:
        message = self._message
        if message is None:
            return
        delta = unfold(event.pop("delta", None))
        usage = unfold(event.pop("usage", None))
        event.pop("type", None)
        for name in _STOP:
            if name in delta or name in message:
                message[name] = delta.pop(name, b"null")
        # Counts are cumulative: they replace. What is absent or null keeps message_start's value.
        message.update({name: value for name, value in delta.items() if given(value)})
        message.update({name: value for name, value in event.items() if given(value)})
        self._usage.update({name: value for name, value in usage.items() if given(value)})

    def _finished(self) -> Finished:
        if self._message is None:
            return Finished(error=self._error, error_event=self._error_event)
        message = dict(self._message)
        message["content"] = spell_list(block.raw() for block in self._blocks)
        if self._usage:
            message["usage"] = spell(self._usage)
        complete = self._stopped and self._error is None and not self.broken
        return Finished(
            message=spell(message),
            usage=usage_of("anthropic", read(spell(self._usage)), complete=self._stopped),
            model=string(message.get("model")),
            stop_reason=string(message.get("stop_reason")),
            error=self._error,
            error_event=self._error_event,
            complete=complete,
            tools=tool_names(
                string(block.members.get("name"))
                for block in self._blocks
                if block.type in TOOL_BLOCKS
            ),
            text="".join(block.text() for block in self._blocks if block.type == "text"),
        )


def _index(value: object) -> int:
    index = integer(value)
    return -1 if index is None else index


def read_anthropic(body: bytes) -> Finished:
    """Read a whole answer, message or error.

    :raises JSONError: if it is not a JSON object.
    """
    members = peek(body)
    if members.text("type") == "error" or (
        "error" in members and members.kind("content") != "array"
    ):
        error = members.get("error")
        return Finished(error=error_text(error), error_event=body, complete=True)
    blocks = [_Block(raw) for raw in items(members.raw("content"))]
    return Finished(
        message=body,
        usage=usage_of("anthropic", members.get("usage")),
        model=members.text("model"),
        stop_reason=members.text("stop_reason"),
        complete=True,
        tools=tool_names(
            string(block.members.get("name")) for block in blocks if block.type in TOOL_BLOCKS
        ),
        text="".join(block.text() for block in blocks if block.type == "text"),
    )
