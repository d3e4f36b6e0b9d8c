"""From text that is told again and again, each time longer, to what has not been shown yet.

A gateway repeats a segment's whole text in each event. It starts over after a tool call (a new
segment), when a provider failed and is asked again (the same segment once more, from its
beginning), and when it corrects itself (``replace``). A stream can take nothing back, so
:class:`CumulativeText` shows each word once:

1. Growth is shown as it comes. A new segment is set apart by an empty line.
2. After :meth:`CumulativeText.again`, or a correction, what repeats the shown text is swallowed;
   what goes beyond it is shown.
3. Where a repetition takes another course, the rest is shown from the first differing word on,
   after an empty line.
"""

from __future__ import annotations

from clawproxy.upstream.openclaw.frames import scrub

SEPARATOR = "\n\n"


def _complete(text: str) -> str:
    """Leave out half a character: JavaScript may cut a text in the middle of a surrogate pair."""
    return text[:-1] if text and "\ud800" <= text[-1] <= "\udbff" else text


class CumulativeText:
    """One run's answer, or its thinking.

    :ivar shown: whether anything has been shown at all.
    """

    def __init__(self) -> None:
        self.shown = False
        self._segment = ""  # the current segment's text, all of it shown
        self._seen = ""  # what this pass over the segment has told so far
        self._item: str | None = None
        self._repeating = False
        self._closed = True
        self._past: list[str] = []

    @property
    def open(self) -> bool:
        """Whether a segment is being told."""
        return not self._closed

    def again(self) -> None:
        """The model is asked once more: the open segment will be told again from its beginning."""
        if not self._closed:
            self._repeating, self._seen = True, ""

    def close(self) -> None:
        """The segment is complete (a tool was called): what comes next is a new one."""
        if not self._closed:
            self._past.append(self._segment)
            self._closed, self._repeating = True, False

    def has_told(self, text: str) -> bool:
        """Whether ``text`` is one of the segments that were told, whitespace around it aside."""
        wanted = text.strip()
        return any(wanted == past.strip() for past in (*self._past, self._segment))

    def rest(self, text: str) -> str:
        """Complete the open segment: a gateway leaves out events for a client that reads slowly.

        :param text: the whole segment, as the gateway has it at the end.
        :returns: what had not been told of it; nothing where it is another text.
        """
        told, whole = self._segment.lstrip(), text.lstrip()
        if self._closed or not whole.startswith(told):
            return ""
        self._segment = self._seen = whole
        return self._show(whole[len(told) :])

    def feed(
        self, text: str | None, delta: str = "", item: str | None = None, replace: bool = False
    ) -> str:
        """Take one event.

        :param text: the segment's whole text; ``None`` where an event tells only what is new.
        :param delta: what the gateway says is new.
        :param item: names the segment, where the gateway does.
        :param replace: the text was corrected, not prolonged.
        :returns: what to show, perhaps nothing.
        """
        whole = _complete(self._seen + delta if text is None else text)
        renamed = item is not None and self._item is not None and item != self._item
        if item is not None:
            self._item = item
        if self._closed:
            return self._begin(whole)
        if self._repeating:
            return self._repeat(whole)
        if replace:
            return self._correct(whole)
        if renamed:
            return self._begin(whole)
        # An event that is told twice, or whose delta is the whole text, is growth all the same.
        if whole.startswith(self._seen):
            return self._grow(whole)
        # Gateways before 2026.9 name no items: there a text that is all new begins a segment.
        if item is None and whole == _complete(delta):
            return self._begin(whole)
        return self._correct(whole)

    def _show(self, text: str) -> str:
        if text:
            self.shown = True
        return scrub(text) if text and not text.isascii() else text

    def _begin(self, whole: str) -> str:
        if not whole:
            return ""
        self.close()
        self._segment = self._seen = whole
        self._closed = self._repeating = False
        return self._show((SEPARATOR if self.shown else "") + whole)

    def _grow(self, whole: str) -> str:
        new = whole[len(self._seen) :]
        self._segment = self._seen = whole
        return self._show(new)

    def _correct(self, whole: str) -> str:
        self._repeating = True
        at = self._segment.find(whole) if whole else 0
        if at > 0:
            # Something before it was taken out (a directive, a tag): compare with what is left.
            self._segment = self._segment[at:]
        return self._repeat(whole)

    def _repeat(self, whole: str) -> str:
        told = self._segment
        self._seen = whole
        if told.startswith(whole):
            return ""
        self._segment = whole
        self._repeating = False
        if whole.startswith(told):
            return self._show(whole[len(told) :])
        at = next(i for i, (a, b) in enumerate(zip(told, whole, strict=False)) if a != b)
        while at > 0 and not whole[at - 1].isspace():
            at -= 1
        return self._show(SEPARATOR + whole[at:])
