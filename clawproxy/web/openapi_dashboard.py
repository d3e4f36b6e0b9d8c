"""The description of ``/api/`` and ``/ui/``, made from the dashboard's own table of routes.

A route that nothing is said of here is described all the same, by what its function's docstring begins with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import get_args

from clawproxy.core.dialects import DialectName
from clawproxy.core.record import Outcome
from clawproxy.dashboard.api import ROUTES, Handler, Route
from clawproxy.dashboard.api_query import DEFAULT, FILTERS, MOST, SEVERAL, SYNONYMS
from clawproxy.store.statistics import BYS
from clawproxy.web.openapi_dashboard_local import ACCESS, local, shown
from clawproxy.web.openapi_dashboard_local import faults as _faults
from clawproxy.web.openapi_message import JSON, array, obj, ref
from clawproxy.web.openapi_record import EXAMPLE

_MEANINGS: Mapping[str, JSON] = {
    "since": {
        "description": "RFC 3339, seconds or milliseconds since the epoch, or a time ago: 90m, 24h, 7d."
    },
    "until": {"description": "As since."},
    "model": {"description": "As asked or as sent."},
    "outcome": {
        "description": "May be several, separated by commas, too.",
        "schema": {"enum": list(get_args(Outcome))},
    },
    "status": {"schema": {"type": "integer", "minimum": 100, "maximum": 599}},
    "session": {"description": "Claude Code's session."},
    "agent": {"description": "Claude Code's subagent."},
    "parent_agent": {"description": "The agent that started it."},
    "conversation": {},
    "dialect": {"schema": {"enum": list(get_args(DialectName))}},
    "tool": {"description": "A tool that the answer calls."},
    "path": {"description": "The request's."},
    "key": {"description": "The name of the caller's key."},
    "kind": {"description": "turn, or a kind of side call."},
    "q": {"description": 'Words in prompts and answers, "phrases", or beginnings*.'},
}


def parameters() -> dict[str, JSON]:
    """Give the parameters of the query that narrow a list."""
    found: dict[str, JSON] = {
        name: {"name": name, "in": "query", "schema": {"type": "string"}, **_MEANINGS.get(name, {})}
        for name in FILTERS
    }
    for name in SEVERAL:
        meaning = found[name].get("description", "")
        found[name]["description"] = f"{meaning} Any of several, when it is repeated.".lstrip()
        found[name]["schema"] = {"type": "array", "items": found[name]["schema"]}
    for other, name in SYNONYMS.items():
        meaning = found[name].get("description", "")
        found[name]["description"] = f"{meaning} May be called {other}, too.".lstrip()
    return found


_FILTERS: list[JSON] = [{"$ref": f"#/components/parameters/{name}"} for name in FILTERS]
_NO_WORDS = [each for each, name in zip(_FILTERS, FILTERS, strict=True) if name != "q"]
_LIMIT: JSON = {
    "name": "limit",
    "in": "query",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT},
}
_CURSOR: JSON = {
    "name": "cursor",
    "in": "query",
    "schema": {"type": "string"},
    "description": "The next_cursor of a page.",
}
_DECODED: JSON = {
    "name": "decoded",
    "in": "query",
    "schema": {"enum": ["0", "1"], "default": "0"},
    "description": "1: with content codings undone.",
}
_SIDE: JSON = {
    "name": "side",
    "in": "query",
    "schema": {"enum": ["sent", "received"], "default": "sent"},
    "description": "sent: to the caller. received: from the upstream, where that differs.",
}
_BODIES: JSON = {
    "name": "bodies",
    "in": "query",
    "schema": {"enum": ["0", "1"], "default": "1"},
    "description": "0: without request and response.",
}
_BY: JSON = {
    "name": "by",
    "in": "query",
    "schema": {"type": "string"},
    "example": BYS[0],
    "description": "What to group by, separated by commas: " + ", ".join(BYS) + ".",
}

_BYTES: JSON = {
    "description": "The exact bytes. What a browser might run is served as text/plain.",
    "content": {
        "application/json": {},
        "text/plain": {},
        "application/octet-stream": {"schema": {"type": "string"}},
    },
}

#: What is said of routes: summary, parameters, the 200 answer.
_WORDS: Mapping[tuple[str, str], tuple[str, list[JSON], JSON]] = {
    ("GET", "/api/requests"): (
        "List exchanges, newest first",
        [_LIMIT, _CURSOR, *_FILTERS],
        shown(
            "A page.",
            ref("ExchangePage"),
            {"requests": [EXAMPLE], "next_cursor": None, "total": 1},
        ),
    ),
    ("DELETE", "/api/requests"): (
        "Delete what the filters let through, but what is running",
        _FILTERS,
        shown(
            "How many were deleted.",
            obj({"deleted": {"type": "integer", "minimum": 0}}),
            {"deleted": 3},
        ),
    ),
    ("GET", "/api/requests/{id}"): (
        "Show an exchange with its bodies as JSON",
        [_BODIES],
        shown("The exchange.", ref("ExchangeDetail")),
    ),
    ("GET", "/api/requests/{id}/events"): (
        "Show the pieces of an answer as they came",
        [_SIDE],
        shown(
            "The pieces. Joined, their data is the answer.",
            array(ref("Piece")),
            [{"at_ms": 12.3, "data": "event: ping\n"}],
        ),
    ),
    ("GET", "/api/requests/{id}/request"): ("Give what the caller sent", [_DECODED], _BYTES),
    ("GET", "/api/requests/{id}/response"): ("Give what the caller got", [_DECODED], _BYTES),
    ("GET", "/api/requests/{id}/upstream-request"): (
        "Give what was sent upstream, where that differs",
        [_DECODED],
        _BYTES,
    ),
    ("GET", "/api/requests/{id}/upstream-response"): (
        "Give what the upstream sent, where that differs",
        [_DECODED],
        _BYTES,
    ),
    ("GET", "/api/stats"): (
        "Sum the traffic up",
        [_BY, *_NO_WORDS],
        shown("Totals, and the same by what was asked for.", obj({"total": ref("Figures")})),
    ),
    ("GET", "/api/conversations"): (
        "List conversations, newest first",
        [_LIMIT, _CURSOR, *_NO_WORDS],
        shown("A page.", ref("ConversationPage")),
    ),
    ("GET", "/api/conversations/{id}"): (
        "Show a conversation as a tree in which each message stands once",
        [],
        shown("The conversation.", ref("Conversation")),
    ),
}


def paths() -> dict[str, JSON]:
    """Give all paths of the dashboard."""
    found = local()
    for route in ROUTES:
        for path, names in templates(route):
            item: JSON = found.setdefault(path, {})
            if names:
                item["parameters"] = [_named(name) for name in names]
            for method, handler in route.handlers.items():
                item[method.lower()] = _operation(path, method, handler)
    return found


def _named(name: str) -> JSON:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
        "description": "The proxy's id, or a request_id." if name == "id" else "",
    }


def templates(route: Route) -> Iterable[tuple[str, list[str]]]:
    """Give a route's paths as OpenAPI writes them, with the names in them; one for each alternative."""
    text = route.pattern.pattern.removesuffix(r"\Z")
    parts: list[list[str]] = []
    names: list[str] = []
    for piece in re.split(r"(\([^)]*\))", text):
        if not piece.startswith("("):
            parts.append([piece.replace("\\", "")])
        elif set(piece) & set("[\\.*+"):
            names.append("id" if not names else f"id{len(names) + 1}")
            parts.append([f"{{{names[-1]}}}"])
        else:
            parts.append(piece.strip("()").removeprefix("?:").split("|"))
    for chosen in product(*parts):
        yield "/api/" + "".join(chosen), names


def _operation(path: str, method: str, handler: Handler) -> JSON:
    said = (handler.__doc__ or "").partition(".")[0].replace("``", "").strip()
    summary, parameters, answer = _WORDS.get((method, path), (said, [], shown("It.", {})))
    name = re.sub(r"\W+", "_", path.removeprefix("/api/")).strip("_")
    codes = [400, 401, 403, 405, 429, 500, 503] + ([404] if "{" in path else [])
    return {
        "operationId": f"{name}_{method.lower()}",
        "tags": ["records"],
        "summary": summary,
        "security": ACCESS,
        "parameters": parameters,
        "responses": {"200": answer, **_faults(codes)},
    }
