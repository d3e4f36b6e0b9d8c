"""The request as it goes to an upstream, whose head and body may differ from the caller's.

1. :func:`passed_on` gives the caller's own, in which no more is changed than has to be.
2. :func:`translated` gives a neutral turn in the upstream's dialect.

What differs from the caller's request is recorded beside it. How that one was understood is told in
:mod:`.inbound`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from clawproxy.core.dialects.anthropic_cache import with_cache
from clawproxy.core.dialects.dialect import DIALECTS, Dialect
from clawproxy.core.dialects.foreign import without_foreign
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.headers import RawHeaders
from clawproxy.core.jsonedit import edit
from clawproxy.core.keys import upstream_headers
from clawproxy.core.routing import Family, family
from clawproxy.relay.inbound import Inbound
from clawproxy.relay.offload import TRANSLATED, offload
from clawproxy.upstream.http import HTTPProvider
from clawproxy.upstream.provider import Ask

if TYPE_CHECKING:
    from clawproxy.relay.books import Books


def is_verbatim(inbound: Inbound, provider: HTTPProvider) -> bool:
    """Tell whether a provider is asked in the caller's own dialect."""
    if inbound.operation == "passthrough" and inbound.pinned is not None:
        return True
    return provider.serves(inbound.dialect)


def is_demoted(inbound: Inbound, provider: HTTPProvider) -> bool:
    """Tell whether a provider is asked for a stream by a caller who wants none."""
    return (
        provider.kind == "anthropic"
        and provider.config.demote_nonstreaming
        and inbound.operation == "generate"
        and not inbound.stream
        and not inbound.opaque
    )


def head(books: Books, provider: HTTPProvider, *, translated: bool) -> RawHeaders:
    """Give the head for a provider: what travels, and the right key.

    :raise ProxyError: 401, where none is known.
    """
    inbound = books.inbound
    caller: Family | None = family(inbound.dialect)
    if inbound.dialect is None and inbound.pinned is not None:
        caller = None
    return upstream_headers(
        inbound.headers,
        books.wiring.accounts[provider.name],
        caller,
        books.wiring.callers,
        translated=translated,
    )


async def passed_on(books: Books, provider: HTTPProvider, model: str, *, demoted: bool) -> Ask:
    """Give the caller's own request, with what routing has to change in it.

    :param model: the one to ask for; empty where the request names none.
    """
    inbound = books.inbound
    headers = head(books, provider, translated=False)
    body: bytes | None = inbound.body
    reactor = books.board.reactor
    plain = inbound.decoded
    if provider.is_vendor and inbound.understood:
        plain = await offload(reactor, len(plain), without_foreign, plain, inbound.dialect)
    changes: dict[tuple[str, ...], bytes | None] = {}
    if inbound.understood and model and model != inbound.model:
        changes["model",] = msgspec.json.encode(model)
    if demoted:
        changes["stream",] = b"true"
        headers = [line for line in headers if line[0].lower() != b"accept-encoding"]
        headers.append((b"accept-encoding", b"identity"))
    if changes or plain is not inbound.decoded:
        body = await offload(reactor, len(plain), edit, plain, changes)
        headers = [line for line in headers if line[0].lower() != b"content-encoding"]
        _record(books, provider, headers, body)
    if not body and inbound.method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        body = None
    return Ask(inbound.method, inbound.target, headers, body)


async def translated(
    books: Books, provider: HTTPProvider, model: str, turn: Turn, *, demoted: bool
) -> Ask:
    """Give a turn in the dialect that the provider is asked in.

    :raise ProxyError: 400, with the field that the dialect cannot express; 401, where no key is known.
    """
    dialect = DIALECTS[provider.dialect(model)]
    marks = provider.kind == "anthropic" and provider.config.cache_prompts
    body = await offload(
        books.board.reactor,
        TRANSLATED * len(books.inbound.decoded),
        written,
        dialect,
        turn,
        cached=provider.is_vendor if marks is None else bool(marks),
        model=model,
        stream=turn.stream or demoted,
        api_version=books.wiring.accounts[provider.name].version,
        server=provider.config.root,
    )
    ask = Ask("POST", dialect.path.encode(), head(books, provider, translated=True), body)
    _record(books, provider, ask.headers, body)
    return ask


def written(
    dialect: Dialect,
    turn: Turn,
    *,
    cached: bool,
    model: str,
    stream: bool,
    api_version: str | None,
    server: str,
) -> bytes:
    """Write a neutral turn as the upstream's request.

    :param cached: Anthropic's prompt cache is to be used for callers that cannot ask for it.
    :param server: the upstream's address.
    :raise ProxyError: 400, with the field that the upstream's dialect cannot express.
    """
    asked = with_cache(turn) if cached else turn
    return dialect.build_request(
        asked, model=model, stream=stream, api_version=api_version, server=server
    )


def _record(books: Books, provider: HTTPProvider, headers: RawHeaders, body: bytes) -> None:
    """Keep what goes upstream in place of the caller's own request."""
    account = books.wiring.accounts[provider.name]
    books.exchange.upstream_request_headers = account.mask(headers)
    books.recording.upstream_request(body)  # type: ignore[union-attr]
