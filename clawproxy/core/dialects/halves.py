"""Characters that a server cut in two: JavaScript's strings are made of 16-bit units, and servers written in it cut
a text into deltas wherever they like. Each delta then ends or begins with half a character, which is no text.

:class:`Halves` keeps the first half until the frame with the other one comes. It costs nothing while frames can be
read.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from clawproxy.core.dialects.rawjson import SURROGATES, mend

T = TypeVar("T")

_HIGH = re.compile(rb"\\u[dD][89abAB]..")
_LOW = re.compile(rb"\\u[dD][c-fC-F]..")


class Halves:
    """Read the frames of one stream; what :func:`~.rawjson.mend` would replace in two of them is joined."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = b""

    def decode(self, decoder: msgspec.json.Decoder[T], data: bytes) -> T:
        """Decode a frame; raises what :func:`~.rawjson.decode` raises."""
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            mended = mend(SURROGATES.sub(self._joined, data))
            if mended == data:
                raise
            return decoder.decode(mended)

    def _joined(self, match: re.Match[bytes]) -> bytes:
        """Take away a first half at a string's end, and put it before a second one at a string's beginning."""
        found, text = match[0], match.string
        start, end = match.span()
        if _HIGH.fullmatch(found) and text[end : end + 1] == b'"':
            self._half = found
            return b""
        opened = text[start - 1 : start] == b'"' and text[start - 2 : start - 1] != b"\\"
        if self._half and opened and _LOW.fullmatch(found):
            half, self._half = self._half, b""
            return half + found
        return found
