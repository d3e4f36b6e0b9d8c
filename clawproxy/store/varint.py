"""Small integers in few bytes (LEB128 and zigzag, as Protocol Buffers encode them), for lists of
mostly small ones."""

from __future__ import annotations

from collections.abc import Iterable


def pack(values: Iterable[int]) -> bytes:
    """Encode integers that are not negative."""
    values = list(values)
    if not values or max(values) < 0x80:
        return bytes(values)
    out = bytearray()
    for value in values:
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
    return bytes(out)


def unpack(data: bytes, count: int, offset: int = 0) -> tuple[list[int], int]:
    """Decode integers.

    :param count: how many.
    :param offset: where they begin.
    :returns: the integers and the offset behind them.
    :raises IndexError: if the data ends before they do.
    """
    values = []
    for _ in range(count):
        byte = data[offset]
        offset += 1
        value, shift = byte & 0x7F, 7
        while byte > 0x7F:
            byte = data[offset]
            offset += 1
            value |= (byte & 0x7F) << shift
            shift += 7
        values.append(value)
    return values, offset


def zigzag(value: int) -> int:
    """Map an integer of either sign to one that is not negative, small for small."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """Undo :func:`zigzag`."""
    return value >> 1 if not value & 1 else -(value + 1 >> 1)
