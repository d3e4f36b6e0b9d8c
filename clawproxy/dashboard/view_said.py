"""What was said, message by message, out of a conversation's tree: :func:`read_said`.

A conversation's page shows messages of many exchanges. What is too long for it, and images, are fetched from the
exchange that first had the message: pointers begin with that exchange's id and the message's fingerprint
(``/ui/said/``).
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from clawproxy.core.dialects import DialectName
from clawproxy.core.jsonread import JSONError, read
from clawproxy.dashboard.view import (
    Aside,
    Call,
    File,
    Image,
    Message,
    Part,
    Result,
    Text,
    Thinking,
)
from clawproxy.dashboard.view_turn import print_of, read_prompt
from clawproxy.store.conversation_thread import Node

LONG = 16_000
"""Characters of one text that a conversation's page shows; the rest is fetched."""


def read_said(node: Node, dialect: DialectName | None) -> tuple[Message, ...]:
    """Read what a node of the tree says.

    :param dialect: of the exchange that first had it.
    """
    try:
        value = read(node.message.raw)
    except JSONError:
        value = node.message.raw.decode("utf-8", "replace")
    member = "input" if dialect == "openai_responses" else "messages"
    found = read_prompt(dialect, {member: [value]}).messages
    if not any(_far(part) for message in found for part in message.parts):
        return found
    prefix = f"{node.exchange}/{print_of(value).hex()}/"
    return tuple(
        evolve(message, parts=tuple(_moved(part, prefix) for part in message.parts))
        for message in found
    )


def joined(pairs: Sequence[tuple[Node, Message]]) -> list[tuple[list[Node], Message]]:
    """Make one message of what one side said in a row, as items of the Responses API are."""
    found: list[tuple[list[Node], Message]] = []
    for node, message in pairs:
        role = message.role
        if found and role in ("assistant", "tool") and found[-1][1].role == role:
            nodes, before = found[-1]
            if nodes[-1].answer == node.answer and message.pointer.startswith("input"):
                joined = evolve(before, parts=before.parts + message.parts)
                found[-1] = ([*nodes, node], joined)
                continue
        found.append(([node], message))
    return found


def _far(part: Part) -> bool:
    """Tell whether a page needs to fetch a part, or a part of it."""
    if isinstance(part, Image | File):
        return part.embedded or (isinstance(part, File) and len(part.text) > LONG)
    if isinstance(part, Result):
        return any(_far(each) for each in part.parts)
    if isinstance(part, Call) and part.result is not None:
        return _far(part.result)
    return isinstance(part, Text | Aside | Thinking) and len(part.text) > LONG


def _moved(part: Part, prefix: str) -> Part:
    if isinstance(part, Result):
        return _result_moved(part, prefix)
    moved = evolve(part, pointer=prefix + part.pointer)
    if isinstance(moved, Call) and moved.result is not None:
        return evolve(moved, result=_result_moved(moved.result, prefix))
    return moved


def _result_moved(result: Result, prefix: str) -> Result:
    inner = tuple(_moved(each, prefix) for each in result.parts)
    return evolve(result, parts=inner, pointer=prefix + result.pointer)
