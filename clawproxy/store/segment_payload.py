"""The journal's records as bytes: built in the proxy by C calls alone, read back in the indexer's process.

One function for each kind of record gives the chunks of its payload, which nobody has to copy together to write them;
:func:`read` gives the record again. All integers are little-endian. Arrival times are 64-bit floats, milliseconds
after the exchange's start. What frames a payload is :mod:`clawproxy.store.segment`'s.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from typing import assert_never

from clawproxy.core.record import Exchange, decode_exchange, encode_exchange
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.segment_record import (
    End,
    Kind,
    PieceRun,
    Record,
    Seal,
    Start,
    UpstreamRequest,
    Whole,
)

_WHOLE = struct.Struct("<IIIB")
_START = struct.Struct("<II")
_COUNT = struct.Struct("<I")
_ONE = struct.Struct("<IdI")
_NONE = 0xFFFFFFFF


def _swap(values: array[float] | array[int]) -> array[float] | array[int]:
    if sys.byteorder == "big":  # pragma: no cover - files are little-endian everywhere
        values.byteswap()
    return values


def block(times: Sequence[float], data: Sequence[bytes]) -> list[bytes]:
    """Give pieces as chunks: count, times, lengths, bytes. Built by C calls alone, for 100,000s of
    pieces a second."""
    if not data:
        return [b"\0\0\0\0"]
    if len(data) == 1:  # the ordinary answer without a stream
        return [_ONE.pack(1, times[0], len(data[0])), data[0]]
    return [
        _COUNT.pack(len(data)),
        _swap(array("d", times)).tobytes(),
        _swap(array("I", map(len, data))).tobytes(),
        b"".join(data),
    ]


def start(exchange: Exchange, request: bytes) -> list[bytes]:
    """Give the chunks of a ``START``."""
    text = encode_exchange(exchange)
    return [_START.pack(len(text), len(request)), text, request]


def _key(id: str) -> bytes:
    name = id.encode()
    return bytes((len(name),)) + name


def upstream_request(id: str, body: bytes) -> list[bytes]:
    """Give the chunks of an ``UPSTREAM_REQUEST``."""
    return [_key(id), body]


def pieces(id: str, side: Side, times: Sequence[float], data: Sequence[bytes]) -> list[bytes]:
    """Give the chunks of a ``PIECES``."""
    return [_key(id), bytes((side,)), *block(times, data)]


def end(exchange: Exchange, truncated: bool, superseded: int = 0) -> list[bytes]:
    """Give the chunks of an ``END``."""
    count = _COUNT.pack(superseded) if superseded else b""
    return [bytes((truncated | bool(count) << 1,)) + count, encode_exchange(exchange)]


def whole(
    exchange: Exchange,
    request: bytes,
    upstream_request: bytes | None,
    sent: list[bytes],
    received: list[bytes],
    truncated: bool,
) -> list[bytes]:
    """Give the chunks of a ``WHOLE``; ``sent`` and ``received`` are :func:`block`\\ s."""
    text = encode_exchange(exchange)
    upstream_size = _NONE if upstream_request is None else len(upstream_request)
    return [
        _WHOLE.pack(len(text), len(request), upstream_size, truncated),
        text,
        request,
        upstream_request or b"",
        *sent,
        *received,
    ]


def _read_block(data: memoryview, offset: int) -> tuple[Pieces, int]:
    (count,) = _COUNT.unpack_from(data, offset)
    offset += 4
    times = array("d", bytes(data[offset : offset + 8 * count]))
    offset += 8 * count
    lengths = array("I", bytes(data[offset : offset + 4 * count]))
    offset += 4 * count
    _swap(times)
    _swap(lengths)
    parts = []
    for length in lengths:
        parts.append(bytes(data[offset : offset + length]))
        offset += length
    return Pieces(tuple(times), tuple(parts)), offset


def _read_key(data: memoryview) -> tuple[str, int]:
    end = 1 + data[0]
    return str(data[1:end], "utf-8"), end


def read(kind: Kind, data: memoryview) -> Record:
    """Read one payload.

    :raises ValueError, IndexError, struct.error, msgspec.MsgspecError: if it is not what its kind says.
    """
    match kind:
        case Kind.WHOLE:
            text, request, upstream, truncated = _WHOLE.unpack_from(data)
            at = _WHOLE.size
            exchange = decode_exchange(data[at : at + text])
            at += text
            body = bytes(data[at : at + request])
            at += request
            upstream_body = None
            if upstream != _NONE:
                upstream_body = bytes(data[at : at + upstream])
                at += upstream
            sent, at = _read_block(data, at)
            received, at = _read_block(data, at)
            return Whole(exchange, body, upstream_body, sent, received, bool(truncated))
        case Kind.START:
            text, request = _START.unpack_from(data)
            at = _START.size + text
            return Start(decode_exchange(data[_START.size : at]), bytes(data[at : at + request]))
        case Kind.UPSTREAM_REQUEST:
            id, at = _read_key(data)
            return UpstreamRequest(id, bytes(data[at:]))
        case Kind.PIECES:
            id, at = _read_key(data)
            return PieceRun(id, Side(data[at]), _read_block(data, at + 1)[0])
        case Kind.END:
            flags, at, superseded = data[0], 1, 0
            if flags & 2:
                (superseded,) = _COUNT.unpack_from(data, at)
                at += _COUNT.size
            return End(decode_exchange(data[at:]), bool(flags & 1), superseded)
        case Kind.SEAL:
            return Seal()
        case _:
            assert_never(kind)
