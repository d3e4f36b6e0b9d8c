"""The journal's file format, so that what was recorded outlives a crash of everything else.

1. A segment begins with :func:`header`, then come framed records: length, CRC-32, kind, payload.
2. :func:`frame` seals one payload; the ``*_payload`` functions build them.
3. A reader gives what it has read of a file to :func:`scan` and gets whole records and the offset
   of the first one that is not whole yet. A torn tail (``kill -9``, full disk) is simply a record
   that never becomes whole.

No I/O here: bytes in, bytes out. All integers are little-endian. Arrival times are 64-bit floats,
milliseconds after the exchange's start.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from enum import IntEnum
from zlib import crc32

import msgspec
from attrs import frozen

from clawproxy.core.record import Exchange, decode_exchange, encode_exchange
from clawproxy.store.pieces import Pieces, Side

MAGIC = b"CLAWJRNL"
VERSION = 1

_HEADER = struct.Struct("<8sHB")
_FRAME = struct.Struct("<IIB")
_WHOLE = struct.Struct("<IIIB")
_START = struct.Struct("<II")
_COUNT = struct.Struct("<I")
_ONE = struct.Struct("<IdI")
_NONE = 0xFFFFFFFF
FRAME_SIZE = _FRAME.size
MAX_PAYLOAD = 0x7FFFFFFF
"""What the length field may say; more is a torn or foreign file."""


class Kind(IntEnum):
    """What a record says."""

    START = 1
    UPSTREAM_REQUEST = 2
    PIECES = 3
    END = 4
    WHOLE = 5
    SEAL = 6


class SegmentError(ValueError):
    """A file that is not a segment, or one of a version that this program does not know."""


@frozen
class Start:
    """An exchange that had not ended when the journal was flushed."""

    exchange: Exchange
    request: bytes


@frozen
class UpstreamRequest:
    """The body that was sent upstream, where it differs from the caller's."""

    id: str
    body: bytes


@frozen
class PieceRun:
    """Pieces of a running exchange, since the last flush."""

    id: str
    side: Side
    pieces: Pieces


@frozen
class End:
    """A started exchange, final now.

    :ivar truncated: pieces were dropped on the way (memory, disk budget or the limit of one
        answer).
    :ivar superseded: how many of the first pieces received are of targets that were given up for
        the next one.
    """

    exchange: Exchange
    truncated: bool
    superseded: int = 0


@frozen
class Whole:
    """An exchange that began and ended between two flushes: the ordinary short one."""

    exchange: Exchange
    request: bytes
    upstream_request: bytes | None
    sent: Pieces
    received: Pieces
    truncated: bool


@frozen
class Seal:
    """Nothing follows in this segment."""


@frozen
class Unreadable:
    """A whole record whose content nobody can read: a fault of whoever wrote it.

    :ivar reason: what is wrong with it.
    """

    reason: str


Record = Start | UpstreamRequest | PieceRun | End | Whole | Seal | Unreadable


def header(instance: str) -> bytes:
    """Give the first bytes of a segment.

    :param instance: the name of the process that writes it, ASCII, at most 255 bytes.
    """
    name = instance.encode("ascii")
    return _HEADER.pack(MAGIC, VERSION, len(name)) + name


def read_header(data: bytes) -> tuple[str, int] | None:
    """Read a segment's header.

    :param data: the file's first bytes.
    :returns: the instance and the header's length, or ``None`` while the header is not whole.
    :raises SegmentError: if this is no segment, or one of another version.
    """
    if not MAGIC.startswith(data[:8]) and data[:8] != MAGIC:
        raise SegmentError(f"not a journal segment: begins with {data[:8]!r}, expected {MAGIC!r}")
    if len(data) < _HEADER.size:
        return None
    _, version, length = _HEADER.unpack_from(data)
    if version != VERSION:
        raise SegmentError(f"journal segment of version {version}, this program reads {VERSION}")
    end = _HEADER.size + length
    if len(data) < end:
        return None
    return data[_HEADER.size : end].decode("ascii"), end


def frame(kind: Kind, payload: bytes) -> bytes:
    """Give the frame that stands before a payload."""
    return _FRAME.pack(len(payload), crc32(payload, kind), kind)


def frame_chunks(kind: Kind, chunks: Sequence[bytes]) -> bytes:
    """Give the frame of a payload that is in several chunks, without copying them together.

    The CRC of large chunks runs without the GIL, which is why the journal's thread calls this and
    not the reactor.
    """
    crc, size = int(kind), 0
    for chunk in chunks:
        crc = crc32(chunk, crc)
        size += len(chunk)
    return _FRAME.pack(size, crc, kind)


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


def start_payload(exchange: Exchange, request: bytes) -> list[bytes]:
    """Give the chunks of a ``START``."""
    text = encode_exchange(exchange)
    return [_START.pack(len(text), len(request)), text, request]


def _key(id: str) -> bytes:
    name = id.encode()
    return bytes((len(name),)) + name


def upstream_payload(id: str, body: bytes) -> list[bytes]:
    """Give the chunks of an ``UPSTREAM_REQUEST``."""
    return [_key(id), body]


def pieces_payload(
    id: str, side: Side, times: Sequence[float], data: Sequence[bytes]
) -> list[bytes]:
    """Give the chunks of a ``PIECES``."""
    return [_key(id), bytes((side,)), *block(times, data)]


def end_payload(exchange: Exchange, truncated: bool, superseded: int = 0) -> list[bytes]:
    """Give the chunks of an ``END``."""
    count = _COUNT.pack(superseded) if superseded else b""
    return [bytes((truncated | bool(count) << 1,)) + count, encode_exchange(exchange)]


def whole_payload(
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


def read_record(kind: int, data: memoryview) -> Record:
    """Read one payload.

    :raises SegmentError: for a kind that this version does not know.
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
            raise SegmentError(f"journal record of unknown kind {kind}")


def scan(data: bytes, offset: int = 0) -> Iterator[tuple[Record, int]]:
    """Give each whole record with the offset behind it, and stop at the first that is not whole (or
    whose CRC is wrong).

    :param data: what has been read of the file.
    :param offset: where a record begins.
    """
    view = memoryview(data)
    end = len(data)
    while offset + FRAME_SIZE <= end:
        size, crc, kind = _FRAME.unpack_from(data, offset)
        begin = offset + FRAME_SIZE
        if not kind:
            return  # zeros: what a loss of power leaves of bytes that had not reached the disk, CRC and all
        if size > MAX_PAYLOAD or begin + size > end:
            return
        payload = view[begin : begin + size]
        if crc32(payload, kind) != crc:
            return
        offset = begin + size
        try:
            record = read_record(kind, payload)
        except (msgspec.MsgspecError, struct.error, ValueError, IndexError) as error:
            if isinstance(error, SegmentError):
                raise
            record = Unreadable(str(error))
        yield record, offset
