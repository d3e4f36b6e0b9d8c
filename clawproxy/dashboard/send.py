"""``/api/send``: send a recorded request again, edited or not, to any model.

The new request is a real exchange through the relay, with the same routing, recording and accounting as any caller's;
its answer streams back to whoever asked, and its record names the first one as its parent.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any
from urllib.parse import quote

import msgspec
from attrs import frozen
from twisted.web.http_headers import Headers

from clawproxy.core import headers as heads
from clawproxy.core.jsonedit import JSONError, edit
from clawproxy.core.secret import MASK
from clawproxy.dashboard.access import Refusal
from clawproxy.dashboard.collector import collected
from clawproxy.dashboard.process import ReaderAway, ReaderProcess
from clawproxy.dashboard.status import expect
from clawproxy.relay.exchange import Forward
from clawproxy.relay.switchboard import Switchboard
from clawproxy.upstream.failure import UpstreamFailure

# RFC 9110 §5.1 and §5.5.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
DEFAULT_PATH = "/v1/messages"
_OAUTH_PREFIX = "sk-ant-oat"

# What was said about the bytes of the first request and the way it came holds for this one no more.
_LEFT_OUT = heads.CREDENTIAL_HEADERS | frozenset(
    {
        b"host",
        b"content-length",
        b"content-encoding",
        b"accept-encoding",
        b"expect",
        b"cookie",
        b"origin",
        b"referer",
        heads.REQUEST_ID_HEADER,
        heads.ID_HEADER,
    }
)


class _Ask(msgspec.Struct, forbid_unknown_fields=True):
    """What a page or program asks for.

    :ivar id: the exchange to send again; may be left out where ``request`` is given.
    :ivar request: the request's JSON, where it is not the first one's.
    :ivar model: the model to ask instead.
    :ivar path: where to, e.g. ``/v1/messages`` or ``/openai/v1/responses``; the first one's if it is not given.
    :ivar headers: further headers; they replace the first one's.
    :ivar key: the credential to present, where the provider has none of its own.
    """

    id: str | None = None
    request: msgspec.Raw = msgspec.Raw(b"")
    model: str | None = None
    path: str | None = None
    headers: dict[str, str] = {}
    key: str | None = None


class _Original(msgspec.Struct):
    """What is needed of a recorded exchange."""

    id: str
    path: str
    method: str
    query: str = ""
    request_headers: list[tuple[str, str]] = []


@frozen
class Again:
    """A request to be sent.

    :ivar target: path and query.
    :ivar parent_id: the exchange whose child this one is.
    """

    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    parent_id: str | None


class Sender:
    """Answers ``POST /api/send``.

    :param board: where exchanges begin.
    :param reader: has the recorded requests; ``None`` where nothing is recorded.
    """

    def __init__(self, board: Switchboard, reader: ReaderProcess | None) -> None:
        self._board = board
        self._reader = reader

    async def answer(self, request: Any, rest: str) -> None:
        """Send a request again, and its answer back."""
        expect(request, "POST")
        try:
            asked = msgspec.json.decode(request.body, type=_Ask)
        except msgspec.MsgspecError as error:
            words = "expected JSON with id or request, and perhaps model, path, headers, key"
            raise Refusal(400, f"{words}: {error}") from None
        again = await self._prepare(asked)
        if request.gone:
            return
        self._begin(request, again)

    async def _prepare(self, asked: _Ask) -> Again:
        original = None
        given = bytes(asked.request)
        body = given if given not in (b"", b"null") else None
        if asked.id is not None:
            name = quote(asked.id, safe="")
            found = await self._fetch(f"/api/requests/{name}?bodies=0")
            original = msgspec.json.decode(found, type=_Original)
            if original.method != "POST":
                raise Refusal(400, f"found a {original.method}, expected a POST to send again")
            if body is None:
                body = await self._fetch(f"/api/requests/{name}/request?decoded=1")
        if body is None:
            raise Refusal(400, "found neither id nor request, expected one of them")
        if asked.model is not None:
            try:
                body = edit(body, {("model",): msgspec.json.encode(asked.model)})
            except JSONError as error:
                raise Refusal(400, f"the request has no model to change: {error}") from None
        return Again(
            self._target(asked, original).encode("latin-1", "replace"),
            self._headers(asked, original),
            body,
            original.id if original is not None else None,
        )

    def _target(self, asked: _Ask, original: _Original | None) -> str:
        target = _path(asked, original)
        query = original.query if original is not None and not asked.path else ""
        if query and MASK not in query:
            target += "?" + query
        self._split(target)
        return target

    def _split(self, target: str) -> tuple[str | None, str]:
        """Take ``/{provider}`` off a path.

        :raises Refusal: it is no path of the API.
        """
        if not all(32 < ord(char) < 127 for char in target):
            raise Refusal(400, "found a path with characters that no path has")
        first, slash, rest = target.lstrip("/").partition("/")
        if first == "v1" and slash:
            return None, target
        if first in self._board.wiring.config.providers and rest.startswith("v1/"):
            return first, "/" + rest
        raise Refusal(400, f"found the path {target[:100]!r}, expected /v1/… or /PROVIDER/v1/…")

    def _headers(self, asked: _Ask, original: _Original | None) -> list[tuple[bytes, bytes]]:
        mine = {name.lower() for name in asked.headers}
        # A record that was imported may hold what no header has.
        kept = [
            (name.encode("ascii"), value.encode("latin-1"))
            for name, value in (original.request_headers if original is not None else ())
            if name.lower() not in mine and MASK not in value and _sendable(name, value)
        ]
        for name, value in asked.headers.items():
            if not _sendable(name, value):
                raise Refusal(400, f"found {name[:50]!r} with characters that no header has")
            kept.append((name.encode("ascii"), value.encode("latin-1")))
        lines = [
            line
            for line in kept
            if line[0].lower() not in _LEFT_OUT and line[0].lower() not in heads.HOP_BY_HOP
        ]
        if not any(name.lower() == b"content-type" for name, _ in lines):
            lines.append((b"content-type", b"application/json"))
        if asked.key:
            lines.append(_credential(asked.key, _path(asked, original)))
        keys = self._board.wiring.config.auth.api_keys
        if keys:
            # Whoever may open the dashboard may use the proxy; its key is never sent on.
            lines.append((b"api-key", keys[0].key.reveal().encode("latin-1", "replace")))
        return lines

    async def _fetch(self, target: str) -> bytes:
        if self._reader is None:
            raise Refusal(503, "nothing is recorded here that could be sent again")
        try:
            response = await self._reader.ask(b"GET", target.encode("ascii"), [], None)
        except (ReaderAway, UpstreamFailure) as error:
            raise Refusal(503, f"the dashboard is not up: {error}", 2) from None
        body = await collected(response)
        if response.code != 200:
            raise Refusal(response.code, _words(body))
        return body

    def _begin(self, request: Any, again: Again) -> None:
        """Make the request what it asks for, and let the relay answer it."""
        pinned, target = self._split(again.target.decode("latin-1"))
        headers = Headers()
        for name, value in again.headers:
            headers.addRawHeader(name, value)
        request.requestHeaders = headers
        request.content = BytesIO(again.body)
        request.method = b"POST"
        request.uri = again.target
        request.path = again.target.partition(b"?")[0]
        request.started = self._board.reactor.seconds()
        if not request.counted:
            request.counted = True
            self._board.drain.enter()
        Forward(self._board, request, target.encode("latin-1"), pinned, again.parent_id).begin()


def _path(asked: _Ask, original: _Original | None) -> str:
    path = asked.path or (DEFAULT_PATH if original is None else original.path)
    return "/" + path.lstrip("/")


def _credential(key: str, path: str) -> tuple[bytes, bytes]:
    """Present a key as the API behind a path takes it."""
    if "/v1/messages" in path and not key.startswith(_OAUTH_PREFIX):
        return b"x-api-key", key.encode("latin-1", "replace")
    return b"authorization", b"Bearer " + key.encode("latin-1", "replace")


def _sendable(name: str, value: str) -> bool:
    return bool(_NAME.fullmatch(name) and _VALUE.fullmatch(value))


def _words(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "the exchange cannot be read"
