"""What the accumulators of all dialects share: :class:`Finished`, and raw JSON in pieces.

Values are kept as they were spelled (:class:`Spelling`, :func:`spell`): a number, an escape or an
unknown field of the upstream's is in the finished message what it was in the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from attrs import frozen

from clawproxy.core.jsonread import JSONError, peek, read
from clawproxy.core.record import Usage
from clawproxy.core.sse import SSEDecoder, SSEEvent

MAX_MESSAGE = 64 * 1024 * 1024
"""Most bytes of events that an accumulator takes in: an endless stream must not fill memory."""

_MOST_TOOLS = 1000


@frozen
class Finished:
    """An answer as a whole, however it came.

    :ivar message: its JSON, as a non-streaming call would have given it; ``None`` if none began.
    :ivar usage: its tokens; ``complete`` is false where the stream ended before its last report.
    :ivar model: the model that answered.
    :ivar stop_reason: why it ended, in the dialect's own word.
    :ivar error: the message of an error that the stream or body itself told.
    :ivar error_event: that error's JSON.
    :ivar complete: whether the answer's own end was seen, so that nothing is missing.
    :ivar tools: the names of the tools called, in order.
    :ivar text: the text that a person would read.
    """

    message: bytes | None = None
    usage: Usage | None = None
    model: str | None = None
    stop_reason: str | None = None
    error: str | None = None
    error_event: bytes | None = None
    complete: bool = False
    tools: tuple[str, ...] = ()
    text: str = ""


class Accumulator:
    """Put the events of one stream together.

    Nothing that a stream may hold raises: what cannot be read is left out and :attr:`broken` set.

    :param limit: most bytes of events; what is beyond is left out, too.
    """

    #: Names of events whose loss would leave the message incomplete; ``None``: all events.
    matters: frozenset[str] | None = None

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._decoder = SSEDecoder(limit)
        self._room = limit
        #: Whether something is missing: it could not be read, or the limit was reached.
        self.broken = False
        self._error: str | None = None
        self._error_event: bytes | None = None

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream, cut anywhere."""
        for event in self._decoder.feed(data):
            self.event(event)

    def event(self, event: SSEEvent) -> None:
        """Take the next event, for those who have decoded the stream themselves."""
        self._room -= len(event.data)
        if self._room < 0:
            self.broken = True
            return
        try:
            self._take(event)
        except JSONError:
            if event.event == "error":
                words = event.data.decode("utf-8", "replace")
                self._fail(encode(words), words)
            elif self.matters is None or event.event in self.matters:
                self.broken = True

    def close(self) -> Finished:
        """End the stream and give what it amounts to."""
        for event in self._decoder.close():
            self.event(event)
        if self._decoder.dropped:
            self.broken = True
        try:
            return self._finished()
        except JSONError:  # nested deeper than can be put together
            return Finished(error=self._error, error_event=self._error_event)

    def _take(self, event: SSEEvent) -> None:
        raise NotImplementedError

    def _finished(self) -> Finished:
        raise NotImplementedError

    def _fail(self, data: bytes, error: object) -> None:
        if self._error is None:
            self._error = error_text(error)
            self._error_event = data


class Spelling:
    """A JSON string that comes in pieces, each a JSON string itself.

    The pieces' spelling is joined and not their values, so that two halves of a surrogate pair,
    each escaped in a piece of its own, become the character that they are.
    """

    __slots__ = ("_parts",)

    def __init__(self, raw: bytes | None = None) -> None:
        self._parts: list[bytes] = []
        self.add(raw)

    def add(self, raw: bytes | None) -> None:
        """Append a string by its spelling; anything else adds nothing."""
        if raw is not None and raw.startswith(b'"'):
            self._parts.append(raw[1:-1])

    def says(self, raw: bytes) -> bool:
        """Tell whether the string came in one piece and is spelled like this."""
        return len(self._parts) == 1 and self._parts[0] == raw[1:-1]

    def raw(self) -> bytes:
        """Give the whole string's spelling."""
        return b'"' + b"".join(self._parts) + b'"'

    def value(self) -> str:
        """Give the whole string."""
        value = read(self.raw())
        return value if isinstance(value, str) else ""

    def __bool__(self) -> bool:
        return any(self._parts)


def spell(members: Mapping[str, bytes]) -> bytes:
    """Give the JSON object of these members, each value as it is spelled."""
    return (
        b"{"
        + b",".join(msgspec.json.encode(name) + b":" + value for name, value in members.items())
        + b"}"
    )


def spell_list(items: Iterable[bytes]) -> bytes:
    """Give the JSON array of these items, each as it is spelled."""
    return b"[" + b",".join(items) + b"]"


def unfold(raw: bytes | None) -> dict[str, bytes]:
    """Give an object's members as they are spelled; no members where it is not an object."""
    if raw is None or not raw.startswith(b"{"):
        return {}
    members = peek(raw)
    return {name: members.raw(name) or b"null" for name in members}


def items(raw: bytes | None) -> list[bytes]:
    """Give an array's items as they are spelled; none where it is not an array."""
    if raw is None or not raw.startswith(b"["):
        return []
    try:
        return [bytes(item) for item in msgspec.json.decode(raw, type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        values = read(raw)
        return [encode(item) for item in values] if isinstance(values, list) else []


def encode(value: object) -> bytes:
    """Spell a value that :func:`~clawproxy.core.jsonread.read` gave; infinity becomes null."""
    return msgspec.json.encode(value)


def given(raw: bytes | None) -> bool:
    """Tell whether a member is there and not null."""
    return raw is not None and raw != b"null"


def string(raw: bytes | None) -> str | None:
    """Give a spelled value if it is a string."""
    if raw is None or not raw.startswith(b'"'):
        return None
    value = read(raw)
    return value if isinstance(value, str) else None


def integer(value: object) -> int | None:
    """Give a decoded value if it is an integer; JSON's ``true`` is none, though Python's is."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def error_text(error: object) -> str:
    """Find the words in an error as either vendor and their imitators write it."""
    for _ in range(3):
        if isinstance(error, str):
            return error
        if not isinstance(error, dict):
            break
        message = error.get("message")
        if isinstance(message, str) and message:
            return message
        if isinstance(error.get("error"), (dict, str)):
            error = error["error"]
            continue
        for name in ("type", "code"):
            if isinstance(error.get(name), str):
                return str(error[name])
        break
    return "unknown error"


def tool_names(names: Iterable[str | None]) -> tuple[str, ...]:
    """Keep those that are names, and no more than anybody would look at."""
    return tuple(name for name in names if name)[:_MOST_TOOLS]
