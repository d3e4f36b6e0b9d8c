"""What goes wrong, once for all dialects: :class:`ProxyError` says it, :func:`render` words it.

1. Whoever finds a fault raises a :class:`ProxyError` with a :class:`Kind`, a safe message and perhaps the field's name.
2. The edge of the program calls :func:`render` with the caller's dialect; only there does JSON come into being.
3. On a stream that has begun, :func:`render_event` gives the dialect's in-band ``error`` event.

Types and codes follow the table "Errors" of the interface and the vendors' own error pages
(https://docs.anthropic.com/en/api/errors, https://platform.openai.com/docs/guides/error-codes).
"""

from __future__ import annotations

from enum import Enum

import msgspec
from attrs import frozen

from clawproxy.core.dialects import DialectName


class Kind(Enum):
    """A fault's name with its HTTP status, its Anthropic type, and its OpenAI type and code."""

    INVALID_JSON = (400, "invalid_request_error", "invalid_request_error", "invalid_json")
    MISSING_FIELD = (400, "invalid_request_error", "invalid_request_error", "missing_field")
    UNSUPPORTED_PARAMETER = (
        400,
        "invalid_request_error",
        "invalid_request_error",
        "unsupported_parameter",
    )
    INVALID_REQUEST = (400, "invalid_request_error", "invalid_request_error", None)
    AUTHENTICATION = (401, "authentication_error", "invalid_request_error", "invalid_api_key")
    BILLING = (402, "billing_error", "insufficient_quota", "insufficient_quota")
    PERMISSION = (403, "permission_error", "invalid_request_error", "permission_denied")
    MODEL_NOT_FOUND = (404, "not_found_error", "invalid_request_error", "model_not_found")
    NOT_FOUND = (404, "not_found_error", "invalid_request_error", "not_found")
    METHOD_NOT_ALLOWED = (
        405,
        "invalid_request_error",
        "invalid_request_error",
        "method_not_allowed",
    )
    CONFLICT = (409, "conflict_error", "invalid_request_error", "conflict")
    TOO_LARGE = (413, "request_too_large", "invalid_request_error", "request_too_large")
    UPGRADE_REQUIRED = (
        426,
        "invalid_request_error",
        "invalid_request_error",
        "upgrade_not_supported",
    )
    RATE_LIMIT = (429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_exceeded")
    INTERNAL = (500, "api_error", "server_error", "internal_error")
    API = (500, "api_error", "server_error", None)
    UPSTREAM_UNREACHABLE = (502, "api_error", "server_error", "upstream_unreachable")
    UNAVAILABLE = (503, "api_error", "server_error", "service_unavailable")
    UPSTREAM_TIMEOUT = (504, "timeout_error", "server_error", "upstream_timeout")
    OVERLOADED = (529, "overloaded_error", "server_error", "overloaded")

    def __init__(self, status: int, anthropic: str, openai: str, code: str | None) -> None:
        self.status = status
        self.anthropic_type = anthropic
        self.openai_type = openai
        self.openai_code = code


@frozen
class ProxyError(Exception):
    """A fault in terms that may be shown to a caller.

    :ivar kind: what happened; decides the types and, unless ``status`` is set, the HTTP status.
    :ivar message: what was found, what was expected, and where; never holds a secret.
    :ivar param: the request field at fault (OpenAI's ``param``), if one is.
    :ivar status: an HTTP status that differs from the kind's, e.g. an upstream's own.
    :ivar headers: response headers that go with it (``retry-after``, ``allow``).
    :ivar details: Anthropic's ``error.details`` object, e.g. ``{"error_code": …}``.
    :ivar code: an OpenAI code other than the kind's.
    """

    kind: Kind
    message: str
    param: str | None = None
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    details: dict[str, str] | None = None
    code: str | None = None

    @property
    def http_status(self) -> int:
        """The status that the caller is answered with."""
        return self.status or self.kind.status

    def __str__(self) -> str:
        return self.message


@frozen
class Reported(ProxyError):
    """A fault that an upstream told of: its own words, which may repeat what it was asked.

    What it says of the request is an answer, as opposed to a request that could not even be put to it.
    """


def body(error: ProxyError, dialect: DialectName | None, request_id: str) -> dict[str, object]:
    """Word an error in a dialect, as the object that its JSON body holds.

    :param dialect: the caller's; ``None`` is answered in OpenAI's shape, as most tools read it.
    :param request_id: the answer's ``x-request-id``.
    """
    if dialect == "anthropic":
        inner: dict[str, object] = {"type": error.kind.anthropic_type, "message": error.message}
        if error.details:
            inner["details"] = error.details
        return {"type": "error", "error": inner, "request_id": request_id}
    return {
        "error": {
            "message": error.message,
            "type": error.kind.openai_type,
            "param": error.param,
            "code": error.code or error.kind.openai_code,
        }
    }


def render(error: ProxyError, dialect: DialectName | None, request_id: str) -> bytes:
    """Give the JSON body of an error answer (``application/json``) in the caller's dialect."""
    return msgspec.json.encode(body(error, dialect, request_id))


def render_event(
    error: ProxyError, dialect: DialectName | None, request_id: str, sequence: int = 0
) -> bytes:
    """Give the in-band ``error`` event that ends a stream which had already begun.

    :param sequence: the Responses API's ``sequence_number``.
    """
    if dialect == "anthropic":
        return b"event: error\ndata: " + render(error, dialect, request_id) + b"\n\n"
    if dialect == "openai_responses":
        data = {
            "type": "error",
            "code": error.code or error.kind.openai_code or error.kind.openai_type,
            "message": error.message,
            "param": error.param,
            "sequence_number": sequence,
        }
        return b"event: error\ndata: " + msgspec.json.encode(data) + b"\n\n"
    return b"data: " + render(error, dialect, request_id) + b"\n\n"
