"""What can go wrong, for the description of the API and for the manual: one row for each kind of fault.

:data:`REASONS` says in words when each :class:`~clawproxy.core.errors.Kind` is answered; status, types and
codes come from the kind itself and the shown bodies from :func:`clawproxy.core.errors.body`, so that neither
can differ from what callers get.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from attrs import frozen

from clawproxy.core.dialects import DialectName
from clawproxy.core.errors import Kind, ProxyError, body

JSON = dict[str, Any]

REQUEST_ID = "cp_1a1fc04e877028b4e1b1361f0e7"
"""An ``x-request-id`` for examples."""


@frozen
class Reason:
    """When a kind of fault is answered.

    :ivar when: the circumstances, as a sentence that begins small and has no full stop.
    :ivar message: an example of the message.
    :ivar param: an example of the field at fault.
    :ivar relayed: only an upstream says so; on a translated route its error is worded anew.
    :ivar headers: names of the headers that go with it.
    """

    when: str
    message: str
    param: str | None = None
    relayed: bool = False
    headers: tuple[str, ...] = ()


REASONS: Mapping[Kind, Reason] = {
    Kind.INVALID_JSON: Reason(
        "the body is empty, not JSON, no JSON object, or its content coding cannot be undone",
        "the request body must be a JSON object; it is empty",
    ),
    Kind.MISSING_FIELD: Reason(
        "the model, or the list of messages where the path has one, is missing or of the wrong type",
        "model: expected a non-empty string, it is missing",
        "model",
    ),
    Kind.UNSUPPORTED_PARAMETER: Reason(
        "the request goes to a provider of another dialect, which has nothing for one of its fields",
        "logprobs: token probabilities cannot be had.",
        "logprobs",
    ),
    Kind.INVALID_REQUEST: Reason(
        "a field of a request that has to be translated holds what no dialect allows, or an upstream says so",
        "limit: expected 1 to 1000, found '0'",
        "limit",
    ),
    Kind.AUTHENTICATION: Reason(
        "the proxy wants one of auth.api_keys and got none of them, or there is no key for the provider routed to",
        "this proxy wants a key: Authorization: Bearer, x-api-key or api-key",
        headers=("WWW-Authenticate",),
    ),
    Kind.BILLING: Reason(
        "an upstream says that its account has no credit", "Your credit is used up.", relayed=True
    ),
    Kind.PERMISSION: Reason(
        "an upstream says that its account may not do this",
        "Your key may not use this model.",
        relayed=True,
    ),
    Kind.MODEL_NOT_FOUND: Reason(
        "no route leads anywhere for this model, or no agent, provider or listed model is called so",
        "no provider lists the model 'nosuch'",
        "model",
    ),
    Kind.NOT_FOUND: Reason(
        "nothing is served at this path, or an upstream knows no such thing",
        "nothing is served at '/v2/messages'; the API is under /v1/",
    ),
    Kind.METHOD_NOT_ALLOWED: Reason(
        "the path is known and takes another method; Allow names it",
        "/v1/messages takes POST, not GET",
        headers=("Allow",),
    ),
    Kind.CONFLICT: Reason(
        "an upstream refuses what contradicts its state",
        "The thread is in use.",
        relayed=True,
    ),
    Kind.TOO_LARGE: Reason(
        "the body is larger than server.max_body, as sent or decoded",
        "the request body exceeds the limit of 33554432 bytes (server.max_body)",
    ),
    Kind.UPGRADE_REQUIRED: Reason(
        "a WebSocket is asked for; clients that know both go on over HTTP",
        "WebSockets are not spoken here; use HTTP with stream: true",
    ),
    Kind.RATE_LIMIT: Reason(
        "an upstream limits the rate; retry-after and its like say for how long",
        "Too many requests.",
        relayed=True,
        headers=("Retry-After",),
    ),
    Kind.INTERNAL: Reason(
        "the proxy itself failed; its log has the traceback", "the proxy failed; its log says more"
    ),
    Kind.API: Reason("an upstream failed", "Internal server error", relayed=True),
    Kind.UPSTREAM_UNREACHABLE: Reason(
        "the upstream refused or reset the connection, broke TLS, or sent no HTTP, before its headers",
        "provider 'anthropic': connection to api.anthropic.com:443 was refused",
    ),
    Kind.UNAVAILABLE: Reason(
        "a provider is given a rest after failures (its circuit is open), a gateway is away, or a drain was given up",
        "the provider 'anthropic' keeps failing and is given a rest",
        headers=("Retry-After",),
    ),
    Kind.UPSTREAM_TIMEOUT: Reason(
        "the upstream was not connected within connect_timeout, or sent no response header within"
        " response_header_timeout",
        "provider 'anthropic': no connection to api.anthropic.com:443 in time",
    ),
    Kind.OVERLOADED: Reason("an upstream is overloaded", "Overloaded", relayed=True),
}

HEADERS: Mapping[str, JSON] = {
    "x-clawproxy-id": {
        "description": "The proxy's own unique id of the exchange: in its log, record and dashboard.",
        "schema": {"type": "string", "pattern": "^cp_[0-9a-f]+$"},
        "example": REQUEST_ID,
    },
    "x-request-id": {
        "description": "The upstream's id if it sent one, else the caller's if it sent a sane one"
        " (1 to 128 of A-Za-z0-9._-), else the proxy's own.",
        "schema": {"type": "string"},
        "example": REQUEST_ID,
    },
    "Allow": {"description": "The methods that the path takes.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds, or a date, before which another try is pointless.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"schema": {"type": "string"}, "example": "Bearer"},
}
"""Response headers that more than one answer has."""

IDS = ("x-clawproxy-id", "x-request-id")
"""What every answer under ``/v1`` carries."""


def header_refs(names: Iterable[str]) -> JSON:
    """Refer to headers by their names."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def example(kind: Kind, dialect: DialectName | None) -> dict[str, object]:
    """Give an example of the body that a kind of fault is answered with."""
    reason = REASONS[kind]
    return body(ProxyError(kind, reason.message, reason.param), dialect, REQUEST_ID)


def answers(kinds: Iterable[Kind], *families: DialectName | None) -> dict[str, JSON]:
    """Refer to the responses of an operation that may go wrong in these ways, by status.

    :param families: the dialects in which its callers may be answered: ``anthropic``, or ``None`` for
        OpenAI's shape.
    """
    name = "_".join(_family(each) for each in families)
    return {
        str(status): {"$ref": f"#/components/responses/{name}_{status}"}
        for status in sorted({kind.status for kind in kinds})
    }


def responses() -> dict[str, JSON]:
    """Give what :func:`answers` refers to: each status with all that may be behind it."""
    by_status: dict[int, list[Kind]] = {}
    for kind in Kind:
        by_status.setdefault(kind.status, []).append(kind)
    choices: tuple[tuple[DialectName | None, ...], ...] = (
        ("anthropic",),
        (None,),
        ("anthropic", None),
    )
    return {
        f"{'_'.join(_family(each) for each in families)}_{status}": _answer(status, kinds, families)
        for families in choices
        for status, kinds in sorted(by_status.items())
    }


def _family(dialect: DialectName | None) -> str:
    return "anthropic" if dialect else "openai"


def _answer(status: int, kinds: list[Kind], families: tuple[DialectName | None, ...]) -> JSON:
    refs = [
        {"$ref": f"#/components/schemas/{'AnthropicError' if family else 'OpenAIError'}"}
        for family in families
    ]
    examples: JSON = {}
    for family in families:
        for kind in kinds:
            name = kind.name.lower() + ("" if len(families) == 1 else f"_{family or 'openai'}")
            examples[name] = {
                "summary": REASONS[kind].when,
                "value": example(kind, family),
            }
    extra = [name for kind in kinds for name in REASONS[kind].headers]
    described = "; ".join(REASONS[kind].when for kind in kinds)
    return {
        "description": f"{phrase(status)}: {described}.",
        "headers": header_refs(dict.fromkeys((*IDS, *extra))),
        "content": {
            "application/json": {
                "schema": refs[0] if len(refs) == 1 else {"anyOf": refs},
                "examples": examples,
            }
        },
    }


def phrase(status: int) -> str:
    """Give a status's reason phrase; 529 is Anthropic's own."""
    return "Overloaded" if status == 529 else HTTPStatus(status).phrase


SCHEMAS: Mapping[str, JSON] = {
    "AnthropicError": {
        "type": "object",
        "required": ["type", "error", "request_id"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {
                    "type": {
                        "type": "string",
                        "examples": sorted({kind.anthropic_type for kind in Kind}),
                    },
                    "message": {"type": "string"},
                    "details": {"type": ["object", "null"]},
                },
            },
            "request_id": {
                "type": ["string", "null"],
                "description": "The answer's x-request-id.",
            },
        },
    },
    "OpenAIError": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {
                        "type": "string",
                        "examples": sorted({kind.openai_type for kind in Kind}),
                    },
                    "param": {
                        "type": ["string", "null"],
                        "description": "The field at fault.",
                    },
                    "code": {
                        "type": ["string", "null"],
                        "examples": sorted({kind.openai_code for kind in Kind if kind.openai_code}),
                    },
                },
            }
        },
    },
}
