"""Reading JSON that may be anything: what is not of the expected type is empty, never an error."""

from __future__ import annotations

import base64
import binascii
import json
import re

import msgspec

from clawproxy.core.jsonread import JSONError, read
from clawproxy.dashboard.view import IMAGE_WEIGHT, Image, Other

TOO_DEEP = "(nested too deeply to be shown)"

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*?(;base64)?,", re.ASCII)


def members(value: object) -> dict[str, object]:
    """Give an object's members."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """Give an array's items."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """Give a string."""
    return value if isinstance(value, str) else ""


def words(value: object) -> str:
    """Give a scalar as people read it, anything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    return compact(value)


def compact(value: object) -> str:
    """Give JSON on one line."""
    try:
        return msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return _tolerant(value, None)


def pretty(value: object) -> str:
    """Give JSON on many lines; strings keep their own characters."""
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return _tolerant(value, 2)


def _tolerant(value: object, indent: int | None) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    except RecursionError:
        return TOO_DEEP


def parsed(source: str) -> object:
    """Read arguments that came as text; ``None`` for what is no JSON."""
    try:
        return read(source.encode("utf-8", "replace"))
    except JSONError:
        return None


def weight(value: object) -> int:
    """Estimate how many characters a model reads of a value: those of its strings and numbers."""
    if isinstance(value, str):
        return len(value)
    total, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            total += len(each)
        elif isinstance(each, dict):
            total += sum(map(len, each)) + 4 * len(each)
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        else:
            total += 4
    return total


def lifetime(value: object) -> str:
    """Give the lifetime that a ``cache_control`` asks for (five minutes where it does not say)."""
    control = members(value).get("cache_control")
    if not isinstance(control, dict):
        return ""
    return text(control.get("ttl")) or "5m"


def data_url(url: str) -> tuple[str, bool] | None:
    """Read the head of a ``data:`` URL (RFC 2397): media type, and whether it is base64.

    :returns: ``None`` for any other URL.
    """
    match = _DATA_URL.match(url[:200])
    if match is None:
        return None
    return match[1] or "text/plain", bool(match[2])


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def sniff(head: bytes) -> str:
    """Tell an image by its first bytes, whatever it is said to be; ``""`` for what browsers are not to be
    given: SVG can hold scripts, and the rest is none."""
    for magic, media in _MAGIC:
        if head.startswith(magic):
            return media
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else ""


def sniff_base64(data: str) -> str:
    """Tell an image by its first bytes in base64."""
    try:
        return sniff(base64.b64decode(data[:32], validate=True))
    except (binascii.Error, ValueError):
        return ""


def image_of(url: object, pointer: str, alt: str = "") -> Image:
    """Make an image of a URL, which may hold it."""
    address = text(url)
    held = data_url(address)
    if held is None:
        return Image(pointer=pointer, url=address[:2000], alt=alt, weight=IMAGE_WEIGHT)
    data = address[address.find(",") + 1 :]
    media = sniff_base64(data) if held[1] else ""
    return Image(
        pointer=pointer,
        media=media,
        embedded=True,
        size=len(data) * 3 // 4,
        alt=alt,
        weight=IMAGE_WEIGHT,
    )


def other(value: object, pointer: str) -> Other:
    """Wrap what nobody knows."""
    name = text(members(value).get("type")) or type(value).__name__
    return Other(
        name=name[:100],
        value=value,
        pointer=pointer,
        weight=weight(value),
        breakpoint=lifetime(value),
    )


def rest_of(
    body: dict[str, object], known: frozenset[str], lists: frozenset[str] = frozenset()
) -> tuple[tuple[str, object], ...]:
    """Give the members that nobody has read, in order.

    :param lists: which of the known ones are read only where they are arrays.
    """
    return tuple(
        (name, value)
        for name, value in body.items()
        if name not in known
        or (name in lists and value is not None and not isinstance(value, list))
    )
