"""The two ids by which an exchange is known, and the stamp that tells a caller of them.

1. ``x-clawproxy-id`` is the proxy's own and unique.
2. ``x-request-id`` is the one that people quote to each other: :func:`request_id` chooses it.
3. :func:`stamp` puts both into an answer's head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawproxy.core.headers import ID_HEADER, REQUEST_ID_HEADER, RawHeaders

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


def sane_id(text: str | None) -> str | None:
    """Accept a caller's request id only as 1 to 128 of ``A-Za-z0-9._-``: it goes into logs."""
    return text if text is not None and _SANE_ID.match(text) else None


def upstream_request_id(first: Mapping[bytes, bytes]) -> str | None:
    """Find an upstream's own id: ``x-request-id`` (OpenAI), else ``request-id`` (Anthropic).

    :param first: each header's first value by its name in lower case.
    """
    found = first.get(REQUEST_ID_HEADER) or first.get(b"request-id")
    return found.decode("latin-1") if found else None


def request_id(upstream: str | None, caller: str | None, own: str) -> str:
    """Choose ``x-request-id``: the upstream's, else the caller's if sane, else our own."""
    return upstream or sane_id(caller) or own


def stamp(headers: RawHeaders, *, own_id: str, request_id: str, stream: bool) -> RawHeaders:
    """Add what every answer carries: both ids and, on streams, the word to buffer nothing.

    An upstream's own ``cache-control`` stays; ``no-cache`` is added beside it where it does not
    say so itself.

    :param headers: what :func:`~clawproxy.core.headers.response_headers` gave.
    :param own_id: the exchange's unique id.
    :param request_id: what :func:`request_id` chose.
    :param stream: the answer is an event stream.
    """
    kept = []
    chosen_id = request_id.encode("latin-1")
    has_id = uncached = False
    for line in headers:
        name = line[0].lower()
        if name == REQUEST_ID_HEADER:
            if has_id or line[1] != chosen_id:
                continue
            has_id = True
        elif stream:
            if name == b"x-accel-buffering":
                continue
            if name == b"cache-control" and b"no-cache" in line[1].lower():
                uncached = True
        kept.append(line)
    kept.append((ID_HEADER, own_id.encode("ascii")))
    if not has_id:
        kept.append((REQUEST_ID_HEADER, chosen_id))
    if stream:
        if not uncached:
            kept.append((b"cache-control", b"no-cache"))
        # https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
        kept.append((b"x-accel-buffering", b"no"))
    return kept
