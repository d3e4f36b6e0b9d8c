"""Messages as parts of a conversation: what makes two of them the same, whoever wrote them down.

A client sends back what was said before in its own words: a string where there was a list, without thinking, with
other cache marks, with a reminder more or less. :func:`said` reads a message of any dialect and gives it a digest that
all of these share; :func:`chain` makes the digest of a whole history of it.

Pure functions; nothing that a body may hold raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec
from attrs import frozen

from clawproxy.core.dialects import DialectName

ROOT = 0
"""The chain of a history without messages."""
MEMBERS = ("messages", "input", "contents")
"""Where requests have their messages."""
TEXT_LIMIT = 4000
"""Characters of a message's text that are kept for people."""

_TEXTS = frozenset({"text", "input_text", "output_text", "summary_text", "refusal"})
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning", "item_reference"})
_CALLS = frozenset(
    {
        "tool_use",
        "server_tool_use",
        "mcp_tool_use",
        "function_call",
        "custom_tool_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
    }
)
_ROLES = {"user": "user", "assistant": "assistant", "model": "assistant", "tool": "tool"}
_ROLES |= {"function": "tool", "system": "system", "developer": "system"}
# What clients put in and take out again between turns.
_REMINDER_END = "</system-reminder>"
_REMINDER = re.compile(f"<system-reminder>.*?{_REMINDER_END}", re.DOTALL)
_VOLATILE = frozenset({"cache_control", "id", "status", "citations", "annotations", "logprobs"})


@frozen
class ToolCall:
    """A call of a tool in an answer.

    :ivar prompt: what it asks a subagent to do, where it starts one.
    """

    id: str
    name: str
    prompt: str | None = None


@frozen
class Said:
    """A message, read.

    :ivar role: ``user``, ``assistant``, ``tool`` or ``system``.
    :ivar digest: 64 bits, equal for what is the same message.
    :ivar text: what a person would read of it, shortened.
    :ivar empty: nothing of it is left but thinking.
    """

    role: str
    digest: int
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    empty: bool = False


def messages(body: Mapping[str, object]) -> list[object]:
    """Give a request's messages, whichever dialect it is in."""
    for name in MEMBERS:
        found = body.get(name)
        if isinstance(found, list):
            return found
        if isinstance(found, str):
            return [{"role": "user", "content": found}]
    return []


def answers(dialect: DialectName | None, finished: object) -> list[object]:
    """Give a finished answer as the messages that the next request has for it."""
    if not isinstance(finished, dict):
        return []
    if dialect == "openai_chat":
        choices = finished.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        message = first.get("message") if isinstance(first, dict) else None
        return [message] if isinstance(message, dict) else []
    if dialect == "openai_responses":
        output = finished.get("output")
        return list(output) if isinstance(output, list) else []
    return [finished] if isinstance(finished.get("content"), list) else []


def said(message: object) -> Said:
    """Read a message of a request or an answer."""
    try:
        return _said(message)
    except RecursionError:
        # Nested deeper than anything that people or tools say: it is known as a whole.
        return Said("user", digest(message))


def _said(message: object) -> Said:
    if not isinstance(message, dict):
        return Said("user", digest(["user", str(message)]))
    kind = _kind(message)
    role = _role(message, kind)
    parts: list[object] = []
    calls: list[ToolCall] = []
    if kind in _THOUGHTS:
        pass
    elif kind in _CALLS or kind.endswith("_output"):
        _part(message, parts, calls)
    elif "content" in message or "tool_calls" in message:
        if role == "tool":
            inner: list[object] = []
            _content(message.get("content"), inner, [])
            parts.append(["result", message.get("tool_call_id"), _merged(inner)])
        else:
            _content(message.get("content"), parts, calls)
            if isinstance(message.get("refusal"), str):
                parts.append(message["refusal"])
        listed = message.get("tool_calls")
        for call in listed if isinstance(listed, list) else ():
            if isinstance(call, dict):
                _part({"type": "function_call", **call}, parts, calls)
    else:
        parts.append(_bare(message))
    merged = _merged(parts)
    text = "\n".join(part for part in merged if isinstance(part, str))[:TEXT_LIMIT]
    return Said(role, digest([role, merged]), text, tuple(calls), not merged)


def _kind(item: Mapping[str, object]) -> str:
    kind = item.get("type")
    return kind if isinstance(kind, str) else ""


def _role(message: Mapping[str, object], kind: str) -> str:
    role = message.get("role")
    if isinstance(role, str):
        return _ROLES.get(role, "user")
    if kind.endswith("_output"):
        return "tool"
    return "assistant"


def _content(content: object, parts: list[object], calls: list[ToolCall]) -> None:
    if isinstance(content, str):
        parts.append(content)
    elif isinstance(content, list):
        for item in content:
            if isinstance(item, str):
                parts.append(item)
            elif isinstance(item, dict):
                _part(item, parts, calls)


def _part(item: Mapping[str, object], parts: list[object], calls: list[ToolCall]) -> None:
    kind = _kind(item)
    if kind in _THOUGHTS:
        return
    if kind in _TEXTS:
        text = item.get("text", item.get("refusal"))
        if isinstance(text, str):
            parts.append(text)
    elif kind in _CALLS:
        call = _call(item)
        calls.append(call)
        parts.append(["call", call.id, call.name])
    elif kind.endswith(("_result", "_output")):
        inner: list[object] = []
        _content(item.get("content", item.get("output")), inner, [])
        name = item.get("tool_use_id", item.get("call_id"))
        parts.append(["result", name, _merged(inner)])
    else:
        parts.append(_bare(item))


def _call(item: Mapping[str, object]) -> ToolCall:
    function = item.get("function")
    told = function if isinstance(function, dict) else item
    id, name = item.get("call_id") or item.get("id"), told.get("name")
    given = told.get("input", told.get("arguments"))
    if isinstance(given, str) and '"prompt"' in given:
        try:
            given = msgspec.json.decode(given)
        except (msgspec.MsgspecError, UnicodeEncodeError):
            given = None
    prompt = given.get("prompt") if isinstance(given, dict) else None
    return ToolCall(
        id if isinstance(id, str) else "",
        name if isinstance(name, str) else "",
        prompt if isinstance(prompt, str) else None,
    )


def _bare(value: object) -> object:
    """Leave out what clients change without changing the message."""
    if isinstance(value, dict):
        return {name: _bare(value[name]) for name in sorted(value) if name not in _VOLATILE}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value


def _without_reminders(text: str) -> str:
    """Leave reminders out. Behind the last end of one no beginning is looked for: each would be read on to the
    text's end, in vain."""
    closed = text.rfind(_REMINDER_END) + len(_REMINDER_END)
    if closed < len(_REMINDER_END):
        return text
    return _REMINDER.sub(" ", text[:closed]) + text[closed:]


def _merged(parts: Iterable[object]) -> list[object]:
    """Join texts that stand side by side, without reminders and with single spaces."""
    found: list[object] = []
    for part in parts:
        if not isinstance(part, str):
            found.append(part)
            continue
        text = " ".join(_without_reminders(part).split())
        if not text:
            continue
        if found and isinstance(found[-1], str):
            found[-1] += " " + text
        else:
            found.append(text)
    return found


def digest(value: object) -> int:
    """Give 64 bits, signed, as databases have them."""
    try:
        data = msgspec.json.encode(value)
    except (msgspec.MsgspecError, UnicodeEncodeError, TypeError, RecursionError, OverflowError):
        try:
            data = repr(value).encode("utf-8", "replace")
        except RecursionError:
            data = b"nested too deeply"
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


def chain(before: int, message: int) -> int:
    """Give the digest of a history with one message more."""
    data = before.to_bytes(8, "big", signed=True) + message.to_bytes(8, "big", signed=True)
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


def history(found: Iterable[Said]) -> list[Said]:
    """Leave out what does not count in a history: system messages, which clients rewrite, and thoughts."""
    return [each for each in found if each.role != "system" and not each.empty]
