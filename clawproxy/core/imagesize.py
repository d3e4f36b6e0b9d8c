"""How large an image is, and of which kind, by its first bytes: PNG, JPEG, GIF and WebP, which the vendors accept.

Images cost tokens by their size, and decoding one to learn it would cost far more than the request.
Formats: W3C PNG 11.2.2, ITU T.81 B.2.2, GIF89a 18, RFC 9649 2.5 to 2.7.
"""

from __future__ import annotations

import base64
import binascii
import re

HEAD = 256 * 1024
"""Bytes of an image that are looked at; a JPEG's size stands behind its metadata."""

_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})
_KINDS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_SPACES = re.compile(r"\s+")


def image_size(data: bytes) -> tuple[int, int] | None:
    """Give width and height in pixels, ``None`` if the bytes do not tell."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return _positive(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    if data.startswith((b"GIF87a", b"GIF89a")) and len(data) >= 10:
        return _positive(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp(data)
    return None


def image_size_of_base64(text: str) -> tuple[int, int] | None:
    """Give width and height of an image in base64, of which only the beginning is decoded."""
    head = _SPACES.sub("", text[: HEAD * 4 // 3])
    head = head[: len(head) // 4 * 4]
    try:
        return image_size(base64.b64decode(head))
    except (binascii.Error, ValueError):
        return None


def true_media_type(said: str, text: str) -> str:
    """Give the kind of an image in base64, which its sender may have called otherwise than it is.

    :param said: what it was called.
    """
    head = _SPACES.sub("", text[:64])[:16]
    try:
        data = base64.b64decode(head)
    except (binascii.Error, ValueError):
        data = b""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    found = (kind for start, kind in _KINDS.items() if data.startswith(start))
    return next(found, _ALIASES.get(said, said))


def _positive(width: int, height: int) -> tuple[int, int] | None:
    return (width, height) if width > 0 and height > 0 else None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2  # fill bytes, and markers without a segment
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            return _positive(int.from_bytes(data[position + 7 : position + 9], "big"), height)
        position += 2 + max(2, int.from_bytes(data[position + 2 : position + 4], "big"))
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return _positive(width, int.from_bytes(data[27:30], "little") + 1)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return _positive((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        return _positive(width, int.from_bytes(data[28:30], "little") & 0x3FFF)
    return None
