"""The journal's thread: the one place where the proxy's process waits for a disk.

:class:`Writer` takes batches of framed records through a queue and appends them to segments.
Between two system calls it does next to no work in Python, so that it hardly ever holds the
interpreter's lock against the reactor.

A write that fails (full disk) leaves no half record behind (:mod:`clawproxy.store.segment_file`), and
the batch is tried again until it succeeds or :meth:`Writer.close` gives up on it. What waits meanwhile
is bounded by the journal, which looks at :attr:`Writer.queued`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

from attrs import frozen
from twisted.logger import Logger

from clawproxy.store import instance as instances
from clawproxy.store.segment import frame_chunks
from clawproxy.store.segment_file import SegmentFile
from clawproxy.store.segment_record import Kind

SEGMENT_BYTES = 16 << 20
"""A segment that has grown to this is sealed."""
SEGMENT_AGE = 2.0
"""Seconds after which a segment is sealed, as long as the indexer keeps up."""
KEEPING_UP = 3
"""So many segments on disk, the growing one included, mean that the indexer keeps up. If it does
not, age seals nothing: an absent database must not leave a file for every two seconds."""
RETRY_DELAY = 1.0
"""Seconds between two tries of a write that failed."""
LAST_TRIES = 3
"""Tries that a failing write still gets once the journal is being closed."""
MEASURE_EVERY = 1.0
"""Seconds between two looks at the directory's size."""

Chunks = Sequence[bytes | tuple[Kind, list[bytes]]]


@frozen
class Batch:
    """Records of one flush.

    :ivar chunks: frames and payloads in order; a pair is a large record whose frame (its CRC) is
        left to the thread.
    :ivar size: the bytes that it keeps in memory.
    :ivar exchanges: how many exchanges it ends, to count should it be dropped.
    """

    chunks: Chunks
    size: int
    exchanges: int


class Writer:
    """Append batches to segments from a thread of its own.

    :param directory: the journal's.
    :param instance: this process's name, see :mod:`clawproxy.store.instance`.
    :param written: called from the thread after each batch is in its file; must return at once.
    :param finished: called from the thread when, after :meth:`close`, it is about to end.
    :param clock: monotonic seconds.

    :ivar queued: bytes taken and not yet written.
    :ivar dropped: exchanges given up because their writes still failed at :meth:`close`.
    :ivar failure: what the disk says while writes fail, else ``None``.
    :ivar disk_bytes: bytes of all segments in the directory, all instances.
    :ivar disk_segments: how many they are.
    """

    _log = Logger()

    def __init__(
        self,
        directory: Path,
        instance: str,
        written: Callable[[], None] = lambda: None,
        finished: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._instance = instance
        self._written = written
        self._finished = finished
        self._clock = clock
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()
        self._closing = Event()
        self._file: SegmentFile | None = None
        self._number = 0
        self._opened_at = 0.0
        self._measured_at = float("-inf")
        self._taken = 0
        self._done = 0
        self.dropped = 0
        self.failure: str | None = None
        self.disk_bytes = 0
        self.disk_segments = 0
        self._thread = Thread(target=self._run, name="journal", daemon=True)

    @property
    def queued(self) -> int:
        """Bytes taken and not yet written (each side of the difference has one thread that writes
        it)."""
        return self._taken - self._done

    def start(self) -> None:
        """Measure what is there and start the thread."""
        self._measure()
        self._thread.start()

    def put(self, batch: Batch) -> None:
        """Take a batch; returns at once. Called from the reactor's thread only."""
        self._taken += batch.size
        self._queue.put(batch)

    def close(self) -> None:
        """Have all that was taken written, sealed and synced; returns at once, ``finished`` tells
        when."""
        self._closing.set()
        self._queue.put(None)

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._deliver(batch)
                self._written()
        except Exception:  # noqa: BLE001 - a dead thread would lose records without a word
            self._log.failure("The journal's thread broke; nothing is recorded from here on")
            self.failure = "the journal's thread broke"
        finally:
            try:
                self._finish()
            finally:
                self._finished()  # whatever happened: somebody waits for it

    def _next(self) -> Batch | None:
        while True:
            wait = None
            if self.disk_segments or self._file is not None:
                wait = max(0.0, self._measured_at + MEASURE_EVERY - self._clock())
            try:
                return self._queue.get(timeout=wait)
            except Empty:
                self._measure()
                if self._file is not None and self._aged(self._clock()):
                    self._seal(self._file)

    def _aged(self, now: float) -> bool:
        return now - self._opened_at >= SEGMENT_AGE and self.disk_segments <= KEEPING_UP

    def _deliver(self, batch: Batch) -> None:
        chunks = _framed(batch.chunks)
        tries = 0
        while True:
            try:
                self._append(chunks)
            except OSError as error:
                tries += 1
                if self.failure is None:
                    self._log.error(
                        "Journal cannot be written, trying again each {delay} s: {error}",
                        delay=RETRY_DELAY,
                        error=error,
                    )
                self.failure = str(error)
                if self._closing.is_set() and (tries >= LAST_TRIES or self.dropped):
                    self.dropped += batch.exchanges
                    self._log.error(
                        "Journal cannot be written: {count} exchanges are lost: {error}",
                        count=batch.exchanges,
                        error=error,
                    )
                    break
                self._closing.wait(RETRY_DELAY)
                if self._closing.is_set():
                    time.sleep(RETRY_DELAY / 10)
            else:
                if self.failure is not None:
                    self._log.info("Journal is written again")
                self.failure = None
                break
        self._done += batch.size

    def _append(self, chunks: list[bytes]) -> None:
        file = self._file or self._begin()
        file.append(chunks)
        now = self._clock()
        if now - self._measured_at >= MEASURE_EVERY:
            self._measure()
        if file.size >= SEGMENT_BYTES or self._aged(now):
            self._seal(file)

    def _begin(self) -> SegmentFile:
        # Never the same number again: what is left of a try that failed may still be there.
        self._number += 1
        path = instances.segment_path(self._directory, self._instance, self._number)
        file = self._file = SegmentFile(path, self._instance)
        self._opened_at = self._clock()
        return file

    def _seal(self, file: SegmentFile) -> None:
        self._file = None
        file.seal()
        self._measure()

    def _measure(self) -> None:
        self._measured_at = self._clock()
        try:
            self.disk_segments, self.disk_bytes = instances.journal_bytes(self._directory)
        except OSError as error:
            self._log.error("Journal cannot be measured: {error}", error=error)

    def _finish(self) -> None:
        if self._file is None:
            return
        try:
            self._file.sync()
            self._seal(self._file)
        except OSError as error:
            self._log.error("Journal could not be closed: {error}", error=error)
        self._written()


def _framed(chunks: Chunks) -> list[bytes]:
    framed: list[bytes] = []
    for chunk in chunks:
        if isinstance(chunk, tuple):
            kind, payload = chunk
            framed.append(frame_chunks(kind, payload))
            framed.extend(payload)
        else:
            framed.append(chunk)
    return framed
