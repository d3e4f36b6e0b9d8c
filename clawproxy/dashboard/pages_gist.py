"""What an exchange was about, in a line: the last thing that was said to the model.

A body's manifest names its parts, so one small part is read for each exchange and no body is put
together.
"""

from __future__ import annotations

from collections.abc import Sequence

from clawproxy.core.dialects import DialectName
from clawproxy.core.jsonread import JSONError, read
from clawproxy.dashboard.render import gist
from clawproxy.dashboard.view import Aside, Call, Message, Result, Text
from clawproxy.dashboard.view_turn import read_prompt
from clawproxy.store.compression import Packer
from clawproxy.store.conversation_query import chunks, manifests, marks
from clawproxy.store.protocol import Store, Stored

LARGEST = 200_000
"""Bytes of a part above which it is not read for a line."""
LOOKED_AT = 4
"""Parts at the end of a body among which the last message is looked for."""


async def gists(store: Store, items: Sequence[Stored]) -> dict[str, str]:
    """Give a line for each exchange that has one, by id."""
    packer = Packer()
    wanted = {item.number: item.exchange for item in items if item.exchange.dialect}
    bodies = await manifests(store, packer, list(wanted))
    # The parts behind the messages (tools, metadata) come last in most bodies, so a few are tried.
    tails = {number: ids[-LOOKED_AT:] for number, (_, ids) in bodies.items()}
    data: dict[int, bytes] = {}
    for some in chunks(sorted({id for ids in tails.values() for id in ids})):
        rows = await store.rows(
            f"SELECT id, data FROM part WHERE id IN ({marks(some)}) AND LENGTH(data) < ?",
            (*some, LARGEST),
        )
        data.update((id, packer.unpack(bytes(blob))) for id, blob in rows)
    found = {}
    for number, ids in tails.items():
        exchange = wanted[number]
        words = _of(exchange.dialect, [data[id] for id in reversed(ids) if id in data])
        if words:
            found[exchange.id] = words
    return found


def _of(dialect: DialectName | None, parts: Sequence[bytes]) -> str:
    for part in parts:
        try:
            value = read(part)
        except JSONError:
            continue
        words = line(dialect, value)
        if words:
            return words
    return ""


def line(dialect: DialectName | None, value: object) -> str:
    """Word a message of a request in a line; ``""`` for what is none."""
    member = "input" if dialect == "openai_responses" else "messages"
    if not isinstance(value, dict) or not ("role" in value or "type" in value):
        return gist(value) if isinstance(value, str) and member == "input" else ""
    if member == "messages" and "role" not in value:
        return ""
    prompt = read_prompt(dialect, {member: [value]})
    return words_of(prompt.messages[-1]) if prompt.messages else ""


def words_of(message: Message) -> str:
    """Word a message in a line: what a person wrote, else which tool gave or was asked what."""
    if message.role in ("system", "developer"):
        return ""
    for part in reversed(message.parts):
        if isinstance(part, Text) and part.text.strip():
            return gist(part.text)
    for part in reversed(message.parts):
        if isinstance(part, Result):
            inner = next((one.text for one in part.parts if isinstance(one, Text)), "")
            return f"↳ {gist(inner, 120)}" if inner.strip() else "↳ a tool's result"
        if isinstance(part, Call):
            return part.name
        if isinstance(part, Aside):
            return gist(part.text)
    return message.parts[0].kind if message.parts else ""
