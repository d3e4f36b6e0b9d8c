"""A conversation in a few figures and a title, as a list shows it: :class:`Summary`."""

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
from clawproxy.store.conversation_session import is_context
from clawproxy.store.protocol import Store
from clawproxy.store.query import TOKENS
from clawproxy.store.reading import LISTED, stored

FIRST_MESSAGES = 6
"""Messages among which the first question is looked for."""
TITLE_LIMIT = 200
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
        query.UNPRICED,
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


async def summaries(store: Store, ids: Sequence[str]) -> dict[str, Summary]:
    """Sum conversations up."""
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
            text = message.said.text
            if message.said.role == "user" and text and not is_context(text):
                found[number] = text[:TITLE_LIMIT]
                break
    return found
