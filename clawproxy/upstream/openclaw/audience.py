"""Who listens to a run, and what is kept while nobody does: :class:`Audience`, :class:`HeldEvents`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol as Interface

from clawproxy.core.dialects.events import Event, TextDelta, ThinkingDelta
from clawproxy.upstream.openclaw.runs import Outcome
from clawproxy.upstream.provider import Wire

MAX_HELD = 256 * 1024
"""Characters that a run without an audience holds; what it says beyond that is left out."""


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


class HeldEvents:
    """What a run said while nobody listened, within a bound."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._length = 0

    def add(self, events: Iterable[Event]) -> None:
        """Hold events; text beyond :data:`MAX_HELD` is left out."""
        for event in events:
            if isinstance(event, TextDelta | ThinkingDelta):
                self._length += len(event.text)
                if self._length > MAX_HELD:
                    continue
            self._events.append(event)

    def take(self) -> list[Event]:
        """Give what is held, and begin anew."""
        held, self._events, self._length = self._events, [], 0
        return held
