"""A provider's own ``/v1/models``, asked over HTTP, as a source of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from clawproxy.config.http import BASE_URLS
from clawproxy.core.coding import decode
from clawproxy.core.headers import Headers, RawHeaders, value
from clawproxy.core.keys import Account, Callers, upstream_headers
from clawproxy.core.models import Model, parse
from clawproxy.core.routing import Family
from clawproxy.upstream.catalogue import credential_scope
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.http import HTTPProvider
from clawproxy.upstream.provider import Answer, Ask

MOST_BYTES = 16_777_216
"""Bytes of a list: some aggregators describe a thousand models at length."""


def caller_family(headers: Headers) -> Family:
    """Tell the dialect of a request that has no body: Anthropic's clients send their version."""
    return "openai" if value(headers, b"anthropic-version") is None else "anthropic"


class _Body(Protocol):
    """Collect a body, bounded.

    :param answer: aborted when the bound is reached, or when nobody waits any more.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._pieces: list[bytes] = []
        self._size = 0
        self.done: Deferred[bytes] = Deferred(lambda _: answer.stopProducing())

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece."""
        if self.done.called:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MOST_BYTES:
            self.done.errback(ValueError(f"more than {MOST_BYTES} bytes"))
            self._answer.stopProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give the body, if it came whole."""
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(b"".join(self._pieces))
        elif reason.check(UpstreamFailure):
            self.done.errback(reason)
        else:
            self.done.errback(UpstreamFailure("body", f"its answer broke off: {reason.value}"))


class HTTPListing:
    """Ask an HTTP provider for its models.

    With a key of its own the list is everybody's. Without one, only the callers whose default
    provider it is ask with their own credential: a list is no reason to show a key to every host
    of a kind. All others get what the provider tells anybody, as local ones do; the vendors' own
    hosts tell nobody anything without a key and are not asked then.

    :param callers: the proxy's own keys, which never go anywhere.
    :param default: whether callers of its dialect are sent here where no route matches.
    """

    def __init__(
        self, provider: HTTPProvider, account: Account, callers: Callers, *, default: bool
    ) -> None:
        self.name = provider.name
        self._provider = provider
        self._account = account
        self._callers = callers
        self._default = default
        self._open = provider.config.root not in BASE_URLS.values()

    def scope(self, headers: Headers) -> str | None:
        """Say whose list a caller gets."""
        if self._account.has_key:
            return ""
        own = credential_scope(self._credentials(headers))
        if own is not None:
            return own
        return "" if self._open else None

    async def fetch(self, headers: Headers) -> Sequence[Model]:
        """Ask.

        :raise UpstreamFailure: it could not be reached.
        :raise ValueError: what it answered is no list of models.
        """
        kind = self._provider.kind
        lines = [(b"accept", b"application/json"), (b"accept-encoding", b"identity")]
        lines += self._credentials(headers)
        # What is left of the caller's head is of the provider's kind, so it is sent as its own.
        sent = upstream_headers(lines, self._account, kind, Callers())
        query = b"?limit=1000" if kind == "anthropic" else b""
        answer = await self._provider.ask(Ask("GET", b"/v1/models" + query, sent, None))
        body = _Body(answer)
        answer.deliverBody(body)
        content = await body.done
        if answer.code != 200:
            raise ValueError(f"status {answer.code}")
        coding = value(answer.raw_headers, b"content-encoding")
        if coding is not None:
            content = decode(content, coding.decode("latin-1"), MOST_BYTES)
        return parse(self.name, content)

    def _credentials(self, headers: Headers) -> RawHeaders:
        """Give those of a caller's credentials that may go to this provider."""
        if not self._default or caller_family(headers) != self._provider.kind:
            return []
        return self._callers.foreign(headers)
