"""Read usage, errors and ends beside an answer that is passed on untouched.

1. :class:`StreamTap` is fed every piece of every stream, so a piece of no interest may cost it
   nothing but a few substring searches; only frames that can matter are kept and read.
2. :class:`BodyTap` is fed an answer that is one JSON body.

Both give a :class:`~clawproxy.core.facts.Summary`, are bounded in memory, and never raise.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from clawproxy.core.dialects import DialectName
from clawproxy.core.facts import Facts, Summary
from clawproxy.core.jsonread import JSONError
from clawproxy.core.sse import SSEDecoder

__all__ = ["BodyTap", "StreamTap", "Summary"]

MAX_FRAME = 64 * 1024
"""Bytes of an unfinished frame that are kept whole; of a larger one only its two ends are."""

MAX_BODY = 1024 * 1024
"""Bytes of a JSON answer that are kept whole; of a larger one only its two ends are."""

END = 16 * 1024
"""Bytes kept at either end of what is too large: usage stands near the end in every dialect."""

_BLANK = (b"\n\n", b"\r\n\r\n", b"\r\r")


# Whether frames may say something of usage, error, model, reason or end. ``find`` costs half of
# what ``in`` does; a single delta frame, the ordinary piece, is told by its beginning or its end.


def _anthropic(data: bytes) -> bool:
    if data.startswith(b"event: content_block_delta\n") and data.find(b"\n\n") == len(data) - 2:
        return False
    return data.find(b"message_") >= 0 or data.find(b"error") >= 0 or data.find(b'"fallback"') >= 0


_CHAT = re.compile(rb'usage"\s*:\s*\{|reason"\s*:\s*"|error"|\[DONE\]')
_CHAT_DULL = (
    b'"finish_reason":null}]}\n\n',
    b'"finish_reason":null}],"usage":null}\n\n',
    b'"finish_reason": null}]}\n\n',
)


def _chat(data: bytes) -> bool:
    if (
        data.endswith(_CHAT_DULL)
        and data.find(b"\n\n") == len(data) - 2
        and data.find(b'error"') < 0
    ):
        return False
    return _CHAT.search(data) is not None


def _responses(data: bytes) -> bool:
    return data.find(b'"response"') >= 0 or data.find(b"error") >= 0


def _nothing(data: bytes) -> bool:
    return False


_MATTERS: dict[DialectName | None, Callable[[bytes], bool]] = {
    "anthropic": _anthropic,
    "openai_chat": _chat,
    "openai_responses": _responses,
    None: _nothing,
}


class _Ends:
    """Bytes in pieces, of which only the two ends are kept when they are too many."""

    __slots__ = ("_head", "_most", "_pieces", "_size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self._head: bytes | None = None

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > self._most:
            kept = b"".join(self._pieces)
            if self._head is None:
                self._head = kept[:END]
            self._pieces = [kept[-END:]]
            # Next time only after as much again: else each small piece would copy the end.
            self._size = min(self._most, END)

    def take(self) -> tuple[bytes, bytes | None]:
        """Give all bytes and ``None``, or both ends; and begin anew."""
        tail = b"".join(self._pieces)
        head, self._head = self._head, None
        self._pieces = []
        self._size = 0
        return (tail, None) if head is None else (head, tail)


def _frames_end(data: bytes) -> int:
    """Find where the last whole frame ends; 0 if none does."""
    end = data.rfind(b"\n\n")
    end = end + 2 if end >= 0 else 0
    if data.find(b"\r") >= 0:
        for blank in _BLANK[1:]:
            place = data.rfind(blank)
            if place >= 0:
                end = max(end, place + len(blank))
    return end


class StreamTap:
    """Read beside a stream of server-sent events.

    :param dialect: the upstream's; ``None`` where it is not known: then nothing is read.
    """

    __slots__ = ("_ends", "_facts", "_matters", "_open")

    def __init__(self, dialect: DialectName | None) -> None:
        self._facts = Facts(dialect)
        self._matters = _MATTERS[dialect]
        self._ends = _Ends(MAX_FRAME)
        # The last bytes of an unfinished frame, None between frames. The stream's start is taken
        # for one, so that its first frame is read whatever it holds: it names the model.
        self._open: bytes | None = b""

    @property
    def ended(self) -> bool:
        """Whether the dialect's own end of an answer has come, and no error."""
        return self._facts.ended and self._facts.error is None

    def feed(self, data: bytes) -> None:
        """Take the next piece, cut anywhere."""
        if self._open is None and data.endswith(_BLANK):
            if self._matters(data):
                self._read(data)
        elif self._facts.dialect is not None:
            self._feed_cut(data)

    def _feed_cut(self, data: bytes) -> None:
        opened = self._open
        joined = opened + data if opened else data
        end = _frames_end(joined)
        if end:
            place = end - len(opened) if opened else end
            self._ends.add(data[:place])
            self._end_frames()
            data = data[place:]
            if not data:
                self._open = None
                return
        self._open = joined[max(end, len(joined) - 4) :]
        self._ends.add(data)

    def _end_frames(self) -> None:
        head, tail = self._ends.take()
        if tail is not None:
            self._salvage(head, tail)
        elif self._facts.model is None or self._matters(head):
            self._read(head)

    def _read(self, frames: bytes) -> None:
        for event in SSEDecoder().feed(frames):
            self._facts.event(event)

    def _salvage(self, head: bytes, tail: bytes) -> None:
        facts = self._facts
        start = head[:200]
        if b"event: error" in start:
            facts.fail(head.decode("utf-8", "replace"))
        elif facts.dialect == "openai_chat":
            facts.salvage(head, tail)
        elif facts.dialect == "openai_responses":
            for name in ("completed", "incomplete", "failed"):
                if b"response.%s" % name.encode() in start:
                    facts.salvage(head, tail)
                    facts.ended = True
                    facts.stop_reason = name

    def close(self) -> Summary:
        """Give what was found; a stream may be closed at any point."""
        head, tail = self._ends.take()
        if head and tail is None:
            # A last frame that no blank line ended counts if it can be read.
            decoder = SSEDecoder()
            for event in decoder.feed(head) + decoder.close():
                self._facts.event(event)
        return self._facts.summary(complete=self._facts.ended and self._facts.error is None)


class BodyTap:
    """Read beside an answer that is one JSON body.

    :param dialect: the upstream's; ``None`` where it is not known: then only an error is read.
    :param limit: bytes that are kept whole.
    """

    __slots__ = ("_ends", "_facts")

    def __init__(self, dialect: DialectName | None, limit: int = MAX_BODY) -> None:
        self._facts = Facts(dialect)
        self._ends = _Ends(limit)

    @property
    def ended(self) -> bool:
        """Tell of no end: a document ends with its body."""
        return False

    def feed(self, data: bytes) -> None:
        """Take the next piece, cut anywhere."""
        self._ends.add(data)

    def close(self) -> Summary:
        """Give what was found; of what is not JSON, nothing."""
        head, tail = self._ends.take()
        if tail is not None:
            self._facts.salvage(head, tail)
        else:
            try:
                self._facts.body(head)
            except JSONError:
                return Summary()
        return self._facts.summary(complete=self._facts.error is None)
