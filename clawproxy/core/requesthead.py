"""The head of an ordinary HTTP/1 request, read in one go: :func:`parse` is strict, and shy of anything odd.

Nearly every request arrives with its whole head in one read, well formed, with at most a
``Content-Length``. Those are read here; whatever is not quite so is left (``None``) to Twisted's careful
line-by-line parser, which also knows how to refuse it. So leniency here would be a fault, strictness never is.
"""

from __future__ import annotations

import re

from attrs import frozen

MAX_NAME = 256
"""Bytes of a header's name. Spellings of names are remembered, here and by Twisted, thousands of them; names of
any length would let a caller fill the memory."""

# RFC 9110 §5.6.2 (token) and RFC 9112 §3; a target of visible ASCII alone.
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[!-~]*) (HTTP/1\.[01])\Z")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")

# Framing, and what changes how the connection goes on, is not for here.
_NOT_HERE = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"connection"})

_CANONICAL: dict[bytes, bytes] = {}
_MOST_CANONICAL = 4096
_SPECIAL = {
    b"Content-Md5": b"Content-MD5",
    b"Dnt": b"DNT",
    b"Etag": b"ETag",
    b"P3p": b"P3P",
    b"Te": b"TE",
    b"Www-Authenticate": b"WWW-Authenticate",
    b"X-Xss-Protection": b"X-XSS-Protection",
}


@frozen(slots=True)
class Head:
    """A request's head.

    :ivar headers: values by name, names in Twisted's canonical case.
    :ivar length: bytes of the body.
    :ivar size: bytes of the head itself, its empty line included.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: dict[bytes, list[bytes]]
    length: int
    size: int


def parse(data: bytes, most_bytes: int, most_headers: int) -> Head | None:
    """Read the head that ``data`` begins with.

    :return: ``None`` where it is not complete, or not ordinary.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > most_bytes:
        return None
    head = data[:end]
    first, *lines = head.split(b"\r\n")
    # A lone CR or LF, or a NUL, may mean something else to whoever reads it next (request smuggling).
    if b"\0" in head or head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
        return None
    found = _REQUEST_LINE.match(first)
    if found is None or len(lines) > most_headers:
        return None
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        canonical = _CANONICAL.get(name) or _canonical(name)
        if not colon or canonical is None:
            return None
        values = headers.get(canonical)
        if values is None:
            headers[canonical] = [value.strip(b" \t")]
        else:
            values.append(value.strip(b" \t"))
    lengths = headers.get(b"Content-Length")
    length = 0
    if lengths is not None:
        if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
            return None
        length = int(lengths[0])
    return Head(found[1], found[2], found[3], headers, length, end + 4)


def _canonical(name: bytes) -> bytes | None:
    """Spell a header's name as Twisted does; ``None`` for one that is none, or not for here."""
    if len(name) > MAX_NAME or not _TOKEN.match(name) or name.lower() in _NOT_HERE:
        return None
    spelled = b"-".join(word.capitalize() for word in name.split(b"-"))
    spelled = _SPECIAL.get(spelled, spelled)
    if len(_CANONICAL) < _MOST_CANONICAL:
        _CANONICAL[name] = spelled
    return spelled
