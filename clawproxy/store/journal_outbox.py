"""Framed records on their way to the journal's thread, so that it gets many at once and memory is bounded.

Small ones are joined and summed here, in the reactor: that costs less than to remember them in parts. Large ones are
left to the thread, which sums them without the interpreter's lock.
"""

from __future__ import annotations

from clawproxy.store import segment
from clawproxy.store.segment_record import Kind
from clawproxy.store.writer import Batch, Writer

BATCH = 128 << 10
"""Bytes that are passed on to the thread at once: writing ten times as many keeps a processor that it shares with
the reactor for milliseconds."""
MEMORY_LIMIT = 64 << 20
"""Bytes that may wait for a disk which does not take them."""
_COPIED = 64 << 10  # payloads up to this are joined and summed here


class Outbox:
    """Frame records, and pass them on to the thread in batches.

    :param writer: the thread's.

    :ivar size: bytes that are here, waiting to be passed on.
    :ivar closed: nothing more is taken: the thread is leaving.
    """

    __slots__ = ("_chunks", "_ended", "_writer", "closed", "size")

    def __init__(self, writer: Writer) -> None:
        self.size = 0
        self.closed = False
        self._writer = writer
        self._chunks: list[bytes | tuple[Kind, list[bytes]]] = []
        self._ended = 0

    @property
    def full(self) -> bool:
        """Whether the disk has left too much in memory."""
        return self._writer.queued > MEMORY_LIMIT

    def put(self, kind: Kind, chunks: list[bytes], ends: bool = False) -> bool:
        """Take one record.

        An ``END`` is small, and is let through past the memory limit up to twice that: without it, what was recorded
        of its exchange would count as interrupted.

        :param ends: this record ends an exchange.
        :returns: false if memory is full, or the thread is leaving, and it was not taken.
        """
        size = sum(map(len, chunks))
        waiting = self.size + self._writer.queued
        if waiting > MEMORY_LIMIT and not (kind is Kind.END and waiting < 2 * MEMORY_LIMIT):
            return False
        if self.closed:
            return False
        self.size += size + segment.FRAME_SIZE
        self._ended += ends
        if size <= _COPIED:
            payload = b"".join(chunks)
            self._chunks += (segment.frame(kind, payload), payload)
        else:
            self._chunks.append((kind, chunks))
        if self.size >= BATCH:
            self.pass_on()
        return True

    def pass_on(self) -> None:
        """Give the thread all there is."""
        if self.size:
            self._writer.put(Batch(self._chunks, self.size, self._ended))
            self._chunks, self.size, self._ended = [], 0, 0
