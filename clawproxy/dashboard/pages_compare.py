"""``/ui/compare?a=…&b=…``: two exchanges side by side."""

from __future__ import annotations

from clawproxy.dashboard.api_answer import Answer
from clawproxy.dashboard.api_query import BadParameter, parameters
from clawproxy.dashboard.pages_answer import Visit, shown
from clawproxy.dashboard.pages_exchange import found, request_of
from clawproxy.dashboard.render import Writer, link
from clawproxy.dashboard.view_compare import answer_change, figures, prompt_changes
from clawproxy.dashboard.view_turn import json_object, read_answer, read_prompt
from clawproxy.store.protocol import Detail, Store


async def compare(visit: Visit) -> Answer:
    """Show the page."""
    query = parameters(visit.query, ("a", "b"))
    for name in ("a", "b"):
        if name not in query:
            raise BadParameter(name, "", "an exchange's id")

    async def fetch(store: Store) -> list[tuple[Detail, bytes | None]]:
        details = [await found(store, query[name]) for name in ("a", "b")]
        return [(detail, await request_of(store, detail)) for detail in details]

    (left, left_body), (right, right_body) = await visit.pool.run(fetch)
    a, b = left.stored.exchange, right.stored.exchange
    prompts = [
        read_prompt(x.dialect, json_object(body)) for x, body in ((a, left_body), (b, right_body))
    ]
    answers = [
        read_answer(detail.stored.exchange.dialect, json_object(detail.finished))
        for detail in (left, right)
    ]
    return shown(
        visit,
        "compare.html",
        "live",
        a=a,
        b=b,
        w=Writer(),
        figures=figures(a, b),
        changes=prompt_changes(*prompts),
        answers=list(zip((a, b), answers, strict=True)),
        ats=[link("requests", x.id, "part", "response") + "/" for x in (a, b)],
        answer_change=answer_change(*answers),
    )
