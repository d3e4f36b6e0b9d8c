"""The journal's file format, so that what was recorded outlives a crash of everything else.

1. A segment begins with :func:`header`, then come framed records: length, CRC-32, kind, payload.
2. :func:`frame` seals one payload, which :mod:`clawproxy.store.segment_payload` builds.
3. A reader gives what it has read of a file to :func:`scan` and gets whole records and the offset
   of the first one that is not whole yet. A torn tail (``kill -9``, full disk) is simply a record
   that never becomes whole.

No I/O here: bytes in, bytes out. All integers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from zlib import crc32

import msgspec

from clawproxy.store import segment_payload
from clawproxy.store.segment_record import Kind, Record, Unreadable

MAGIC = b"CLAWJRNL"
VERSION = 1

_HEADER = struct.Struct("<8sHB")
_FRAME = struct.Struct("<IIB")
FRAME_SIZE = _FRAME.size
MAX_PAYLOAD = 0x7FFFFFFF
"""What the length field may say; more is a torn or foreign file."""


class SegmentError(ValueError):
    """A file that is not a segment, or one of a version that this program does not know."""


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
    if not MAGIC.startswith(data[:8]):
        raise SegmentError(f"not a journal segment: begins with {data[:8]!r}, expected {MAGIC!r}")
    if len(data) < _HEADER.size:
        return None
    _, version, length = _HEADER.unpack_from(data)
    if version != VERSION:
        raise SegmentError(f"journal segment of version {version}, this program reads {VERSION}")
    end = _HEADER.size + length
    if len(data) < end:
        return None
    name = data[_HEADER.size : end]
    try:
        return name.decode("ascii"), end
    except UnicodeDecodeError:
        raise SegmentError(f"journal segment of nobody: written by {name!r}") from None


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


def scan(data: bytes, offset: int = 0) -> Iterator[tuple[Record, int]]:
    """Give each whole record with the offset behind it, and stop at the first that is not whole (or
    whose CRC is wrong).

    :param data: what has been read of the file.
    :param offset: where a record begins.
    :raises SegmentError: at a record of a kind that this version does not know.
    """
    view = memoryview(data)
    end = len(data)
    while offset + FRAME_SIZE <= end:
        size, crc, number = _FRAME.unpack_from(data, offset)
        begin = offset + FRAME_SIZE
        if not number:
            return  # zeros: what a loss of power leaves of bytes that had not reached the disk, CRC and all
        if size > MAX_PAYLOAD or begin + size > end:
            return
        payload = view[begin : begin + size]
        if crc32(payload, number) != crc:
            return
        try:
            kind = Kind(number)
        except ValueError:
            raise SegmentError(f"journal record of unknown kind {number}") from None
        offset = begin + size
        try:
            record = segment_payload.read(kind, payload)
        except (msgspec.MsgspecError, struct.error, ValueError, IndexError) as error:
            record = Unreadable(str(error))
        yield record, offset
