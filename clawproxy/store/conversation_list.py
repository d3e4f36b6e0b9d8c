"""The list of conversations, the one that was spoken in last first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from clawproxy.store import query
from clawproxy.store.compression import Packer
from clawproxy.store.conversation_query import (
    Parts,
    chunks,
    finished_messages,
    manifests,
    marks,
    title_of,
)
from clawproxy.store.protocol import Filter, Store
from clawproxy.store.reading import LISTED, stored

SCANNED = 1000
"""Exchanges that are looked at in one go."""
PART = 500
SEARCHED = 20
"""Parts of so many exchanges that a search looks at: conversations beyond are not found."""
FIRST_MESSAGES = 4
"""Messages among which the first question is looked for."""
TITLE_LIMIT = 200
TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
)
_SUMS = ", ".join(
    [
        "COUNT(*)",
        "SUM(CASE WHEN e.side_call IS NULL THEN 1 ELSE 0 END)",
        "SUM(CASE WHEN e.outcome = 'running' THEN 1 ELSE 0 END)",
        query.ERRORS,
        "COUNT(DISTINCT e.agent_id)",
        "MIN(e.started_ms)",
        "MAX(COALESCE(e.finished_ms, e.started_ms))",
        "MAX(e.session_id)",
        "COALESCE(SUM(e.cost_usd), 0)",
        "SUM(CASE WHEN e.cost_usd IS NULL AND e.output_tokens > 0 THEN 1 ELSE 0 END)",
        "MIN(CASE WHEN e.side_call IS NULL THEN e.id END)",
        "MAX(CASE WHEN e.side_call = 'title' AND e.outcome = 'ok' THEN e.id END)",
        *(f"COALESCE(SUM(e.{name}), 0)" for name in TOKENS),
    ]
)


@frozen
class Summary:
    """A conversation as a list shows it.

    :ivar title: what the client named it, or its first question.
    :ivar requests: all exchanges, side calls among them.
    :ivar agents: how many subagents took part.
    :ivar started_ms: :ivar last_ms: milliseconds since the epoch.
    :ivar cost_usd: of the exchanges whose cost is known.
    :ivar unpriced: how many there are whose cost is not.
    """

    id: str
    title: str | None
    requests: int
    turns: int
    running: int
    errors: int
    agents: int
    started_ms: int
    last_ms: int
    session_id: str | None
    cost_usd: float
    unpriced: int
    tokens: dict[str, int]
    models: list[str] = field(factory=list)


@frozen
class ConversationPage:
    """Part of the list.

    :ivar cursor: gives the next part, ``None`` in the last.
    """

    items: list[Summary]
    cursor: str | None
    total: int


async def page(
    store: Store, filter: Filter, cursor: str | None = None, limit: int = 50
) -> ConversationPage:
    """Give the conversations of which an exchange passes a filter.

    :param cursor: of the page before.
    :raises ValueError: for a cursor that is none.
    """
    before = query.cursor_number(cursor)
    if filter.text is not None:
        found, total = await _searched(store, filter, before)
    else:
        found, total = await _filtered(store, filter, before, limit + 1)
    more = len(found) > limit
    shown = list(found)[:limit]
    summaries = await _summaries(store, shown)
    return ConversationPage(
        [summaries[id] for id in shown if id in summaries],
        str(found[shown[-1]]) if more else None,
        total,
    )


async def _searched(store: Store, filter: Filter, before: int | None) -> tuple[dict[str, int], int]:
    """Find conversations by the newest exchange that a search finds; and how many there are in all."""
    found: dict[str, int] = {}
    passed: set[str] = set()
    cursor = None
    for _ in range(SEARCHED):
        part = await store.list(filter, cursor, PART, count=False)
        for item in part.items:
            id = item.exchange.conversation_id
            if id is None or id in passed or id in found:
                continue
            if before is not None and item.number >= before:
                passed.add(id)
            else:
                found[id] = item.number
        cursor = part.cursor
        if cursor is None:
            break
    return found, len(found) + len(passed)


async def _filtered(
    store: Store, filter: Filter, before: int | None, wanted: int
) -> tuple[dict[str, int], int]:
    where = query.where(filter, "?")
    # Said so that no index of conversations is used: the order is that of the table.
    where.conditions.append("COALESCE(e.conversation_id, '') <> ''")
    if filter.tool is not None:
        where.conditions.append(
            "EXISTS (SELECT 1 FROM tool t WHERE t.name = ? AND t.exchange = e.id)"
        )
        where.parameters.append(filter.tool)
    [(total,)] = await store.rows(
        f"SELECT COUNT(DISTINCT e.conversation_id) FROM exchange e WHERE {where.sql}",
        where.parameters,
    )
    return await _newest(store, where, before, wanted), int(total)


async def _newest(
    store: Store, where: query.Where, before: int | None, wanted: int
) -> dict[str, int]:
    """Find conversations by their newest exchange below a number, the newest first."""
    found: dict[str, int] = {}
    passed: set[str] = set()
    at = before if before is not None else 2**63 - 1
    while len(found) < wanted:
        rows = await store.rows(
            f"SELECT e.id, e.conversation_id FROM exchange e WHERE {where.sql} AND e.id < ?"
            " ORDER BY e.id DESC LIMIT ?",
            (*where.parameters, at, SCANNED),
        )
        if not rows:
            break
        fresh = [id for _, id in rows if id not in found and id not in passed]
        if before is not None:
            passed |= await _seen(store, where, list(dict.fromkeys(fresh)), before)
        for number, id in rows:
            if id not in passed and id not in found and len(found) < wanted:
                found[id] = number
        at = rows[-1][0]
    return found


async def _seen(store: Store, where: query.Where, ids: Sequence[str], before: int) -> set[str]:
    """Find those that were on an earlier page."""
    seen: set[str] = set()
    for some in chunks(ids):
        rows = await store.rows(
            "SELECT DISTINCT e.conversation_id FROM exchange e"
            f" WHERE e.conversation_id IN ({marks(some)}) AND e.id >= ? AND {where.sql}",
            (*some, before, *where.parameters),
        )
        seen.update(id for (id,) in rows)
    return seen


async def _summaries(store: Store, ids: Sequence[str]) -> dict[str, Summary]:
    packer = Packer()
    rows: list[tuple[Any, ...]] = []
    models: dict[str, list[str]] = {}
    for some in chunks(ids):
        rows += await store.rows(
            f"SELECT e.conversation_id, {_SUMS} FROM exchange e"
            f" WHERE e.conversation_id IN ({marks(some)}) GROUP BY e.conversation_id",
            some,
        )
        for id, model in await store.rows(
            "SELECT DISTINCT e.conversation_id, COALESCE(e.routed_model, e.model) FROM exchange e"
            f" WHERE e.conversation_id IN ({marks(some)})",
            some,
        ):
            if model:
                models.setdefault(id, []).append(model)
    titles = await _titles(store, packer, [row[12] for row in rows if row[12] is not None])
    untitled = [row[11] for row in rows if row[11] is not None and not titles.get(row[12] or 0)]
    questions = await _questions(store, packer, untitled)
    return {
        row[0]: Summary(
            id=row[0],
            title=titles.get(row[12] or 0) or questions.get(row[11] or 0),
            requests=int(row[1]),
            turns=int(row[2]),
            running=int(row[3]),
            errors=int(row[4]),
            agents=int(row[5]),
            started_ms=int(row[6]),
            last_ms=int(row[7]),
            session_id=row[8],
            cost_usd=round(float(row[9]), 9),
            unpriced=int(row[10] or 0),
            tokens={name: int(value) for name, value in zip(TOKENS, row[13:], strict=True)},
            models=sorted(models.get(row[0], [])),
        )
        for row in rows
    }


async def _titles(store: Store, packer: Packer, numbers: Sequence[int]) -> dict[int, str]:
    """Read the answers to side calls that asked for a title."""
    messages = await finished_messages(store, packer, numbers)
    found: dict[int, str] = {}
    for some in chunks(list(messages)):
        rows = await store.rows(
            f"SELECT {LISTED} FROM exchange e JOIN record r ON r.exchange = e.id"
            f" WHERE e.id IN ({marks(some)})",
            some,
        )
        for each in (stored(row, packer) for row in rows):
            title = title_of(each.exchange, messages[each.number])
            if title:
                found[each.number] = title
    return found


async def _questions(store: Store, packer: Packer, numbers: Sequence[int]) -> dict[int, str]:
    """Read the first questions of exchanges."""
    reader = Parts(store, packer)
    found: dict[int, str] = {}
    for number, (glue, ids) in (await manifests(store, packer, numbers)).items():
        asked = await reader.request(glue, ids, FIRST_MESSAGES)
        for message in asked.messages:
            if message.said.role == "user" and message.said.text:
                found[number] = message.said.text[:TITLE_LIMIT]
                break
    return found
