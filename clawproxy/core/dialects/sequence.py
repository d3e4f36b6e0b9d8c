"""Blocks that an upstream interleaves come out one after the other: :class:`BlockSequence`.

1. The decoder names each block by a key of its own (an index, an item id) and says what happens to
   it.
2. The oldest unfinished block is live: its events go through at once.
3. Events of the others wait until it is stopped; then the next oldest follows, with all that it has
   gathered. What may wait is bounded (:data:`MAX_WAITING`), since an upstream may never stop its first block.

So every block has one start and one stop, no delta ever follows its block's stop, and a delta of
another kind than its block is passed over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from attrs import define, evolve, field

from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStopped,
    CitationAdded,
    Delta,
    Event,
    OpaqueBlock,
    SignatureDelta,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
)
from clawproxy.core.dialects.upstream_error import unstopped

MAX_WAITING = 64 * 1024 * 1024
"""Most bytes, or so, that wait behind an unfinished block."""

_EVENT = 100
"""Bytes, or so, that an event takes beside what it holds."""

_STOPPED = BlockStopped()

_FITTING: dict[type[BlockStart], tuple[type[Delta], ...]] = {
    TextStarted: (TextDelta, CitationAdded),
    ThinkingStarted: (ThinkingDelta, SignatureDelta),
    ToolCallStarted: (ArgumentsDelta,),
}


@define(slots=True)
class _Block:
    events: list[Event] = field(factory=list)
    fitting: tuple[type[Delta], ...] = ()
    stopped: bool = False
    bare: bool = False  # one event that is a whole block by itself
    waiting: int = 0  # bytes of its events


class BlockSequence:
    """Put the events of interleaved blocks into the order that the event grammar wants.

    What adds an event raises ``ProxyError`` if too much waits already.
    """

    def __init__(self) -> None:
        self._blocks = OrderedDict[Hashable, _Block]()  # in order of their start; the first is live
        self._ids: set[str] = set()
        self._waiting = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def start(self, key: Hashable, event: BlockStart) -> list[Event]:
        """Begin a block; its key must not be open.

        A call whose id an earlier call of the answer had loses it, so that it gets one of its own: its caller could
        not tell whose result is whose.
        """
        if isinstance(event, ToolCallStarted) and event.id:
            if event.id in self._ids:
                event = evolve(event, id="")
            self._ids.add(event.id)
        self._blocks[key] = block = _Block(fitting=_FITTING[type(event)])
        return self._pass(key, block, event)

    def delta(self, key: Hashable, event: Delta) -> list[Event]:
        """Add to a block; a key that is not open, or not of that kind, is ignored."""
        block = self._blocks.get(key)
        if block is None or block.stopped or type(event) not in block.fitting:
            return []
        return self._pass(key, block, event)

    def stop(self, key: Hashable) -> list[Event]:
        """End a block; a key that is not open is ignored, so that an upstream's second stop does no
        harm.
        """
        block = self._blocks.get(key)
        if block is None or block.stopped:
            return []
        block.stopped = True
        return self._advance()

    def whole(self, key: Hashable, event: Event) -> list[Event]:
        """Add an event that is a block by itself (``OpaqueBlock``); its key must not be open."""
        self._blocks[key] = block = _Block(stopped=True, bare=True)
        return self._pass(key, block, event) + self._advance()

    def stop_all(self) -> list[Event]:
        """End every open block."""
        for block in self._blocks.values():
            block.stopped = True
        return self._advance()

    def _pass(self, key: Hashable, block: _Block, event: Event) -> list[Event]:
        if next(iter(self._blocks)) == key:
            return [event]
        size = _size(event)
        self._waiting += size
        if self._waiting > MAX_WAITING:
            raise unstopped()
        block.waiting += size
        block.events.append(event)
        return []

    def _advance(self) -> list[Event]:
        out: list[Event] = []
        while self._blocks:
            key = next(iter(self._blocks))
            block = self._blocks[key]
            out += block.events
            self._waiting -= block.waiting
            block.events, block.waiting = [], 0
            if not block.stopped:
                break
            if not block.bare:
                out.append(_STOPPED)
            del self._blocks[key]
        return out


def _size(event: Event) -> int:
    match event:
        case TextDelta(text) | ThinkingDelta(text) | ArgumentsDelta(text) | SignatureDelta(text):
            return _EVENT + len(text)
        case OpaqueBlock(raw=raw) | CitationAdded(raw=raw):
            return _EVENT + len(raw)
    return _EVENT
