"""One choice of a Chat completion while its chunks come: text, tool calls, log probabilities.

Strings and lists grow, anything else is set; where servers differ, see
:mod:`clawproxy.core.message_chat`.
"""

from __future__ import annotations

from clawproxy.core.jsonread import read
from clawproxy.core.message_base import (
    Spelling,
    given,
    integer,
    items,
    spell,
    spell_list,
    string,
    unfold,
)

_TEXT_PARTS = frozenset({"text", "output_text"})


class _Grown:
    """An object that grows by deltas: strings and lists are appended to, the rest is set."""

    def __init__(self) -> None:
        self._values: dict[str, bytes | Spelling | list[bytes]] = {}

    def take(self, name: str, raw: bytes) -> None:
        """Apply one member of a delta."""
        old = self._values.get(name)
        if raw == b"null":
            self._values.setdefault(name, raw)
        elif raw.startswith(b'"'):
            if isinstance(old, Spelling):
                old.add(raw)
            else:
                self._values[name] = Spelling(raw)
        elif raw.startswith(b"["):
            if isinstance(old, list):
                old.extend(items(raw))
            else:
                self._values[name] = items(raw)
        else:
            self._values[name] = raw

    def once(self, name: str, raw: bytes) -> None:
        """Apply a string that some servers repeat: an equal or empty one adds nothing."""
        old = self._values.get(name)
        if isinstance(old, Spelling) and (raw == b'""' or old.says(raw)):
            return
        self.take(name, raw)

    def spelled(self) -> dict[str, bytes]:
        """Give the members' JSON."""
        return {name: _spelled(value) for name, value in self._values.items()}


def _spelled(value: bytes | Spelling | list[bytes]) -> bytes:
    if isinstance(value, Spelling):
        return value.raw()
    return spell_list(value) if isinstance(value, list) else value


class _Call(_Grown):
    """One tool call, or the older ``function_call``."""

    def __init__(self) -> None:
        super().__init__()
        self.id: bytes | None = None
        self._function = _Grown()

    def delta(self, members: dict[str, bytes]) -> None:
        """Apply a call's delta."""
        for name, raw in members.items():
            if name in ("function", "custom"):
                self._values[name] = b"{}"
                self.function(unfold(raw))
            elif name == "id":
                self.id = raw if raw.startswith(b'"') and raw != b'""' else self.id
                self.once(name, raw)
            elif name == "type":
                self.once(name, raw)
            elif name != "index":
                self.take(name, raw)

    def function(self, members: dict[str, bytes]) -> None:
        """Apply the delta of what is called."""
        for name, raw in members.items():
            if name == "name":
                self._function.once(name, raw)
            else:
                self._function.take(name, raw)

    @property
    def name(self) -> str | None:
        """What is called."""
        return string(self._function.spelled().get("name"))

    def raw(self) -> bytes:
        """Give the call's JSON."""
        members = self.spelled()
        for name in ("function", "custom"):
            if name in members:
                members[name] = self.function_raw()
        return spell(members)

    def function_raw(self) -> bytes:
        """Give the JSON of what is called."""
        return spell(self._function.spelled())


class Choice:
    """One choice while it grows."""

    def __init__(self) -> None:
        self.finish_reason: bytes = b"null"
        self.calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[bytes, _Call] = {}
        self._message = _Grown()
        self._message.take("role", b'"assistant"')
        self._message.take("content", b"null")
        self._function_call: _Call | None = None
        self._logprobs: _Grown | None = None
        self._more = _Grown()

    def take(self, choice: dict[str, bytes]) -> None:
        """Apply one chunk's choice."""
        for name, raw in choice.items():
            if name == "delta":
                self._delta(unfold(raw))
            elif name == "finish_reason":
                self.finish_reason = raw if given(raw) and raw != b'""' else self.finish_reason
            elif name == "logprobs" and raw.startswith(b"{"):
                self._logprobs = self._logprobs or _Grown()
                for part, values in unfold(raw).items():
                    self._logprobs.take(part, values)
            elif name not in ("index", "logprobs"):
                self._more.take(name, raw)

    def _delta(self, delta: dict[str, bytes]) -> None:
        for name, raw in delta.items():
            if name == "tool_calls":
                for call in items(raw):
                    self._call(unfold(call))
            elif name == "function_call" and raw.startswith(b"{"):
                self._function_call = self._function_call or _Call()
                self._function_call.function(unfold(raw))
            elif name == "role":
                self._message.once(name, raw)
            else:
                self._message.take(name, raw)

    def _call(self, delta: dict[str, bytes]) -> None:
        index = integer(read(delta.get("index", b"null")))
        new_id = delta.get("id")
        if new_id is None or not new_id.startswith(b'"') or new_id == b'""':
            new_id = None
        call = None if index is None else self._by_index.get(index)
        if index is None and new_id is None and self.calls:
            call = self.calls[-1]
        elif new_id is not None and (call is None or call.id not in (None, new_id)):
            call = self._by_id.get(new_id)
        if call is None:
            call = _Call()
            self.calls.append(call)
        if index is not None:
            self._by_index[index] = call
        if new_id is not None:
            self._by_id[new_id] = call
        call.delta(delta)

    def raw(self, index: int) -> bytes:
        """Give the choice's JSON."""
        message = self._message.spelled()
        message.setdefault("refusal", b"null")
        if self.calls:
            message["tool_calls"] = spell_list(call.raw() for call in self.calls)
        if self._function_call is not None:
            message["function_call"] = self._function_call.function_raw()
        logprobs = b"null" if self._logprobs is None else spell(self._logprobs.spelled())
        return spell(
            {
                "index": str(index).encode(),
                "message": spell(message),
                **self._more.spelled(),
                "logprobs": logprobs,
                "finish_reason": self.finish_reason,
            }
        )

    def text(self) -> str:
        """Give the choice's text."""
        return content_text(self._message.spelled().get("content"))

    def tools(self) -> list[str | None]:
        """Give the names of what it calls."""
        calls = [call.name for call in self.calls]
        return [*calls, self._function_call.name] if self._function_call is not None else calls


def content_text(raw: bytes | None) -> str:
    """Give the text of a content: a string, or a list of parts."""
    if raw is None or not raw.startswith(b"["):
        return string(raw) or ""
    parts = (unfold(part) for part in items(raw))
    return "".join(
        string(part.get("text")) or "" for part in parts if string(part.get("type")) in _TEXT_PARTS
    )
