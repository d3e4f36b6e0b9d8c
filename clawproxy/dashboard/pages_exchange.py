"""``/ui/requests/{id}``: one exchange, its prompt and its answer; and what all of its pages need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from clawproxy.core.record import Exchange
from clawproxy.dashboard.api_answer import Answer, NotFound
from clawproxy.dashboard.api_query import parameters
from clawproxy.dashboard.pages_answer import Visit, shown
from clawproxy.dashboard.render import Writer, gist, link
from clawproxy.dashboard.render_numbers import percent, short
from clawproxy.dashboard.view import Message, Prompt, Text
from clawproxy.dashboard.view_cache import cache_map
from clawproxy.dashboard.view_miss import misses
from clawproxy.dashboard.view_outline import bars, first_text, outline
from clawproxy.dashboard.view_turn import (
    Novelty,
    json_object,
    novelty,
    read_answer,
    read_prompt,
)
from clawproxy.store import reading
from clawproxy.store.protocol import Detail, Store

CANDIDATES = 4
"""Exchanges that are looked at to find the turn before."""
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
    request = json_object(await request_of(store, detail))
    before = await _before(store, detail, request)
    rows = await _neighbours(store, detail, ">", "ASC", 1)
    return Turn(detail=detail, request=request, before=before, after=rows)


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


def head(found: Turn, tab: str) -> dict[str, Any]:
    """Give what the head of each of an exchange's pages shows.

    :param tab: which page it is.
    """
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
    kept = False
    if x.outcome != "running" and held.detail.finished is None and x.response_bytes:
        kept = bool(await visit.pool.run(lambda store: store.body(x.id, "response")))
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
        **head(held, ""),
        w=writer,
        at_in=link("requests", x.id, "part", "request") + "/",
        at_out=link("requests", x.id, "part", "response") + "/",
        prompt=prompt,
        answer=answer,
        broken=_breaks(x, answer.messages) if answer.error is None else "",
        no_prompt=_no_prompt(held, prompt),
        request_kept=bool(held.detail.request),
        answer_kept=kept,
        old=old,
        fresh=fresh,
        marked=what_is_new is not None and bool(what_is_new.old),
        changed=what_is_new.changed if what_is_new and what_is_new.old else (),
        dropped=what_is_new.dropped if what_is_new else 0,
        cache=cache,
        cache_words=_cache_words(x),
        map=bars(cache),
        misses=misses(held.before, held.request, x, what_is_new) if what_is_new else [],
        outline=outline(prompt, old, fresh),
        system_gist=gist(first_text(prompt.system[-1:]), 300),
    )


def _no_prompt(held: Turn, prompt: Prompt) -> str:
    """Say why a page shows nothing of a request."""
    if held.request is None:
        if held.detail.request:
            return "The request is no JSON object."
        return (
            "The request's text was not kept."
            if held.exchange.request_bytes
            else "The request has no body."
        )
    if prompt.settings or prompt.tools or prompt.system or prompt.messages:
        return ""
    return "The request has no messages."


def _parted(prompt: Prompt, new: Novelty | None) -> tuple[list[Message], list[Message]]:
    shown = [message for message in prompt.messages if not message.answered]
    old = new.old if new is not None else 0
    return (
        [message for message in shown if message.number + message.span <= old],
        [message for message in shown if message.number + message.span > old],
    )


_BREAKS = {
    "error": "The answer breaks off here: the upstream failed.",
    "cut": "The answer breaks off here: the proxy was stopped.",
    "interrupted": "The answer breaks off here: the proxy ended without warning.",
    "client_gone": "The caller left here.",
}


def _breaks(x: Exchange, messages: Sequence[Message]) -> str:
    """Say below an answer why it is not whole: what was read so far looks like a short one."""
    return _BREAKS.get(x.outcome, "") if messages else ""


def _cache_words(x: Exchange) -> str:
    usage = x.usage
    if usage is None:
        running = x.outcome == "running"
        return "Tokens are counted at the end." if running else "No usage was reported."
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    whole = read + written + usage.input_tokens
    if not whole:
        return "No prompt tokens were reported."
    return (
        f"{short(whole)} prompt tokens: {short(read)} from the cache ({percent(read / whole)}),"
        f" {short(written)} written to it, {short(usage.input_tokens)} not cached."
    )
