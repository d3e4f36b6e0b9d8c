"""The items of a Responses ``input`` become messages, because every other dialect thinks in turns.

1. A message item becomes a message of its role, of what :mod:`.openai_responses_content` reads;
   assistant-side items that follow one another (text, reasoning, calls) become one assistant
   message, as one answer gave them.
2. Answers to calls move right behind the message that called, where the other vendors want them.
3. What lives at the vendor (``item_reference``, ``compaction``) is refused by its place: leaving it
   out would lose the conversation. Traces of hosted tools travel as :class:`~.parts.OpaquePart`.

Items: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from attrs import define, field

from clawproxy.core.dialects.openai_responses_calls import (
    CALLS,
    OUTPUTS,
    ReadOutput,
    read_call,
    read_output,
)
from clawproxy.core.dialects.openai_responses_content import read_content, read_part
from clawproxy.core.dialects.openai_responses_tools import read_tools
from clawproxy.core.dialects.parts import (
    Message,
    OpaquePart,
    Part,
    RefusalPart,
    Role,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from clawproxy.core.dialects.rawjson import (
    MALFORMED,
    Fields,
    String,
    decode,
    elements,
    is_null,
)
from clawproxy.core.dialects.seal import unwrap
from clawproxy.core.dialects.tools import Tool
from clawproxy.core.dialects.turn import unsupported
from clawproxy.core.errors import Kind, ProxyError

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}

REDACTED = "redacted"
"""Stands in a wrapped seal for thinking that Anthropic gave out only encrypted."""

_REFERENCE = (
    "a reference to an item that the API keeps; the provider that this model is routed to does not have it. Send "
    "the item itself, as clients do that are told to use store: false."
)

_TRACES = frozenset(
    {
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_list_tools",
        "mcp_call",
    }
)
"""What hosted tools did in earlier turns."""


@define(slots=True)
class ReadInput:
    """What an ``input`` holds.

    :ivar tools: tools that items made known: ``additional_tools``, the result of a ``tool_search``.
    """

    messages: list[Message] = field(factory=list)
    tools: list[Tool] = field(factory=list)


@define(slots=True)
class _Draft:
    """A message that may still grow.

    :ivar open: whether items of its role join it. The user's own words stay a message of their own;
        answers to calls join other answers, and all that an assistant said is one message.
    """

    role: Role
    parts: list[Part]
    name: str | None = None
    open: bool = False


@define(slots=True)
class _Reading:
    """An ``input`` as far as it was read."""

    drafts: list[_Draft] = field(factory=list)
    tools: list[Tool] = field(factory=list)

    def add(self, role: Role, part: Part) -> None:
        """Add what an item says to the last message, or begin one."""
        last = self.drafts[-1] if self.drafts else None
        if last is not None and last.open and last.role == role:
            last.parts.append(part)
        else:
            self.drafts.append(_Draft(role, [part], open=True))


def read_input(raw: msgspec.Raw, where: str = "input") -> ReadInput:
    """Read an ``input``: a string, or a list of items.

    :raises ProxyError: ``INVALID_REQUEST`` for a wrong shape, ``UNSUPPORTED_PARAMETER`` for an item
        that no other dialect can express.
    """
    try:
        return ReadInput([Message("user", (TextPart(decode(String, raw)),))])
    except MALFORMED:
        pass
    found = _Reading()
    for index, each in enumerate(elements(raw, where)):
        _item(found, Fields.of(each, f"{where}[{index}]"), each)
    return ReadInput(_answers_behind_calls(found.drafts), found.tools)


def _item(found: _Reading, item: Fields, raw: msgspec.Raw) -> None:
    kind = item.take("type", String)
    if kind == "message" or kind is None:
        _message(found, item)
    elif kind in CALLS:
        found.add("assistant", read_call(kind, item))
    elif kind in OUTPUTS:
        found.add("user", _result(found, read_output(kind, item), item.where))
    elif kind == "reasoning":
        found.add("assistant", _reasoning(item))
    elif kind == "additional_tools":
        found.tools += read_tools(item.raw("tools"), item.path("tools"))
    elif kind == "web_search_call":
        pass  # it holds only the query; what was found stands in the assistant's text
    elif kind == "item_reference":
        raise unsupported(item.path("type"), _REFERENCE)
    elif kind in _TRACES:
        found.add("assistant", OpaquePart("openai_responses", kind, bytes(raw), item.path("type")))
    else:
        raise unsupported(
            item.path("type"),
            f"items of type {kind!r} mean something only to the API that made them; the provider "
            "that this model is routed to has no such thing.",
        )


def _message(found: _Reading, item: Fields) -> None:
    name = item.take("role", String)
    if name is None and not is_null(item.raw("id")):
        raise unsupported(item.path("id"), _REFERENCE)
    role = _ROLES.get(name or "")
    if role is None:
        raise ProxyError(
            Kind.INVALID_REQUEST,
            f"{item.path('role')}: system, developer, user or assistant is expected.",
            item.path("role"),
        )
    content = item.raw("content")
    where = item.path("content")
    if content is None:
        raise ProxyError(Kind.MISSING_FIELD, f"{where} is missing.", where)
    parts = read_content(content, where)
    if role == "assistant":
        for part in parts:
            found.add(role, part)
    else:
        found.drafts.append(_Draft(role, list(parts), item.take("name", String)))


def _result(found: _Reading, output: ReadOutput, where: str) -> ToolResultPart:
    if output.tools is not None:
        tools = read_tools(output.tools, f"{where}.tools")
        found.tools += tools
        names = ", ".join(tool.name for tool in tools)
        text = f"These tools can be called now: {names}" if names else "No tools were found."
        return ToolResultPart(output.call_id, (TextPart(text),), output.is_error)
    if not output.parts:
        content = (TextPart(output.text),) if output.text else ()
        return ToolResultPart(output.call_id, content, output.is_error)
    parts = [
        read_part(Fields.of(each, f"{where}.output[{index}]"))
        for index, each in enumerate(output.parts)
    ]
    return ToolResultPart(
        output.call_id,
        tuple(TextPart(part.text) if isinstance(part, RefusalPart) else part for part in parts),
        output.is_error,
    )


def _reasoning(item: Fields) -> ThinkingPart:
    sealed = item.take("encrypted_content", String) or ""
    origin, signature, item_id = unwrap(sealed, "openai_responses")
    if item_id == REDACTED:
        return ThinkingPart(origin, redacted=signature)
    texts = list(_texts(item, "summary")) or list(_texts(item, "content"))
    return ThinkingPart(
        origin=origin,
        text="\n\n".join(texts),
        signature=signature,
        id=item.take("id", String) or "",
    )


def _texts(item: Fields, name: str) -> Iterable[str]:
    for index, each in enumerate(item.array(name)):
        text = Fields.of(each, f"{item.path(name)}[{index}]").take("text", String)
        if text:
            yield text


def _answers_behind_calls(drafts: list[_Draft]) -> list[Message]:
    """Move each answer behind the message with its call; one without a call stays where it is."""
    callers: dict[str, int] = {}
    answers: dict[int, list[ToolResultPart]] = {}
    kept: list[list[Part]] = []
    for index, draft in enumerate(drafts):
        stays: list[Part] = []
        for part in draft.parts:
            if isinstance(part, ToolCallPart):
                callers[part.id] = index
            if isinstance(part, ToolResultPart) and part.call_id in callers:
                answers.setdefault(callers[part.call_id], []).append(part)
            else:
                stays.append(part)
        kept.append(stays)
    ordered: list[Message] = []
    for index, (draft, parts) in enumerate(zip(drafts, kept, strict=True)):
        if parts or not draft.parts:
            ordered.append(Message(draft.role, tuple(parts), draft.name))
        if index in answers:
            ordered.append(Message("user", tuple(answers[index])))
    return ordered
