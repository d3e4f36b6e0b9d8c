"""An answer as a caller sees it: :class:`Blocks` opens and shuts its blocks of text and thinking.

Whether thinking and progress are shown, and as what, is heeded here.
"""

from __future__ import annotations

from typing import Literal

from clawproxy.core.dialects.events import (
    BlockStopped,
    Event,
    MessageStarted,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
)
from clawproxy.upstream.openclaw.cumulative import SEPARATOR
from clawproxy.upstream.openclaw.frames import scrub

Showing = Literal["thinking", "text", "hidden"]
"""How something beside the answer is shown: as thinking, as part of the text, or not at all."""


class Blocks:
    """The blocks of one answer, of which one at most is open.

    :param thinking: how thinking is shown; ``text`` puts it between ``<think>`` tags.
    :param progress: how tools and retries are shown.
    :param model: which model answers, where it is known.
    :ivar silent: nothing has been shown to the caller yet, not even a first event.
    """

    def __init__(self, thinking: Showing, progress: Showing, model: str = "") -> None:
        self._thinking = thinking
        self._progress = progress
        self.model = model
        self.silent = True
        self._block: Literal["text", "thinking"] | None = None
        self._spoken = False

    def anew(self) -> Blocks:
        """Give the blocks of a further answer, shown in the same way."""
        return Blocks(self._thinking, self._progress, self.model)

    def begin(self) -> list[Event]:
        """Begin the answer, if it has not begun."""
        if not self.silent:
            return []
        self.silent = False
        return [MessageStarted(model=self.model)]

    def end(self) -> list[Event]:
        """Leave no block open, of an answer that has begun."""
        return [*self.begin(), *self._shut()]

    def _open(self, block: Literal["text", "thinking"]) -> list[Event]:
        if self._block == block:
            return []
        events = [*self.begin(), *self._shut()]
        self._block = block
        if block == "text":
            return [*events, TextStarted()]
        if self._thinking == "text":
            lead = SEPARATOR if self._spoken else ""
            return [*events, TextStarted(), TextDelta(f"{lead}<think>\n")]
        return [*events, ThinkingStarted()]

    def _shut(self) -> list[Event]:
        block, self._block = self._block, None
        if block is None:
            return []
        if block == "thinking" and self._thinking == "text":
            return [TextDelta("\n</think>\n\n"), BlockStopped()]
        return [BlockStopped()]

    def think(self, words: str) -> list[Event]:
        """Show a piece of the thinking."""
        if not words or self._thinking == "hidden":
            return []
        events = self._open("thinking")
        delta = TextDelta(words) if self._thinking == "text" else ThinkingDelta(words)
        return [*events, delta]

    def say(self, words: str) -> list[Event]:
        """Show a piece of the answer's text."""
        if not words:
            return []
        events = self._open("text")
        self._spoken = True
        return [*events, TextDelta(words)]

    def tell(self, line: str) -> list[Event]:
        """Show one line of progress."""
        if self._progress == "thinking":
            lead = "\n" if self._block == "thinking" else ""
            return self.think(f"{lead}{scrub(line)}\n")
        if self._progress == "text":
            lead = SEPARATOR if self._block == "text" and self._spoken else ""
            return self.say(f"{lead}> {scrub(line)}")
        return []

    def note(self, words: str) -> list[Event]:
        """Show a paragraph of the proxy's own, as part of the answer."""
        return self.say((SEPARATOR if self._spoken else "") + words)
