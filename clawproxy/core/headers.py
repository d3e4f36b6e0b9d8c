"""Which headers travel, and which never do: functions over header lists.

1. :func:`request_headers` gives what of a caller's head goes upstream, without any credential of
   it; which credential goes with it is :mod:`clawproxy.core.keys`' decision.
2. :func:`response_headers` gives what of an upstream's head goes to the caller; :func:`disarm` adds
   what keeps browsers from running it, :mod:`clawproxy.core.requestid` the proxy's own lines.
3. :func:`credentials` reads what a caller presented.

A header list is a list of ``(name, value)`` in bytes, in order, names in any case, as on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from attrs import field, frozen

Headers = Sequence[tuple[bytes, bytes]]
"""Header lines in their order, names in any case."""

RawHeaders = list[tuple[bytes, bytes]]
"""The same as a list of one's own, to which lines may be added."""

PROVIDER_HEADER = b"x-clawproxy-provider"
"""The request header that names the provider, as the path ``/{provider}/v1/…`` does."""

ID_HEADER = b"x-clawproxy-id"
REQUEST_ID_HEADER = b"x-request-id"

SESSION_COOKIE = "clawproxy_session"
"""The cookie of the dashboard's login, at the same address as the API."""

CREDENTIAL_HEADERS = frozenset({b"authorization", b"x-api-key", b"api-key"})
"""The three forms in which clients present a key."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
    }
)
"""RFC 9110, 7.6.1 and 11.7: of one connection only. What ``Connection`` names comes on top."""

# RFC 9110, 7.6.1: a connection option must not name a field that is meant for all recipients of
# the content. A peer that does it all the same must not unframe a message or hide its coding.
_NEVER_CONNECTION_OPTIONS = frozenset(
    {b"cache-control", b"content-type", b"content-encoding", b"content-length"}
)

# Beside the hop-by-hop ones: host, content-length and expect are made by the client that sends the
# request; a cookie is for our host (the dashboard's login is one); origin and its kin speak of the
# caller's page and our host, and CORS is answered here; forwarding headers would tell a provider
# who the caller is.
_NOT_UPSTREAM = (
    HOP_BY_HOP
    | CREDENTIAL_HEADERS
    | {
        b"host",
        b"content-length",
        b"expect",
        b"cookie",
        b"origin",
        b"referer",
        b"access-control-request-method",
        b"access-control-request-headers",
        b"access-control-request-private-network",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-server",
        b"x-real-ip",
        b"via",
        PROVIDER_HEADER,
        ID_HEADER,
    }
)

# A translated request is the proxy's own; of the caller's head it takes over only what names no
# dialect and no account.
_TRANSLATED = frozenset(
    {b"user-agent", b"accept-language", b"traceparent", b"tracestate", REQUEST_ID_HEADER}
)

# What no browser runs. Of two types, or a list of them, browsers take the last.
_INERT = re.compile(
    rb"(?:application/json|text/event-stream)(?:[ ]*;[ ]*charset=[\w-]{1,20})?\Z", re.IGNORECASE
)
_DISARMED = ((b"content-security-policy", b"sandbox"), (b"x-content-type-options", b"nosniff"))

# What describes the bytes of a body that the caller does not get as they were.
_OF_THE_BODY = frozenset(
    {
        b"content-length",
        b"content-encoding",
        b"content-type",
        b"content-md5",
        b"content-range",
        b"content-digest",
        b"repr-digest",
        b"digest",
        b"etag",
        b"last-modified",
        b"accept-ranges",
    }
)
# A cookie is looked at only because its header's name stands here; all but our own go on.
_NOT_DOWNSTREAM = HOP_BY_HOP | {ID_HEADER, b"set-cookie"}
_NOT_DOWNSTREAM_CHANGED = _NOT_DOWNSTREAM | _OF_THE_BODY

# As browsers read it (RFC 6265bis, 5.6): of a cookie without a name they give the value back as it is.
_OUR_COOKIE = re.compile(rb"[=\s]*%b\s*=" % SESSION_COOKIE.encode())


@frozen
class Credential:
    """What a caller presented as its key, in one of the three forms; it does not print itself.

    :ivar name: the header's name as it was sent.
    :ivar raw: the header's whole value, to be passed on untouched.
    :ivar token: the key itself; empty for an ``Authorization`` of another scheme than Bearer.
    """

    name: bytes
    raw: bytes = field(repr=False)
    token: str = field(repr=False)


def _without(
    headers: Headers, dropped: frozenset[bytes], prefix: bytes | None = None
) -> RawHeaders:
    """Leave out the given names and, as seen in the same pass, those that ``Connection`` names.

    :param prefix: names that begin so are left out, too.
    """
    kept = []
    listed: set[bytes] = set()
    for line in headers:
        name = line[0].lower()
        if name not in dropped:
            if prefix is None or not name.startswith(prefix):
                kept.append(line)
        elif name == b"connection":
            options = line[1].lower()
            if options not in (b"keep-alive", b"close"):
                listed.update(option.strip() for option in options.split(b","))
        elif name == b"set-cookie" and not _OUR_COOKIE.match(line[1]):
            kept.append(line)
    if listed:
        listed -= _NEVER_CONNECTION_OPTIONS
        kept = [line for line in kept if line[0].lower() not in listed]
    return kept


def end_to_end(headers: Headers) -> RawHeaders:
    """Leave out what is of one connection only, with every header that ``Connection`` names."""
    return _without(headers, HOP_BY_HOP)


def request_headers(headers: Headers, *, translated: bool = False) -> RawHeaders:
    """Give what of a caller's head goes upstream; no credential is ever in it.

    :param translated: the body is written anew in another dialect: only what is of no dialect is
        taken over, and the answer is asked for in no content coding.
    """
    kept = _without(headers, _NOT_UPSTREAM)
    if not translated:
        return kept
    chosen = [line for line in kept if line[0].lower() in _TRANSLATED]
    chosen.append((b"content-type", b"application/json"))
    chosen.append((b"accept-encoding", b"identity"))
    return chosen


def response_headers(headers: Headers, *, changed: bool = False, cors: bool = False) -> RawHeaders:
    """Give what of an upstream's head goes to the caller: everything end to end, in its order.

    Of cookies, all but one of the dashboard's own name: at our address, a browser would take it for a login's.

    :param changed: the body is not passed on byte for byte, so what describes its bytes is left
        out.
    :param cors: the proxy answers CORS itself, so the upstream's ``access-control-*`` are left
        out: a browser refuses two answers.
    """
    dropped = _NOT_DOWNSTREAM_CHANGED if changed else _NOT_DOWNSTREAM
    return _without(headers, dropped, b"access-control-" if cors else None)


def disarm(headers: RawHeaders, raw: Headers, first: Mapping[bytes, bytes]) -> RawHeaders:
    """Add what keeps a browser from running an upstream's answer in our origin, which is the dashboard's.

    A provider's page, opened there, could read every record. A policy of the upstream's own stays: of two
    a browser obeys both.

    :param headers: what of the answer's head goes to the caller.
    :param raw: the whole head.
    :param first: each of its headers' first value by its name in lower case.
    """
    if _INERT.match(first.get(b"content-type", b"")) and (
        len(first) == len(raw) or sum(name.lower() == b"content-type" for name, _ in raw) == 1
    ):
        return headers
    return [*headers, *_DISARMED]


def value(headers: Headers, name: bytes) -> bytes | None:
    """Find the first value of a header.

    :param name: in lower case.
    """
    for line in headers:
        if line[0].lower() == name:
            return line[1]
    return None


def firsts(headers: Headers) -> dict[bytes, bytes]:
    """Give each header's first value by its name in lower case, for those who look up several."""
    return {name.lower(): value for name, value in reversed(headers)}


def credentials(headers: Headers) -> tuple[Credential, ...]:
    """Read every credential that a caller presented, in order; some clients present two.

    ``apiKeyHelper`` of Claude Code sends the same key in both ``x-api-key`` and ``Authorization``
    (https://code.claude.com/docs/en/llm-gateway-protocol).
    """
    found = []
    for name, raw in headers:
        lower = name.lower()
        if lower not in CREDENTIAL_HEADERS:
            continue
        token = raw.strip()
        if lower == b"authorization":
            scheme, _, rest = token.partition(b" ")
            token = rest.strip() if scheme.lower() == b"bearer" else b""
        found.append(Credential(name, raw, token.decode("latin-1")))
    return tuple(found)
