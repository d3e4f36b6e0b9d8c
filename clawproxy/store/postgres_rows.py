"""What the statements for PostgreSQL share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from psycopg2 import Binary

from clawproxy.store import query
from clawproxy.store.compression import Packer
from clawproxy.store.postgres_link import Row, Session

BATCH_ROWS = 100
"""Rows of one INSERT: measured, 500 are slower."""
BATCH_BYTES = 4 << 20
"""Bytes of one INSERT, which travel as text of twice that."""
_WORDS = re.compile(r"[^\W_]+")
_ACCENTS = re.compile("(?<=[A-Za-z])[\u0300-\u036f]+")
WORDS_LIMIT = 512 << 10
"""Bytes of text of one exchange that are indexed: a ``tsvector`` holds at most 1 MB."""


def batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut rows for INSERTs, none of which is long."""
    some: list[Row] = []
    size = 0
    for row in rows:
        length = sum(len(value) for value in row if isinstance(value, (bytes, str)))
        if some and (len(some) >= BATCH_ROWS or size + length > BATCH_BYTES):
            yield some
            some, size = [], 0
        some.append(row)
        size += length
    if some:
        yield some


def unnested(types: Sequence[str]) -> str:
    """Give the ``unnest`` of one array parameter per column."""
    return f"unnest({', '.join(f'%s::{name}[]' for name in types)})"


def columns(rows: Sequence[Row]) -> list[list[Any]]:
    """Turn rows into columns, as :func:`unnested` takes them."""
    return [[_adapted(value) for value in column] for column in zip(*rows, strict=True)]


def _adapted(value: object) -> object:
    return Binary(value) if isinstance(value, bytes) else value


async def insert(
    session: Session, sql: str, types: Sequence[str], rows: Sequence[Row], end: str = ""
) -> None:
    """Insert rows, however many.

    :param sql: up to the values: ``INSERT INTO table (columns)``.
    :param types: of the columns.
    :param end: what follows the values.
    """
    for some in batches(rows):
        await session.do(f"{sql} SELECT * FROM {unnested(types)} {end}", columns(some))


async def parts(session: Session, packer: Packer, ids: Iterable[int]) -> Mapping[int, bytes]:
    """Fetch parts by id, uncompressed."""
    rows = await session.rows(
        "SELECT id, data FROM part WHERE id = ANY(%s::bigint[])", (list(dict.fromkeys(ids)),)
    )
    return {id: packer.unpack(bytes(data)) for id, data in rows}


def plain(text: str) -> str:
    """Give text as words alone, so that PostgreSQL's parser finds no host names, paths and numbers
    in it but the words that a search for them consists of, too.
    """
    words = " ".join(_WORDS.findall(folded(text)))
    return words.encode("utf-8", "replace")[:WORDS_LIMIT].decode("utf-8", "ignore")


def folded(text: str) -> str:
    """Leave case and accents out, as SQLite's index does: whoever looks for a cafe finds the Café."""
    text = text.lower()
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))


def search(text: str) -> tuple[str, list[object]]:
    """Give a query for the exchanges that have all words and phrases of a search.

    The index finds what has the words, in whatever order; rows that may have a phrase are looked through for it.
    Nothing is to be moved into this query or out of it (``OFFSET 0``): only the index is never slow.

    :returns: the query, whose one column is ``exchange``, and its parameters.
    :raises ValueError: if there is nothing to search for.
    """
    words: list[str] = []
    conditions, parameters = ["words_of(text) @@ to_tsquery('simple', %s)"], []
    for phrase, prefix in query.phrases(text):
        found = _WORDS.findall(folded(phrase))
        if not found:
            continue
        words += found
        words[-1] += ":*" * prefix
        if len(found) > 1:
            conditions.append("strpos(' ' || text || ' ', %s) > 0")
            parameters.append(f" {' '.join(found)}{'' if prefix else ' '}")
    if not words:
        raise ValueError(f"nothing to search for in {text[:40]!r}")
    sql = f"SELECT exchange FROM search WHERE {' AND '.join(conditions)} OFFSET 0"
    return sql, [" & ".join(words), *parameters]
