"""The pages of one exchange: prompt and answer, timing, headers, raw bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from clawproxy.core.record import Exchange
from clawproxy.dashboard.api_answer import Answer, NotFound
from clawproxy.dashboard.api_query import parameters
from clawproxy.dashboard.api_record import events as texts_of
from clawproxy.dashboard.pages_answer import Visit, shown
from clawproxy.dashboard.render import Writer, gist, link
from clawproxy.dashboard.render_numbers import percent, short, size
from clawproxy.dashboard.view import Message, Part, Prompt, Text
from clawproxy.dashboard.view_cache import CacheMap, Segment, cache_map
from clawproxy.dashboard.view_json import compact
from clawproxy.dashboard.view_miss import misses
from clawproxy.dashboard.view_turn import (
    Novelty,
    json_object,
    novelty,
    read_answer,
    read_prompt,
)
from clawproxy.dashboard.waterfall import waterfall
from clawproxy.store import reading
from clawproxy.store.protocol import BodyKind, Detail, Store
from clawproxy.store.segment import Pieces

CANDIDATES = 4
"""Exchanges that are looked at to find the turn before."""
PIECES_SHOWN = 500
_BODIES: tuple[tuple[BodyKind, str], ...] = (
    ("request", "Request"),
    ("upstream-request", "Request sent upstream"),
    ("response", "Response"),
    ("upstream-response", "Response from upstream"),
)
_NEIGHBOURS = (
    "SELECT uid FROM exchange WHERE conversation_id = ? AND id {way} ? AND side_call IS NULL"
    " AND COALESCE(agent_id, '') = ? ORDER BY id {order} LIMIT ?"
)


@frozen(kw_only=True)
class Turn:
    """An exchange with what its pages need.

    :ivar request: its JSON; ``None`` if it has none.
    :ivar before: the turn that it goes on from, with its request.
    :ivar after: ids of the turns that come next, the nearest first.
    """

    detail: Detail
    request: dict[str, object] | None = None
    raw: bytes | None = field(default=None, repr=False)
    before: tuple[Exchange, dict[str, object]] | None = None
    after: Sequence[str] = ()

    @property
    def exchange(self) -> Exchange:
        """The record."""
        return self.detail.stored.exchange


async def request_of(store: Store, detail: Detail) -> bytes | None:
    """Give a request with its content coding undone."""
    exchange = detail.stored.exchange
    if detail.request and reading.coding(exchange, "request"):
        return await store.body(exchange.id, "request", decoded=True)
    return detail.request


async def found(store: Store, id: str) -> Detail:
    """Get an exchange.

    :raises NotFound: there is none.
    """
    detail = await store.get(id)
    if detail is None:
        raise NotFound(f"there is no exchange {id[:100]!r}")
    return detail


async def turn(store: Store, id: str) -> Turn:
    """Get an exchange with the turns before and after it."""
    detail = await found(store, id)
    raw = await request_of(store, detail)
    request = json_object(raw)
    before = await _before(store, detail, request)
    rows = await _neighbours(store, detail, ">", "ASC", 1)
    return Turn(detail=detail, request=request, raw=raw, before=before, after=rows)


async def _neighbours(store: Store, detail: Detail, way: str, order: str, most: int) -> list[str]:
    exchange = detail.stored.exchange
    if exchange.conversation_id is None or detail.stored.side_call is not None:
        return []
    rows = await store.rows(
        _NEIGHBOURS.format(way=way, order=order),
        (exchange.conversation_id, detail.stored.number, exchange.agent_id or "", most),
    )
    return [str(row[0]) for row in rows]


async def _before(
    store: Store, detail: Detail, request: dict[str, object] | None
) -> tuple[Exchange, dict[str, object]] | None:
    """Find the turn that has most in common with this one, the latest of several."""
    best: tuple[Exchange, dict[str, object]] | None = None
    most = 0
    if request is None:
        return None
    for uid in await _neighbours(store, detail, "<", "DESC", CANDIDATES):
        older = await store.get(uid)
        if older is None:
            continue
        body = json_object(await request_of(store, older))
        if body is None:
            continue
        compared = novelty(body, request)
        if compared.old > most:
            best, most = (older.stored.exchange, body), compared.old
        if compared.old and not compared.dropped:
            break
    return best


def _head(visit: Visit, found: Turn, tab: str) -> dict[str, Any]:
    return {
        "x": found.exchange,
        "kind": found.detail.stored.side_call,
        "truncated": found.detail.stored.truncated,
        "tab": tab,
        "before": found.before[0].id if found.before else None,
        "after": found.after[0] if found.after else None,
    }


async def exchange(visit: Visit) -> Answer:
    """Show ``/ui/requests/{id}``: prompt and answer."""
    parameters(visit.query, ())
    (id,) = visit.names
    held = await visit.pool.run(lambda store: turn(store, id))
    x = held.exchange
    prompt = read_prompt(x.dialect, held.request)
    answer = read_answer(x.dialect, json_object(held.detail.finished))
    what_is_new = novelty(held.before[1], held.request) if held.before and held.request else None
    old, fresh = _parted(prompt, what_is_new)
    cache = cache_map(prompt, x.usage, x.dialect, what_is_new.old if what_is_new else 0)
    writer = Writer()
    # What is new is read as Markdown first, while the page can afford it.
    for message in (*fresh, *answer.messages):
        for part in message.parts:
            if isinstance(part, Text) and not part.plain:
                writer.prose(part.text)
    return shown(
        visit,
        "exchange.html",
        "live",
        **_head(visit, held, ""),
        w=writer,
        at_in=link("requests", x.id, "part", "request") + "/",
        at_out=link("requests", x.id, "part", "response") + "/",
        prompt=prompt,
        answer=answer,
        request_missing=held.request is None,
        old=old,
        fresh=fresh,
        marked=what_is_new is not None and bool(what_is_new.old),
        changed=what_is_new.changed if what_is_new and what_is_new.old else (),
        dropped=what_is_new.dropped if what_is_new else 0,
        cache=cache,
        cache_words=_cache_words(x),
        map=_bars(cache),
        misses=misses(held.before, held.request, x, what_is_new) if what_is_new else [],
        outline=_outline(prompt, old, fresh),
        fresh_system=False,
        system_gist=gist(_first_text(prompt.system[-1:]), 300),
    )


def _parted(prompt: Prompt, new: Novelty | None) -> tuple[list[Message], list[Message]]:
    shown = [message for message in prompt.messages if not message.answered]
    old = new.old if new is not None else 0
    return (
        [message for message in shown if message.number + message.span <= old],
        [message for message in shown if message.number + message.span > old],
    )


def _cache_words(x: Exchange) -> str:
    usage = x.usage
    if usage is None:
        return "No usage was reported."
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    whole = read + written + usage.input_tokens
    if not whole:
        return "No prompt tokens were reported."
    return (
        f"{short(whole)} prompt tokens: {short(read)} from the cache ({percent(read / whole)}),"
        f" {short(written)} written to it, {short(usage.input_tokens)} not cached."
    )


@frozen(kw_only=True)
class Bar:
    """A segment of the map, in thousandths."""

    x: float
    width: float
    state: str
    role: str
    label: str
    words: str


_STATES = {
    "read": "from the cache",
    "written": "written to the cache",
    "fresh": "not cached",
    "": "unknown",
}


def _bars(cache: CacheMap) -> list[Bar]:
    bars, at = [], 0.0
    for each in cache.segments:
        width = each.share * 1000
        bars.append(
            Bar(
                x=round(at, 2),
                width=round(max(width - 0.8, 0.4), 2),
                state=each.state,
                role=each.label.split()[0] if each.label.split() else "other",
                label=_label(each),
                words=f"{_STATES[each.state]}, {short(each.weight)} characters",
            )
        )
        at += width
    return bars


def _label(segment: Segment) -> str:
    place = segment.place
    return segment.label if place in ("tools", "system") else f"{segment.label} {place}"


@frozen(kw_only=True)
class Entry:
    """A line of the outline."""

    anchor: str
    role: str
    who: str
    gist: str
    fresh: bool = False


def _outline(prompt: Prompt, old: Sequence[Message], fresh: Sequence[Message]) -> list[Entry]:
    entries = []
    if prompt.tools:
        entries.append(
            Entry(anchor="tools", role="tools", who="tools", gist=f"{len(prompt.tools)} offered")
        )
    if prompt.system:
        words = gist(_first_text(prompt.system[-1:]), 60)
        entries.append(Entry(anchor="system", role="system", who="system", gist=words))
    if old:
        words = f"{len(old)} earlier messages"
        entries.append(Entry(anchor="history", role="history", who="history", gist=words))
    shown_old = [] if len(old) > 30 else list(old)
    for message in (*shown_old, *fresh):
        entries.append(
            Entry(
                anchor=f"m{message.number}",
                role=message.role if message.role.isalpha() else "other",
                who=message.role,
                gist=gist(_first_text(message.parts), 60),
                fresh=message in fresh and bool(old),
            )
        )
    entries.append(Entry(anchor="answer", role="answer", who="answer", gist=""))
    return entries


def _first_text(parts: Sequence[Part]) -> str:
    for part in parts:
        if part.kind == "text" and getattr(part, "text", "").strip():
            return str(part.text)[:400]  # type: ignore[attr-defined]
    for part in parts:
        if part.kind == "call":
            return str(getattr(part, "name", ""))
        if part.kind == "aside":
            return str(getattr(part, "text", ""))[:400]
    return parts[0].kind if parts else ""


async def timing(visit: Visit) -> Answer:
    """Show ``/ui/requests/{id}/timing``."""
    parameters(visit.query, ())
    (id,) = visit.names

    async def fetch(store: Store) -> tuple[Turn, Pieces]:
        held = await turn(store, id)
        return held, await store.events(held.exchange.id) or Pieces()

    held, pieces = await visit.pool.run(fetch)
    chart = waterfall(held.exchange, pieces.times, [len(piece) for piece in pieces.data])
    values = _head(visit, held, "timing")
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
    return shown(visit, "headers.html", "live", **_head(visit, held, "headers"), facts=given)


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
        **_head(visit, held, "raw"),
        bodies=[
            _raw(name, title, body)
            for (name, title), body in zip(_BODIES, bodies, strict=True)
            if body
        ],
        pieces=rows,
        total_pieces=len(pieces.times),
    )


def _raw(name: str, title: str, body: bytes) -> RawBody:
    writer = Writer(clip=60_000)
    value = json_object(body)
    if value is None:
        text = body[:400_000].decode("utf-8", "replace")
        html: object = writer.plain(text)
    else:
        from clawproxy.dashboard.view_json import pretty

        text = pretty(value) if len(body) < 400_000 else compact(value)
        html = writer.code(text, "json")
    left = max(0, len(text) - writer.clip, len(body) - 400_000)
    return RawBody(name=name, title=title, size=len(body), html=html, left=left)
