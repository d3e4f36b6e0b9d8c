"""The page from which a recorded request is sent again. Sending itself is the proxy's own process's
work (``/api/send``)."""

from __future__ import annotations

from clawproxy.dashboard.api_answer import Answer, NotFound
from clawproxy.dashboard.api_query import parameters
from clawproxy.dashboard.pages_answer import Visit, shown
from clawproxy.dashboard.pages_exchange import found, request_of
from clawproxy.dashboard.view_json import pretty
from clawproxy.dashboard.view_turn import json_object
from clawproxy.store.protocol import Store

EDITED = 4 << 20
"""Bytes of a request that a browser can still edit."""
_PATHS = ("/v1/messages", "/v1/chat/completions", "/v1/responses")


async def send(visit: Visit) -> Answer:
    """Show ``/ui/requests/{id}/send``."""
    parameters(visit.query, ())
    (id,) = visit.names

    async def fetch(store: Store) -> tuple[object, bytes | None, list[str]]:
        detail = await found(store, id)
        rows = await store.rows(
            "SELECT DISTINCT e.model FROM exchange e WHERE e.model IS NOT NULL LIMIT ?", (200,)
        )
        body = await request_of(store, detail)
        return detail.stored.exchange, body, sorted(str(row[0]) for row in rows)

    x, body, models = await visit.pool.run(fetch)
    value = json_object(body)
    if body is None or value is None:
        raise NotFound("the request of this exchange was not kept, or is no JSON")
    editable = len(body) <= EDITED
    return shown(
        visit,
        "send.html",
        "live",
        x=x,
        # Numbers that no float holds would not survive a browser's JSON, so it is text all the way.
        body=pretty(value) if editable else "",
        editable=editable,
        size=len(body),
        models=models,
        paths=_PATHS,
    )
