"""Who may open the dashboard and call ``/api/``: rules over the facts of a request.

1. :func:`facts_of` reads them from a request.
2. :func:`from_loopback` is the rule without a password: the caller is on a loopback address and asks for a
   loopback name. The name is looked at because of DNS rebinding: a page of ``evil.example`` whose name was
   made to point at 127.0.0.1 still sends ``Host: evil.example``.
3. :func:`cross_site` is the rule for every call, password or not: no page of another origin.

Nothing here does I/O; :class:`~clawproxy.dashboard.gate.Gate` puts the rules together.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import Any

from attrs import field, frozen

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 §9.2.1)."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORWARDED_BY = (
    *("forwarded", "x-forwarded-for", "x-real-ip", "x-original-forwarded-for"),
    *("x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip", "fly-client-ip"),
)
_LOCAL_NAME = re.compile(r"(?:[a-z0-9-]+\.)*localhost")


@frozen
class Refusal(Exception):
    """Why a request is not let in.

    :ivar message: what was found and what would be let in; holds no secret.
    :ivar retry_after: seconds after which another try is taken.
    :ivar allow: the methods that are taken, where the method was wrong (RFC 9110 §15.5.6).
    """

    status: int
    message: str
    retry_after: int | None = None
    allow: str | None = None

    def __str__(self) -> str:
        return self.message


@frozen
class Facts:
    """What a request says of its caller.

    :ivar address: the peer's IP address; ``None`` on a socket without one (``unix:``).
    :ivar forwarded: what proxies in front say of the caller (``X-Forwarded-For`` and its like), as it came.
    :ivar token: the password of ``Authorization: Bearer``.
    """

    method: str
    address: str | None
    host: str | None = None
    origin: str | None = None
    referer: str | None = None
    fetch_site: str | None = None
    fetch_mode: str | None = None
    forwarded: tuple[str, ...] = ()
    forwarded_host: str | None = None
    token: str | None = field(default=None, repr=False)
    cookies: str = field(default="", repr=False)

    @property
    def changes(self) -> bool:
        """Whether the call may change something."""
        return self.method not in SAFE_METHODS


def facts_of(request: Any) -> Facts:
    """Read the facts from a :class:`~twisted.web.http.Request`."""

    def header(name: str) -> str | None:
        values = request.requestHeaders.getRawHeaders(name)
        return str(values[-1]).strip() if values else None

    scheme, _, token = (header("authorization") or "").partition(" ")
    hosts = request.requestHeaders.getRawHeaders("host") or []
    return Facts(
        method=request.method.decode("latin-1"),
        address=getattr(request.getClientAddress(), "host", None),
        # Two of them are one too many: who knows which one somebody else has checked.
        host=hosts[0].strip() if len(hosts) == 1 else None,
        origin=header("origin"),
        referer=header("referer"),
        fetch_site=header("sec-fetch-site"),
        fetch_mode=header("sec-fetch-mode"),
        forwarded=tuple(
            value
            for name in _FORWARDED_BY
            for value in request.requestHeaders.getRawHeaders(name) or []
        ),
        forwarded_host=header("x-forwarded-host"),
        token=token.strip() if scheme.lower() == "bearer" else None,
        cookies="; ".join(request.requestHeaders.getRawHeaders("cookie") or []),
    )


def split_host(authority: str) -> tuple[str, int | None] | None:
    """Take a ``Host`` header's value apart (RFC 9110 §7.2).

    :returns: the name in lower case without brackets, and the port if one is given; ``None`` for what is no
        host.
    """
    name, port = authority, ""
    if authority.startswith("["):
        name, bracket, rest = authority[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
        port = rest[1:]
    elif authority.count(":") == 1:
        name, _, port = authority.partition(":")
    if not name or (port and not (port.isascii() and port.isdigit() and len(port) <= 5)):
        return None
    return name.lower().rstrip("."), int(port) if port else None


def is_loopback_address(address: str | None) -> bool:
    """Tell whether an IP address is of the loopback interface."""
    if address is None:
        return False
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback


def is_loopback_host(authority: str | None) -> bool:
    """Tell whether a ``Host`` header names this machine and nothing that a name server has a say in.

    ``localhost`` and what stands below it never leaves the machine (RFC 6761 §6.3).
    """
    split = split_host(authority) if authority else None
    if split is None:
        return False
    name = split[0]
    if _LOCAL_NAME.fullmatch(name):
        return True
    # A zone ("%lo") is for addresses; in a name, anything could stand behind the mark.
    return "%" not in name and is_loopback_address(name)


def from_loopback(facts: Facts) -> Refusal | None:
    """Refuse whoever is not on a loopback address, or does not ask for a loopback name.

    A proxy in front of this one is on a loopback address itself, and by default asks for one: what it says of
    its caller counts then. A Unix socket is refused: those who open one usually put such a proxy before it.
    """
    hint = "set dashboard.password to open the dashboard to others"
    if facts.address is None:
        return Refusal(
            403, f"without a password only callers on a loopback address are let in; {hint}"
        )
    if not is_loopback_address(facts.address):
        return Refusal(
            403,
            f"found a caller at {facts.address}, without a password only one on a loopback address is"
            f" let in; {hint}",
        )
    others = [address for words in facts.forwarded for address in _addresses(words)]
    for_others = facts.forwarded_host is not None and not is_loopback_host(facts.forwarded_host)
    if for_others or not all(map(is_loopback_address, others)):
        return Refusal(
            403,
            "found a caller behind another proxy, without a password only one on a loopback"
            f" address is let in; {hint}",
        )
    if not is_loopback_host(facts.host):
        found = repr(facts.host[:100]) if facts.host is not None else "none"
        return Refusal(
            403,
            f"found the Host {found}, expected localhost or a loopback address; {hint}",
        )
    return None


def _addresses(words: str) -> list[str]:
    """Read the addresses of ``X-Forwarded-For``, ``X-Real-IP`` and ``Forwarded`` (RFC 7239)."""
    found = []
    for entry in words.split(","):
        text = entry
        for pair in entry.split(";"):
            name, equals, value = pair.partition("=")
            if equals and name.strip().lower() == "for":
                text = value
        split = split_host(text.strip().strip('"'))
        found.append(split[0] if split is not None else text.strip())
    return found


def same_origin(origin: str, facts: Facts) -> bool:
    """Tell whether an origin is this server's as its callers know it.

    The scheme is left aside: TLS may end at a proxy in front.
    """
    scheme, separator, authority = origin.partition("://")
    theirs = split_host(authority.partition("/")[0]) if separator else None
    if theirs is None:
        return False
    default = _DEFAULT_PORTS.get(scheme.lower())
    for name in (facts.host, facts.forwarded_host):
        ours = split_host(name) if name else None
        if ours is None or ours[0] != theirs[0]:
            continue
        if (theirs[1] or default) == (ours[1] or default):
            return True
    return False


def cross_site(facts: Facts, *, page: bool = False) -> Refusal | None:
    """Refuse calls that a page of another origin makes or sends the browser to make.

    Browsers say so themselves: ``Origin`` (on everything but plain GETs, https://fetch.spec.whatwg.org/#origin-header)
    and ``Sec-Fetch-Site`` (https://w3c.github.io/webappsec-fetch-metadata/). A call with neither is none of a
    browser's.

    :param page: a page is asked for: other sites may link to it.
    """
    if facts.origin is not None and not same_origin(facts.origin, facts):
        # A proxy in front may give us a Host of its own; the browser knows better, and no script can forge it.
        rewritten = facts.fetch_site == "same-origin" and facts.origin != "null"
        if not rewritten:
            return Refusal(
                403,
                f"found a call from the origin {facts.origin[:100]!r}, expected this server's own",
            )
    if facts.fetch_site in ("cross-site", "same-site"):
        linked = page and not facts.changes and facts.fetch_mode in ("navigate", None)
        if not linked:
            return Refusal(
                403, f"found a {facts.fetch_site} call, expected one of this server's own pages"
            )
    silent = facts.origin is None and facts.fetch_site is None
    if facts.changes and silent and facts.referer and not same_origin(facts.referer, facts):
        return Refusal(
            403, "found a call from a page of another server, expected this server's own"
        )
    return None
