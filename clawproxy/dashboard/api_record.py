"""Exchanges as the API's JSON has them: exactly the fields of the interface, by their names."""

from __future__ import annotations

import base64
from codecs import getincrementaldecoder

import msgspec

from clawproxy.core.coding import CodingError, StreamDecoder
from clawproxy.core.jsonread import JSONError, read
from clawproxy.core.record import Exchange, Usage
from clawproxy.store.pieces import Pieces
from clawproxy.store.protocol import Detail, Stored

FIELDS = (
    "id", "request_id", "client_request_id", "started_at", "finished_at", "outcome", "status", "method",
    "path", "dialect", "stream", "provider", "model", "routed_model", "tries", "upstream_request_id", "usage",
    "cost_usd", "ttft_ms", "duration_ms", "request_bytes", "response_bytes", "conversation_id", "session_id",
    "agent_id", "parent_agent_id", "key", "client", "error",
)  # fmt: skip
"""The fields of an exchange in a list, in the interface's order."""

_MORE = (
    "query", "upstream_dialect", "demoted", "parent_id", "connect_ms", "headers_ms", "request_headers",
    "response_headers", "upstream_request_headers", "upstream_response_headers",
)  # fmt: skip
_TIMES = frozenset({"ttft_ms", "duration_ms", "connect_ms", "headers_ms"})
NOTHING_TOLD = Usage(complete=False)
"""How usage is shown where the upstream has told none, so that ``usage.complete`` is always there to be asked."""
DECODED_LIMIT = 256 << 20
"""Bytes to which an answer's pieces may decode to be shown."""


def listed(exchange: Exchange) -> dict[str, object]:
    """Give an exchange as a list shows it."""
    return {name: _value(exchange, name) for name in FIELDS}


def _value(exchange: Exchange, name: str) -> object:
    value = getattr(exchange, name)
    if name == "usage":
        return NOTHING_TOLD if value is None else value
    if name in _TIMES and value is not None:
        return round(value, 3)
    return value


def detailed(detail: Detail, request: bytes | None) -> dict[str, object]:
    """Give an exchange with all that there is to say of it.

    :param request: the caller's body with its content coding undone.
    """
    exchange = detail.stored.exchange
    found = listed(exchange)
    found.update({name: _value(exchange, name) for name in _MORE})
    found["kind"] = detail.stored.side_call
    found["truncated"] = detail.stored.truncated
    found["tools"] = detail.tools
    found["request"] = json_of(request)
    found["response"] = json_of(detail.finished)
    return found


def listed_with_kind(stored: Stored) -> dict[str, object]:
    """Give an exchange as a conversation shows it: told apart from side calls."""
    return {**listed(stored.exchange), "kind": stored.side_call}


def json_of(body: bytes | None) -> object:
    """Give a body as JSON that can stand inside other JSON, spelled as it came; ``None`` for what is none."""
    if not body:
        return None
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return read(body)
        except JSONError:
            return None
    return msgspec.Raw(body)


def events(pieces: Pieces, coding: str) -> list[dict[str, object]]:
    """Give an answer's pieces with their times. Joined, their ``data`` is the answer's text.

    A character that was cut by a piece's end stands in the later piece, if there is one. Where the answer is no
    text at all, the pieces are given in Base64, each marked ``"encoding": "base64"``.

    :param coding: the answer's ``Content-Encoding``, undone piece by piece.
    """
    data = _decoded(pieces.data, coding) if coding else list(pieces.data)
    decoder = getincrementaldecoder("utf-8")()
    try:
        texts = [decoder.decode(piece) for piece in data]
    except UnicodeDecodeError:
        return [
            {"at_ms": round(at, 3), "data": base64.b64encode(piece).decode(), "encoding": "base64"}
            for at, piece in zip(pieces.times, data, strict=True)
        ]
    return [
        {"at_ms": round(at, 3), "data": text} for at, text in zip(pieces.times, texts, strict=True)
    ]


def _decoded(data: tuple[bytes, ...], coding: str) -> list[bytes]:
    found: list[bytes] = []
    try:
        decoder = StreamDecoder(coding, DECODED_LIMIT)
        for piece in data:
            found.append(b"".join(decoder.feed(piece)))
    except CodingError:
        return list(data) if not any(found) else found + [b""] * (len(data) - len(found))
    return found
