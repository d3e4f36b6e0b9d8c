"""The description of what operators and load balancers ask, and of the front door."""

from __future__ import annotations

from clawproxy.core.errors import Kind
from clawproxy.web.openapi_fault import answers
from clawproxy.web.openapi_message import JSON, obj, ref

_COUNT: JSON = {"type": "integer", "minimum": 0}

HEALTH = obj(
    {"status": {"enum": ["ok", "draining"]}, "in_flight": _COUNT},
    {
        "recorder": {
            "description": "Where exchanges are recorded: how the recording goes.",
            **obj(
                {"state": {"type": "string"}},
                {
                    "error": {"type": ["string", "null"]},
                    "dropped": _COUNT,
                    "waiting_bytes": _COUNT,
                },
            ),
        },
        "gateways": {
            "description": "The connection of each OpenClaw gateway, by its provider's name.",
            "type": "object",
            "additionalProperties": obj({}),
        },
    },
)
LIVENESS = obj(
    {
        "status": {"enum": ["ok", "draining"]},
        "in_flight": _COUNT,
        "draining": {"type": "boolean"},
        "timestamp": {"type": "string", "format": "date-time"},
    }
)
SCHEMAS = {"Health": HEALTH, "Liveness": LIVENESS}


def _shown(description: str, schema: str, example: JSON) -> JSON:
    return {
        "description": description,
        "content": {"application/json": {"schema": ref(schema), "example": example}},
    }


def _get(id: str, summary: str, responses: JSON) -> JSON:
    """Describe a path that takes GET and HEAD and needs no key."""
    bare = {
        status: {"description": answer["description"]}
        for status, answer in responses.items()
        if isinstance(answer, dict)
    }
    common: JSON = {"tags": ["operations"], "security": []}
    return {
        "get": {
            "operationId": id,
            "summary": summary,
            **common,
            "responses": {**responses, **_refusals()},
        },
        "head": {
            "operationId": f"{id}_head",
            "summary": f"{summary}: the head alone",
            **common,
            "responses": {**bare, **_refusals()},
        },
    }


def _refusals() -> dict[str, JSON]:
    """What other methods are answered; described with the methods that are taken, as OpenAPI has it."""
    return answers((Kind.METHOD_NOT_ALLOWED,), None)


def paths() -> dict[str, JSON]:
    """Give ``/health``, ``/livez``, ``/metrics``, ``/openapi.*`` and ``/``."""
    text: JSON = {"type": "string"}
    document: JSON = {"type": "object", "required": ["openapi", "info", "paths"]}
    return {
        "/health": _get(
            "health",
            "Ask whether new work may be sent here",
            {
                "200": _shown("It may.", "Health", {"status": "ok", "in_flight": 2}),
                "503": _shown(
                    "The proxy is draining: it still serves what comes, and will end once nothing is in flight.",
                    "Health",
                    {"status": "draining", "in_flight": 2},
                ),
            },
        ),
        "/livez": _get(
            "livez",
            "Ask whether the process lives, and how much it carries",
            {
                "200": _shown(
                    "It lives, draining or not.",
                    "Liveness",
                    {
                        "status": "ok",
                        "in_flight": 2,
                        "draining": False,
                        "timestamp": "2026-11-21T02:52:25.130Z",
                    },
                )
            },
        ),
        "/metrics": _get(
            "metrics",
            "Read the counts in Prometheus' text format",
            {
                "200": {
                    "description": "They hold no prompt, key or caller.",
                    "content": {
                        "text/plain": {
                            "schema": text,
                            "example": "# HELP clawproxy_in_flight Requests in flight.\n"
                            "# TYPE clawproxy_in_flight gauge\nclawproxy_in_flight 2.0\n",
                        }
                    },
                }
            },
        ),
        "/openapi.json": _get(
            "openapi_json",
            "Read this description",
            {
                "200": {
                    "description": "OpenAPI 3.1.",
                    "content": {"application/json": {"schema": document}},
                }
            },
        ),
        "/openapi.yaml": _get(
            "openapi_yaml",
            "Read this description as YAML",
            {
                "200": {
                    "description": "OpenAPI 3.1.",
                    "content": {"application/yaml": {"schema": document}},
                }
            },
        ),
        "/": {
            "get": {
                "operationId": "front",
                "tags": ["dashboard"],
                "summary": "Go to the dashboard",
                "security": [],
                "responses": {
                    "200": {
                        "description": "There is no dashboard (`dashboard.enabled: false`): what else there is.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    "302": {
                        "description": "The dashboard is at /ui/.",
                        "headers": {"Location": {"schema": text, "example": "/ui/"}},
                    },
                    **_refusals(),
                },
            },
            "head": {
                "operationId": "probe",
                "tags": ["operations"],
                "summary": "See that somebody is there, as Claude Code does at its start",
                "security": [],
                "responses": {"200": {"description": "Somebody is."}},
            },
        },
    }
