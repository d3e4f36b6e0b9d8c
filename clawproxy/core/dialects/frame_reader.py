"""What reading a stream is in every dialect, so that the three decoders differ only in what a frame says.

1. Bytes go through :class:`~clawproxy.core.sse.SSEDecoder`; each frame that has data is given to
   :meth:`FrameReader.read_frame`.
2. After a failure, or the dialect's last event, nothing more is read.
3. An end before that is a failure, too, unless the dialect knows better (:meth:`FrameReader.read_end`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from clawproxy.core.dialects.events import Event, StreamFailed
from clawproxy.core.dialects.halves import Halves
from clawproxy.core.dialects.upstream_error import malformed, unfinished
from clawproxy.core.errors import ProxyError
from clawproxy.core.sse import SSEDecoder, SSEEvent

MAX_FRAME = 64 * 1024 * 1024
"""Most bytes of one frame: twice the largest message that Anthropic takes. OpenAI's last event repeats the answer."""


class FrameReader(ABC):
    """See :class:`~.dialect.StreamDecoder`, of which this is the part that all share.

    :ivar halves: what is left of characters of which each frame has one half.
    :ivar final: nothing more is read.
    """

    def __init__(self) -> None:
        self._sse = SSEDecoder(limit=MAX_FRAME)
        self.halves = Halves()
        self.final = False

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and return what they complete."""
        if self.final:
            return []
        return self._read(self._sse.feed(data))

    def close(self) -> list[Event]:
        """End the stream."""
        if self.final:
            return []
        out = self._read(self._sse.close())
        if not self.final:
            out += self.read_end()
        return out

    @abstractmethod
    def read_frame(self, frame: SSEEvent) -> list[Event]:
        """Give the events of a frame that has data; never raises."""

    def read_end(self) -> list[Event]:
        """Give the events of an end that nothing announced."""
        return self.fail(unfinished())

    def fail(self, error: ProxyError) -> list[Event]:
        """End with a failure; gives its event."""
        self.final = True
        return [StreamFailed(error)]

    def _read(self, frames: list[SSEEvent]) -> list[Event]:
        out: list[Event] = []
        for frame in frames:
            if frame.data:
                out += self.read_frame(frame)
            if self.final:
                return out
        if self._sse.dropped:
            out += self.fail(malformed("a frame beyond all bounds"))
        return out
