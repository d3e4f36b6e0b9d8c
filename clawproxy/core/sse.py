"""Server-sent events from bytes, however the network cut them.

1. :class:`SSEDecoder` turns pieces of a stream into :class:`SSEEvent` values, as the WHATWG says
   (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
2. :class:`FrameBoundary` watches a stream that is passed on verbatim and knows which bytes would
   end a half-sent frame, so that an ``error`` event can follow it.
"""

from __future__ import annotations

import msgspec

_BOM = b"\xef\xbb\xbf"
_PREFIX = len(b"data: ")


class SSEEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a stream, in the form in which dialects read it.

    :ivar event: the name given by the last ``event:`` line, ``""`` where there was none. The
        WHATWG's default name ``message`` is not filled in, since some clients skip frames without
        a name.
    :ivar data: the ``data:`` lines joined by LF, undecoded (JSON readers take bytes).
    :ivar id: the last event id so far, ``None`` before the first one.
    :ivar retry: the reconnection time in ms that this frame set, if it did.
    """

    event: str
    data: bytes
    id: str | None = None
    retry: int | None = None


class SSEDecoder:
    """Read a stream piece by piece; whatever the cuts, the events are the same.

    Two choices where readers differ:

    * Invalid UTF-8 in a name or id becomes U+FFFD; in data it stays as it came.
    * The WHATWG discards an event that no blank line ended. Real servers do end a stream with a
      bare ``data: [DONE]``, so :meth:`close` yields such an event and sets :attr:`truncated`; who
      wants the standard's answer ignores what :meth:`close` returns. A JSON payload that was cut
      does not parse, so it cannot be taken for a whole one.

    :param limit: most bytes of an event's data, and of any line. A frame over it is dropped whole
        and counted in :attr:`dropped`. ``None``: no bound.
    """

    __slots__ = (
        "_data",
        "_event",
        "_head",
        "_held",
        "_idle",
        "_limit",
        "_line",
        "_overflow",
        "_retry",
        "_size",
        "_skip_lf",
        "dropped",
        "last_event_id",
        "retry",
        "truncated",
    )

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        #: Events that were dropped because they exceeded the limit.
        self.dropped = 0
        #: The last event id, which outlives its event.
        self.last_event_id: str | None = None
        #: The reconnection time in ms that the stream last set.
        self.retry: int | None = None
        #: Whether the stream ended inside an event; final after :meth:`close`.
        self.truncated = False
        self._head: bytes | None = b""  # the first bytes, until it is known whether they are a BOM
        self._idle = True  # between two frames: whole ones may be read at once
        self._skip_lf = False  # the last piece ended in CR; an LF that follows belongs to it
        self._line: list[bytes] = []  # the pieces of the unfinished line
        self._held = 0  # their bytes
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0  # bytes of data lines so far
        self._retry: int | None = None
        self._overflow = False

    def feed(self, data: bytes) -> list[SSEEvent]:
        """Take the next piece and give the events that it completed.

        :param data: any number of bytes, cut anywhere.
        """
        if self._head is not None:
            data = self._head + data
            if len(data) < 3 and _BOM.startswith(data):
                self._head = data
                return []
            self._head = None
            data = data.removeprefix(_BOM)
        position = 0
        length = len(data)
        if self._skip_lf and length:
            self._skip_lf = False
            position = 1 if data[0] == 0x0A else 0
        events: list[SSEEvent] = []
        whole = b"\r" not in data
        while position < length:
            if whole and self._idle:
                position = self._frames(data, position, events)
                if position == length:
                    break
            position = self._lines(data, position, events, until_blank=whole)
        return events

    def close(self) -> list[SSEEvent]:
        """End the stream and give the event that it left unended, if it has data.

        Sets :attr:`truncated` where the stream did not end between two events.
        """
        events: list[SSEEvent] = []
        if self._head:  # one or two bytes of a BOM and nothing else: an unfinished line
            self._line, self._head = [self._head], None
        if self._line or self._overflow or self._event or self._data or self._retry is not None:
            self.truncated = True
        if self._line:
            line, self._line = b"".join(self._line), []
            self._field(line)
        self._dispatch(events)
        self._skip_lf = False
        self._held = 0
        return events

    def _frames(self, data: bytes, position: int, events: list[SSEEvent]) -> int:
        """Read whole frames of the two usual shapes, without a step per line; stop at any other."""
        limit = self._limit
        while (end := data.find(b"\n\n", position)) >= 0:
            if data.startswith(b"event: ", position):
                name_end = data.find(b"\n", position)
                start = name_end + 7
                if (
                    start > end
                    or not data.startswith(b"data: ", name_end + 1)
                    or data.find(b"\n", start, end) >= 0
                ):
                    return position
                name = data[position + 7 : name_end].decode("utf-8", "replace")
            elif data.startswith(b"data: ", position) and data.find(b"\n", position, end) < 0:
                start = position + 6
                name = ""
            else:
                return position
            if limit is not None and end - position > limit:
                return position  # perhaps too large: the line reader decides
            events.append(SSEEvent(name, data[start:end], self.last_event_id))
            position = end + 2
        return position

    def _lines(
        self, data: bytes, position: int, events: list[SSEEvent], *, until_blank: bool
    ) -> int:
        """Read line by line, to the end or to just after a blank line; keep an unfinished one."""
        self._idle = False
        length = len(data)
        next_cr = data.find(b"\r", position)
        while position < length:
            end = data.find(b"\n", position) if next_cr < 0 else self._line_end(data, position)
            if end < 0:
                self._hold(data[position:])
                return length
            line = data[position:end]
            if self._line:
                self._hold(line)
                line = b"".join(self._line)
                self._line = []
                self._held = 0
            position = end + 1
            if data[end] == 0x0D:
                if position == length:
                    self._skip_lf = True
                elif data[position] == 0x0A:
                    position += 1
            if line:
                self._field(line)
            else:
                self._dispatch(events)
                if until_blank:
                    return position
        return position

    @staticmethod
    def _line_end(data: bytes, position: int) -> int:
        lf = data.find(b"\n", position)
        cr = data.find(b"\r", position, lf if lf >= 0 else len(data))
        return cr if cr >= 0 else lf

    def _hold(self, piece: bytes) -> None:
        if not piece:
            return
        if self._overflow and self._line:
            return  # all that still matters of this line is that it is not blank
        self._line.append(piece)
        self._held += len(piece)
        if self._limit is not None and self._held > self._limit + _PREFIX:
            self._overflow = True
            self._line = [b":"]

    def _field(self, line: bytes) -> None:
        if self._limit is not None and len(line) > self._limit + _PREFIX:
            self._overflow = True
        if self._overflow:
            self._data = []
            return
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._limit is not None and self._size - 1 > self._limit:
                self._overflow = True
                self._data = []
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self.last_event_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < 19:
            self.retry = self._retry = int(value)

    def _dispatch(self, events: list[SSEEvent]) -> None:
        if self._overflow:
            self.dropped += 1
        elif self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(SSEEvent(self._event, data, self.last_event_id, self._retry))
        self._event = ""
        self._data = []
        self._size = 0
        self._retry = None
        self._overflow = False
        self._idle = True


class FrameBoundary:
    """Know, at next to no cost, how a stream that went out verbatim would have to be ended.

    A broken upstream leaves half a frame behind; an ``error`` event may only follow once that
    frame's line and the frame itself are ended. Only the last bytes are looked at, and only when
    asked.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Take note of the piece that was just sent.

        :param data: the piece as it went out.
        """
        self._tail = data[-4:] if len(data) > 3 else (self._tail + data)[-4:]

    def ending(self) -> bytes:
        """Give the bytes that end the current line and frame, ``b""`` where both are ended.

        After a complete line it cannot be told whether a frame has begun; a blank line more
        is nothing to a reader.
        """
        tail = self._tail
        if not tail:
            return b""
        # The stream's start is as good as a line end before it; four bytes hold any two line ends.
        lines = (b"\n" + tail if len(tail) < 4 else tail).replace(b"\r\n", b"\n")
        ends = lines.replace(b"\r", b"\n")
        if ends.endswith(b"\n\n"):
            return b""
        # After a lone CR, a first LF would only belong to it.
        return b"\n" if tail.endswith(b"\n") else b"\n\n"
