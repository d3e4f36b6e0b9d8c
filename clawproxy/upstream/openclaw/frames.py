"""What travels over the gateway's WebSocket: JSON text frames, in and out of values.

1. :func:`decode` turns one text message into a :class:`Response` or an :class:`Event`, or ``None``
   for a frame type that this proxy does not know (newer gateways may add some; they are skipped).
2. :func:`encode_request` gives the text of a request.
3. :func:`scrub` makes any string safe to be encoded as UTF-8 again.

The shapes are those of the npm package ``@openclaw/gateway-protocol`` (protocol 3 and 4 alike).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from attrs import field, frozen

JSON = Mapping[str, Any]
"""A decoded JSON object, whose members a gateway of another version may have changed or left
out."""


class FrameError(Exception):
    """A message that is no JSON object: what sent it is not an OpenClaw Gateway."""


@frozen
class GatewayError:
    """The ``error`` member of a refused request.

    :ivar code: for example ``INVALID_REQUEST``, ``NOT_PAIRED``, ``UNAVAILABLE``, ``FORBIDDEN``.
    :ivar message: the gateway's own words.
    :ivar details: structured facts; ``details.code`` is sent from 2026.3 on.
    :ivar retry_after: seconds, where the gateway names a time.
    """

    code: str
    message: str
    details: JSON = field(factory=dict)
    retry_after: float | None = None

    @property
    def detail_code(self) -> str:
        """``details.code``, or an empty string (gateways before 2026.3 send none)."""
        return text(self.details, "code")


@frozen
class Response:
    """An answer to a request. The ``agent`` method answers twice with the same ``id``.

    :ivar raw: the frame as it came.
    """

    id: str
    ok: bool
    payload: JSON
    error: GatewayError | None = None
    raw: str = field(default="", repr=False, eq=False)


@frozen
class Event:
    """Something that the gateway tells every operator connection.

    :ivar raw: the frame as it came.
    """

    name: str
    payload: JSON
    raw: str = field(default="", repr=False, eq=False)


def text(value: JSON, name: str, default: str = "") -> str:
    """Read a string member; anything else counts as absent, as gateways of other versions
    differ."""
    found = value.get(name)
    return found if isinstance(found, str) else default


def mapping(value: JSON, name: str) -> JSON:
    """Read an object member; anything else counts as an empty one."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def sequence(value: JSON, name: str) -> list[Any]:
    """Read an array member; anything else counts as an empty one."""
    found = value.get(name)
    return found if isinstance(found, list) else []


def texts(items: list[object]) -> list[str]:
    """Read the texts of content blocks; other blocks are passed over."""
    return [p["text"] for p in items if isinstance(p, dict) and isinstance(p.get("text"), str)]


def number(value: JSON, name: str) -> float | None:
    """Read a number member; booleans and anything else count as absent."""
    found = value.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found


def count(value: JSON, name: str) -> int:
    """Read a non-negative whole number; anything else counts as 0."""
    found = number(value, name)
    return int(found) if found is not None and 0 <= found < 2**63 else 0


def scrub(value: str) -> str:
    """Replace lone surrogates, which JavaScript allows in a string and UTF-8 does not, by
    U+FFFD."""
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _parse(message: str) -> object:
    try:
        return msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeEncodeError):
        # Node's JSON.stringify escapes a lone surrogate (half an emoji at the end of a cumulative
        # text) as \\udXXX, which msgspec refuses and the standard library accepts.
        try:
            return json.loads(message)
        except ValueError as error:
            raise FrameError(f"not JSON: {error}") from error


def decode(message: str) -> Response | Event | None:
    """Read one text message.

    :raises FrameError: it is not a JSON object.
    """
    frame = _parse(message)
    if not isinstance(frame, dict):
        raise FrameError(f"a JSON {type(frame).__name__} instead of an object")
    kind = frame.get("type")
    if kind == "event":
        return Event(text(frame, "event"), mapping(frame, "payload"), message)
    if kind != "res":
        return None
    raw = frame.get("payload")
    # exec.approval.list answers with a bare array.
    payload = raw if isinstance(raw, dict) else {"items": raw} if isinstance(raw, list) else {}
    ok = frame.get("ok") is True
    return Response(text(frame, "id"), ok, payload, None if ok else _error(frame), message)


def _error(frame: JSON) -> GatewayError:
    error = mapping(frame, "error")
    after = number(error, "retryAfterMs")
    return GatewayError(
        text(error, "code", "UNKNOWN"),
        scrub(text(error, "message", "the gateway gave no reason")),
        mapping(error, "details"),
        None if after is None else max(0.0, after / 1000),
    )


def encode_request(request_id: str, method: str, params: JSON) -> str:
    """Give the text of a request frame."""
    frame = {"type": "req", "id": request_id, "method": method, "params": params}
    return msgspec.json.encode(frame).decode()
