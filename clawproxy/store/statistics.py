"""Figures over many exchanges: counts, tokens, cost and percentiles, by time, model, provider or
agent.

The statements are plain SQL that every store understands
(:meth:`clawproxy.store.protocol.Store.rows`). Percentiles are by nearest rank: a figure that some
exchange really had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from attrs import field, frozen

from clawproxy.store import query
from clawproxy.store.protocol import Filter, Store

By = Literal["hour", "day", "model", "provider", "agent"]
BYS: tuple[By, ...] = get_args(By)

PERCENTS = (50, 90, 95, 99)
_KEYS = {
    "hour": "e.started_ms / 3600000",
    "day": "e.started_ms / 86400000",
    "model": "COALESCE(e.routed_model, e.model)",
    "provider": "e.provider",
    "agent": "e.agent_id",
}
_SPANS = {"hour": 3_600_000, "day": 86_400_000}
_OUTCOMES = ("ok", "error", "client_gone", "cut", "interrupted", "running")
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
)
_SUMS = ", ".join(
    [
        "COUNT(*)",
        *(f"SUM(CASE WHEN e.outcome = '{name}' THEN 1 ELSE 0 END)" for name in _OUTCOMES),
        *(f"COALESCE(SUM(e.{name}), 0)" for name in _TOKENS),
        "COALESCE(SUM(e.cost_usd), 0)",
        "SUM(CASE WHEN e.cost_usd IS NULL AND e.output_tokens > 0 THEN 1 ELSE 0 END)",
        "COALESCE(SUM(e.request_bytes), 0)",
        "COALESCE(SUM(e.response_bytes), 0)",
    ]
)


@frozen
class Figures:
    """What a group of exchanges amounts to.

    :ivar key: what they have in common: a model, a provider, an agent, or the milliseconds since
        the epoch at which the hour or day began; ``None`` where they have none, or for all.
    :ivar cost_usd: of those whose cost is known.
    :ivar unpriced: how many used tokens at a cost that is not known.
    :ivar ttft_ms: milliseconds to the first byte, by percent; empty where nothing was measured.
    """

    key: str | int | None
    requests: int
    outcomes: dict[str, int]
    tokens: dict[str, int]
    cost_usd: float
    unpriced: int
    request_bytes: int
    response_bytes: int
    ttft_ms: dict[int, float] = field(factory=dict)
    duration_ms: dict[int, float] = field(factory=dict)

    @property
    def errors(self) -> int:
        """Those that failed; a caller that went away is no error."""
        return sum(self.outcomes[name] for name in ("error", "cut", "interrupted"))

    @property
    def cache_hit_rate(self) -> float | None:
        """The part of the prompts' tokens that came from the cache, 0 to 1."""
        tokens = self.tokens
        read = tokens["cache_read_input_tokens"]
        prompt = tokens["input_tokens"] + tokens["cache_creation_input_tokens"] + read
        return read / prompt if prompt else None


async def total(store: Store, filter: Filter) -> Figures:
    """Give the figures of all exchanges that a filter lets through.

    :param filter: without ``text``.
    """
    found = await _figures(store, filter, "0", None)
    if found:
        return found[0]
    none = dict.fromkeys(_OUTCOMES, 0)
    return Figures(None, 0, none, dict.fromkeys(_TOKENS, 0), 0.0, 0, 0, 0)


async def figures(store: Store, filter: Filter, by: By) -> list[Figures]:
    """Give the figures of each group: in order of time, else those with most exchanges first.

    :param filter: without ``text``.
    """
    return await _figures(store, filter, _KEYS[by], by)


async def _figures(store: Store, filter: Filter, key: str, by: By | None) -> list[Figures]:
    where = query.where(filter, "?")
    if filter.tool is not None:
        where.conditions.append(
            "EXISTS (SELECT 1 FROM tool t WHERE t.name = ? AND t.exchange = e.id)"
        )
        where.parameters.append(filter.tool)
    rows = await store.rows(
        f"SELECT {key} AS k, {_SUMS} FROM exchange e WHERE {where.sql} GROUP BY 1",
        where.parameters,
    )
    ttft = await _percentiles(store, where, key, "ttft_ms")
    duration = await _percentiles(store, where, key, "duration_ms")
    found = [_read(row, by, ttft, duration) for row in rows if row[1]]
    if by in _SPANS:
        return sorted(found, key=lambda each: int(each.key or 0))
    return sorted(found, key=lambda each: (-each.requests, str(each.key)))


async def _percentiles(
    store: Store, where: query.Where, key: str, column: str
) -> dict[object, dict[int, float]]:
    chosen = ", ".join(
        f"MIN(CASE WHEN i * 100 >= n * {percent} THEN v END)" for percent in PERCENTS
    )
    rows = await store.rows(
        f"SELECT k, {chosen} FROM ("
        f"SELECT {key} AS k, e.{column} AS v,"
        f" ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY e.{column}) AS i,"
        f" COUNT(*) OVER (PARTITION BY {key}) AS n"
        f" FROM exchange e WHERE {where.sql} AND e.{column} IS NOT NULL"
        ") ranked GROUP BY k",
        where.parameters,
    )
    return {
        row[0]: {
            percent: round(float(value), 3)
            for percent, value in zip(PERCENTS, row[1:], strict=True)
        }
        for row in rows
    }


def _read(
    row: Sequence[object],
    by: By | None,
    ttft: dict[object, dict[int, float]],
    duration: dict[object, dict[int, float]],
) -> Figures:
    raw, *numbers = row
    counts = [int(number) for number in numbers[: 1 + len(_OUTCOMES) + len(_TOKENS)]]  # type: ignore[call-overload]
    cost, unpriced, asked, answered = numbers[len(counts) :]
    key: str | int | None = None
    if by in _SPANS:
        key = int(raw) * _SPANS[by]  # type: ignore[call-overload]
    elif by is not None:
        key = None if raw is None else str(raw)
    return Figures(
        key,
        counts[0],
        dict(zip(_OUTCOMES, counts[1:], strict=False)),
        dict(zip(_TOKENS, counts[1 + len(_OUTCOMES) :], strict=True)),
        round(float(cost), 9),  # type: ignore[arg-type]
        int(unpriced),  # type: ignore[call-overload]
        int(asked),  # type: ignore[call-overload]
        int(answered),  # type: ignore[call-overload]
        ttft.get(raw, {}),
        duration.get(raw, {}),
    )
