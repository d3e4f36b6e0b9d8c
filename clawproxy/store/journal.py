"""What the proxy's own process does to record: append to lists, and hand them to a thread ten times
a second.

:class:`Journal` is the relay's :class:`~clawproxy.relay.recording.Recorder`. Per piece it costs two
list appends, per exchange one JSON encoding and one CRC; everything else (parsing, hashing,
compression, the database) is the indexer's, in another process, from the segments that
:mod:`clawproxy.store.writer` writes.

Memory and disk are bounded. Past ``budget`` bytes of segments waiting for the indexer, new exchanges
are not recorded; past :data:`MEMORY_LIMIT` waiting for the disk, pieces of running ones are left out,
too. Both are counted and logged once a minute. Nothing here ever raises into a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final, Literal, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from clawproxy.core.record import Exchange
from clawproxy.relay.recording import NullRecorder, Recording
from clawproxy.store import segment
from clawproxy.store.journal_recording import JournalRecording, MetadataRecording
from clawproxy.store.segment_record import Kind
from clawproxy.store.writer import Batch, Writer

FLUSH_INTERVAL = 0.1
"""Seconds that an ended exchange may lie in memory only."""
SLICE = 50
"""Running exchanges whose new pieces are framed in one go: some 5 µs each, in which no stream moves."""
CYCLE = 0.25
"""Seconds in which every running exchange has its turn once there are more than one slice of them."""
MIN_TICK = 0.005
"""Seconds between two slices at the least."""
BATCH = 128 << 10
"""Bytes that are passed on to the thread at once: writing ten times as many keeps a processor that it shares with
the reactor for milliseconds."""
HAND_OVER = 32 << 10
"""Bytes for which the thread is woken before :data:`FLUSH_INTERVAL` is over."""
MEMORY_LIMIT = 64 << 20
"""Bytes that may wait for a disk which does not take them."""
DROPS_LOGGED_EVERY = 60.0
"""Seconds between two log lines about records that were dropped."""
_COPIED = (
    64 << 10
)  # payloads up to this are joined and summed here; larger ones are the thread's, without the GIL


class JournalReactor(Protocol):
    """What a journal needs of a reactor: ``IReactorTime`` and ``IReactorFromThreads``."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def callLater(self, delay: float, callable: Callable[[], None]) -> IDelayedCall:
        """Call later."""

    def callFromThread(self, callable: Callable[[], None]) -> None:
        """Call from another thread."""


@frozen
class JournalState:
    """How recording fares, for ``/health`` and ``/metrics``.

    :ivar queued_bytes: in memory, waiting for the disk.
    :ivar dropped: exchanges of which nothing was recorded (or which were begun and could not be
        ended).
    :ivar dropped_pieces: pieces left out of exchanges that were otherwise recorded.
    :ivar segments: files waiting for the indexer, the growing one included.
    :ivar segment_bytes: their size.
    :ivar over_budget: the disk budget is used up.
    :ivar failure: what the disk says while it cannot be written.
    """

    queued_bytes: int
    dropped: int
    dropped_pieces: int
    segments: int
    segment_bytes: int
    over_budget: bool
    failure: str | None


class Journal:
    """Record exchanges into segments, never waiting and never raising.

    :param reactor: gives the time and runs the flushes.
    :param directory: where the segments go; must exist.
    :param instance: this process's name, see :func:`clawproxy.store.instance.new_instance`.
    :param budget: bytes of segments that may wait for the indexer.
    :param bodies: ``"metadata"`` keeps no request body, piece or upstream body: they are dropped
        right here.
    :param written: called from a thread after each flush is in its file: nudges the indexer.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: JournalReactor,
        directory: Path,
        instance: str,
        *,
        budget: int,
        bodies: Literal["full", "metadata"] = "full",
        written: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._budget = budget
        self._full = bodies == "full"
        self._writer = Writer(
            directory, instance, written, lambda: reactor.callFromThread(self._finish)
        )
        self._open: dict[JournalRecording, None] = {}
        self._chunks: list[bytes | tuple[Kind, list[bytes]]] = []
        self._size = 0
        self._ended = 0
        self._dropped = 0
        self._dropped_pieces = 0
        self._dropped_logged = 0
        self._logged_at = float("-inf")
        self._refusing = False
        self._timer: IDelayedCall | None = None
        self._handed_at = float("-inf")
        self._closing = self._closed = False
        self._waiting: list[Deferred[None]] = []
        self._nothing: Final = NullRecorder()

    def start(self) -> None:
        """Start the thread. Call it once, before the first :meth:`begin`."""
        self._writer.start()
        self._refusing = self._over_budget

    # Recorder

    def begin(self, exchange: Exchange, request_body: bytes) -> Recording:
        """Start keeping an exchange, see :class:`~clawproxy.relay.recording.Recorder`."""
        if self._refusing or self._closing:
            self._dropped += 1
            self._wake()
            return self._nothing.begin(exchange, request_body)
        recording: JournalRecording
        if self._full:
            recording = JournalRecording(self, exchange, request_body)
        else:
            recording = MetadataRecording(self, exchange, b"")
        self._open[recording] = None
        if self._timer is None:
            self._timer = self._reactor.callLater(FLUSH_INTERVAL, self._flush)
        return recording

    # How it fares

    @property
    def state(self) -> JournalState:
        """Everything there is to say about it, as of now."""
        return JournalState(
            queued_bytes=self._size + self._writer.queued,
            dropped=self._dropped + self._writer.dropped,
            dropped_pieces=self._dropped_pieces,
            segments=self._writer.disk_segments,
            segment_bytes=self._writer.disk_bytes,
            over_budget=self._over_budget,
            failure=self._writer.failure,
        )

    @property
    def _over_budget(self) -> bool:
        return self._writer.disk_bytes > self._budget

    def close(self) -> Deferred[None]:
        """Bring everything to disk and stop.

        What is still running is left as it is; the next start finds it as interrupted.

        :returns: fires when it is on disk (or given up after a few tries and counted).
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if not self._closing:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._frame(len(self._open))
            self._hand_over()
            # From here on what a late `end` brings is counted as dropped: the thread is leaving.
            self._closing = True
            self._writer.close()
        elif self._closed:
            self._finish()
        return waiting

    def _finish(self) -> None:
        self._closed = True
        if self._dropped + self._writer.dropped + self._dropped_pieces > self._dropped_logged:
            self._log_drops()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    # What recordings call

    def put(self, kind: Kind, chunks: list[bytes], ends: bool = False) -> bool:
        """Queue one record for the next flush.

        :param ends: this record ends an exchange; it is let through past the memory limit if it is
            small.
        :returns: false if memory is full and it was not taken.
        """
        size = sum(map(len, chunks))
        waiting = self._size + self._writer.queued
        if waiting > MEMORY_LIMIT and not (kind is Kind.END and waiting < 2 * MEMORY_LIMIT):
            return False
        if self._closing:
            return False
        self._size += size + segment.FRAME_SIZE
        self._ended += ends
        if size <= _COPIED:
            payload = b"".join(chunks)
            self._chunks += (segment.frame(kind, payload), payload)
        else:
            self._chunks.append((kind, chunks))
        if self._size >= BATCH:
            self._pass_on()
        return True

    def ended(self, recording: JournalRecording, kept: bool) -> None:
        """Forget a recording that has ended."""
        self._open.pop(recording, None)
        if not kept:
            self._dropped += 1

    def broken(self, recording: JournalRecording) -> None:
        """Give a recording up whose content cannot be framed: a fault of ours, and none of the
        stream's."""
        self._log.failure("Exchange {id} cannot be recorded", id=recording.id)
        self.ended(recording, False)

    def lost_pieces(self, count: int) -> None:
        """Count pieces that were left out."""
        self._dropped_pieces += count

    # The flush

    def _wake(self, after: float = FLUSH_INTERVAL) -> None:
        if self._timer is None and not self._closing:
            self._timer = self._reactor.callLater(after, self._flush)

    def _flush(self) -> None:
        self._timer = None
        turns = 1
        running = len(self._open)
        if running > SLICE:
            # Spread out, or a thousand streams would all stand still for some milliseconds ten times a second.
            turns = min(-(-running // SLICE), round(CYCLE / MIN_TICK))
        self._frame(-(-running // turns))
        now = self._reactor.seconds()
        # Little at a time: the thread that writes it may have to share the reactor's processor.
        if turns == 1 or self._size >= HAND_OVER or now - self._handed_at >= FLUSH_INTERVAL:
            self._handed_at = now
            self._hand_over()
        if self._open or self._refusing:
            self._wake(FLUSH_INTERVAL if turns == 1 else CYCLE / turns)
        elif self._chunks:
            self._wake(FLUSH_INTERVAL)

    def _frame(self, count: int) -> None:
        """Frame what has come of so many running exchanges, of those first that have waited longest."""
        for recording in list(islice(self._open, count)):
            del self._open[recording]
            self._open[recording] = None
            try:
                recording.flush()
            except Exception:  # noqa: BLE001 - one odd exchange must not end the recording of all
                self.broken(recording)

    def _hand_over(self) -> None:
        if self._chunks:
            self._pass_on()
        self._refusing = self._over_budget or self._writer.queued > MEMORY_LIMIT
        now = self._reactor.seconds()
        drops = self._dropped + self._writer.dropped + self._dropped_pieces
        if drops > self._dropped_logged and now - self._logged_at >= DROPS_LOGGED_EVERY:
            self._logged_at = now
            self._log_drops()

    def _pass_on(self) -> None:
        self._writer.put(Batch(self._chunks, self._size, self._ended))
        self._chunks, self._size, self._ended = [], 0, 0

    def _log_drops(self) -> None:
        state = self.state
        self._dropped_logged = state.dropped + state.dropped_pieces
        self._log.warn(
            "Records are dropped: {dropped} exchanges and {pieces} pieces since the start;"
            " {segments} segments ({bytes} bytes, budget {budget}) wait for the store"
            " and {queued} bytes for the disk ({failure})",
            dropped=state.dropped,
            pieces=state.dropped_pieces,
            segments=state.segments,
            bytes=state.segment_bytes,
            budget=self._budget,
            queued=state.queued_bytes,
            failure=state.failure or "which can be written",
        )
