"""Figures over many exchanges: counts, tokens, cost and percentiles, by time, model, provider or agent.

Two statements that every store understands (:meth:`clawproxy.store.protocol.Store.rows`) give it all: sums by hour,
model, provider and agent together, which are added up here for each of them, and the times alone, from which
percentiles are taken by nearest rank. Beyond :data:`RANKED` exchanges the times are those of a sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

from attrs import define, field, frozen

from clawproxy.core.record import FAILED
from clawproxy.store import query
from clawproxy.store.protocol import Filter, Store
from clawproxy.store.query import TOKENS

By = Literal["hour", "day", "model", "provider", "agent"]
BYS: tuple[By, ...] = get_args(By)

PERCENTS = (50, 90, 95, 99)
RANKED = 200_000
"""Exchanges whose times are looked at one by one."""
OUTCOMES = ("ok", "error", "client_gone", "cut", "interrupted", "running")
_HOUR = 3_600_000
_KEYS = {
    "hour": f"e.started_ms / {_HOUR}",
    "model": "COALESCE(e.routed_model, e.model)",
    "provider": "e.provider",
    "agent": "e.agent_id",
}
_SUMS = ", ".join(
    [
        *(f"SUM(CASE WHEN e.outcome = '{name}' THEN 1 ELSE 0 END)" for name in OUTCOMES),
        *(f"COALESCE(SUM(e.{name}), 0)" for name in TOKENS),
        query.UNPRICED,
        "COALESCE(SUM(e.request_bytes), 0)",
        "COALESCE(SUM(e.response_bytes), 0)",
        "COALESCE(SUM(e.cost_usd), 0)",
    ]
)


@frozen
class Figures:
    """What a group of exchanges amounts to.

    :ivar key: what they have in common: a model, a provider, an agent, or the milliseconds since the epoch at
        which the hour or day began; ``None`` where they have none, or for all.
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
        """Those that failed."""
        return sum(self.outcomes[name] for name in FAILED)

    @property
    def cache_hit_rate(self) -> float | None:
        """The part of the prompts' tokens that came from the cache, 0 to 1."""
        tokens = self.tokens
        read = tokens["cache_read_input_tokens"]
        prompt = tokens["input_tokens"] + tokens["cache_creation_input_tokens"] + read
        return read / prompt if prompt else None


@define
class _Group:
    counts: list[int] = field(factory=lambda: [0] * (len(OUTCOMES) + len(TOKENS) + 3))
    cost: float = 0.0
    ttft: list[float] = field(factory=list)
    duration: list[float] = field(factory=list)

    def add(self, sums: Sequence[Any]) -> None:
        for at in range(len(self.counts)):
            self.counts[at] += int(sums[at])
        self.cost += float(sums[-1])

    def figures(self, key: str | int | None) -> Figures:
        outcomes = dict(zip(OUTCOMES, self.counts, strict=False))
        tokens = dict(zip(TOKENS, self.counts[len(OUTCOMES) :], strict=False))
        unpriced, asked, answered = self.counts[-3:]
        return Figures(
            key,
            sum(outcomes.values()),
            outcomes,
            tokens,
            round(self.cost, 9),
            unpriced,
            asked,
            answered,
            percentiles(self.ttft),
            percentiles(self.duration),
        )


def percentiles(values: list[float]) -> dict[int, float]:
    """Give the value at each of :data:`PERCENTS`, by nearest rank; nothing for no values."""
    if not values:
        return {}
    values.sort()
    # The smallest value that so many percent are not above.
    ranks = {percent: max(0, -(-len(values) * percent // 100) - 1) for percent in PERCENTS}
    return {percent: round(float(values[rank]), 3) for percent, rank in ranks.items()}


async def total(store: Store, filter: Filter) -> Figures:
    """Give the figures of all exchanges that a filter lets through.

    :param filter: without ``text``.
    """
    return (await report(store, filter, ()))[0]


async def figures(store: Store, filter: Filter, by: By) -> list[Figures]:
    """Give the figures of each group: in order of time, else those with most exchanges first.

    :param filter: without ``text``.
    """
    return (await report(store, filter, (by,)))[1][by]


async def report(
    store: Store, filter: Filter, bys: Iterable[By]
) -> tuple[Figures, dict[By, list[Figures]]]:
    """Give the figures of all, and those of the groups of each kind.

    :param filter: without ``text``.
    """
    kinds = tuple(dict.fromkeys(bys))
    # A day is made of its hours.
    names = tuple(dict.fromkeys("hour" if by == "day" else by for by in kinds))
    where = query.where(filter, "?")
    if filter.tool is not None:
        where.conditions.append(
            "EXISTS (SELECT 1 FROM tool t WHERE t.name = ? AND t.exchange = e.id)"
        )
        where.parameters.append(filter.tool)
    keys = ", ".join(_KEYS[name] for name in names) or "0"
    places = ", ".join(str(at + 1) for at in range(len(names) or 1))
    rows = await store.rows(
        f"SELECT {keys}, {_SUMS} FROM exchange e WHERE {where.sql} GROUP BY {places}",
        where.parameters,
    )
    width = len(names) or 1
    whole = _Group()
    groups: dict[By, dict[Any, _Group]] = {by: {} for by in kinds}
    for row in rows:
        sums = row[width:]
        whole.add(sums)
        for by, key in _found(kinds, names, row):
            groups[by].setdefault(key, _Group()).add(sums)
    count = sum(whole.counts[: len(OUTCOMES)])
    # The middle bits of a number are as good as random among the exchanges of a time.
    step = -(-count // RANKED)
    sample = f" AND (e.id / 16) % {step} = 0" if step > 1 else ""
    for row in await store.rows(
        f"SELECT {keys}, e.ttft_ms, e.duration_ms FROM exchange e WHERE {where.sql}{sample}",
        where.parameters,
    ):
        ttft, duration = row[-2:]
        several = [
            whole,
            *(groups[by][key] for by, key in _found(kinds, names, row) if key in groups[by]),
        ]
        for group in several:
            if ttft is not None:
                group.ttft.append(ttft)
            if duration is not None:
                group.duration.append(duration)
    return whole.figures(None), {by: _sorted(by, found) for by, found in groups.items()}


def _found(
    kinds: tuple[By, ...], names: tuple[str, ...], row: Sequence[Any]
) -> list[tuple[By, Any]]:
    """Give the groups that a row is of."""
    found: list[tuple[By, Any]] = []
    for by in kinds:
        if by == "day":
            found.append((by, int(row[names.index("hour")]) // 24 * 24 * _HOUR))
        elif by == "hour":
            found.append((by, int(row[names.index("hour")]) * _HOUR))
        else:
            found.append((by, row[names.index(by)]))
    return found


def _sorted(by: By, found: dict[Any, _Group]) -> list[Figures]:
    listed = [group.figures(key) for key, group in found.items()]
    if by in ("hour", "day"):
        return sorted(listed, key=lambda each: int(each.key or 0))
    return sorted(listed, key=lambda each: (-each.requests, str(each.key)))
