"""The schemas of recorded exchanges, made from the program's own types.

Fields and their types come from :class:`~clawproxy.core.record.Exchange`; which of them a list shows is
:data:`clawproxy.dashboard.api_record.FIELDS`. Only what they mean is said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from clawproxy.core.record import Exchange
from clawproxy.dashboard.api_record import FIELDS
from clawproxy.web.openapi_fault import REQUEST_ID
from clawproxy.web.openapi_message import JSON, array, obj, ref

MEANINGS: Mapping[str, str] = {
    "id": "The proxy's own unique id: x-clawproxy-id.",
    "request_id": "The answer's x-request-id.",
    "client_request_id": "The x-request-id that the caller sent.",
    "started_at": "When the request's head was complete: RFC 3339, UTC, milliseconds.",
    "finished_at": "When it was over; null while it runs, and where a crash interrupted it.",
    "outcome": "error covers HTTP errors, errors within a stream and broken upstreams; cut: the drain was given up;"
    " interrupted: a restart found it unfinished.",
    "status": "The status that the caller was answered with; 499 where the caller had gone.",
    "method": "Of the request.",
    "path": "As the caller wrote it, without the query.",
    "dialect": "The caller's.",
    "stream": "Whether events were asked for.",
    "provider": "The provider that answered, or was tried last.",
    "model": "The model as asked for.",
    "routed_model": "The model as sent.",
    "tries": "Requests that were sent upstream.",
    "upstream_request_id": "The upstream's own id.",
    "usage": "Tokens as the upstream reported them so far. complete is false until its last report, and where it"
    " reported none.",
    "cost_usd": "By the price table; null where the model has no price.",
    "ttft_ms": "From the head of the request to the first byte of the answer's body.",
    "duration_ms": "From the head of the request to the end; null where finished_at is.",
    "request_bytes": "Of the caller's body, as sent.",
    "response_bytes": "Of the body that was sent to the caller.",
    "conversation_id": "The conversation that it belongs to.",
    "session_id": "Claude Code's session.",
    "agent_id": "Claude Code's subagent.",
    "parent_agent_id": "The agent that started that one.",
    "key": "The name of the caller's key in auth.api_keys.",
    "client": "The caller, as its connection shows it.",
    "error": "What went wrong.",
    "query": "Behind the path's question mark, the values of keys masked.",
    "upstream_dialect": "The dialect spoken to the provider.",
    "demoted": "Whether it was asked upstream as a stream, though the caller did not.",
    "parent_id": "The exchange that was sent again.",
    "connect_ms": "Until the upstream was connected.",
    "headers_ms": "Until the upstream's headers were there.",
    "request_headers": "The caller's, secrets masked: [name, value] each.",
    "response_headers": "As sent to the caller.",
    "upstream_request_headers": "As sent upstream, secrets masked.",
    "upstream_response_headers": "As the upstream sent them.",
}

EXAMPLE: JSON = {
    "id": REQUEST_ID,
    "request_id": REQUEST_ID,
    "client_request_id": None,
    "started_at": "2026-11-21T02:52:22.256Z",
    "finished_at": "2026-11-21T02:52:22.513Z",
    "outcome": "ok",
    "status": 200,
    "method": "POST",
    "path": "/v1/messages",
    "dialect": "anthropic",
    "stream": True,
    "provider": "demo",
    "model": "demo",
    "routed_model": "demo",
    "tries": 1,
    "upstream_request_id": None,
    "usage": {
        "input_tokens": 3,
        "output_tokens": 12,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "reasoning_tokens": 0,
        "complete": True,
    },
    "cost_usd": None,
    "ttft_ms": 12.3,
    "duration_ms": 257.4,
    "request_bytes": 89,
    "response_bytes": 367,
    "conversation_id": None,
    "session_id": None,
    "agent_id": None,
    "parent_agent_id": None,
    "key": None,
    "client": {"address": "127.0.0.1", "user_agent": "curl/8.14.1"},
    "error": None,
}


def _schemas() -> dict[str, Any]:
    _, found = msgspec.json.schema_components(
        [Exchange], ref_template="#/components/schemas/{name}"
    )
    for name, schema in found.items():
        schema["title"] = name
        schema.pop("description", None)
        # Whatever has a default when the program makes one is there all the same when it shows one.
        schema["required"] = list(schema["properties"])
        for field in schema["properties"].values():
            field.pop("default", None)
    # None only within the program: see `clawproxy.dashboard.api_record.NOTHING_TOLD`.
    found["Exchange"]["properties"]["usage"] = ref("Usage")
    return found


def schemas() -> dict[str, JSON]:
    """Give the schemas: ``Exchange`` as lists show it, ``ExchangeDetail``, and what they consist of."""
    found = _schemas()
    fields: dict[str, JSON] = found.pop("Exchange")["properties"]
    for name, field in fields.items():
        if name in MEANINGS:
            fields[name] = (
                {"allOf": [field], "description": MEANINGS[name]}
                if "$ref" in field
                else {**field, "description": MEANINGS[name]}
            )
    for name in ("started_at",):
        fields[name]["format"] = "date-time"
    any_json: JSON = {"description": "Its JSON; null where it is none or is not kept."}
    listed = {name: fields[name] for name in FIELDS}
    more = {name: field for name, field in fields.items() if name not in FIELDS}
    detail = obj(
        {**listed, **more, "request": any_json, "response": any_json},
        {
            "kind": {
                "type": ["string", "null"],
                "description": "The kind of a side call (a title, a token count, …); null for a turn.",
            },
            "truncated": {"description": "What was too large to be kept whole."},
            "tools": {"description": "The tools that the answer calls."},
        },
    )
    return {
        **found,
        "Exchange": obj(listed),
        "ExchangeDetail": detail,
        "ExchangePage": obj(
            {
                "requests": array(ref("Exchange")),
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "The cursor of the next page; null on the last one.",
                },
                "total": {"type": "integer", "minimum": 0, "description": "On all pages."},
            }
        ),
        "Piece": obj(
            {
                "at_ms": {"type": "number", "description": "Since the exchange's start."},
                "data": {"type": "string"},
            },
            {"encoding": {"const": "base64", "description": "Where the answer is no text."}},
        ),
    }
