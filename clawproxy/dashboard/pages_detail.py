"""The pages of one exchange beside prompt and answer: timing, headers, raw bytes."""

from __future__ import annotations

from attrs import frozen

from clawproxy.dashboard.api_answer import Answer
from clawproxy.dashboard.api_query import parameters
from clawproxy.dashboard.api_record import events as texts_of
from clawproxy.dashboard.pages_answer import Visit, shown
from clawproxy.dashboard.pages_exchange import Turn, head, turn
from clawproxy.dashboard.render import Writer
from clawproxy.dashboard.render_numbers import size
from clawproxy.dashboard.view_json import compact, pretty
from clawproxy.dashboard.view_turn import json_object
from clawproxy.dashboard.waterfall import waterfall
from clawproxy.store import reading
from clawproxy.store.pieces import Pieces
from clawproxy.store.protocol import BodyKind, Store

PIECES_SHOWN = 500
BODY_SHOWN = 60_000
"""Characters of a body that are shown."""
PRETTY = 400_000
"""Bytes of JSON up to which it is set on many lines."""
_BODIES: tuple[tuple[BodyKind, str], ...] = (
    ("request", "Request"),
    ("upstream-request", "Request sent upstream"),
    ("response", "Response"),
    ("upstream-response", "Response from upstream"),
)


async def timing(visit: Visit) -> Answer:
    """Show ``/ui/requests/{id}/timing``."""
    parameters(visit.query, ())
    (id,) = visit.names

    async def fetch(store: Store) -> tuple[Turn, Pieces]:
        held = await turn(store, id)
        return held, await store.events(held.exchange.id) or Pieces()

    held, pieces = await visit.pool.run(fetch)
    chart = waterfall(held.exchange, pieces.times, [len(piece) for piece in pieces.data])
    values = head(held, "timing")
    return shown(visit, "timing.html", "live", **values, waterfall=chart, pieces=bool(pieces.times))


async def headers(visit: Visit) -> Answer:
    """Show ``/ui/requests/{id}/headers``."""
    parameters(visit.query, ())
    (id,) = visit.names
    held = await visit.pool.run(lambda store: turn(store, id))
    x = held.exchange
    facts = [
        ("id", x.id),
        ("x-request-id", x.request_id),
        ("the caller's request id", x.client_request_id),
        ("the upstream's request id", x.upstream_request_id),
        ("call", f"{x.method} {x.path}{'?' + x.query if x.query else ''}"),
        ("caller", f"{x.client.address} {x.client.user_agent or ''}"),
        ("key", x.key),
        ("dialect", x.dialect),
        ("dialect upstream", x.upstream_dialect if x.upstream_dialect != x.dialect else None),
        ("streamed upstream, not to the caller", "yes" if x.demoted else None),
        ("session", x.session_id),
        ("agent", x.agent_id),
        ("agent above", x.parent_agent_id),
        ("started", x.started_at),
        ("finished", x.finished_at),
        ("request", size(x.request_bytes)),
        ("response", size(x.response_bytes)),
    ]
    given = [(name, value) for name, value in facts if value]
    return shown(visit, "headers.html", "live", **head(held, "headers"), facts=given)


@frozen(kw_only=True)
class RawBody:
    """A body on its page."""

    name: str
    title: str
    size: int
    html: object
    left: int


async def raw(visit: Visit) -> Answer:
    """Show ``/ui/requests/{id}/raw``: bodies, and the pieces as they came."""
    parameters(visit.query, ())
    (id,) = visit.names

    async def fetch(store: Store) -> tuple[Turn, list[bytes | None], Pieces]:
        held = await turn(store, id)
        uid = held.exchange.id
        bodies = [await store.body(uid, which, decoded=True) for which, _ in _BODIES]
        return held, bodies, await store.events(uid) or Pieces()

    held, bodies, pieces = await visit.pool.run(fetch)
    coding = reading.coding(held.exchange, "response")
    told = texts_of(Pieces(pieces.times[:PIECES_SHOWN], pieces.data[:PIECES_SHOWN]), coding)
    rows, last = [], 0.0
    for each in told:
        at = float(each["at_ms"])  # type: ignore[arg-type]
        rows.append((at, at - last, str(each["data"])[:20_000]))
        last = at
    return shown(
        visit,
        "raw.html",
        "live",
        **head(held, "raw"),
        bodies=[
            _raw(name, title, body)
            for (name, title), body in zip(_BODIES, bodies, strict=True)
            if body
        ],
        pieces=rows,
        total_pieces=len(pieces.times),
    )


def _raw(name: str, title: str, body: bytes) -> RawBody:
    writer = Writer(clip=BODY_SHOWN)
    value = json_object(body)
    if value is None:
        text = body[:PRETTY].decode("utf-8", "replace")
        html: object
        if json_object(body.partition(b"\n")[0]) is not None:
            # JSON lines: what was said to a gateway, and what it said.
            text = text.replace("\n", "\n\n")
            html = writer.code(text, "json")
        else:
            html = writer.plain(text)
    else:
        text = pretty(value) if len(body) < PRETTY else compact(value)
        html = writer.code(text, "json")
    left = max(0, len(text) - writer.clip, len(body) - PRETTY)
    return RawBody(name=name, title=title, size=len(body), html=html, left=left)
