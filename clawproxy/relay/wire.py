"""What an exchange's provider says and hears on a wire that is not HTTP, on its way into the record.

The other side of an HTTP provider is a body each way. A gateway's is messages, many of which tell the
same text again and a little more, so they are kept one a line, as JSON lines, and within a bound: of
what goes beyond it the last message is kept, which tells the end, and how much is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from clawproxy.relay.books import Books

MOST_HEARD = 16 << 20
"""Bytes of what came that are kept; a gateway tells an answer of some 15,000 characters in as many."""

MOST_ASKED = 32 << 20
"""Bytes of what went out that are kept: a message with images, and what was asked after it."""

CONTENT_TYPE = "application/x-ndjson"


class WireRecord:
    """Keep the messages of one exchange.

    What went out is kept as one body: the first message at once, all of them at the end.
    """

    def __init__(self, books: Books) -> None:
        self._books: Books | None = books
        self._asked = _Bounded(MOST_ASKED)
        self._lines: list[bytes] = []
        self._heard = _Bounded(MOST_HEARD)

    def asked(self, message: str) -> None:
        """Keep a message that goes out."""
        books = self._books
        if books is None:
            return
        books.exchange.upstream_request_headers = [("content-type", CONTENT_TYPE)]
        line = self._asked.fitting(message)
        if line is None:
            return
        self._lines.append(line)
        if len(self._lines) == 1:
            books.recording.upstream_request(line)  # type: ignore[union-attr]

    def heard(self, message: str) -> None:
        """Keep a message that came."""
        books = self._books
        if books is None:
            return
        books.exchange.upstream_response_headers = [("content-type", CONTENT_TYPE)]
        line = self._heard.fitting(message)
        if line is not None:
            books.recording.received(line, books.now_ms())  # type: ignore[union-attr]

    def close(self) -> None:
        """Complete the record; what is said later is no longer this exchange's."""
        books, self._books = self._books, None
        if books is None:
            return
        recording = books.recording
        assert recording is not None
        rest = self._asked.rest()
        if rest or len(self._lines) > 1:
            recording.upstream_request(b"".join([*self._lines, *rest]))
        for line in self._heard.rest():
            recording.received(line, books.now_ms())
        # A run that waits for its user keeps this until the next message, which may be never.
        self._lines = []


class _Bounded:
    """Lines up to a bound, and beyond it the last one.

    :param most: bytes.
    """

    def __init__(self, most: int) -> None:
        self._room = most
        self._messages = 0
        self._bytes = 0
        self._last: bytes | None = None

    def fitting(self, message: str) -> bytes | None:
        """Give a message's line, ``None`` where it is beyond the bound."""
        line = message.encode("utf-8", "replace") + b"\n"
        self._room -= len(line)
        if self._room >= 0:
            return line
        # Not even a shorter one has room from now on: nobody could tell where something is missing.
        if self._last is not None:
            self._messages += 1
            self._bytes += len(self._last)
        self._last = line
        return None

    def rest(self) -> list[bytes]:
        """Give up the last line and, before it, how much is missing."""
        if self._last is None:
            return []
        missing = {"messages": self._messages, "bytes": self._bytes}
        told = [msgspec.json.encode({"left_out": missing}) + b"\n"] if self._messages else []
        last, self._last = self._last, None
        return [*told, last]
