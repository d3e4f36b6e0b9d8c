"""The database of the recording ancestor, claude-code-proxy (github.com/seifghazi/claude-code-proxy): one table
``requests`` whose ``headers``, ``body`` and ``response`` are JSON.

It kept of a stream only its ``data:`` lines, without times, and knew one dialect. Its own masking of secrets hashed
them; here they are masked as everywhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from clawproxy.core.masking import mask_headers, mask_query
from clawproxy.core.record import Client, Exchange
from clawproxy.core.timestamp import rfc3339
from clawproxy.store.entry import Entry
from clawproxy.store.pieces import Pieces

PREFIX = "ccp_"
"""Stands before the ancestor's ids, which are unique among its own only."""
COLUMNS = (
    "id",
    "timestamp",
    "method",
    "endpoint",
    "headers",
    "body",
    "user_agent",
    "content_type",
    "response",
    "model",
    "original_model",
    "routed_model",
)


class AncestorError(Exception):
    """The file is no database of the ancestor's."""


class _Response(msgspec.Struct):
    """What its ``response`` column holds."""

    statusCode: int = 0
    headers: dict[str, list[str]] | None = None
    body: msgspec.Raw = msgspec.Raw(b"")
    bodyText: str | None = None
    responseTime: float = 0
    streamingChunks: list[str] | None = None
    isStreaming: bool = False
    completedAt: str | None = None


def entries(path: Path, instance: str, complain: Callable[[str], None]) -> Iterator[Entry]:
    """Read its requests, the oldest first.

    :param instance: who is to have recorded them.
    :param complain: is told of rows that cannot be read.
    :raises AncestorError: it has no such table.
    """
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    try:
        db.text_factory = bytes
        rows = db.execute(f"SELECT {', '.join(COLUMNS)} FROM requests ORDER BY timestamp, rowid")
        for row in rows:
            found = dict(zip(COLUMNS, row, strict=True))
            try:
                yield entry(found, instance)
            except (ValueError, msgspec.MsgspecError) as error:
                complain(f"request {_text(found['id'])}: {error}")
    except sqlite3.DatabaseError as error:
        raise AncestorError(
            f"{path}: expected claude-code-proxy's table requests, found: {error}"
        ) from None
    finally:
        db.close()


def entry(row: dict[str, Any], instance: str) -> Entry:
    """Read a row."""
    started = moment(_text(row["timestamp"]))
    headers = _headers(row["headers"])
    path, _, query = _text(row["endpoint"]).partition("?")
    body: bytes = row["body"] or b""
    routed = _text(row["routed_model"]) or _text(row["model"])
    exchange = Exchange(
        id=PREFIX + _text(row["id"]),
        request_id=_text(row["id"]),
        started_at=rfc3339(started),
        outcome="interrupted",
        method=_text(row["method"]) or "POST",
        path=path,
        query=mask_query(query),
        dialect="anthropic" if path.startswith("/v1/messages") else None,
        provider="openai" if routed.startswith(("gpt-", "o1", "o3", "o4")) else "anthropic",
        model=_text(row["original_model"]) or _text(row["model"]) or None,
        routed_model=routed or None,
        tries=1,
        request_bytes=len(body),
        client=Client("", _text(row["user_agent"]) or None),
        request_headers=headers,
    )
    exchange.stream = _streams(body)
    sent = _answer(exchange, row["response"], started)
    for name, field in (
        ("x-claude-code-session-id", "session_id"),
        ("x-claude-code-agent-id", "agent_id"),
        ("x-claude-code-parent-agent-id", "parent_agent_id"),
    ):
        setattr(exchange, field, next((v for k, v in headers if k.lower() == name), None))
    return Entry(exchange, instance, True, body, None, sent)


def _answer(exchange: Exchange, column: bytes | None, started: float) -> Pieces:
    if not column:
        return Pieces()
    answer = msgspec.json.decode(column, type=_Response)
    took = max(0.0, answer.responseTime)
    exchange.status = answer.statusCode or None
    exchange.outcome = "error" if answer.statusCode >= 400 else "ok"
    exchange.duration_ms = took
    exchange.finished_at = rfc3339(started + took / 1000)
    exchange.response_headers = _masked(answer.headers or {})
    chunks = [f"{line}\n\n".encode("utf-8", "replace") for line in answer.streamingChunks or ()]
    if not chunks:
        whole = (answer.bodyText or "").encode("utf-8", "replace") or bytes(answer.body)
        chunks = [whole] if whole and whole != b"null" else []
    # It read a coded answer before it kept it, but kept the header that says so.
    exchange.response_headers = [
        line for line in exchange.response_headers if line[0].lower() != "content-encoding"
    ]
    exchange.response_bytes = sum(map(len, chunks))
    return Pieces(tuple(took for _ in chunks), tuple(chunks))


def _headers(column: bytes | None) -> list[tuple[str, str]]:
    return _masked(msgspec.json.decode(column or b"{}", type=dict[str, list[str]]))


def _masked(headers: dict[str, list[str]]) -> list[tuple[str, str]]:
    lines = [
        (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, values in headers.items()
        for value in values
    ]
    return mask_headers(lines)


def _streams(body: bytes) -> bool:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return isinstance(found, dict) and found.get("stream") is True


def moment(text: str) -> float:
    """Read a time as seconds since the epoch; SQLite's own ``CURRENT_TIMESTAMP`` is UTC.

    :raises ValueError: it is none.
    """
    found = datetime.fromisoformat(text.strip())
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)
