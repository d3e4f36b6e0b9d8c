"""The columns of the table ``exchange``, one list for every store and every query."""

from __future__ import annotations

from datetime import datetime
from typing import overload

from clawproxy.store.entry import Prepared

COLUMNS = (
    "id",
    "uid",
    "request_id",
    "instance",
    "started_ms",
    "finished_ms",
    "outcome",
    "status",
    "method",
    "path",
    "dialect",
    "stream",
    "provider",
    "model",
    "routed_model",
    "session_id",
    "agent_id",
    "parent_agent_id",
    "conversation_id",
    "side_call",
    "key_name",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
    "cost_usd",
    "ttft_ms",
    "duration_ms",
    "request_bytes",
    "response_bytes",
    "truncated",
)

NUMBER_BITS = 10
"""Bits of an exchange's number that tell those of one millisecond apart."""


def milliseconds(moment: str | None) -> int | None:
    """Read an RFC 3339 moment as milliseconds since the epoch; ``None`` for what is none."""
    if not moment:
        return None
    try:
        seconds = datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None
    return round(seconds * 1000)


def row(number: int, prepared: Prepared) -> tuple[object, ...]:
    """Give an exchange's values, in the order of :data:`COLUMNS`.

    :param number: its ``id`` there.
    """
    exchange = prepared.entry.exchange
    usage = exchange.usage
    return (
        number,
        clean(exchange.id),
        clean(exchange.request_id),
        prepared.entry.instance,
        milliseconds(exchange.started_at) or 0,
        milliseconds(exchange.finished_at),
        exchange.outcome,
        exchange.status,
        clean(exchange.method),
        clean(exchange.path),
        exchange.dialect,
        int(exchange.stream),
        exchange.provider,
        clean(exchange.model),
        clean(exchange.routed_model),
        clean(exchange.session_id),
        clean(exchange.agent_id),
        clean(exchange.parent_agent_id),
        clean(exchange.conversation_id),
        prepared.side_call,
        clean(exchange.key),
        usage.input_tokens if usage else None,
        usage.output_tokens if usage else None,
        usage.cache_read_input_tokens if usage else None,
        usage.cache_creation_input_tokens if usage else None,
        usage.reasoning_tokens if usage else None,
        exchange.cost_usd,
        exchange.ttft_ms,
        exchange.duration_ms,
        exchange.request_bytes,
        exchange.response_bytes,
        int(prepared.entry.truncated),
    )


@overload
def clean(value: str) -> str: ...
@overload
def clean(value: None) -> None: ...
@overload
def clean(value: str | None) -> str | None: ...
def clean(value: str | None) -> str | None:
    """Take out what PostgreSQL's ``text`` cannot hold: NUL characters. All others pass."""
    return value.replace("\0", "") if value else value
