"""How recording fares: :class:`JournalState` for ``/health`` and ``/metrics``, and :class:`DropLog` for the log."""

from __future__ import annotations

from attrs import frozen
from twisted.logger import Logger

DROPS_LOGGED_EVERY = 60.0
"""Seconds between two log lines about records that were dropped."""


@frozen
class JournalState:
    """What there is to say about a journal.

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

    @property
    def drops(self) -> int:
        """All that was dropped, whole or in part."""
        return self.dropped + self.dropped_pieces


class DropLog:
    """Say what was dropped since the start, when it is more than was said last.

    :param budget: what :attr:`JournalState.segment_bytes` may be, for the message.

    :ivar told: how many drops have been told of.
    """

    _log = Logger()

    def __init__(self, budget: int) -> None:
        self.told = 0
        self._budget = budget
        self._told_at = float("-inf")

    def look(self, state: JournalState, now: float) -> None:
        """Say it now, unless something was said less than :data:`DROPS_LOGGED_EVERY` ago."""
        if state.drops > self.told and now - self._told_at >= DROPS_LOGGED_EVERY:
            self._told_at = now
            self.tell(state)

    def tell(self, state: JournalState) -> None:
        """Say it now."""
        self.told = state.drops
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
