"""``/api/conversations``: what belongs together, and one of it as a tree."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clawproxy.core.record import Exchange
from clawproxy.core.timestamp import rfc3339
from clawproxy.dashboard.api_answer import Answer, Call, NotFound, given
from clawproxy.dashboard.api_query import (
    DEFAULT,
    FILTERS,
    MOST,
    BadParameter,
    filters,
    parameters,
    read_filter,
    whole,
)
from clawproxy.dashboard.api_record import json_of, listed
from clawproxy.store import conversation_list as lists
from clawproxy.store.conversation_query import Conversation, load
from clawproxy.store.conversation_summary import Summary
from clawproxy.store.conversation_thread import Node, Step, Thread
from clawproxy.store.protocol import Store
from clawproxy.store.query import TOKENS


async def page(call: Call) -> Answer:
    """Answer ``GET /api/conversations``."""
    narrow, found = filters(call.query, FILTERS, ("limit", "cursor"))
    limit = whole("limit", found["limit"], 1, MOST) if "limit" in found else DEFAULT
    filter = read_filter(narrow, call.now)
    cursor = found.get("cursor")
    try:
        page = await call.pool.run(lambda store: lists.page(store, filter, cursor, limit))
    except ValueError:
        raise BadParameter("cursor", (cursor or "")[:100], "the next_cursor of a page") from None
    return given(
        {
            "conversations": [summary(each) for each in page.items],
            "next_cursor": page.cursor,
            "total": page.total,
        }
    )


def summary(each: Summary) -> dict[str, object]:
    """Give a conversation as the list shows it."""
    return {
        "id": each.id,
        "title": each.title,
        "started_at": rfc3339(each.started_ms / 1000),
        "last_at": rfc3339(each.last_ms / 1000),
        "session_id": each.session_id,
        "requests": each.requests,
        "turns": each.turns,
        "side_calls": each.requests - each.turns,
        "running": each.running,
        "errors": each.errors,
        "agents": each.agents,
        "models": each.models,
        **each.tokens,
        "cost_usd": each.cost_usd,
        "unpriced": each.unpriced,
    }


async def detail(call: Call) -> Answer:
    """Answer ``GET /api/conversations/{id}``."""
    parameters(call.query, ())
    (id,) = call.names

    async def fetch(store: Store) -> Conversation | None:
        return await load(store, id, call.pause)

    found = await call.pool.run(fetch)
    if found is None:
        raise NotFound(f"there is no conversation {id[:100]!r}")
    return given(plain(found))


def plain(conversation: Conversation) -> dict[str, object]:
    """Give a conversation as JSON values."""
    threads = conversation.tree.finish()
    sessions = [each.session_id for each in conversation.exchanges if each.session_id]
    return {
        "id": conversation.id,
        "title": conversation.title,
        "session_id": sessions[0] if sessions else None,
        "requests": len(conversation.exchanges) + conversation.left_out,
        "left_out": conversation.left_out,
        **totals(conversation.exchanges),
        "threads": [_thread(thread) for thread in threads],
        "side_calls": [
            {**listed(exchange), "kind": kind} for kind, exchange in conversation.tree.side_calls
        ],
    }


def totals(exchanges: Sequence[Exchange]) -> dict[str, object]:
    """Add up what exchanges used and cost."""
    usages = [each.usage for each in exchanges if each.usage is not None]
    costs = [each.cost_usd for each in exchanges if each.cost_usd is not None]
    return {
        **{name: sum(getattr(usage, name) for usage in usages) for name in TOKENS},
        "cost_usd": round(sum(costs), 9),
        "unpriced": sum(
            1
            for each in exchanges
            if each.cost_usd is None and each.usage and each.usage.output_tokens
        ),
    }


def _thread(thread: Thread) -> dict[str, object]:
    source = thread.source
    return {
        "id": thread.id,
        "origin": thread.origin,
        "agent_id": thread.agent_id,
        "parent_agent_id": thread.parent_agent_id,
        "parent": None
        if source is None
        else {
            "request": source.exchange,
            "message": source.node.id if source.node is not None else None,
            "tool_call_id": source.call,
        },
        "branches": thread.branches,
        **totals([step.exchange for step in thread.steps]),
        "system": json_of(thread.system),
        "messages": [_message(node) for node in thread.nodes],
        "requests": [_step(step) for step in thread.steps],
        "children": [_thread(child) for child in thread.children],
    }


def _message(node: Node) -> dict[str, object]:
    return {
        "id": node.id,
        "parent": node.parent.id if node.parent is not None else None,
        "role": node.message.said.role,
        "request": node.exchange,
        "at": node.at,
        "answer": node.answer,
        "aside": node.aside,
        "message": json_of(node.message.raw) or msgspec.Raw(b"null"),
    }


def _step(step: Step) -> dict[str, object]:
    return {
        **listed(step.exchange),
        "tip": step.tip.id if step.tip is not None else None,
        "answer": [node.id for node in step.answer],
    }
