"""``/api/stats``: what the traffic amounts to."""

from __future__ import annotations

from clawproxy.core.timestamp import rfc3339
from clawproxy.dashboard.api_answer import Answer, Call, given
from clawproxy.dashboard.api_query import FILTERS, choice, filters, read_filter
from clawproxy.store.protocol import Store
from clawproxy.store.statistics import BYS, PERCENTS, By, Figures, report

_TAKEN = tuple(name for name in FILTERS if name != "q")
_LABELS = {"agent": "agent_id"}


async def statistics(call: Call) -> Answer:
    """Answer ``GET /api/stats``."""
    narrow, found = filters(call.query, _TAKEN, ("by",))
    asked = found.get("by", ",".join(BYS)).split(",")
    bys: list[By] = [choice("by", name, BYS) for name in asked]  # type: ignore[misc]
    filter = read_filter(narrow, call.now)

    async def fetch(store: Store) -> dict[str, object]:
        whole, groups = await report(store, filter, bys)
        answer: dict[str, object] = {
            "since": None if filter.since is None else rfc3339(filter.since / 1000),
            "until": None if filter.until is None else rfc3339(filter.until / 1000),
            "total": _plain(whole),
        }
        for by, rows in groups.items():
            label = _LABELS.get(by, by)
            answer[f"by_{by}"] = [{label: _key(each), **_plain(each)} for each in rows]
        return answer

    return given(await call.pool.run(fetch))


def _key(each: Figures) -> str | None:
    return rfc3339(each.key / 1000) if isinstance(each.key, int) else each.key


def _plain(each: Figures) -> dict[str, object]:
    rate = each.cache_hit_rate
    return {
        "requests": each.requests,
        "errors": each.errors,
        "outcomes": each.outcomes,
        **each.tokens,
        "cache_hit_rate": None if rate is None else round(rate, 4),
        "cost_usd": each.cost_usd,
        "unpriced": each.unpriced,
        "request_bytes": each.request_bytes,
        "response_bytes": each.response_bytes,
        "ttft_ms": {f"p{percent}": each.ttft_ms.get(percent) for percent in PERCENTS},
        "duration_ms": {f"p{percent}": each.duration_ms.get(percent) for percent in PERCENTS},
    }
