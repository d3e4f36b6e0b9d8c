"""Who listens to a run, and what is kept while nobody does: :class:`Audience`, :class:`Ear`.

What a run says is shown to one audience after another: a run that waits for its user's approval ends
one answer and goes on in the next.
"""

from __future__ import annotations

from typing import Protocol as Interface

from clawproxy.core.dialects.events import Event, TextDelta, ThinkingDelta
from clawproxy.upstream.openclaw.runs import Outcome
from clawproxy.upstream.provider import Wire

MAX_HELD = 256 * 1024
"""Characters that are held for the next audience; what a run says beyond that is left out."""

MAX_HELD_FRAMES = 1024 * 1024
"""The same for the frames that belong into the next audience's record."""


class Audience(Interface):
    """Who listens to a run."""

    @property
    def wire(self) -> Wire | None:
        """Keeps what the run's gateway says and is asked."""

    def told(self, events: list[Event]) -> None:
        """Take the next events."""

    def parked(self) -> None:
        """The run waits for its user; the answer has been ended, the run has not."""

    def over(self, outcome: Outcome) -> None:
        """The run is over."""


class Ear:
    """Bring what a run says to its audience, or hold it for the next one.

    :param wire: for whose record frames are, until there is an audience.
    :ivar wire: the last audience's: the request with which it leaves is in its record, too.
    """

    def __init__(self, wire: Wire | None = None) -> None:
        self._audience: Audience | None = None
        self._holding = True
        self._events: list[Event] = []
        self._length = 0
        self._frames: list[str] = []
        self._frames_length = 0
        self._parked = False
        self.wire = wire

    @property
    def present(self) -> bool:
        """Whether somebody listens."""
        return self._audience is not None

    def attach(self, audience: Audience) -> None:
        """Let someone listen; what was held is told at once."""
        self._audience = audience
        self._holding = True
        self._parked = False
        self.wire = audience.wire
        frames, self._frames, self._frames_length = self._frames, [], 0
        for frame in frames:
            self.hear(frame)
        events, self._events, self._length = self._events, [], 0
        if events:
            audience.told(events)

    def detach(self) -> None:
        """Nobody will listen any more: what is said from now on is dropped."""
        self._audience = None
        self._holding = False
        self._events, self._frames = [], []

    def tell(self, events: list[Event]) -> None:
        """Pass events on."""
        if not events:
            return
        if self._audience is not None:
            self._audience.told(events)
        elif self._holding:
            self._hold(events)

    def _hold(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, TextDelta | ThinkingDelta):
                self._length += len(event.text)
                if self._length > MAX_HELD:
                    continue
            self._events.append(event)

    def hear(self, frame: str) -> None:
        """Take the frame that events come of, before they are passed on."""
        if self.wire is None:
            return
        if not self._parked:
            self.wire.heard(frame)
        else:
            self._frames_length += len(frame)
            if self._frames_length <= MAX_HELD_FRAMES:
                self._frames.append(frame)

    def park(self) -> None:
        """End the audience's answer; the run goes on in the next one's."""
        audience, self._audience = self._audience, None
        self._parked = True
        if audience is not None:
            audience.parked()

    def end(self, outcome: Outcome) -> None:
        """Tell the audience, if there is one, that the run is over; it leaves with that."""
        audience, self._audience = self._audience, None
        if audience is not None:
            audience.over(outcome)
