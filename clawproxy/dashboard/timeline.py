"""What the traffic was over time, by group and bucket, counted by the database: :class:`Timeline`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from clawproxy.store import query
from clawproxy.store.protocol import Filter, Store
from clawproxy.store.statistics import By

KEYS: dict[By, str] = {
    "model": "COALESCE(e.routed_model, e.model, 'no model')",
    "provider": "COALESCE(e.provider, 'no provider')",
    "agent": "COALESCE(e.agent_id, 'main')",
}
"""What exchanges may be grouped by. What has no name gets one here, by which somebody's agent may be called, too."""
PERCENTS = (50, 90, 99)
"""Of the exchanges of a bucket, by the time that they took."""
_SUMS = (
    f"COUNT(*), {query.ERRORS},"
    " COALESCE(SUM(e.input_tokens), 0), COALESCE(SUM(e.cache_read_input_tokens), 0),"
    " COALESCE(SUM(e.cache_creation_input_tokens), 0), COALESCE(SUM(e.output_tokens), 0),"
    " COALESCE(SUM(e.cost_usd), 0)"
)


@frozen(kw_only=True)
class Cell:
    """What one group did in one bucket."""

    requests: int
    errors: int
    input: int
    read: int
    written: int
    output: int
    cost: float

    @property
    def prompt(self) -> int:
        """All tokens of prompts."""
        return self.input + self.read + self.written


@frozen(kw_only=True)
class Timeline:
    """Traffic in buckets of time.

    :ivar starts: when each bucket begins.
    :ivar cells: by group and bucket.
    :ivar timings: percentiles by column, bucket and percent.
    """

    starts: list[int]
    width: int
    cells: dict[str, dict[int, Cell]]
    timings: dict[str, dict[int, dict[int, float]]]


async def gather(
    store: Store, filter: Filter, by: By, first: int, until: int, width: int
) -> Timeline:
    """Count exchanges into a timeline."""
    where = query.where(filter, "?")
    if filter.tool is not None:
        where.conditions.append(
            "EXISTS (SELECT 1 FROM tool t WHERE t.name = ? AND t.exchange = e.id)"
        )
        where.parameters.append(filter.tool)
    bucket = f"e.started_ms / {width}"
    rows = await store.rows(
        f"SELECT {KEYS[by]} AS k, {bucket} AS b, {_SUMS} FROM exchange e WHERE {where.sql}"
        " GROUP BY 1, 2",
        where.parameters,
    )
    cells: dict[str, dict[int, Cell]] = {}
    for key, at, *values in rows:
        cells.setdefault(key, {})[int(at) * width] = _cell(values)
    timings = {}
    for column in ("ttft_ms", "duration_ms"):
        timings[column] = await _percentiles(store, where, column, bucket, width)
    return Timeline(
        starts=list(range(first // width * width, until, width)),
        width=width,
        cells=cells,
        timings=timings,
    )


def _cell(values: Sequence[Any]) -> Cell:
    requests, errors, given, read, written, output, cost = values
    return Cell(
        requests=int(requests),
        errors=int(errors),
        input=int(given),
        read=int(read),
        written=int(written),
        output=int(output),
        cost=float(cost),
    )


async def _percentiles(
    store: Store, where: query.Where, column: str, bucket: str, width: int
) -> dict[int, dict[int, float]]:
    """Give percentiles by nearest rank for each bucket."""
    chosen = ", ".join(
        f"MIN(CASE WHEN i * 100 >= n * {percent} THEN v END)" for percent in PERCENTS
    )
    rows = await store.rows(
        f"SELECT b, {chosen} FROM (SELECT {bucket} AS b, e.{column} AS v,"
        f" ROW_NUMBER() OVER (PARTITION BY {bucket} ORDER BY e.{column}) AS i,"
        f" COUNT(*) OVER (PARTITION BY {bucket}) AS n"
        f" FROM exchange e WHERE {where.sql} AND e.{column} IS NOT NULL) ranked GROUP BY b",
        where.parameters,
    )
    return {
        int(at) * width: {each: float(value) for each, value in zip(PERCENTS, values, strict=True)}
        for at, *values in rows
    }
