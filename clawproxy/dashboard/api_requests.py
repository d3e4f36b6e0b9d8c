"""``/api/requests``: lists, single exchanges, their exact bytes, and deleting."""

from __future__ import annotations

from attrs import evolve

from clawproxy.core.record import Exchange
from clawproxy.dashboard.api_answer import JSON, Answer, Call, NotFound, given
from clawproxy.dashboard.api_query import (
    DEFAULT,
    FILTERS,
    MOST,
    BadParameter,
    choice,
    filters,
    parameters,
    read_filter,
)
from clawproxy.dashboard.api_query import (
    whole as whole_number,
)
from clawproxy.dashboard.api_record import detailed, listed
from clawproxy.dashboard.api_record import events as pieces_of
from clawproxy.store import reading
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.pool import StorePool
from clawproxy.store.protocol import BodyKind, Detail, Filter, Store, StoreUnavailable

STEP = 500
"""Exchanges deleted by one transaction."""
PATIENCE = 20
"""Times in a row that a deletion is tried again while others write."""
ON_ITS_WAY = 0.5
"""Seconds that a deletion waits first: what has just finished comes into the store 0.2 s later (0.36 s at most, in the
journal's tests of faults), and whoever deletes everything does not expect it to be left."""
_SIDES = {"sent": Side.SENT, "received": Side.RECEIVED}


async def page(call: Call) -> Answer:
    """Answer ``GET /api/requests``."""
    narrow, found = filters(call.query, FILTERS, ("limit", "cursor"))
    limit = whole_number("limit", found["limit"], 1, MOST) if "limit" in found else DEFAULT
    filter = read_filter(narrow, call.now)
    cursor = found.get("cursor")
    try:
        page = await call.pool.run(lambda store: store.list(filter, cursor, limit))
    except ValueError:
        raise BadParameter("cursor", (cursor or "")[:100], "the next_cursor of a page") from None
    return given(
        {
            "requests": [listed(item.exchange) for item in page.items],
            "next_cursor": page.cursor,
            "total": page.total,
        }
    )


async def delete(call: Call) -> Answer:
    """Answer ``DELETE /api/requests``."""
    narrow, _ = filters(call.query, FILTERS, strict=True)
    filter = read_filter(narrow, call.now)
    await call.pause(ON_ITS_WAY)
    return given({"deleted": await delete_all(call.pool, filter)})


async def delete_all(pool: StorePool, filter: Filter) -> int:
    """Delete everything that a filter lets through but what is running, step by step.

    :returns: how many.
    """
    deleted = refused = 0
    while True:
        try:
            gone = await pool.run(lambda store: store.delete(filter, STEP))
        except StoreUnavailable:
            # The indexer writes, too; between its batches there is room.
            refused += 1
            if refused > PATIENCE:
                raise
            continue
        refused = 0
        deleted += gone
        if gone < STEP:
            return deleted


async def detail(call: Call) -> Answer:
    """Answer ``GET /api/requests/{id}``; with ``bodies=0`` without request and response."""
    found = parameters(call.query, ("bodies",))
    whole = choice("bodies", found.get("bodies", "1"), ("0", "1")) == "1"
    (id,) = call.names

    async def fetch(store: Store) -> tuple[Detail, bytes | None]:
        detail = await store.get(id)
        if detail is None:
            raise NotFound(f"there is no exchange {id[:100]!r}")
        request = detail.request
        if request and reading.coding(detail.stored.exchange, "request"):
            request = await store.body(detail.stored.exchange.id, "request", decoded=True)
        return detail, request

    detail, request = await call.pool.run(fetch)
    if not whole:
        detail, request = evolve(detail, finished=None), None
    return given(detailed(detail, request))


async def body(call: Call) -> Answer:
    """Answer ``GET /api/requests/{id}/request`` and the other three."""
    found = parameters(call.query, ("decoded",))
    decoded = choice("decoded", found.get("decoded", "0"), ("0", "1")) == "1"
    id, name = call.names
    which: BodyKind = name  # type: ignore[assignment]

    async def fetch(store: Store) -> tuple[Detail, bytes | None]:
        detail = await store.get(id)
        if detail is None:
            raise NotFound(f"there is no exchange {id[:100]!r}")
        return detail, await store.body(detail.stored.exchange.id, which, decoded=decoded)

    detail, found_body = await call.pool.run(fetch)
    exchange = detail.stored.exchange
    if found_body is None and which == "response" and _without_body(exchange):
        found_body = b""
    if found_body is None:
        same = which.removeprefix("upstream-")
        words = f"exchange {id[:100]!r} has no {which}"
        if same != which:
            words += f" of its own: where it does not differ, it is the {same}"
        raise NotFound(words)
    headers = {
        "request": exchange.request_headers,
        "response": exchange.response_headers,
        "upstream-request": exchange.upstream_request_headers or exchange.request_headers,
        "upstream-response": exchange.upstream_response_headers or exchange.response_headers,
    }[which]
    coded = not decoded and bool(reading.coding(exchange, which))
    kind = "application/octet-stream" if coded else safe(reading.header(headers, "content-type"))
    return Answer(200, found_body, kind)


def _without_body(exchange: Exchange) -> bool:
    """Tell of an answer, such as a 204, that its exact bytes are none, from one whose bytes were not kept."""
    return exchange.outcome == "ok" and not exchange.response_bytes


def safe(kind: str) -> str:
    """Give a content type that says what bytes are without any browser running what is in them."""
    name = kind.partition(";")[0].strip().lower()
    if name == JSON or name.endswith("+json"):
        return JSON
    if name.startswith("text/") or name == "application/x-ndjson":
        return "text/plain; charset=utf-8"
    return "application/octet-stream"


async def events(call: Call) -> Answer:
    """Answer ``GET /api/requests/{id}/events``."""
    found = parameters(call.query, ("side",))
    side = _SIDES[choice("side", found.get("side", "sent"), tuple(_SIDES))]
    (id,) = call.names

    async def fetch(store: Store) -> tuple[Detail, Pieces]:
        detail = await store.get(id)
        if detail is None:
            raise NotFound(f"there is no exchange {id[:100]!r}")
        return detail, await store.events(detail.stored.exchange.id, side) or Pieces()

    detail, pieces = await call.pool.run(fetch)
    which: BodyKind = "response" if side is Side.SENT else "upstream-response"
    return given(pieces_of(pieces, reading.coding(detail.stored.exchange, which)))
