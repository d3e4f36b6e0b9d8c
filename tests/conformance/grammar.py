"""The grammar of neutral events, checked as :mod:`clawproxy.core.dialects.events` words it."""

from __future__ import annotations

from collections.abc import Sequence

from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    CitationAdded,
    Event,
    MessageStarted,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Stopped,
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    UsageReported,
)

_INSIDE: dict[type[Event], tuple[type[Event], ...]] = {
    TextStarted: (TextDelta, CitationAdded),
    ThinkingStarted: (ThinkingDelta, SignatureDelta),
    ToolCallStarted: (ArgumentsDelta,),
}


def grammar_faults(events: Sequence[Event]) -> list[str]:
    """Tell where events do not obey the grammar; nothing is an empty list."""
    found: list[str] = []
    block: type[Event] | None = None
    for at, event in enumerate(events):
        kind = type(event)
        last = at == len(events) - 1
        if isinstance(event, Stopped | StreamFailed):
            if not last:
                found.append(f"{at}: something follows the end")
            if isinstance(event, Stopped) and block is not None:
                found.append(f"{at}: a block is open at the end")
        elif isinstance(event, MessageStarted):
            if any(isinstance(e, MessageStarted) for e in events[:at]) or block is not None:
                found.append(f"{at}: a second start, or one inside a block")
        elif kind in _INSIDE:
            if block is not None:
                found.append(f"{at}: {kind.__name__} inside a block")
            block = kind
        elif isinstance(event, BlockStopped):
            if block is None:
                found.append(f"{at}: a stop without a block")
            block = None
        elif isinstance(event, OpaqueBlock):
            if block is not None:
                found.append(f"{at}: an opaque block inside a block")
        elif not isinstance(event, Ping | UsageReported):
            if block is None or kind not in _INSIDE[block]:
                found.append(f"{at}: {kind.__name__} in {block}")
            if isinstance(event, TextDelta | ThinkingDelta | ArgumentsDelta) and not event.text:
                found.append(f"{at}: an empty delta")
    if not events or not isinstance(events[-1], Stopped | StreamFailed):
        found.append("no end")
    return found
