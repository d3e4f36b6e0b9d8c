"""What a store is to write for a batch, and what it has to look up first: values, the same for every database.

A store's ``ingest`` is: ask :meth:`~clawproxy.store.planner.Planner.question` what has to be looked up, look it up,
give the :class:`Answer` to :meth:`~clawproxy.store.planner.Planner.plan`, and write the :class:`Plan`, all in one
transaction that no other writer interleaves with.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen

from clawproxy.store import columns, varint

WINDOW = 4 << columns.NUMBER_BITS
"""Numbers, from a millisecond's first one, that are tried for an exchange whose own is taken: an import may
bring thousands of one moment."""
REQUEST, UPSTREAM_REQUEST, DECODED_REQUEST = 0, 1, 2
"""Which body of an exchange: the caller's, the one sent upstream, the caller's with its content codings undone."""


@frozen
class Question:
    """What to look up: exchanges by uid, the first numbers of milliseconds in which exchanges may lie,
    parts by hash."""

    uids: list[str]
    numbers: list[int]
    hashes: list[bytes]


@frozen
class Known:
    """The exchange as it is in the database."""

    number: int
    final: bool
    indexed: bytes = b""


@frozen
class Answer:
    """What was found.

    :ivar exchanges: by uid.
    :ivar numbers: those taken, of the :data:`WINDOW` from each number asked for.
    :ivar parts: ids by hash.
    :ivar next_part: the first id that is free.
    :ivar next_lineage: the first number that is free: that of an exchange would not do, which may come once more when
        it was deleted and others of its lineage were not.
    """

    exchanges: dict[str, Known]
    numbers: set[int]
    parts: dict[bytes, int]
    next_part: int
    next_lineage: int


@define
class Plan:
    """Rows to write, by table, in the columns' order.

    :ivar exchanges: to be inserted or to replace the row of the same id.
    :ivar created: how many of them are new.
    :ivar closed: ``(last, lineage, part, first)``.
    :ivar documents: ``(exchange, parts, finished)``, to be indexed as
        :func:`clawproxy.store.text.document` says.
    :ivar contents: parts of this batch by id, uncompressed, for those documents.
    :ivar partials: uids whose partial pieces are now part of an answer.
    :ivar done: how many exchanges were new or became final.
    """

    exchanges: list[tuple[object, ...]] = field(factory=list)
    records: list[tuple[int, bytes]] = field(factory=list)
    parts: list[tuple[int, bytes, bytes]] = field(factory=list)
    bodies: list[tuple[int, int, int, int, bytes]] = field(factory=list)
    spans: list[tuple[int, int, int, int]] = field(factory=list)
    closed: list[tuple[int, int, int, int]] = field(factory=list)
    answers: list[tuple[int, int, bytes]] = field(factory=list)
    finished: list[tuple[int, bytes | None, bytes]] = field(factory=list)
    tools: list[tuple[str, int]] = field(factory=list)
    documents: list[tuple[int, list[int], bytes | None]] = field(factory=list)
    contents: dict[int, bytes] = field(factory=dict)
    partials: list[str] = field(factory=list)
    created: int = 0
    done: int = 0

    @property
    def bytes(self) -> int:
        """How much all blobs weigh together."""
        tables = (self.records, self.parts, self.bodies, self.answers, self.finished)
        return sum(
            len(value)
            for rows in tables
            for row in rows
            for value in row
            if isinstance(value, bytes)
        )


def pack_ids(ids: Sequence[int]) -> bytes:
    """Write the list of parts that are indexed for an exchange, for its row of ``finished``."""
    return varint.pack([len(ids), *ids])


def unpack_ids(data: bytes) -> list[int]:
    """Undo :func:`pack_ids`; an exchange without such a row has none."""
    if not data:
        return []
    (count,), offset = varint.unpack(data, 1)
    return varint.unpack(data, count, offset)[0]
