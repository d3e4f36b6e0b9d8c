"""The first page: what is under way, and what was lately; and the page of the proxy's own state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from attrs import frozen

from clawproxy.core.dialects import DialectName
from clawproxy.core.record import Outcome
from clawproxy.dashboard.api_answer import Answer
from clawproxy.dashboard.api_query import (
    FILTERS,
    BadParameter,
    filters,
    parameters,
    read_filter,
    whole,
)
from clawproxy.dashboard.pages_answer import Given, Visit, fragment, shown
from clawproxy.dashboard.pages_gist import gists
from clawproxy.store.conversation_query import chunks, marks
from clawproxy.store.protocol import Filter, Page, Store

ROWS = 50
"""Rows that are fetched at a time."""
MOST = 500
MOST_TOOLS = 3
CHOICES = 200
"""Names of one kind that a list offers."""
SINCE = (
    ("15m", "last 15 minutes"),
    ("1h", "last hour"),
    ("24h", "last 24 hours"),
    ("7d", "last 7 days"),
    ("30d", "last 30 days"),
)
_NAMES = {
    "model": "model",
    "provider": "provider",
    "agent": "agent_id",
    "kind": "side_call",
    "key": "key_name",
}


@frozen(kw_only=True)
class Row:
    """A row of the list.

    :ivar gist: what was said last to the model.
    :ivar tools: what its answer called.
    """

    x: Any
    kind: str | None
    gist: str
    tools: list[str]
    prompt_tokens: int | None


async def page_of(store: Store, filter: Filter, cursor: str | None, limit: int) -> Page:
    """Give a page of the list.

    :raises BadParameter: for a cursor that is none.
    """
    try:
        return await store.list(filter, cursor, limit)
    except ValueError:
        expected = "the cursor of a page"
        raise BadParameter("cursor", (cursor or "")[:100], expected) from None


async def rows_of(store: Store, page: Page) -> list[Row]:
    """Make rows."""
    words = await gists(store, page.items)
    called = await _called(store, [item.number for item in page.items])
    return [
        Row(
            x=item.exchange,
            kind=item.side_call,
            gist=words.get(item.exchange.id, ""),
            tools=called.get(item.number, [])[:MOST_TOOLS],
            prompt_tokens=_prompt(item.exchange),
        )
        for item in page.items
    ]


async def _called(store: Store, numbers: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for some in chunks(numbers):
        rows = await store.rows(
            f"SELECT exchange, name FROM tool WHERE exchange IN ({marks(some)})", some
        )
        for number, name in rows:
            found.setdefault(number, []).append(str(name))
    return found


def _prompt(x: Any) -> int | None:
    usage = x.usage
    if usage is None:
        return None
    return int(
        usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
    )


async def names(store: Store) -> dict[str, list[str]]:
    """Give what there is to choose from in filters."""
    found = {}
    for name, column in _NAMES.items():
        rows = await store.rows(
            f"SELECT DISTINCT e.{column} FROM exchange e WHERE e.{column} IS NOT NULL LIMIT ?",
            (CHOICES,),
        )
        found[name] = sorted(str(row[0]) for row in rows)
    found["outcome"] = list(get_args(Outcome))
    found["dialect"] = list(get_args(DialectName))
    return found


async def live(visit: Visit) -> Answer:
    """Show ``/ui/``."""
    narrow, cursor, wrong = _tolerant(visit)
    filter = read_filter(narrow, visit.now)

    async def fetch(store: Store) -> tuple[Page, list[Row], dict[str, list[str]]]:
        page = await page_of(store, filter, cursor, ROWS)
        return page, await rows_of(store, page), await names(store)

    page, rows, choices = await visit.pool.run(fetch)
    return shown(
        visit,
        "live.html",
        "live",
        rows=rows,
        total=page.total,
        next=page.cursor,
        cursor=cursor,
        filters=Given(narrow),
        choices=choices,
        since=SINCE,
        wrong=wrong,
    )


def _tolerant(visit: Visit) -> tuple[dict[str, tuple[str, ...]], str | None, str | None]:
    """Read the filters and the cursor of an address that a person may have typed: a wrong one is said on the page."""
    try:
        narrow, found = filters(visit.query, FILTERS, ("cursor",))
        read_filter(narrow, visit.now)
    except BadParameter as bad:
        return {}, None, str(bad)
    return narrow, found.get("cursor"), None


async def rows(visit: Visit) -> Answer:
    """Give rows alone, for the page to put in: the newest, or those behind a cursor."""
    narrow, found = filters(visit.query, FILTERS, ("cursor", "limit"))
    limit = whole("limit", found["limit"], 1, MOST) if "limit" in found else ROWS
    cursor = found.get("cursor")
    filter = read_filter(narrow, visit.now)

    async def fetch(store: Store) -> tuple[Page, list[Row]]:
        page = await page_of(store, filter, cursor, limit)
        return page, await rows_of(store, page)

    page, made = await visit.pool.run(fetch)
    return fragment("rows.html", rows=made, next=page.cursor, total=page.total)


async def status(visit: Visit) -> Answer:
    """Show ``/ui/status``. What it shows is known to the proxy's own process, so the page asks that."""
    parameters(visit.query, ())
    return shown(visit, "status.html", "status")
