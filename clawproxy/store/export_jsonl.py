"""Exchanges as JSON lines: each what ``/api/requests/{id}`` gives, with the exact bytes beside it.

``request`` stands in a line as it was spelled, so that only bodies that cannot (coded, not JSON, on several lines) are
given once more under ``raw``. :func:`read_line` gives back what :func:`write_line` was given.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from clawproxy.core.record import Exchange
from clawproxy.dashboard.api_record import NOTHING_TOLD, detailed
from clawproxy.store.entry import Entry
from clawproxy.store.export_record import Recorded
from clawproxy.store.pieces import Pieces

VERSION = 1
"""Of the form of ``raw``."""


class LineError(ValueError):
    """A line that is no exchange of ours."""


class _Bytes(msgspec.Struct):
    base64: str


class _Raw(msgspec.Struct, omit_defaults=True):
    """The exact bytes; text where they are that.

    :ivar request: where it is not spelled like the line's ``request``.
    """

    version: int
    request: str | _Bytes | None = None
    upstream_request: str | _Bytes | None = None
    sent: list[tuple[float, str | _Bytes]] = []
    received: list[tuple[float, str | _Bytes]] = []


class _Line(msgspec.Struct):
    raw: _Raw
    request: msgspec.Raw = msgspec.Raw(b"null")
    truncated: bool = False


def write_line(one: Recorded) -> bytes:
    """Give an exchange as a line, with its end."""
    shown = detailed(one.detail, one.plain_request)
    embedded = shown["request"]
    if isinstance(embedded, msgspec.Raw) and b"\n" in bytes(embedded):
        embedded = shown["request"] = msgspec.json.decode(bytes(embedded))
    if isinstance(shown["response"], msgspec.Raw) and b"\n" in bytes(shown["response"]):
        shown["response"] = msgspec.json.decode(bytes(shown["response"]))
    # White space around it is none of a value's, so a reader would not give it back.
    # Nor is null told from a line that has none.
    same = (
        isinstance(embedded, msgspec.Raw)
        and bytes(embedded).strip(b" \t\r\n") == one.request != b"null"
    )
    raw = _Raw(
        VERSION,
        None if same else _text(one.request),
        _text(one.upstream_request),
        _pieces(one.sent),
        _pieces(one.received),
    )
    return msgspec.json.encode({**shown, "raw": raw}) + b"\n"


def read_line(line: bytes, instance: str) -> Entry:
    """Read a line as an exchange for a store.

    :param instance: who is to have recorded it.
    :raises LineError: it is none.
    """
    try:
        exchange = msgspec.json.decode(line, type=Exchange)
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LineError(f"no exchange: {error}") from None
    raw = found.raw
    if raw.version != VERSION:
        raise LineError(f"found the form {raw.version}, this program reads {VERSION}")
    if not exchange.id:
        raise LineError("no exchange: its id is empty")
    _check(exchange)
    embedded = bytes(found.request)
    request = _data(raw.request)
    if request is None and embedded != b"null":
        request = embedded
    if exchange.usage == NOTHING_TOLD:
        exchange.usage = None
    if exchange.outcome == "running":
        exchange.outcome = "interrupted"
    return Entry(
        exchange,
        instance,
        True,
        request,
        _data(raw.upstream_request),
        _joined(raw.sent),
        _joined(raw.received),
        found.truncated,
    )


def _check(exchange: Exchange) -> None:
    """Refuse numbers that no store has room for."""
    counts = [exchange.request_bytes, exchange.response_bytes]
    if exchange.usage is not None:
        usage = msgspec.structs.asdict(exchange.usage)
        counts += [value for name, value in usage.items() if name != "complete"]
    if not all(abs(count) < 1 << 63 for count in counts) or abs(exchange.status or 0) >= 1 << 31:
        raise LineError("no exchange: a count or the status is too large")


def _text(data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _Bytes(base64.b64encode(data).decode())


def _data(value: str | _Bytes | None) -> bytes | None:
    if isinstance(value, _Bytes):
        try:
            return base64.b64decode(value.base64, validate=True)
        except binascii.Error as error:
            raise LineError(f"no Base64: {error}") from None
    return value.encode() if value is not None else None


def _pieces(pieces: Pieces) -> list[tuple[float, Any]]:
    return [(at, _text(data)) for at, data in zip(pieces.times, pieces.data, strict=True)]


def _joined(listed: list[tuple[float, str | _Bytes]]) -> Pieces:
    return Pieces(tuple(at for at, _ in listed), tuple(_data(value) or b"" for _, value in listed))
