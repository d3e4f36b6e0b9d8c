"""The description of what the proxy's own process answers of the dashboard: logins, live events, approvals, pages."""

from __future__ import annotations

from collections.abc import Iterable

from clawproxy.web.openapi_fault import header_refs, phrase
from clawproxy.web.openapi_message import JSON, array, obj, ref

ACCESS: list[JSON] = [{}, {"dashboardPassword": []}, {"dashboardSession": []}]
"""How the dashboard is opened; without a password callers on a loopback address need nothing."""

_TEXT: JSON = {"type": "string"}
_ANY = (403, 405, 429, 500)

_MEANINGS = {
    400: "A parameter or the body makes no sense; the message says what was found and what was expected.",
    401: "There is a password, and it was not presented.",
    403: "The caller is not on a loopback address (and there is no password), asks for a foreign Host, or"
    " is a page of another origin.",
    404: "There is no such thing.",
    405: "Allow names the methods that the path takes.",
    409: "It was decided already.",
    413: "The body is too large.",
    429: "Too many wrong passwords.",
    500: "The dashboard failed; the proxy's log says more.",
    503: "The store or the reader's process is away, or nothing is recorded here.",
}
_EXAMPLES = {
    400: "limit: found '0', expected a whole number from 1 to 1000",
    401: "expected a login, or Authorization: Bearer with dashboard.password",
    403: "found the Host 'evil.example', expected localhost or a loopback address",
    404: "there is no exchange 'cp_1'",
}

SCHEMAS: dict[str, JSON] = {
    "ApiError": obj(
        {
            "error": obj(
                {"status": {"type": "integer"}, "type": _TEXT, "message": _TEXT},
                {"parameter": _TEXT, "found": _TEXT, "expected": _TEXT},
            )
        }
    ),
    "Approval": obj({"id": _TEXT}),
}


def faults(codes: Iterable[int]) -> dict[str, JSON]:
    """Refer to the dashboard's error answers."""
    return {str(code): {"$ref": f"#/components/responses/api_{code}"} for code in sorted(codes)}


def responses() -> dict[str, JSON]:
    """Give what :func:`faults` refers to."""
    found: dict[str, JSON] = {}
    for code, meaning in _MEANINGS.items():
        content: JSON = {"schema": ref("ApiError")}
        if code in _EXAMPLES:
            error = {"status": code, "type": phrase(code), "message": _EXAMPLES[code]}
            content["example"] = {"error": error}
        answer: JSON = {"description": meaning, "content": {"application/json": content}}
        if code in (429, 503):
            answer["headers"] = header_refs(["Retry-After"])
        found[f"api_{code}"] = answer
    return found


def shown(description: str, schema: JSON, example: object = None) -> JSON:
    """Give an answer of JSON."""
    content: JSON = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {"application/json": content}}


def _operation(
    id: str, summary: str, answers: JSON, codes: Iterable[int], body: JSON | None = None
) -> JSON:
    operation: JSON = {
        "operationId": id,
        "tags": ["dashboard"],
        "summary": summary,
        "security": ACCESS,
        "responses": {**answers, **faults(codes)},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": body}}
    return operation


def _page(description: str) -> JSON:
    return {"description": description, "content": {"text/html": {"schema": _TEXT}}}


_SEE_OTHER: JSON = {"description": "Elsewhere.", "headers": {"Location": {"schema": _TEXT}}}
_APPROVAL = {"id": "apr_1", "kind": "exec", "agent": "main", "summary": "ls"}
_DECISION: JSON = obj(
    {"decision": {"enum": ["allow-once", "allow-always", "deny"]}},
    {"id": {"type": ["string", "null"]}},
)


def _named(name: str, example: str) -> JSON:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT, "example": example}


def local() -> dict[str, JSON]:
    """Give the paths that the proxy's own process answers."""
    login = obj({"password": _TEXT}, {"next": _TEXT})
    done = shown("Done.", obj({"ok": {"const": True}}), {"ok": True})
    send = obj(
        {},
        {
            "id": {"type": ["string", "null"], "description": "The exchange to send again."},
            "request": {"description": "The request's JSON, where it is not the first one's."},
            "model": {"type": ["string", "null"], "description": "The model to ask instead."},
            "path": {
                "type": ["string", "null"],
                "description": "Where to; the first one's without it.",
            },
            "headers": {"type": "object", "additionalProperties": _TEXT},
            "key": {
                "type": ["string", "null"],
                "description": "The credential, where the provider has none of its own.",
            },
        },
    )
    send["additionalProperties"] = False
    again = {"request": {"model": "demo", "max_tokens": 20, "messages": []}, "path": "/v1/messages"}
    decision: JSON = {"schema": _DECISION, "example": {"decision": "allow-once"}}
    listing = shown("They.", obj({"approvals": array(ref("Approval"))}), {"approvals": [_APPROVAL]})
    return {
        "/api/live": {
            "get": _operation(
                "live",
                "Watch exchanges as they happen",
                {
                    "200": {
                        "description": "Server-sent events: started and finished carry an exchange, progress the"
                        " text so far. The stream ends when the watcher leaves, or the proxy does.",
                        "content": {"text/event-stream": {}},
                    }
                },
                (*_ANY, 401, 404, 503),
            )
        },
        "/api/status": {
            "get": _operation(
                "status",
                "Read the proxy's state",
                {"200": shown("It.", obj({"version": _TEXT}, {"draining": {"type": "boolean"}}))},
                (*_ANY, 401),
            )
        },
        "/api/approvals": {
            "get": _operation(
                "approvals",
                "List the questions of agents that wait",
                {"200": listing},
                (*_ANY, 401),
            ),
            "post": _operation(
                "approvals_decide",
                "Decide one, named in the body",
                {"200": shown("The approval.", obj({}))},
                (*_ANY, 400, 401, 404, 409),
                {"schema": _DECISION, "example": {"decision": "deny", "id": "apr_1"}},
            ),
        },
        "/api/approvals/{id}": {
            "parameters": [_named("id", "apr_1")],
            "post": _operation(
                "approval_decide",
                "Decide one",
                {"200": shown("The approval.", obj({}))},
                (*_ANY, 400, 401, 404, 409),
                decision,
            ),
        },
        "/api/send": {
            "post": _operation(
                "send",
                "Send a recorded request again, or a new one",
                {
                    "200": {
                        "description": "The answer, through the same routing and recording as any caller's."
                    },
                    "default": {
                        "description": "What the call is answered, in its own dialect, or why none was made."
                    },
                },
                (403, 405),
                {"schema": send, "example": again},
            )
        },
        "/api/login": {
            "post": _operation(
                "login",
                "Log in; the answer sets the cookie",
                {"200": done},
                (*_ANY, 400, 401, 413, 503),
                {"schema": login, "example": {"password": "correct horse"}},
            )
        },
        "/api/logout": {
            "post": _operation("logout", "Log out", {"200": done, "303": _SEE_OTHER}, (*_ANY, 401))
        },
        "/ui/": {"get": _ui("ui", "Open the dashboard")},
        "/ui/{page}": {
            "parameters": [_named("page", "login")],
            "get": _ui("ui_page", "Open a page of the dashboard"),
        },
    }


def _ui(id: str, summary: str) -> JSON:
    answers: JSON = {
        "200": _page("The page."),
        "303": _SEE_OTHER,
        **{
            str(code): {"description": _MEANINGS[code]}
            for code in (400, 401, 403, 404, 405, 429, 500, 503)
        },
    }
    return {
        "operationId": id,
        "tags": ["dashboard"],
        "summary": summary,
        "security": ACCESS,
        "responses": answers,
    }
