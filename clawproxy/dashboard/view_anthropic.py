"""Anthropic's Messages API as people read it: requests, answers and errors. What messages are made of is read by
:mod:`~clawproxy.dashboard.view_anthropic_block`.
"""

from __future__ import annotations

from clawproxy.dashboard.view import Answer, Failure, Message, Prompt, Tool
from clawproxy.dashboard.view_anthropic_block import parts_of
from clawproxy.dashboard.view_json import items, lifetime, members, other, rest_of, text, weight
from clawproxy.dashboard.view_pairing import paired

_READ = frozenset({"model", "system", "tools", "messages", "stream"})
_LISTS = frozenset({"tools", "messages"})
_ANSWER_READ = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
)


def prompt(body: dict[str, object]) -> Prompt:
    """Read a request."""
    raw = tuple(items(body.get("messages")))
    return Prompt(
        model=text(body.get("model")),
        system=parts_of(body.get("system"), "system", "system"),
        tools=tuple(_tool(tool, f"tools/{n}") for n, tool in enumerate(items(body.get("tools")))),
        messages=paired(tuple(_message(item, n) for n, item in enumerate(raw))),
        settings=rest_of(body, _READ, _LISTS),
        raw=raw,
    )


def answer(body: dict[str, object]) -> Answer:
    """Read a finished message, or an error."""
    error = body.get("error")
    if body.get("type") == "error" or isinstance(error, dict | str):
        return Answer(error=failure(error))
    if "content" not in body:
        return Answer(extras=tuple(body.items()))
    stop = text(body.get("stop_reason"))
    sequence = text(body.get("stop_sequence"))
    message = Message(
        role=text(body.get("role")) or "assistant",
        parts=parts_of(body.get("content"), "content", "assistant"),
        pointer="content",
    )
    (message,) = paired((message,))
    return Answer(
        model=text(body.get("model")),
        messages=(message,),
        stop=f"{stop}: {sequence}" if sequence else stop,
        usage=body.get("usage"),
        extras=rest_of(body, _ANSWER_READ),
    )


def failure(error: object) -> Failure:
    """Read an error, as any API words it."""
    found = members(error)
    code = found.get("code")
    return Failure(
        kind=text(found.get("type")) or "error",
        message=text(found.get("message")) or text(error),
        code=str(code) if isinstance(code, str | int) else "",
    )


def _message(item: object, number: int) -> Message:
    body = members(item)
    pointer = f"messages/{number}"
    role = text(body.get("role")) or "?"
    if not isinstance(item, dict) or "content" not in body:
        return Message(role=role, parts=(other(item, pointer),), pointer=pointer, number=number)
    parts = parts_of(body["content"], f"{pointer}/content", role)
    return Message(role=role, parts=parts, pointer=pointer, number=number)


def _tool(tool: object, pointer: str) -> Tool:
    body = members(tool)
    kind = text(body.get("type"))
    schema = body.get("input_schema")
    if schema is None:
        schema = {
            name: value
            for name, value in body.items()
            if name not in ("name", "type", "description", "cache_control")
        } or None
    return Tool(
        name=text(body.get("name")) or kind or "?",
        description=text(body.get("description")),
        schema=schema,
        note="" if kind in ("", "custom") else kind,
        pointer=pointer,
        breakpoint=lifetime(body),
        weight=weight(tool),
    )
