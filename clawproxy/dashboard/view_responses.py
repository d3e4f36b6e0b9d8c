"""OpenAI's Responses API as people read it.

Its input is a list of items rather than messages: items that one side said in a row are one message
here.
"""

from __future__ import annotations

from attrs import evolve

from clawproxy.dashboard.view import Answer, Message, Prompt
from clawproxy.dashboard.view_anthropic import failure
from clawproxy.dashboard.view_chat import tool_of
from clawproxy.dashboard.view_content import texts
from clawproxy.dashboard.view_json import items, members, rest_of, text
from clawproxy.dashboard.view_pairing import paired
from clawproxy.dashboard.view_responses_item import content_of, read_item

_READ = frozenset({"model", "input", "instructions", "tools", "stream"})
_LISTS = frozenset({"input", "tools"})
_ANSWER_READ = frozenset({"id", "object", "created_at", "model", "output", "usage", "status"})
_ECHOED = frozenset({"instructions", "tools", "error"})


def prompt(body: dict[str, object]) -> Prompt:
    """Read a request."""
    given = body.get("input")
    if isinstance(given, str):
        raw: tuple[object, ...] = (given,)
        parts = tuple(texts(given, "input"))
        messages: tuple[Message, ...] = (Message(role="user", parts=parts, pointer="input"),)
    else:
        raw = tuple(items(given))
        messages = paired(_messages(raw, "input"))
    return Prompt(
        model=text(body.get("model")),
        system=tuple(content_of(body.get("instructions"), "instructions", "system")),
        tools=tuple(tool_of(tool, f"tools/{n}") for n, tool in enumerate(items(body.get("tools")))),
        messages=messages,
        settings=rest_of(body, _READ, _LISTS - {"input"} if isinstance(given, str) else _LISTS),
        raw=raw,
    )


def answer(body: dict[str, object]) -> Answer:
    """Read a response, or an error."""
    error = body.get("error")
    failed = failure(error) if isinstance(error, dict | str) else None
    if "output" not in body:
        extras = () if failed else tuple(body.items())
        return Answer(error=failed, extras=extras)
    messages = paired(_messages(tuple(items(body.get("output"))), "output"))
    status = text(body.get("status"))
    reason = text(members(body.get("incomplete_details")).get("reason"))
    return Answer(
        model=text(body.get("model")),
        messages=messages,
        stop=f"{status}: {reason}" if reason else status,
        usage=body.get("usage"),
        error=failed,
        extras=rest_of(body, _ANSWER_READ | _ECHOED, frozenset({"output"})),
    )


def _messages(raw: tuple[object, ...], pointer: str) -> tuple[Message, ...]:
    found: list[Message] = []
    for number, item in enumerate(raw):
        at = f"{pointer}/{number}"
        role, parts = read_item(item, at, pointer == "output")
        last = found[-1] if found else None
        joins = isinstance(item, dict) and item.get("type") not in (None, "message")
        if last is not None and last.role == role and (joins or role == "assistant"):
            found[-1] = evolve(last, parts=last.parts + parts, span=number - last.number + 1)
        else:
            found.append(Message(role=role, parts=parts, pointer=at, number=number))
    return tuple(found)
