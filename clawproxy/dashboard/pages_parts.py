"""Pieces of an exchange to take away: a text, an image, a curl command, a HAR file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from urllib.parse import unquote_to_bytes

import msgspec
from attrs import evolve

from clawproxy import __version__
from clawproxy.core.record import Exchange
from clawproxy.core.secret import MASK
from clawproxy.dashboard.api_answer import Answer, NotFound
from clawproxy.dashboard.api_query import BadParameter, choice, parameters
from clawproxy.dashboard.api_record import json_of
from clawproxy.dashboard.pages_answer import Visit, plain
from clawproxy.dashboard.pages_exchange import found, request_of
from clawproxy.dashboard.view_json import data_url, pretty, sniff
from clawproxy.dashboard.view_turn import json_object
from clawproxy.store import reading
from clawproxy.store.protocol import Detail, Store

ORIGIN = "http://127.0.0.1:8080"
"""Where a curl command goes unless the page says where it is."""

_LEFT_OUT = frozenset(
    {"host", "content-length", "connection", "accept-encoding", "content-encoding", "expect"}
)


async def reached(store: Store, id: str) -> Detail:
    """Get an exchange whose request has its content coding undone."""
    detail = await found(store, id)
    return evolve(detail, request=await request_of(store, detail))


async def part(visit: Visit) -> Answer:
    """Give what a pointer points at in a request or an answer."""
    query = parameters(visit.query, ("as",))
    id, side, pointer = visit.names
    detail = await visit.pool.run(lambda store: reached(store, id))
    value = json_object(detail.request if side == "request" else detail.finished)
    return given(value, pointer, query)


def given(value: object, pointer: str, query: Mapping[str, str]) -> Answer:
    """Give what a pointer points at: a text as text, bytes as an image or a file.

    :param query: ``as`` says which.
    :raises NotFound: there is no such thing.
    """
    kind = choice("as", query.get("as", "text"), ("text", "image", "file"))
    for name in pointer.split("/"):
        value = _member(value, name)
    if value is None:
        raise NotFound(f"there is nothing at {pointer[:200]!r}")
    if kind == "text":
        text = value if isinstance(value, str) else pretty(value)
        return plain(text.encode("utf-8", "replace"))
    body = _bytes(value)
    if kind == "file":
        return plain(body, "application/octet-stream", Content_Disposition="attachment")
    media = sniff(body[:16])
    if not media:
        raise NotFound("this is no image that a browser shows")
    # Nothing of it changes, and a page with many images asks for each.
    return plain(body, media, Cache_Control="private, max-age=3600")


def _member(value: object, name: str) -> object:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isascii() and name.isdigit() and len(name) < 9:
        return value[int(name)] if int(name) < len(value) else None
    return None


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise NotFound("there are no bytes here")
    head = data_url(value)
    data = value if head is None else value[value.find(",") + 1 :]
    if head is not None and not head[1]:
        return unquote_to_bytes(data)
    try:
        return base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        raise NotFound("what stands here is no base64") from None


def quoted(text: str) -> str:
    """Quote a word for a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def command(x: Exchange, body: bytes, origin: str) -> str:
    """Give the command that sends a request once more. Where a secret was masked, a variable of the
    shell stands."""
    target = x.path + (f"?{x.query}" if x.query and MASK not in x.query else "")
    lines = [f"curl -N {quoted(origin + target)}"]
    for name, value in x.request_headers:
        if name.lower() in _LEFT_OUT:
            continue
        if MASK in value:
            secret = "OPENAI_API_KEY" if x.dialect != "anthropic" else "ANTHROPIC_API_KEY"
            scheme = "Bearer " if name.lower() == "authorization" else ""
            lines.append(f"-H {quoted(f'{name}: {scheme}')}" + f'"${secret}"')
        else:
            lines.append(f"-H {quoted(f'{name}: {value}')}")
    if x.method != "POST":
        lines.append(f"-X {quoted(x.method)}")
    if body:
        # Not --data-binary: it would send the file that a text with an @ in front names.
        lines.append(f"--data-raw {quoted(body.decode('utf-8', 'replace'))}")
    return " \\\n  ".join(lines) + "\n"


async def curl(visit: Visit) -> Answer:
    """Give an exchange's request as a curl command."""
    query = parameters(visit.query, ("origin",))
    origin = query.get("origin", ORIGIN)
    if not origin.startswith(("http://", "https://")) or any(ord(char) < 33 for char in origin):
        raise BadParameter("origin", origin[:100], "a server's address")
    (id,) = visit.names
    detail = await visit.pool.run(lambda store: reached(store, id))
    text = command(detail.stored.exchange, detail.request or b"", origin)
    return plain(text.encode("utf-8", "replace"))


async def har(visit: Visit) -> Answer:
    """Give an exchange as a HAR file, which browsers' tools and many others open
    (http://www.softwareishard.com/blog/har-12-spec/)."""
    parameters(visit.query, ())
    (id,) = visit.names

    async def fetch(store: Store) -> tuple[Detail, bytes | None]:
        detail = await reached(store, id)
        return detail, await store.body(detail.stored.exchange.id, "response", decoded=True)

    detail, response = await visit.pool.run(fetch)
    x = detail.stored.exchange
    entry = {
        "startedDateTime": x.started_at,
        "time": x.duration_ms or 0,
        "request": {
            "method": x.method,
            "url": f"{ORIGIN}{x.path}{'?' + x.query if x.query else ''}",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _pairs(x.request_headers),
            "queryString": [],
            "headersSize": -1,
            "bodySize": x.request_bytes,
            "postData": {
                "mimeType": reading.header(x.request_headers, "content-type"),
                "text": (detail.request or b"").decode("utf-8", "replace"),
            },
        },
        "response": {
            "status": x.status or 0,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": _pairs(x.response_headers),
            "content": {
                "size": len(response or b""),
                "mimeType": reading.header(x.response_headers, "content-type"),
                "text": (response or b"").decode("utf-8", "replace"),
            },
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": x.response_bytes,
        },
        "cache": {},
        "timings": _timings(x),
        "_clawproxy": {"id": x.id, "model": x.model, "usage": x.usage, "cost_usd": x.cost_usd},
        "_message": json_of(detail.finished),
    }
    creator = {"name": "ClawProxy", "version": __version__}
    log = {"log": {"version": "1.2", "creator": creator, "entries": [entry]}}
    return plain(
        msgspec.json.encode(log),
        "application/json",
        Content_Disposition=f'attachment; filename="{x.id}.har"',
    )


def _pairs(headers: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _timings(x: Exchange) -> dict[str, float]:
    connect = x.connect_ms or 0.0
    first = max(connect, x.ttft_ms or x.headers_ms or connect)
    whole = max(first, x.duration_ms or first)
    return {"connect": connect, "send": 0, "wait": first - connect, "receive": whole - first}
