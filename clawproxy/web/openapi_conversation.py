"""The schemas of conversations and statistics, as :mod:`clawproxy.dashboard` gives them."""

from __future__ import annotations

from collections.abc import Mapping

from clawproxy.store.query import TOKENS
from clawproxy.web.openapi_message import JSON, array, obj, ref

_TEXT: JSON = {"type": "string"}
_MAYBE: JSON = {"type": ["string", "null"]}
_COUNT: JSON = {"type": "integer", "minimum": 0}
_MONEY: JSON = {"type": ["number", "null"]}
_TOTALS: dict[str, JSON] = {
    **dict.fromkeys(TOKENS, _COUNT),
    "cost_usd": {**_MONEY, "description": "Of what has a price."},
    "unpriced": {**_COUNT, "description": "Exchanges whose model has no price."},
}

_SUMMARY = obj(
    {
        "id": _TEXT,
        "title": _MAYBE,
        "started_at": {**_TEXT, "format": "date-time"},
        "last_at": {**_TEXT, "format": "date-time"},
        "session_id": _MAYBE,
        "requests": _COUNT,
        "turns": _COUNT,
        "side_calls": _COUNT,
        "running": {},
        "errors": _COUNT,
        "agents": {},
        "models": {},
        **_TOTALS,
    }
)
_THREAD = obj(
    {
        "id": {},
        "origin": {
            "description": "How it began: the conversation itself, a subagent, a compaction."
        },
        "agent_id": _MAYBE,
        "parent_agent_id": _MAYBE,
        "parent": {"description": "The message and tool call that it began at."},
        "branches": {},
        **_TOTALS,
        "system": {"description": "The system prompt's JSON."},
        "messages": {
            **array(
                obj(
                    {
                        "id": {},
                        "parent": {
                            "description": "The message before it; two with one parent are branches."
                        },
                        "role": _TEXT,
                        "request": {"description": "The exchange in which it was first seen."},
                        "message": {"description": "Its JSON, as it was sent."},
                    }
                )
            ),
            "description": "Each message once.",
        },
        "requests": array(obj({})),
        "children": array(ref("Thread")),
    }
)

SCHEMAS: Mapping[str, JSON] = {
    "ConversationSummary": _SUMMARY,
    "ConversationPage": obj(
        {
            "conversations": array(ref("ConversationSummary")),
            "next_cursor": _MAYBE,
            "total": _COUNT,
        }
    ),
    "Conversation": obj(
        {
            "id": _TEXT,
            "title": _MAYBE,
            "session_id": _MAYBE,
            "requests": _COUNT,
            "left_out": {**_COUNT, "description": "Exchanges beyond those that are shown."},
            **_TOTALS,
            "threads": array(ref("Thread")),
            "side_calls": {
                **array(obj({"id": _TEXT, "kind": _TEXT})),
                "description": "Exchanges that are no turns: titles, token counts, searches.",
            },
        }
    ),
    "Thread": _THREAD,
    "Figures": obj({"requests": _COUNT, "errors": _COUNT, **_TOTALS}),
}
