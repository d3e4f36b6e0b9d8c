"""Read JSON that callers and upstreams sent, the way it really comes.

1. :func:`read` gives the value of any JSON text; NaN, lone surrogates, integers and exponents of
   any size are read, as the vendors' own clients write and read them.
2. :func:`peek` gives :class:`Members`: the top level of an object, of which only what is asked for
   is decoded. A body of 80 KB costs some 30 µs, one of 32 MB some 20 ms.

Both raise nothing but :class:`JSONError`. The fast way is msgspec, which is strict; what it refuses
is read again by the standard library, which is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal

import msgspec

BOM = b"\xef\xbb\xbf"

Kind = Literal["object", "array", "string", "number", "boolean", "null"]

_KINDS: dict[str, Kind] = {
    "{": "object",
    "[": "array",
    '"': "string",
    "t": "boolean",
    "f": "boolean",
    "n": "null",
}

_NAMES: dict[type, str] = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}

_raws = msgspec.json.Decoder(dict[str, msgspec.Raw])
_values = msgspec.json.Decoder()

# One member's key with what stands around it; and the bytes up to the next bracket outside strings.
KEY = re.compile(rb'[ \t\r\n]*+("(?:[^"\\]++|\\.)*+")[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)
_FLAT = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_SCALAR = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[^ \t\r\n,{}\[\]"]++', re.DOTALL)
SPACE = re.compile(rb"[ \t\r\n]*+")


class JSONError(ValueError):
    """Text that is not JSON, or not of the shape asked for.

    :ivar position: the byte at which reading stopped, where that is known.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message if position is None else f"{message} (byte {position})")
        self.position = position


def read(data: bytes) -> object:
    """Give the value of a JSON text, tolerantly, so that reading a body never fails a request.

    Lone surrogates become U+FFFD (they cannot be stored or sent); numbers too large for a float
    become infinity; of duplicate keys the last one wins; a BOM is skipped.

    :raises JSONError: if it is not JSON even so.
    """
    try:
        return _values.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _tolerant(data, clean=True)


def _tolerant(data: bytes, *, clean: bool) -> object:
    text = data.removeprefix(BOM).decode("utf-8", "surrogateescape")
    try:
        value = json.loads(text, parse_int=_integer)
        return _encodable(value) if clean else value
    except json.JSONDecodeError as error:
        position = len(text[: error.pos].encode("utf-8", "surrogateescape"))
        raise JSONError(
            f"not JSON: {error.msg.removesuffix(' at')}",
            position + len(data) - len(data.removeprefix(BOM)),
        ) from None
    except RecursionError:
        raise JSONError("JSON nested too deeply") from None


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts (sys.get_int_max_str_digits)
        return float(digits)


def _encodable(value: object) -> object:
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


class Members:
    """The top-level members of a JSON object, each decoded only when it is asked for.

    Of duplicate keys the last one counts, as it does for every JSON reader upstream.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: dict[str, msgspec.Raw]) -> None:
        self._raw = raw

    def __contains__(self, name: object) -> bool:
        return name in self._raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def get(self, name: str, default: object = None) -> object:
        """Give a member's value as :func:`read` does.

        :param default: what to give if there is no such member.
        """
        raw = self._raw.get(name)
        return default if raw is None else read(bytes(raw))

    def text(self, name: str) -> str | None:
        """Give a member's value if it is a string, else ``None``."""
        value = self.get(name) if self.kind(name) == "string" else None
        return value if isinstance(value, str) else None

    def kind(self, name: str) -> Kind | None:
        """Tell a member's JSON type without decoding it; ``None`` if there is no such member."""
        raw = self._raw.get(name)
        return None if raw is None else _KINDS.get(chr(memoryview(raw)[0]), "number")

    def raw(self, name: str) -> bytes | None:
        """Give a member's value as it is spelled, ``None`` if there is no such member."""
        raw = self._raw.get(name)
        return None if raw is None else bytes(raw)


def peek(body: bytes) -> Members:
    """Look at the top level of a JSON object without decoding what is below it.

    :raises JSONError: if the body is empty, not JSON, or not an object.
    """
    try:
        return Members(_raws.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Members({key: msgspec.Raw(body[start:end]) for key, _, start, end in scan(body)})


def raws(body: bytes) -> dict[str, msgspec.Raw] | None:
    """Give each top-level member's spelling, ``None`` where only :func:`scan` can tell."""
    try:
        return _raws.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def scan(body: bytes) -> list[tuple[str, int, int, int]]:
    """Find the top-level members of an object: name, start of the key, start and end of the value.

    Slower than :func:`peek`, but it reads what that cannot, and duplicate keys each count.

    :raises JSONError: if the body is not JSON, or not an object.
    """
    value = _tolerant(body, clean=False)
    if not isinstance(value, dict):
        raise JSONError(f"{_NAMES[type(value)]}, not an object")
    # From here on the text is known to be an object, so the patterns cannot miss.
    position = len(body) - len(body.removeprefix(BOM))
    position = _skip(SPACE, body, position) + 1
    found: list[tuple[str, int, int, int]] = []
    while match := KEY.match(body, position):
        end = _value_end(body, match.end())
        found.append((key_name(match[1]), match.start(1), match.end(), end))
        position = _skip(SPACE, body, end) + 1
    return found


def key_name(key: bytes) -> str:
    """Decode a key as it is spelled, quotes and escapes included."""
    name = read(key)
    assert isinstance(name, str)
    return name


def _skip(pattern: re.Pattern[bytes], body: bytes, position: int) -> int:
    match = pattern.match(body, position)
    return match.end() if match else position


def _value_end(body: bytes, position: int) -> int:
    if body[position] not in b"{[":
        return _skip(_SCALAR, body, position)
    depth = 1
    position += 1
    while depth:
        position = _skip(_FLAT, body, position)
        depth += 1 if body[position] in b"{[" else -1
        position += 1
    return position
