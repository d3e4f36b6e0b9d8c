"""Conversations out of a store: the list, and one as a tree.

A conversation's bodies repeat each other; here they are never put together. A body's manifest names its parts, so
each message is fetched and read once, however many requests hold it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from secrets import token_hex
from typing import Any, TypeVar

from attrs import frozen

from clawproxy.core.jsonread import JSONError, peek, read
from clawproxy.core.message_base import encode
from clawproxy.core.record import Exchange
from clawproxy.store import parts, reading
from clawproxy.store.compression import Packer
from clawproxy.store.conversation import MEMBERS, answers, messages, said
from clawproxy.store.conversation_thread import Message, Turn
from clawproxy.store.conversation_tree import Tree
from clawproxy.store.plan import DECODED_REQUEST, REQUEST
from clawproxy.store.protocol import Store

MOST = 2000
"""Exchanges of one conversation that its tree is made of, the newest ones."""
STEP = 50
"""Exchanges between two pauses in which others get their turn."""
_CHUNK = 400

T = TypeVar("T")
Pause = Callable[[], Awaitable[None]]


@frozen
class Conversation:
    """A conversation, whole.

    :ivar left_out: how many of its exchanges are too old to be in the tree.
    :ivar title: what a side call of the client named it.
    """

    id: str
    exchanges: list[Exchange]
    tree: Tree
    left_out: int = 0
    title: str | None = None


async def _no_pause() -> None:
    """Go on at once."""


async def load(store: Store, id: str, pause: Pause = _no_pause) -> Conversation | None:
    """Load a conversation.

    :param pause: awaited now and then, so that a long conversation keeps nobody waiting.
    :returns: ``None`` if there is none.
    """
    packer = Packer()
    [(count,)] = await store.rows(
        "SELECT COUNT(*) FROM exchange e WHERE e.conversation_id = ?", (id,)
    )
    if not count:
        return None
    rows = await store.rows(
        f"SELECT {reading.LISTED} FROM exchange e JOIN record r ON r.exchange = e.id"
        " WHERE e.conversation_id = ? ORDER BY e.id DESC LIMIT ?",
        (id, MOST),
    )
    found = [reading.stored(row, packer) for row in reversed(rows)]
    numbers = [each.number for each in found]
    bodies = await manifests(store, packer, numbers)
    finished = await finished_messages(store, packer, numbers)
    read_parts = Parts(store, packer)
    tree = Tree()
    title = None
    for at, each in enumerate(found):
        if at % STEP == STEP - 1:
            await pause()
        message = finished.get(each.number)
        asked: _Asked | None = None
        if each.side_call is None and each.number in bodies:
            asked = await read_parts.request(*bodies[each.number])
        elif each.side_call == "title" and message is not None:
            title = title_of(each.exchange, message) or title
        tree.add(_turn(each.exchange, each.side_call, asked, message))
    exchanges = [each.exchange for each in found]
    return Conversation(id, exchanges, tree, int(count) - len(exchanges), title)


@frozen
class _Asked:
    messages: list[Message]
    system: bytes | None = None
    follows: tuple[str, ...] = ()


def _turn(
    exchange: Exchange, kind: str | None, asked: _Asked | None, finished: bytes | None
) -> Turn:
    answer, answer_id = [], None
    if finished is not None and kind is None:
        value = _value(finished)
        if isinstance(value, dict):
            id = value.get("id")
            answer_id = id if isinstance(id, str) else None
            answer = [
                Message(said(each), encode(each)) for each in answers(exchange.dialect, value)
            ]
    if asked is None:
        return Turn(exchange, kind, (), answer, answer_id)
    return Turn(exchange, kind, asked.messages, answer, answer_id, asked.follows, asked.system)


class Parts:
    """Messages by the part that holds them, each read once."""

    def __init__(self, store: Store, packer: Packer) -> None:
        self._store = store
        self._packer = packer
        self._data: dict[int, bytes] = {}
        self._messages: dict[int, Message] = {}
        self._mark = token_hex(8)

    async def request(self, glue: list[bytes], ids: list[int], most: int | None = None) -> _Asked:
        """Read the messages of a body that is given as its manifest.

        :param most: how many messages are of interest; with the system prompt, unless it is given.
        """
        # The body with a short string in place of each part has the same structure and costs nothing to read.
        names = [b'"%s%d"' % (self._mark.encode(), at) for at in range(len(ids))]
        body = _value(parts.join(glue, names))
        if not isinstance(body, dict):
            await self._fetch(ids)
            whole = _value(parts.join(glue, [self._data[id] for id in ids]))
            body = whole if isinstance(whole, dict) else {}
        told = {}
        for name in MEMBERS:
            if (at := self._index(body.get(name))) is not None:
                # A part as a whole, as an ``input`` that is one text.
                await self._fetch([ids[at]])
                told[name] = _value(self._data[ids[at]])
            elif name in body:
                told[name] = body[name]
        listed = messages(told)[:most]
        system = None if most is not None else body.get("system", body.get("instructions"))
        indexes = [self._index(each) for each in (*listed, system)]
        await self._fetch([ids[at] for at in indexes if at is not None])
        found = [
            _message(each) if at is None else self._message(ids[at])
            for each, at in zip(listed, indexes, strict=False)
        ]
        at = indexes[-1]
        raw = None if system is None else encode(system) if at is None else self._data[ids[at]]
        thread = body.get("thread")
        previous = thread.get("previous_message_id") if isinstance(thread, dict) else None
        named = (body.get("previous_response_id"), previous)
        return _Asked(found, raw, tuple(id for id in named if isinstance(id, str)))

    def _index(self, value: object) -> int | None:
        if isinstance(value, str) and value.startswith(self._mark):
            return int(value.removeprefix(self._mark))
        return None

    def _message(self, id: int) -> Message:
        found = self._messages.get(id)
        if found is None:
            raw = self._data[id]
            found = self._messages[id] = Message(said(_value(raw)), raw)
        return found

    async def _fetch(self, ids: list[int]) -> None:
        missing = [id for id in dict.fromkeys(ids) if id not in self._data]
        for some in chunks(missing):
            rows = await self._store.rows(
                f"SELECT id, data FROM part WHERE id IN ({marks(some)})", some
            )
            for id, data in rows:
                self._data[id] = self._packer.unpack(bytes(data))


def _message(value: object) -> Message:
    return Message(said(value), encode(value))


def _value(data: bytes) -> Any:
    try:
        return read(data)
    except JSONError:
        return None


async def manifests(
    store: Store, packer: Packer, numbers: Sequence[int]
) -> dict[int, tuple[list[bytes], list[int]]]:
    found: dict[int, tuple[list[bytes], list[int]]] = {}
    for some in chunks(numbers):
        rows = await store.rows(
            "SELECT exchange, manifest FROM body"
            f" WHERE exchange IN ({marks(some)}) AND which IN ({REQUEST}, {DECODED_REQUEST})"
            " ORDER BY which",  # so that a decoded body takes the place of the coded one
            some,
        )
        for number, manifest in rows:
            found[number] = reading.wanted(bytes(manifest), packer)
    return found


async def finished_messages(
    store: Store, packer: Packer, numbers: Sequence[int]
) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for some in chunks(numbers):
        rows = await store.rows(
            "SELECT exchange, message FROM finished"
            f" WHERE message IS NOT NULL AND exchange IN ({marks(some)})",
            some,
        )
        for number, message in rows:
            found[number] = packer.unpack(bytes(message))
    return found


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a sequence, so that a statement gets no more parameters than it may have."""
    for first in range(0, len(items), _CHUNK):
        yield items[first : first + _CHUNK]


def marks(items: Sequence[object]) -> str:
    return ", ".join("?" * len(items))


def title_of(exchange: Exchange, finished: bytes) -> str | None:
    """Read the title out of the answer to a side call that asked for one."""
    for answer in answers(exchange.dialect, _value(finished)):
        text = said(answer).text.strip().removeprefix("```json").strip("`\n ")
        try:
            named = peek(text.encode()).text("title")
        except JSONError:
            named = None if text.startswith("{") else text
        if named:
            return " ".join(named.split())[:200]
    return None
