"""Upstreams' errors in the proxy's own terms, so that each caller reads them in its own dialect.

1. :func:`anthropic_error` and :func:`openai_error` read an HTTP error; :func:`anthropic_fault` and
   :func:`openai_fault` the error object in a stream.
2. The type decides the kind, the status does where the type is unknown. The upstream's status
   stays, whatever the kind: a 529 is a 529.
3. A prompt that is too long is told in the words, and under the code, by which clients know it.
4. ``retry-after``, rate limits and the request's id come along as headers.

Types: https://docs.claude.com/en/api/errors, https://platform.openai.com/docs/guides/error-codes.
"""

from __future__ import annotations

import re
from typing import Any

from attrs import evolve

from clawproxy.core.dialects.dialect import Headers
from clawproxy.core.dialects.rawjson import MALFORMED, Array, decode, members
from clawproxy.core.errors import Kind, ProxyError

_ANTHROPIC = {
    "invalid_request_error": Kind.INVALID_REQUEST,
    "authentication_error": Kind.AUTHENTICATION,
    "billing_error": Kind.BILLING,
    "permission_error": Kind.PERMISSION,
    "not_found_error": Kind.NOT_FOUND,
    "conflict_error": Kind.CONFLICT,
    "request_too_large": Kind.TOO_LARGE,
    "rate_limit_error": Kind.RATE_LIMIT,
    "timeout_error": Kind.UPSTREAM_TIMEOUT,
    "api_error": Kind.API,
    "overloaded_error": Kind.OVERLOADED,
}
_OPENAI = {
    "invalid_api_key": Kind.AUTHENTICATION,
    "authentication_error": Kind.AUTHENTICATION,
    "insufficient_quota": Kind.BILLING,
    "billing_hard_limit_reached": Kind.BILLING,
    "permission_denied": Kind.PERMISSION,
    "permission_error": Kind.PERMISSION,
    "model_not_found": Kind.MODEL_NOT_FOUND,
    "not_found_error": Kind.NOT_FOUND,
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "rate_limit_error": Kind.RATE_LIMIT,
    "tokens": Kind.RATE_LIMIT,
    "requests": Kind.RATE_LIMIT,
    "overloaded": Kind.OVERLOADED,
    "overloaded_error": Kind.OVERLOADED,
    "server_is_overloaded": Kind.OVERLOADED,
    "service_unavailable_error": Kind.UNAVAILABLE,
    "service_unavailable": Kind.UNAVAILABLE,
    "timeout": Kind.UPSTREAM_TIMEOUT,
    "unsupported_parameter": Kind.UNSUPPORTED_PARAMETER,
    "invalid_request_error": Kind.INVALID_REQUEST,
    "server_error": Kind.API,
    "api_error": Kind.API,
}
_STATUS = {
    400: Kind.INVALID_REQUEST,
    401: Kind.AUTHENTICATION,
    402: Kind.BILLING,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    408: Kind.UPSTREAM_TIMEOUT,
    409: Kind.CONFLICT,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMIT,
    503: Kind.UNAVAILABLE,
    504: Kind.UPSTREAM_TIMEOUT,
    529: Kind.OVERLOADED,
}

_KEPT = ("retry-after", "retry-after-ms", "x-should-retry", "request-id", "x-request-id")
_KEPT_PREFIXES = ("anthropic-ratelimit-", "x-ratelimit-")

TOO_LONG = "context_length_exceeded"
"""OpenAI's code for a prompt that does not fit, by which its clients know that they have to compact."""

_TOO_LONG_HERE = "prompt is too long"
"""How Anthropic's message about it begins; Claude Code goes by these words alone."""

_TOO_LONG = re.compile(
    r"prompt is too long|exceed context limit|maximum context length|exceed(?:s|ed)? the (?:available )?context"
    r"|context_length_exceeded|exceed_context_size"
    r"|input token count[^.]{0,80} exceeds the maximum"  # Gemini
    r"|maximum prompt length is \d"  # xAI
    r"|exceeded model token limit"  # Moonshot
    r"|input is too long for requested model"  # Bedrock
    r"|context window exceeds limit"  # MiniMax
    r"|greater than the context length"  # LM Studio
    r"|prompt token count[^.]{0,80} exceeds the limit",  # GitHub Copilot
    re.IGNORECASE,
)

_DEEPEST = 4
_MOST_FAULTS = 10
_LONGEST_CAUSE = 4000
_UNSAID = "The upstream reported an error without saying what it is."


def anthropic_error(status: int, headers: Headers, body: bytes) -> ProxyError:
    """Read an Anthropic upstream's HTTP error."""
    found = members(body)
    inner = found.get("error")
    return _with_status(anthropic_fault(inner if inner is not None else found), status, headers)


def anthropic_fault(error: object) -> ProxyError:
    """Read the object under ``error``, as it also stands in a stream's ``error`` event."""
    fields = error if isinstance(error, dict) else {"message": error}
    details = fields.get("details")
    message = _message(fields)
    return ProxyError(
        _ANTHROPIC.get(_text(fields.get("type")), Kind.API),
        message,
        code=TOO_LONG if _TOO_LONG.search(message) else None,
        details={str(k): v for k, v in details.items() if isinstance(v, str)}
        if isinstance(details, dict)
        else None,
    )


def openai_error(status: int, headers: Headers, body: bytes) -> ProxyError:
    """Read an OpenAI upstream's HTTP error, or one of the many that imitate it."""
    found = members(_alone(body))
    inner = found.get("error")
    return _with_status(openai_fault(inner if inner is not None else found), status, headers)


def _alone(body: bytes) -> bytes:
    """Take an error out of the array in which Gemini's servers give it."""
    if not body.lstrip().startswith(b"["):
        return body
    try:
        errors = decode(Array, body)
    except MALFORMED:
        return body
    return bytes(errors[0]) if errors else body


def openai_fault(error: object) -> ProxyError:
    """Read the object under ``error``, as it also stands in a stream; imitators also put a string
    there.
    """
    fields = error if isinstance(error, dict) else {"message": error}
    code = fields.get("code")
    param = fields.get("param")
    kind = _OPENAI.get(_text(code)) or _OPENAI.get(_text(fields.get("type")))
    message = _message(fields)
    if cause := _cause(fields.get("metadata")):
        message = f"{message}: {cause}"
    if _TOO_LONG.search(f"{message} {code} {fields.get('type')}"):
        code, kind = TOO_LONG, Kind.INVALID_REQUEST
        if _TOO_LONG_HERE not in message.lower():
            message = f"{_TOO_LONG_HERE}: {message}"
    status = code if type(code) is int and 400 <= code < 600 else 0  # gateways pass theirs on
    if status and kind in (None, Kind.API):
        kind = _of_status(status)
    return ProxyError(
        kind or Kind.API,
        message,
        param=param if isinstance(param, str) else None,
        status=status,
        code=code if isinstance(code, str) and code else None,
    )


def _with_status(fault: ProxyError, status: int, headers: Headers) -> ProxyError:
    kind = fault.kind
    if kind in (Kind.API, Kind.INVALID_REQUEST) and kind.status != status:
        kind = _of_status(status)
    message = fault.message
    if message == _UNSAID:
        message = f"The upstream answered {status} without saying why."
    kept = tuple(
        (name, value)
        for name, value in headers
        if name.lower() in _KEPT or name.lower().startswith(_KEPT_PREFIXES)
    )
    return evolve(fault, kind=kind, message=message, status=status, headers=kept)


def _of_status(status: int) -> Kind:
    return _STATUS.get(status, Kind.INVALID_REQUEST if 400 <= status < 500 else Kind.API)


def _cause(metadata: object) -> str:
    """Find what OpenRouter's own upstream said; its own words are no more than "Provider returned error"."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, str):
        raw = _words(members(raw.encode("utf-8", "replace"))) or raw[:_LONGEST_CAUSE]
    return _words(raw)


def _message(fields: dict[str, Any]) -> str:
    return _words(fields) or _UNSAID


def _words(value: object, depth: int = 0) -> str:
    """Find an error's words: servers that check requests with pydantic (Mistral, vLLM) put a list of faults there."""
    if isinstance(value, str):
        return value
    if depth > _DEEPEST:
        return ""
    if isinstance(value, list):
        found = [text for each in value[:_MOST_FAULTS] if (text := _words(each, depth + 1))]
        return "; ".join(found)
    if not isinstance(value, dict):
        return ""
    for name in ("message", "detail", "error", "msg"):
        if text := _words(value.get(name), depth + 1):
            place = value.get("loc") if name == "msg" else None
            where = ".".join(map(str, place)) if isinstance(place, list) else ""
            return f"{where}: {text}" if where else text
    return ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def unfinished() -> ProxyError:
    """Word that a stream ended without its dialect's terminal event."""
    return ProxyError(
        Kind.UPSTREAM_UNREACHABLE, "The upstream's stream ended before its answer was complete."
    )


def unstopped() -> ProxyError:
    """Word that an upstream left a part of its answer unfinished while it sent more of others than can be kept."""
    return ProxyError(
        Kind.UPSTREAM_UNREACHABLE, "The upstream left a part of its answer open for too long."
    )


def malformed(what: str) -> ProxyError:
    """Word that an upstream sent something that is not of its dialect.

    :param what: the thing that could not be read; never the upstream's own bytes.
    """
    return ProxyError(Kind.UPSTREAM_UNREACHABLE, f"The upstream sent {what} that cannot be read.")
