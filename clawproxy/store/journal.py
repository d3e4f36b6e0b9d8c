"""What the proxy's own process does to record: append to lists, and hand them to a thread ten times
a second.

:class:`Journal` is the relay's :class:`~clawproxy.relay.recording.Recorder`. Per piece it costs two
list appends, per exchange one JSON encoding and one CRC; everything else (parsing, hashing,
compression, the database) is the indexer's, in another process, from the segments that
:mod:`clawproxy.store.writer` writes.

Memory and disk are bounded. Past ``budget`` bytes of segments waiting for the indexer, new exchanges
are not recorded; past :data:`~clawproxy.store.journal_outbox.MEMORY_LIMIT` waiting for the disk, pieces
of running ones are left out, too. Both are counted and logged once a minute. Nothing here ever raises into a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final, Literal, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from clawproxy.core.record import Exchange
from clawproxy.relay.recording import NullRecorder, Recording
from clawproxy.store.journal_outbox import Outbox
from clawproxy.store.journal_recording import JournalRecording, MetadataRecording
from clawproxy.store.journal_state import DropLog, JournalState
from clawproxy.store.writer import Writer

FLUSH_INTERVAL = 0.1
"""Seconds that an ended exchange may lie in memory only."""
SLICE = 50
"""Running exchanges whose new pieces are framed in one go: some 5 µs each, in which no stream moves."""
CYCLE = 0.25
"""Seconds in which every running exchange has its turn once there are more than one slice of them."""
MIN_TICK = 0.005
"""Seconds between two slices at the least."""
HAND_OVER = 32 << 10
"""Bytes for which the thread is woken before :data:`FLUSH_INTERVAL` is over."""


class JournalReactor(Protocol):
    """What a journal needs of a reactor: ``IReactorTime`` and ``IReactorFromThreads``."""

    def seconds(self) -> float:
        """Monotonic seconds."""

    def callLater(self, delay: float, callable: Callable[[], None]) -> IDelayedCall:
        """Call later."""

    def callFromThread(self, callable: Callable[[], None]) -> None:
        """Call from another thread."""


class Journal:
    """Record exchanges into segments, never waiting and never raising.

    :param reactor: gives the time and runs the flushes.
    :param directory: where the segments go; must exist.
    :param instance: this process's name, see :func:`clawproxy.store.instance.new_instance`.
    :param budget: bytes of segments that may wait for the indexer.
    :param bodies: ``"metadata"`` keeps no request body, piece or upstream body: they are dropped
        right here.
    :param written: called from a thread after each flush is in its file: nudges the indexer.

    :ivar outbox: what recordings put their records into.
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
        self.outbox: Final = Outbox(self._writer)
        self._dropped = 0
        self._dropped_pieces = 0
        self._drop_log = DropLog(budget)
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
            queued_bytes=self.outbox.size + self._writer.queued,
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
            self._closing = self.outbox.closed = True
            self._writer.close()
        if self._closed:  # before, or because the thread broke: it tells of its end only once
            self._finish()
        return waiting

    def _finish(self) -> None:
        self._closed = True
        state = self.state
        if state.drops > self._drop_log.told:
            self._drop_log.tell(state)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    # What recordings call

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
        if turns == 1 or self.outbox.size >= HAND_OVER or now - self._handed_at >= FLUSH_INTERVAL:
            self._handed_at = now
            self._hand_over()
        if self._open or self._refusing:
            self._wake(FLUSH_INTERVAL if turns == 1 else CYCLE / turns)
        elif self.outbox.size:
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
        self.outbox.pass_on()
        self._refusing = self._over_budget or self.outbox.full
        if self._dropped + self._writer.dropped + self._dropped_pieces > self._drop_log.told:
            self._drop_log.look(self.state, self._reactor.seconds())
