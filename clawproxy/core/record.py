"""Everything known of one request: :class:`Exchange` is what the relay fills in and the store keeps.

Its fields are those of the interface's record, by the same names, so that its JSON is the API's JSON.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from clawproxy.core.dialects import DialectName

Outcome = Literal["running", "ok", "error", "client_gone", "cut", "interrupted"]
"""How an exchange ended: ``error`` covers HTTP errors, in-band errors and broken upstreams; ``cut`` is
the drain's ceiling; ``interrupted`` is what a restart finds still running."""
FAILED: tuple[Outcome, ...] = ("error", "cut", "interrupted")
"""The outcomes that figures count as errors; a caller that went away is none."""


class Usage(msgspec.Struct):
    """Tokens, with cache counts apart from ``input_tokens`` as Anthropic counts them.

    :ivar complete: false where the stream ended before its last usage report.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    reasoning_tokens: int = 0
    complete: bool = True


class Client(msgspec.Struct):
    """The caller as its connection shows it."""

    address: str = ""
    user_agent: str | None = None


class Exchange(msgspec.Struct):
    """One request and its answer, from complete head to finished response.

    Times: ``started_at``/``finished_at`` are RFC 3339 in UTC with milliseconds; every ``*_ms`` is
    milliseconds since ``started_at``, by the same clock.
    """

    id: str
    request_id: str = ""
    client_request_id: str | None = None
    started_at: str = ""
    finished_at: str | None = None
    outcome: Outcome = "running"
    status: int | None = None
    method: str = ""
    path: str = ""
    dialect: DialectName | None = None
    stream: bool = False
    provider: str | None = None
    model: str | None = None
    routed_model: str | None = None
    tries: int = 0
    upstream_request_id: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    ttft_ms: float | None = None
    duration_ms: float | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    conversation_id: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    parent_agent_id: str | None = None
    key: str | None = None
    client: Client = msgspec.field(default_factory=Client)
    error: str | None = None
    # Beyond the list view: what the detail view and the waterfall need.
    query: str = ""
    upstream_dialect: DialectName | None = None
    demoted: bool = False
    parent_id: str | None = None
    connect_ms: float | None = None
    headers_ms: float | None = None
    request_headers: list[tuple[str, str]] = []
    response_headers: list[tuple[str, str]] = []
    upstream_request_headers: list[tuple[str, str]] = []
    upstream_response_headers: list[tuple[str, str]] = []

    def interrupt(self) -> None:
        """Say that its process is gone, so that nothing more will come of it."""
        self.outcome = "interrupted"
        self.error = self.error or "the proxy ended without warning while this was running"


_encode = msgspec.json.Encoder().encode

decode_exchange = msgspec.json.Decoder(Exchange).decode
"""Undo :func:`encode_exchange`."""


def encode_exchange(exchange: Exchange) -> bytes:
    """Give an exchange as JSON, whatever its strings hold: a header may be any bytes."""
    try:
        return _encode(exchange)
    except (UnicodeEncodeError, TypeError, msgspec.MsgspecError):
        return _encode(_clean(msgspec.to_builtins(exchange)))


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value
