"""Exchanges as an HTTP archive, HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/), which browsers' developer
tools and many others open."""

from __future__ import annotations

import base64
from http import HTTPStatus
from urllib.parse import parse_qsl

import msgspec

from clawproxy import __version__
from clawproxy.core.record import Exchange
from clawproxy.store.export_record import Recorded
from clawproxy.store.reading import coding, header, undo

BEGINNING = (
    b'{"log":{"version":"1.2","creator":{"name":"ClawProxy","version":"%s"},"pages":[],"entries":['
    % __version__.encode()
)
END = b"\n]}}\n"


def url(exchange: Exchange) -> str:
    """Give the address that was asked for, as far as it is known."""
    host = header(exchange.request_headers, "host") or "localhost"
    query = f"?{exchange.query}" if exchange.query else ""
    return f"http://{host}{exchange.path}{query}"


def entry(one: Recorded) -> bytes:
    """Give an exchange as an entry."""
    exchange = one.exchange
    times = _timings(exchange)
    return msgspec.json.encode(
        {
            "startedDateTime": exchange.started_at,
            "time": round(sum(value for value in times.values() if value > 0), 3),
            "request": _request(one),
            "response": _response(one),
            "cache": {},
            "timings": times,
            "comment": exchange.error or "",
            "_id": exchange.id,
            "_outcome": exchange.outcome,
            "_model": exchange.model,
            "_routed_model": exchange.routed_model,
            "_provider": exchange.provider,
            "_usage": exchange.usage,
            "_cost_usd": exchange.cost_usd,
            "_conversation_id": exchange.conversation_id,
        }
    )


def _timings(exchange: Exchange) -> dict[str, float]:
    """Give the phases in milliseconds; -1 for what does not apply, as the format says."""
    whole = exchange.duration_ms or 0.0
    first = exchange.ttft_ms if exchange.ttft_ms is not None else whole
    connect = exchange.connect_ms
    return {
        "blocked": -1,
        "dns": -1,
        "connect": round(connect, 3) if connect is not None else -1,
        "send": 0,
        "wait": round(max(0.0, first - (connect or 0.0)), 3),
        "receive": round(max(0.0, whole - first), 3),
        "ssl": -1,
    }


def _request(one: Recorded) -> dict[str, object]:
    exchange = one.exchange
    found: dict[str, object] = {
        "method": exchange.method,
        "url": url(exchange),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(exchange.request_headers),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(exchange.query, keep_blank_values=True)
        ],
        "headersSize": -1,
        "bodySize": exchange.request_bytes,
    }
    if one.plain_request:
        kind = header(exchange.request_headers, "content-type")
        found["postData"] = {
            "mimeType": kind,
            "text": one.plain_request.decode("utf-8", "replace"),
            "params": [],
        }
    return found


def _response(one: Recorded) -> dict[str, object]:
    exchange = one.exchange
    status = exchange.status or 0
    body = undo(one.sent.body, coding(exchange, "response"))
    content: dict[str, object] = {
        "size": len(body),
        "mimeType": header(exchange.response_headers, "content-type") or "x-unknown",
    }
    try:
        content["text"] = body.decode()
    except UnicodeDecodeError:
        content["text"] = base64.b64encode(body).decode()
        content["encoding"] = "base64"
    return {
        "status": status,
        "statusText": _phrase(status),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(exchange.response_headers),
        "content": content,
        "redirectURL": header(exchange.response_headers, "location"),
        "headersSize": -1,
        "bodySize": exchange.response_bytes,
    }


def _headers(headers: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
