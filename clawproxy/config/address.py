"""Addresses of upstreams and stores: one spelling each inside, the usual spellings outside."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from clawproxy.core.secret import MASK

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s?#@]+")
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})")


def mask(url: str) -> str:
    """Give an address without what might be secret in it: user, password and query."""
    before, query, after = url.partition("?")
    scheme, slashes, rest = before.partition("//")
    if not slashes:
        scheme, rest = "", before
    if "@" in after:
        # A password with a question mark, or a query with an at sign: who can tell?
        return f"{scheme}{slashes}{MASK}"
    _, at, host = rest.rpartition("@")
    shown = f"{scheme}{slashes}{MASK}@{host}" if at else before
    return f"{shown}?{MASK}" if query else shown


def _split(url: str, schemes: tuple[str, ...]) -> SplitResult:
    parts = urlsplit(url.strip())
    if parts.scheme not in schemes:
        raise ValueError(f"it has to begin with {' or '.join(f'{name}://' for name in schemes)}")
    if not parts.hostname or any(char.isspace() for char in url.strip()):
        raise ValueError("it needs a host and no spaces")
    if not (url.isascii() and url.strip().isprintable()):
        raise ValueError("only ASCII can be sent: write the host as xn--… and the path with %XX")
    _ = parts.port  # raises ValueError for a port out of range
    return parts


def base_url(url: str) -> str:
    """Bring the base of an HTTP API to the form that ``/v1/…`` can be appended to.

    ``https://host``, ``https://host/``, ``https://host/v1`` and ``https://host/v1/`` are the same.

    :raises ValueError: it is no such address; says why.
    """
    parts = _split(url, ("https", "http"))
    if parts.username is not None or parts.password is not None:
        raise ValueError("a user and password do not belong here, but in api_key or headers")
    if parts.query or parts.fragment:
        raise ValueError("it may have no query and no fragment")
    path = parts.path.rstrip("/")
    path = path.removesuffix("/v1").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def gateway_url(url: str) -> str:
    """Bring the address of an OpenClaw Gateway to a WebSocket URL; ``http`` becomes ``ws``.

    :raises ValueError: it is no such address; says why.
    """
    parts = _split(url, ("ws", "wss", "http", "https"))
    if parts.username is not None or parts.password is not None:
        raise ValueError("a user and password do not belong here, but in token or password")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), parts.query, ""))


def storage_url(url: str) -> str:
    """Bring the address of the store to ``sqlite:PATH``, ``postgresql://…`` or ``none``.

    ``postgres://`` is what many hosts put into ``DATABASE_URL``. Slashes behind ``sqlite:`` are
    read as in ``file:`` URLs: three or more begin an absolute path.

    :raises ValueError: it is none of these; says why.
    """
    url = url.strip()
    if url == "none":
        return url
    scheme, colon, rest = url.partition(":")
    if colon and scheme == "sqlite":
        path = rest.removeprefix("//")
        if path.startswith("/"):
            path = "/" + path.lstrip("/")
        if not path or path.endswith("/"):
            raise ValueError("sqlite: needs the path of a file")
        if path.startswith(":memory:"):
            raise ValueError("a database in memory cannot be shared between processes; use none")
        return f"sqlite:{posixpath.normpath(path)}"
    if colon and scheme in ("postgresql", "postgres") and rest.startswith("//"):
        _check_authority(rest)
        return f"postgresql:{rest}"
    raise ValueError("it has to be sqlite:PATH, postgresql://USER:PASSWORD@HOST/DATABASE, or none")


def _check_authority(rest: str) -> None:
    """Find what a password does to a URL that it was put into as it is: libpq would take a part of it for a host, a
    port or a database, and name that in messages."""
    head, _, behind = rest.removeprefix("//").partition("/")
    user, _, server = head.rpartition("@")
    path = behind.partition("?")[0]
    if "@" in user or "@" in path or _STRAY.search(rest):
        raise ValueError(
            "user and password have to be percent-encoded: @ is %40, / is %2F and % is %25 in them"
        )
    for each in server.partition("?")[0].split(","):
        host = _HOST.fullmatch(each)
        if host is None:
            raise ValueError("the port has to be a number, and / in a password percent-encoded")
        if host[1] and not 1 <= int(host[1]) <= 65535:
            raise ValueError("the port has to be from 1 to 65535")


def web_origin(origin: str) -> str:
    """Check an origin as browsers send it (RFC 6454 section 6): ``scheme://host[:port]``, or ``*``.

    :raises ValueError: it is none.
    """
    origin = origin.strip().rstrip("/")
    if origin in ("*", "null"):
        return origin
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("an origin has a scheme and a host, and no path")
    return origin.lower()
