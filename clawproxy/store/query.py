"""Filters as SQL, the same for every database but for the mark of a parameter and the search index."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import field, frozen

from clawproxy.core.record import FAILED
from clawproxy.store.columns import NUMBER_BITS
from clawproxy.store.protocol import Filter

_EQUAL = {
    "provider": "provider",
    "outcome": "outcome",
    "status": "status",
    "dialect": "dialect",
    "path": "path",
    "session_id": "session_id",
    "agent_id": "agent_id",
    "parent_agent_id": "parent_agent_id",
    "conversation_id": "conversation_id",
    "key": "key_name",
}
ERRORS = "SUM(CASE WHEN e.outcome IN ({}) THEN 1 ELSE 0 END)".format(
    ", ".join(f"'{name}'" for name in FAILED)
)
"""Counts the rows of ``e``, the table ``exchange``, that failed."""
UNPRICED = "SUM(CASE WHEN e.cost_usd IS NULL AND e.output_tokens > 0 THEN 1 ELSE 0 END)"
"""Counts those that used tokens at a cost that is not known."""
TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
)
"""Columns that count tokens, in the order in which they are told."""
_WORDS = re.compile(r'"([^"]*)"?|(\S+)')


@frozen
class Where:
    """A filter's conditions.

    :ivar conditions: on ``e``, the table ``exchange``; to be joined by AND.
    :ivar parameters: theirs, in order.
    """

    conditions: list[str] = field(factory=list)
    parameters: list[object] = field(factory=list)

    @property
    def sql(self) -> str:
        """All conditions as one."""
        return " AND ".join(self.conditions) or "1 = 1"


def where(filter: Filter, mark: str) -> Where:
    """Give the conditions of a filter, without ``text`` and ``tool``, whose indexes differ by
    database.

    :param mark: what stands for a parameter, ``?`` or ``%s``.
    """
    found = Where()

    def add(condition: str, *parameters: object) -> None:
        found.conditions.append(condition.replace("?", mark))
        found.parameters.extend(parameters)

    # An exchange's id begins with its time, so the table itself is the index of time.
    if filter.since is not None:
        add("e.id >= ?", filter.since << NUMBER_BITS)
    if filter.until is not None:
        add("e.id < ?", filter.until << NUMBER_BITS)
    if filter.model is not None:
        among = _among(filter.model)
        add(f"(e.model {among} OR e.routed_model {among})", *filter.model, *filter.model)
    if filter.side_call is not None:
        if filter.side_call:
            add("e.side_call = ?", filter.side_call)
        else:
            add("e.side_call IS NULL")
    for name, column in _EQUAL.items():
        value = getattr(filter, name)
        if isinstance(value, tuple):
            add(f"e.{column} {_among(value)}", *value)
        elif value is not None:
            add(f"e.{column} = ?", value)
    return found


def _among(values: Sequence[str]) -> str:
    return "= ?" if len(values) == 1 else f"IN ({', '.join('?' for _ in values)})"


def cursor_number(cursor: str | None) -> int | None:
    """Read a page's cursor.

    :raises ValueError: if it is none.
    """
    if cursor is None:
        return None
    if not re.fullmatch(r"\d{1,19}", cursor):
        raise ValueError(f"cursor {cursor[:40]!r} is none that a page gave")
    return min(int(cursor), 2**63 - 1)


def phrases(text: str) -> list[tuple[str, bool]]:
    """Take a search apart.

    :returns: words and quoted phrases; true for beginnings, written with an asterisk.
    :raises ValueError: if there is nothing to search for.
    """
    found = []
    for quoted, word in _WORDS.findall(text.replace("\0", " ")):
        phrase, prefix = quoted or word, False
        if word.endswith("*"):
            phrase, prefix = word.rstrip("*"), True
        if any(char.isalnum() for char in phrase):
            found.append((phrase, prefix))
    if not found:
        raise ValueError(f"nothing to search for in {text[:40]!r}")
    return found
