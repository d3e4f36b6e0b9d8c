"""JSON of strangers, read field by field without respelling what is passed on.

1. :func:`decode` reads with a typed msgspec decoder; text that only lone surrogates or broken UTF-8
   make unreadable is mended first.
2. :class:`Fields` takes an object's members one by one and words what is wrong with them as a
   ``ProxyError`` with the field's path.
3. :func:`quote` and :func:`encode` write; strings that UTF-8 cannot hold are mended too.

Numbers that nobody looks at stay ``msgspec.Raw``: integers of any size, ``1e400`` and ``1.10`` come
out as they went in.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from clawproxy.core.errors import Kind, ProxyError

T = TypeVar("T")

Array = msgspec.json.Decoder(list[msgspec.Raw])
Boolean = msgspec.json.Decoder(bool)
Integer = msgspec.json.Decoder(int)
Number = msgspec.json.Decoder(float)
Object = msgspec.json.Decoder(dict[str, msgspec.Raw])
String = msgspec.json.Decoder(str)
Strings = msgspec.json.Decoder(list[str])
_any = msgspec.json.Decoder()

_NULLS = (msgspec.Raw(b"null"), msgspec.Raw())

MALFORMED = (msgspec.MsgspecError, RecursionError, ValueError)
"""What msgspec raises for bytes it cannot decode: nesting without end and broken UTF-8 included."""

SURROGATES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.",
    re.DOTALL,
)
"""Finds what a string's escapes may be: a surrogate pair, half of one, any other."""

_PATH = re.compile(r" - at `(?:key in )?\$(.*)`$")


def mend(data: bytes) -> bytes:
    """Replace what makes JSON text unreadable although its structure is sound, by U+FFFD: escaped
    lone surrogates (JavaScript writes them when it cuts a string between two code units) and bytes
    that are not UTF-8.
    """

    def replaced(match: re.Match[bytes]) -> bytes:
        found = match[0]
        return b"\\ufffd" if len(found) == 6 else found

    mended = SURROGATES.sub(replaced, data)
    return mended.decode("utf-8", "replace").encode()


def decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T:
    """Decode, mending the text if it has to be.

    :raises msgspec.ValidationError: JSON of another type than the decoder's.
    :raises msgspec.DecodeError: :raises RecursionError: :raises ValueError: not JSON.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = mend(bytes(data))
        if mended == data:
            raise
        return decoder.decode(mended)


def is_null(raw: msgspec.Raw | None) -> bool:
    """Tell whether a member is missing or ``null``."""
    return raw is None or raw in _NULLS


def says_nothing(arguments: str) -> bool:
    """Tell whether a call's arguments are none: servers and clients write what they do not have as ``null``."""
    return arguments.strip() in ("", "null")


def is_object(text: str | bytes) -> bool:
    """Tell whether text is one complete JSON object."""
    try:
        Object.decode(text)
    except MALFORMED:
        return False
    return True


def members(data: bytes | msgspec.Raw) -> dict[str, Any]:
    """Return an object's members, none if it is no object."""
    try:
        found = decode(_any, data)
    except MALFORMED:
        return {}
    return found if isinstance(found, dict) else {}


def text_of(raw: msgspec.Raw) -> str:
    """Return a member's JSON text as it was spelled."""
    return bytes(raw).decode("utf-8", "replace")


def one_line(raw: msgspec.Raw) -> bytes:
    """Return a member's spelling, mended and without line ends: it can stand in an SSE frame."""
    return mend(bytes(raw)).replace(b"\n", b" ").replace(b"\r", b" ")


def count(value: object) -> int | None:
    """Return a token count, ``None`` if the value cannot be one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
        return value
    return None


def quote(text: str) -> bytes:
    """Write a JSON string, whatever the text."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return msgspec.json.encode(clean(text))


def clean(text: str) -> str:
    """Join the halves of surrogate pairs and replace lone ones by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def encode(value: Any) -> bytes:
    """Write a JSON value, whatever its strings hold."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_cleaned(value))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value


def invalid(where: str, error: Exception) -> ProxyError:
    """Word msgspec's complaint about a request's field.

    :param where: the field that was decoded; the complaint's own path is added to it.
    """
    text = str(error)
    if found := _PATH.search(text):
        where += found[1].removeprefix(".") if not where else found[1]
        text = text[: found.start()]
    return ProxyError(Kind.INVALID_REQUEST, f"{where}: {text}.", param=where or None)


def elements(raw: msgspec.Raw, where: str) -> list[msgspec.Raw]:
    """Read a value that has to be an array.

    :raises ProxyError: ``INVALID_REQUEST``.
    """
    try:
        return decode(Array, raw)
    except MALFORMED as error:
        raise invalid(where, error) from None


def missing(where: str, expected: str) -> ProxyError:
    """Word that a field is not there, or not of its type."""
    return ProxyError(Kind.MISSING_FIELD, f"{where} is missing: {expected} is expected.", where)


class Fields:
    """A request's object, emptied member by member; what is left in the end is what nobody knew.

    :ivar where: the object's own path, ``""`` for the whole body.
    """

    def __init__(self, raws: dict[str, msgspec.Raw], where: str = "") -> None:
        self._raws = raws
        self.where = where

    @classmethod
    def of_body(cls, body: bytes) -> Fields:
        """Read a request's body.

        :raises ProxyError: ``INVALID_JSON``: it is empty, not JSON, or not an object.
        """
        try:
            body.decode()
            return cls(decode(Object, body.removeprefix(b"\xef\xbb\xbf")))
        except MALFORMED as error:
            said = _PATH.sub("", str(error)) if body.strip() else "it is empty"
            raise ProxyError(
                Kind.INVALID_JSON, f"The request body is not a JSON object: {said}."
            ) from None

    @classmethod
    def of(cls, raw: msgspec.Raw | bytes, where: str) -> Fields:
        """Read a member that has to be an object.

        :raises ProxyError: ``INVALID_REQUEST``.
        """
        try:
            return cls(decode(Object, raw), where)
        except MALFORMED as error:
            raise invalid(where, error) from None

    def path(self, name: str) -> str:
        """Return a member's path in the request."""
        return f"{self.where}.{name}" if self.where else name

    def take(self, name: str, decoder: msgspec.json.Decoder[T]) -> T | None:
        """Remove a member and return its value, ``None`` if it is missing or ``null``.

        :raises ProxyError: ``INVALID_REQUEST``: it is of another type.
        """
        raw = self.raw(name)
        if raw is None:
            return None
        try:
            return decode(decoder, raw)
        except MALFORMED as error:
            raise invalid(self.path(name), error) from None

    def need(self, name: str, decoder: msgspec.json.Decoder[T], expected: str) -> T:
        """Remove a member that has to be there.

        :raises ProxyError: ``MISSING_FIELD``: it is missing or of another type.
        """
        raw = self.raw(name)
        if raw is not None:
            try:
                return decode(decoder, raw)
            except MALFORMED:
                pass
        raise missing(self.path(name), expected)

    def raw(self, name: str) -> msgspec.Raw | None:
        """Remove a member and return its spelling, ``None`` if it is missing or ``null``."""
        raw = self._raws.pop(name, None)
        return None if is_null(raw) else raw

    def array(self, name: str) -> list[msgspec.Raw]:
        """Remove a member that is an array, ``[]`` if it is missing or ``null``."""
        items = self.take(name, Array)
        return [] if items is None else items

    def strings(self, name: str) -> list[str]:
        """Remove a member that is an array of strings, ``[]`` if it is missing or ``null``."""
        items = self.take(name, Strings)
        return [] if items is None else items

    def object(self, name: str) -> Fields | None:
        """Remove a member that is an object, ``None`` if it is missing or ``null``."""
        raw = self.raw(name)
        return None if raw is None else Fields.of(raw, self.path(name))

    def rest(self) -> dict[str, bytes]:
        """Return what has not been taken, as it was spelled."""
        return {name: bytes(raw) for name, raw in self._raws.items()}
