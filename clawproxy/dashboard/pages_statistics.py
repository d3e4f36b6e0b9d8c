"""``/ui/stats``: what the traffic amounts to, over time and by model, provider or agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from clawproxy.dashboard.api_answer import Answer
from clawproxy.dashboard.api_query import FILTERS, choice, filters, read_filter
from clawproxy.dashboard.charts import COLOURS, Chart, Series
from clawproxy.dashboard.pages_answer import Given, Visit, shown
from clawproxy.dashboard.pages_live import names
from clawproxy.dashboard.render_numbers import duration, number, percent, short, usd
from clawproxy.dashboard.timeline import KEYS, PERCENTS, Timeline, gather
from clawproxy.store import query
from clawproxy.store.protocol import Filter, Store
from clawproxy.store.statistics import By, Figures, figures, total

_TAKEN = tuple(name for name in FILTERS if name not in ("q", "since", "until"))
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
RANGES = {
    "1h": ("hour", HOUR, 2 * MINUTE),
    "6h": ("6 hours", 6 * HOUR, 10 * MINUTE),
    "24h": ("day", DAY, 30 * MINUTE),
    "7d": ("week", 7 * DAY, 3 * HOUR),
    "30d": ("month", 30 * DAY, 12 * HOUR),
    "90d": ("quarter", 90 * DAY, DAY),
    "all": ("all", 0, 0),
}
BUCKETS = 60
"""About how many bars a chart of everything has."""


async def statistics(visit: Visit) -> Answer:
    """Show the page."""
    narrow, found = filters(visit.query, _TAKEN, ("range", "by"))
    span = choice("range", found.get("range", "24h"), tuple(RANGES))
    by: By = choice("by", found.get("by", "model"), tuple(KEYS))  # type: ignore[assignment]
    filter = read_filter(narrow, visit.now)
    until = int(visit.now * 1000)

    async def fetch(store: Store) -> tuple[Timeline, Figures, list[Figures], dict[str, list[str]]]:
        first, width = await _frame(store, filter, span, until)
        narrowed = evolve(filter, since=first)
        data = await gather(store, narrowed, by, first, until, width)
        whole = await total(store, narrowed)
        return data, whole, await figures(store, narrowed, by), await names(store)

    data, whole, groups, choices = await visit.pool.run(fetch)
    return shown(
        visit,
        "stats.html",
        "stats",
        charts=charts(data, by),
        total=whole,
        groups=groups,
        by=by,
        bys=list(KEYS),
        span=span,
        ranges=[(name, label) for name, (label, _, _) in RANGES.items()],
        filters=Given(narrow),
        choices=choices,
    )


async def _frame(store: Store, filter: Filter, span: str, until: int) -> tuple[int, int]:
    """Give when a range begins and how wide its buckets are."""
    _, length, width = RANGES[span]
    if not length:
        where = query.where(filter, "?")
        rows = await store.rows(
            f"SELECT MIN(e.started_ms) FROM exchange e WHERE {where.sql}", where.parameters
        )
        first = int(rows[0][0]) if rows and rows[0][0] is not None else until - DAY
        length = max(HOUR, until - first)
        steps = (MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY)
        width = next((each for each in steps if length / each <= BUCKETS), 30 * DAY)
    begin = (until - length) // width * width
    return begin, width


def charts(data: Timeline, by: By) -> list[Chart]:
    """Make the page's charts."""
    weights = {
        name: (sum(cell.cost for cell in cells.values()), sum(c.requests for c in cells.values()))
        for name, cells in data.cells.items()
    }
    ranked = sorted(data.cells, key=lambda name: weights[name], reverse=True)

    def grouped(value: str) -> list[Series]:
        named, rest = ranked[: COLOURS - 1], ranked[COLOURS - 1 :]
        found = [_series(data, name, [name], value, at) for at, name in enumerate(named)]
        if rest:
            name = rest[0] if len(rest) == 1 else f"{len(rest)} others"
            found.append(_series(data, name, rest, value, COLOURS - 1))
        return found

    common: dict[str, Any] = {"starts": data.starts, "width": data.width}
    kinds = (
        ("from cache", "read", 2),
        ("to cache", "written", 3),
        ("neither", "input", 7),
    )
    return [
        Chart(id="cost", title=f"Cost by {by}", series=grouped("cost"), format=usd, **common),
        Chart(
            id="requests",
            title=f"Requests by {by}",
            series=grouped("requests"),
            format=number,
            whole=True,
            **common,
        ),
        Chart(
            id="input",
            title="Prompt tokens",
            series=[_series(data, name, ranked, value, at) for name, value, at in kinds],
            format=short,
            whole=True,
            **common,
        ),
        Chart(
            id="output",
            title=f"Output tokens by {by}",
            series=grouped("output"),
            format=short,
            whole=True,
            **common,
        ),
        Chart(
            id="hits",
            title="Cache hit rate",
            series=[_hits(data, ranked)],
            format=percent,
            stacked=False,
            most=1.0,
            **common,
        ),
        Chart(
            id="errors",
            title=f"Errors by {by}",
            series=grouped("errors"),
            format=number,
            whole=True,
            **common,
        ),
        _timing(data, "ttft_ms", "ttft", "Time to the first token"),
        _timing(data, "duration_ms", "duration", "Duration"),
    ]


def _series(data: Timeline, name: str, groups: Sequence[str], value: str, colour: int) -> Series:
    values = [
        sum(
            getattr(cell, value)
            for group in groups
            if (cell := data.cells[group].get(start)) is not None
        )
        for start in data.starts
    ]
    return Series(name=name, values=values, colour=colour)


def _hits(data: Timeline, groups: Sequence[str]) -> Series:
    values: list[float | None] = []
    for start in data.starts:
        cells = [cell for group in groups if (cell := data.cells[group].get(start)) is not None]
        prompt = sum(cell.prompt for cell in cells)
        values.append(sum(cell.read for cell in cells) / prompt if prompt else None)
    return Series(name="cache hit rate", values=values, colour=2)


def _timing(data: Timeline, column: str, id: str, title: str) -> Chart:
    return Chart(
        id=id,
        title=title,
        starts=data.starts,
        width=data.width,
        series=[
            Series(
                name=f"p{each}",
                values=[data.timings[column].get(start, {}).get(each) for start in data.starts],
                colour=at,
            )
            for at, each in enumerate(PERCENTS)
        ],
        format=duration,
        stacked=False,
    )
