"""``/ui/conversations`` and ``/ui/conversations/{id}``: who talks, and one thread without repetition."""

from __future__ import annotations

from collections import Counter

from clawproxy.dashboard.api_answer import Answer, NotFound
from clawproxy.dashboard.api_query import FILTERS, BadParameter, filters, parameters, read_filter
from clawproxy.dashboard.pages_answer import Given, Visit, shown
from clawproxy.dashboard.pages_live import SINCE, names
from clawproxy.dashboard.pages_parts import given, reached
from clawproxy.dashboard.render import Writer
from clawproxy.dashboard.view_layout import Layout
from clawproxy.dashboard.view_outline import contents
from clawproxy.dashboard.view_said import LONG
from clawproxy.dashboard.view_thread import totals
from clawproxy.dashboard.view_turn import json_object, print_of
from clawproxy.store import conversation_list
from clawproxy.store.conversation import answers, messages
from clawproxy.store.conversation_list import ConversationPage
from clawproxy.store.conversation_query import Conversation, load
from clawproxy.store.protocol import Store

ROWS = 50
_TAKEN = tuple(name for name in FILTERS if name != "q")


async def conversations(visit: Visit) -> Answer:
    """Show the list."""
    narrow, found = filters(visit.query, _TAKEN, ("cursor",))
    filter = read_filter(narrow, visit.now)
    cursor = found.get("cursor")

    async def fetch(store: Store) -> tuple[ConversationPage, dict[str, list[str]]]:
        page = await conversation_list.page(store, filter, cursor, ROWS)
        return page, await names(store)

    try:
        page, choices = await visit.pool.run(fetch)
    except ValueError:
        expected = "the cursor of a page"
        raise BadParameter("cursor", (cursor or "")[:100], expected) from None
    return shown(
        visit,
        "conversations.html",
        "conversations",
        items=page.items,
        next=page.cursor,
        total=page.total,
        cursor=cursor,
        filters=Given(narrow),
        choices=choices,
        since=SINCE,
    )


async def conversation(visit: Visit) -> Answer:
    """Show one."""
    parameters(visit.query, ())
    (id,) = visit.names

    async def fetch(store: Store) -> Conversation | None:
        return await load(store, id, visit.pause)

    found = await visit.pool.run(fetch)
    if found is None:
        raise NotFound(f"there is no conversation {id[:100]!r}")
    layout = Layout(found.exchanges)
    threads = [layout.lay(thread) for thread in found.tree.finish()]
    sums = totals(found.exchanges)
    last = sums[found.exchanges[-1].id]
    side = found.tree.side_calls
    title = found.title or next((each.title for each in threads if each.title), "")
    return shown(
        visit,
        "conversation.html",
        "conversations",
        id=found.id,
        title=title,
        threads=threads,
        outline=contents(threads),
        left_out=found.left_out,
        exchanges=found.exchanges,
        total=last,
        side_calls=side,
        side_kinds=Counter(kind for kind, _ in side).most_common(),
        agents=len({x.agent_id for x in found.exchanges if x.agent_id}),
        models=sorted({x.routed_model or x.model or "" for x in found.exchanges} - {""}),
        w=Writer(clip=LONG),
        at="/ui/said/",
    )


async def said(visit: Visit) -> Answer:
    """Give a part of a message, found by the message's content in the exchange that first had it."""
    query = parameters(visit.query, ("as",))
    id, name, pointer = visit.names

    async def fetch(store: Store) -> object:
        detail = await reached(store, id)
        for body in (detail.request, detail.finished):
            value = json_object(body) or {}
            told = [*messages(value), *answers(detail.stored.exchange.dialect, value)]
            for each in told:
                if print_of(each).hex() == name:
                    return {"messages": [each], "input": [each]}
        raise NotFound("there is no such message in this exchange")

    return given(await visit.pool.run(fetch), pointer, query)
