"""The head of an ordinary HTTP/1 request, read in one go: :func:`parse` is strict, and shy of anything odd.

Nearly every request arrives with its whole head in one read, well formed, with at most a
``Content-Length`` and ``Connection: keep-alive``. Those are read here; whatever is not quite so is left
(``None``) to Twisted's careful line-by-line parser, which also knows how to refuse it. So leniency here
would be a fault, strictness never is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

from clawproxy.core.headers import RawHeaders

MAX_NAME = 256
"""Bytes of a header's name. Spellings of names are remembered, here and by Twisted, thousands of them; names of
any length would let a caller fill the memory."""

# RFC 9110 §5.6.2 (token) and RFC 9112 §3; a target of visible ASCII alone.
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[!-~]*) (HTTP/1\.[01])\r\n")
_LINES = re.compile(rb"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)\r\n", re.MULTILINE)

# Framing, and what changes how the connection goes on, is not for here.
_NOT_HERE = frozenset({b"transfer-encoding", b"expect", b"upgrade"})

_ONCE = frozenset({b"content-length", b"connection", b"host"})

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE_END = re.compile(rb"[\r\n\0]")
_TARGET = re.compile(rb"/[!-~]*+|\*")

_LOWER: dict[bytes, bytes] = {}
_MOST_NAMES = 4096


@frozen(slots=True)
class Head:
    """A request's head.

    :ivar lines: names and values in their order, names as they were spelled.
    :ivar first: each header's first value by its name in lower case.
    :ivar length: bytes of the body.
    :ivar size: bytes of the head itself, its empty line included.
    """

    method: bytes
    target: bytes
    version: bytes
    lines: RawHeaders
    first: dict[bytes, bytes]
    length: int
    size: int


def parse(data: bytes, most_bytes: int, most_headers: int) -> Head | None:
    """Read the head that ``data`` begins with.

    :return: ``None`` where it is not complete, or not ordinary.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > most_bytes:
        return None
    request = _REQUEST_LINE.match(data)
    if request is None:
        return None
    section = data[request.end() : end + 2]
    lines: RawHeaders = _LINES.findall(section)
    # A line that is none of these, or holds a lone CR or LF, or a NUL, may mean something else to whoever reads it next
    # (request smuggling); and white space behind a value is not a part of it.
    if (
        section.count(b"\n") != len(lines)
        or len(lines) > most_headers
        or b" \r\n" in section
        or b"\t\r\n" in section
    ):
        return None
    first: dict[bytes, bytes] = {}
    for name, value in lines:
        lower = _LOWER.get(name) or _lower(name)
        if lower is None:
            return None
        if lower not in first:
            first[lower] = value
        elif lower in _ONCE:
            return None
    # Nearly every client says that it keeps its connection, which is what happens anyway.
    if b"connection" in first and first[b"connection"].lower() != b"keep-alive":
        return None
    length = first.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 18:
        return None
    return Head(request[1], request[2], request[3], lines, first, int(length), end + 4)


def forwardable(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether an HTTP/2 head can be written as an HTTP/1 one that everybody reads alike.

    HTTP/2 itself lets a method or path hold spaces, with which a request line would name another path than
    the one that was looked at.

    :param headers: names and values, those of the pseudo-headers among them.
    """
    pseudo: dict[bytes, bytes] = {}
    for name, value in headers:
        if name.startswith(b":"):
            pseudo[name] = value
        elif len(name) > MAX_NAME or not _TOKEN.fullmatch(name) or _LINE_END.search(value):
            return False
    method, target = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    return _TOKEN.fullmatch(method) is not None and _TARGET.fullmatch(target) is not None


def _lower(name: bytes) -> bytes | None:
    """Spell a header's name in lower case; ``None`` for one that is not for here."""
    lower = name.lower()
    if len(name) > MAX_NAME or lower in _NOT_HERE:
        return None
    if len(_LOWER) < _MOST_NAMES:
        _LOWER[name] = lower
    return lower
