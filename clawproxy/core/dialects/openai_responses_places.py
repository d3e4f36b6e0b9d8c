"""Which item of a Responses answer an event is about, since servers that imitate the API name it in many ways.

Some leave ids or indexes out, some name every item index 0, some give an item a new id with each event, and the
terminal event says all items again. :class:`Places` gives each its place, and finds it again there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from attrs import define, field

from clawproxy.core.dialects.openai_responses_wire import Frame, Item

CALLS = frozenset({"function_call", "custom_tool_call"})
"""The types of items that call a caller's tool."""


@define(slots=True)
class KnownItem:
    """What is known of an output item.

    :ivar call_id: the id of a call, as far as it was told.
    :ivar key: its block, ``None`` until it has one (messages have one per part).
    :ivar given: characters that a call's deltas have given.
    :ivar texts: characters that each part of a message has given.
    :ivar source: ``summary`` or ``content``: whichever of the two reasoning texts came first.
    :ivar index: the part of that text that came last.
    """

    kind: str = ""
    call_id: str = ""
    key: Hashable = None
    given: int = 0
    texts: dict[int, int] = field(factory=dict)
    source: str = ""
    index: int = 0
    done: bool = False


class Places:
    """The items that came so far, each at its place in the output."""

    def __init__(self) -> None:
        self._items: dict[int, KnownItem] = {}
        self._last = -1  # the highest place that is taken
        self._ids: dict[str, int] = {}
        self._called: dict[str, int] = {}  # a call's id -> its item
        self._lengths = Counter[int]()  # of the messages that the stream gave
        self._thought_of = False  # whether it gave reasoning

    def __len__(self) -> int:
        return len(self._items)

    def get(self, index: int) -> KnownItem | None:
        """Return the item at a place."""
        return self._items.get(index)

    def index(self, found: Frame) -> int:
        """Return the place of the item that an event is about."""
        known = self._ids.get(found.item_id or "")
        if known is not None:
            return known
        if found.output_index is not None:
            return found.output_index
        return max(self._last, 0)

    def at(self, index: int, kind: str, call_id: str = "") -> KnownItem:
        """Return the item at a place, a new one if there is none."""
        state = self._items.get(index)
        if state is None:
            self._items[index] = state = KnownItem(kind, call_id)
            self._last = max(self._last, index)
        return state

    def knows(self, item: Item) -> bool:
        """Tell whether an item of that id came before."""
        return item.id in self._ids

    def add(self, item: Item, index: int | None) -> tuple[int, KnownItem]:
        """Take in an item that begins; return its place.

        :param index: where the server says it is; not believed if another one is there.
        """
        if index is None or index in self._items:
            index = self._last + 1
        if item.id:
            self._ids[item.id] = index
        return index, self.at(index, item.type, item.call_id or "")

    def called(self, index: int, item: Item) -> None:
        """Take note of a call's id, by which it is found when its place is not."""
        if item.call_id:
            self._called.setdefault(item.call_id, index)

    def recall(self) -> None:
        """Take note of what the stream gave, before the terminal event says it again."""
        self._lengths = Counter(
            sum(each.texts.values()) for each in self._items.values() if each.texts
        )
        self._thought_of = any(state.source for state in self._items.values())

    def find(self, index: int, item: Item) -> tuple[int, KnownItem] | None:
        """Find the place of a whole item; ``None`` if it came before and cannot be told from another.

        :param index: its place in the output, where its id does not tell it.
        """
        place = self._place(index, item)
        if place is None:
            return None
        if item.id:
            place = self._ids.setdefault(item.id, place)
        return place, self.at(place, item.type, item.call_id or "")

    def _place(self, index: int, item: Item) -> int | None:
        """Find the item that a whole one is, ``None`` if it came before and cannot be told from another.

        Some servers give an item a new id with each event, and some leave items out of the terminal event, so that
        those behind them stand elsewhere. A call that was given a second time would be run a second time.
        """
        if item.id in self._ids:
            return self._ids[item.id]
        there = self._items.get(index)
        called = item.type in CALLS
        if there is None:
            fits = False
        elif called:
            same = not item.call_id or there.call_id in ("", item.call_id)
            fits = there.kind in CALLS and same
        else:
            fits = there.kind == item.type
        if fits:
            return index
        if called and item.call_id in self._called:
            return self._called[item.call_id]
        if self._repeats(item):
            return None
        return index if there is None else self._last + 1

    def _repeats(self, item: Item) -> bool:
        """Tell whether an item without a known place says what the stream said before."""
        if item.type == "reasoning":
            return self._thought_of
        if item.type != "message":
            return False
        length = sum(len(part.text or part.refusal or "") for part in item.content or ())
        if not self._lengths[length]:
            return False
        self._lengths[length] -= 1
        return True
