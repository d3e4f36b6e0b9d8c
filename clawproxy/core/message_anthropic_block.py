"""One content block of an Anthropic message while it grows: :class:`Block`.

A block type that is not known takes every delta; a delta type that is not known appends strings and lists to the
block's members of the same name and sets anything else.

Tool input that is not JSON in the end (cut off by ``max_tokens`` with fine-grained tool streaming)
becomes ``{"INVALID_JSON": "<the raw text>"}``, the wrapping that the API's documentation proposes
for handing such text back to the model.
"""

from __future__ import annotations

import json

import msgspec

from clawproxy.core.message_base import Spelling, encode, items, spell, spell_list, string, unfold

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


class Block:
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
