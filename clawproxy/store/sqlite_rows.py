"""What the statements for SQLite share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from clawproxy.store.compression import Packer

T = TypeVar("T")
_CHUNK = 500  # parameters of one statement; old versions take 999


def chunks(items: Sequence[T], size: int = _CHUNK) -> Iterator[Sequence[T]]:
    """Cut a sequence, so that a statement gets no more parameters than it may have."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def marks(items: Sequence[object]) -> str:
    """Give a question mark for each item."""
    return ", ".join("?" * len(items))


def parts(db: sqlite3.Connection, packer: Packer, ids: Sequence[int]) -> Mapping[int, bytes]:
    """Fetch parts by id, uncompressed."""
    found: dict[int, bytes] = {}
    for some in chunks(list(dict.fromkeys(ids))):
        rows = db.execute(f"SELECT id, data FROM part WHERE id IN ({marks(some)})", some)
        for id, data in rows:
            found[id] = packer.unpack(data)
    return found
