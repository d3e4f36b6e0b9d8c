"""Which bodies refer to which parts, in a table that grows with a session's length and not with its
square.

The bodies of one session are each the one before plus a little. A *lineage* is such a row of
bodies, numbered by position, and a *span* says: from this position to that one, the bodies of this
lineage refer to this part. A new turn adds spans for the parts that are new and closes those of
parts that are gone. What no body's position lies in any more can go.

This is the memory of the process that writes; it only decides how few rows are written, and after a
restart it begins empty with new lineages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from attrs import define, field, frozen

OPEN = 2**31 - 1
"""The end of a span that is not closed."""
REMEMBERED_PARTS = 200_000
"""Open spans kept in memory; the lineages longest unused go first."""


@define(eq=False)
class _Lineage:
    number: int
    position: int
    open: dict[int, int] = field(factory=dict)  # part -> first position


@frozen
class Placement:
    """Where a body goes.

    :ivar fresh: it begins a lineage.
    :ivar added: parts that the body before it did not have.
    :ivar closed: ``(part, first)`` of spans that end before ``position``.
    """

    lineage: int
    position: int
    fresh: bool
    added: tuple[int, ...]
    closed: tuple[tuple[int, int], ...] = ()


class Lineages:
    """Place bodies in lineages.

    :param limit: open spans to remember.
    """

    def __init__(self, limit: int = REMEMBERED_PARTS) -> None:
        self._limit = limit
        self._lineages: OrderedDict[int, _Lineage] = OrderedDict()
        self._latest: dict[int, _Lineage] = {}
        self._size = 0

    def clear(self) -> None:
        """Forget all, because a transaction failed or somebody deleted."""
        self._lineages.clear()
        self._latest.clear()
        self._size = 0

    def place(self, parts: Sequence[int], number: int) -> Placement:
        """Find the lineage that a body continues, or begin one.

        :param parts: the body's parts in order.
        :param number: the new lineage's number, if it is to be one.
        """
        wanted = dict.fromkeys(parts)
        lineage = next((self._latest[p] for p in reversed(wanted) if p in self._latest), None)
        if lineage is not None:
            gone = [(p, first) for p, first in lineage.open.items() if p not in wanted]
            added = tuple(p for p in wanted if p not in lineage.open)
            if len(gone) + len(added) < len(wanted):
                return self._extend(lineage, added, tuple(gone))
        lineage = _Lineage(number, 0)
        self._lineages[number] = lineage
        added = tuple(wanted)
        self._open(lineage, added)
        return Placement(number, 0, True, added)

    def _extend(
        self, lineage: _Lineage, added: tuple[int, ...], gone: tuple[tuple[int, int], ...]
    ) -> Placement:
        lineage.position += 1
        for part, _ in gone:
            del lineage.open[part]
            if self._latest.get(part) is lineage:
                del self._latest[part]
        self._size -= len(gone)
        self._lineages.move_to_end(lineage.number)
        self._open(lineage, added)
        return Placement(lineage.number, lineage.position, False, added, gone)

    def _open(self, lineage: _Lineage, parts: tuple[int, ...]) -> None:
        for part in parts:
            lineage.open[part] = lineage.position
            self._latest[part] = lineage
        self._size += len(parts)
        while self._size > self._limit and len(self._lineages) > 1:
            _, oldest = self._lineages.popitem(last=False)
            self._size -= len(oldest.open)
            for part in oldest.open:
                if self._latest.get(part) is oldest:
                    del self._latest[part]
