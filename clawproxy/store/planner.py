"""From prepared exchanges to rows, the same for every database: what is new of each, and where it goes.

:class:`Planner` remembers parts and lineages from batch to batch. If a transaction fails, or somebody deleted (the
``generation`` in the table ``meta``), :meth:`Planner.forget` drops what was remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import chain
from zlib import crc32

from clawproxy.core.record import encode_exchange
from clawproxy.store import columns, parts, text
from clawproxy.store.compression import Packer
from clawproxy.store.entry import Prepared
from clawproxy.store.lineage import OPEN, Lineages, Placement
from clawproxy.store.plan import (
    DECODED_REQUEST,
    REQUEST,
    UPSTREAM_REQUEST,
    WINDOW,
    Answer,
    Known,
    Plan,
    Question,
    pack_ids,
    unpack_ids,
)
from clawproxy.store.priority import give_way

ROW = 16
"""An exchange's first choice among a millisecond's numbers is the first of so many."""
REMEMBERED_HASHES = 100_000
"""Parts whose ids are kept in memory."""


class Planner:
    """Turn batches into :class:`Plan`\\ s, remembering parts and lineages between them.

    :param packer: compresses; the store's own.
    """

    def __init__(self, packer: Packer) -> None:
        self._packer = packer
        self._lineages = Lineages()
        self._ids: OrderedDict[bytes, int] = OrderedDict()
        self._generation = -1
        self._next_lineage = 0

    def forget(self) -> None:
        """Forget everything."""
        self._lineages.clear()
        self._ids.clear()

    def generation(self, value: int) -> None:
        """Hear the database's ``generation``; another one than before means that something was
        deleted."""
        if value != self._generation:
            self.forget()
            self._generation = value

    def question(self, batch: Sequence[Prepared]) -> Question:
        """Say what has to be looked up for a batch."""
        hashes = {
            digest: None
            for prepared in batch
            for cut in prepared.bodies.values()
            for digest in map(_digest, cut.parts)
            if digest not in self._ids
        }
        exchanges = [prepared.entry.exchange for prepared in batch]
        return Question(
            list({exchange.id: None for exchange in exchanges}),
            sorted({_moment(_number(prepared)) for prepared in batch}),
            list(hashes),
        )

    def plan(self, batch: Sequence[Prepared], found: Answer) -> Plan:
        """Make the rows of a batch.

        Of several entries of one exchange a later one counts; one that is final in the database
        stays as it is.
        """
        plan = Plan()
        taken = set(found.numbers)
        known = dict(found.exchanges)
        self._ids.update(found.parts)
        next_part = found.next_part
        self._next_lineage = found.next_lineage
        for prepared in batch:
            uid = prepared.entry.exchange.id
            before = known.get(uid)
            if before is not None and (before.final or not prepared.entry.final):
                continue
            number = before.number if before is not None else _free(_number(prepared), taken)
            fresh = before is None
            plan.created += fresh
            indexed = list(unpack_ids(before.indexed)) if before is not None else []
            for which, cut in sorted(prepared.bodies.items()):
                if before is not None and which != UPSTREAM_REQUEST:
                    continue  # came in with the running exchange
                next_part, chosen = self._store(plan, number, which, cut, next_part)
                if which in (REQUEST, DECODED_REQUEST):
                    indexed += [part for part in chosen if part not in indexed]
            self._finish(plan, number, prepared, indexed)
            give_way()
            known[uid] = Known(number, prepared.entry.final, pack_ids(indexed))
        while len(self._ids) > REMEMBERED_HASHES:
            self._ids.popitem(last=False)
        return plan

    def _store(
        self, plan: Plan, number: int, which: int, cut: parts.Split, next_part: int
    ) -> tuple[int, list[int]]:
        ids, new = [], set()
        for part in cut.parts:
            digest = _digest(part)
            id = self._ids.get(digest)
            if id is None:
                id, next_part = next_part, next_part + 1
                self._ids[digest] = id
                plan.parts.append((id, digest, self._packer.pack(part.data)))
                new.add(id)
            else:
                self._ids.move_to_end(digest)
            ids.append(id)
            plan.contents[id] = part.data
        place = self._lineages.place(ids, self._next_lineage)
        self._next_lineage += place.fresh
        manifest = self._packer.pack(parts.encode_manifest(cut.glue, ids))
        plan.bodies.append((number, which, place.lineage, place.position, manifest))
        plan.spans += [(place.lineage, part, place.position, OPEN) for part in place.added]
        plan.closed += [
            (place.position, place.lineage, part, first) for part, first in place.closed
        ]
        return next_part, _to_index(cut, ids, new, place)

    def _finish(self, plan: Plan, number: int, prepared: Prepared, indexed: list[int]) -> None:
        entry = prepared.entry
        plan.exchanges.append(columns.row(number, prepared))
        plan.records.append((number, self._packer.pack(encode_exchange(entry.exchange))))
        message = None
        if prepared.finished is not None:
            message = self._packer.pack(prepared.finished)
        plan.finished.append((number, message, pack_ids(indexed)))
        if not entry.final:
            return
        plan.done += 1
        plan.partials.append(entry.exchange.id)
        if indexed or prepared.finished:
            plan.documents.append((number, indexed, prepared.finished))
        for side, blob in prepared.answers.items():
            plan.answers.append((number, side, self._packer.pack(blob, prepared.finished)))
        plan.tools += [(columns.clean(name), number) for name in dict.fromkeys(prepared.tools)]


def _to_index(cut: parts.Split, ids: list[int], new: set[int], place: Placement) -> list[int]:
    """Choose the parts whose text this exchange is found by: what was said first here, and its own
    question.

    Earlier answers are found where they were given; a program's standing prompt where it came up
    first.
    """
    added = set(place.added)
    chosen = []
    asking = True
    for part, id in zip(reversed(cut.parts), reversed(ids), strict=True):
        if part.member not in text.MEMBERS:
            continue
        if part.member in text.STANDING:
            wanted = id in new
        elif not part.element:
            wanted = True
        elif text.is_answer(part):
            asking = False
            wanted = place.fresh
        else:
            wanted = asking or id in added
        if wanted:
            chosen.append(id)
    return list(dict.fromkeys(reversed(chosen)))


def _digest(part: parts.Part) -> bytes:
    return parts.digest(part.data)


def _number(prepared: Prepared) -> int:
    exchange = prepared.entry.exchange
    low = crc32(exchange.id.encode()) & (1 << columns.NUMBER_BITS) - ROW
    return (columns.milliseconds(exchange.started_at) or 0) << columns.NUMBER_BITS | low


def _moment(number: int) -> int:
    return number >> columns.NUMBER_BITS << columns.NUMBER_BITS


def _free(number: int, taken: set[int]) -> int:
    first = _moment(number)
    for found in chain(range(number, first + WINDOW), range(first, number)):
        if found not in taken:
            taken.add(found)
            return found
    raise ValueError(f"more than {WINDOW} exchanges of one moment")
