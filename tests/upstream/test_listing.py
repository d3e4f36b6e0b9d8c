"""Tests for :mod:`clawproxy.upstream.listing`."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from clawproxy.config.model import HTTPProviderConfig
from clawproxy.core.headers import Headers
from clawproxy.core.keys import Account, Callers, callers
from clawproxy.core.models import Model
from clawproxy.core.secret import Secret
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.http import HTTPProvider
from clawproxy.upstream.listing import MOST_BYTES, HTTPListing
from clawproxy.upstream.provider import Ask

OURS = callers([("ann", Secret("proxy-a"))])
CLAUDE: Headers = [(b"anthropic-version", b"2023-06-01"), (b"x-api-key", b"sk-own")]
CHAT: Headers = [(b"authorization", b"Bearer sk-own")]


class Answered:
    """An answer whose body the test sends."""

    def __init__(self, code: int = 200, raw_headers: Any = ()) -> None:
        self.code = code
        self.raw_headers = list(raw_headers)
        self.reader: Any = None
        self.aborted = False

    def deliverBody(self, protocol: IProtocol) -> None:
        """Keep the reader."""
        self.reader = protocol

    def stopProducing(self) -> None:
        """Note it."""
        self.aborted = True

    def send(self, body: bytes, reason: Exception | None = None) -> None:
        """Send the body in two pieces, and its end."""
        self.reader.dataReceived(body[:5])
        self.reader.dataReceived(body[5:])
        self.reader.connectionLost(Failure(reason or ResponseDone()))


class Provider(HTTPProvider):
    """A provider that notes what it is asked."""

    def __init__(self, kind: Any, base_url: str = "http://localhost:1") -> None:
        super().__init__(HTTPProviderConfig(name="p", kind=kind, base_url=base_url), Clock())
        self.asks: list[Ask] = []
        self.answer = Answered()

    async def ask(self, ask: Ask, sent: Callable[[], object] = bool) -> Any:
        """Note it and answer."""
        self.asks.append(ask)
        return self.answer


class Listing(SynchronousTestCase):
    """A provider's list over HTTP."""

    def listing(
        self,
        kind: Any = "anthropic",
        *,
        key: str | None = None,
        base_url: str = "http://localhost:1",
        ours: Callers = OURS,
        default: bool = True,
    ) -> HTTPListing:
        """Make a source; its provider is kept for looking at."""
        self.provider = Provider(kind, base_url)
        self.addCleanup(self.provider.close)
        account = Account("p", kind, Secret(key) if key else None, "2023-06-01")
        return HTTPListing(self.provider, account, ours, default=default)

    def fetch(self, source: HTTPListing, headers: Headers) -> Deferred[Any]:
        """Ask."""
        return Deferred.fromCoroutine(source.fetch(headers))

    def sent(self, source: HTTPListing, headers: Headers) -> dict[bytes, bytes]:
        """Give the head of what was asked."""
        self.fetch(source, headers).addErrback(lambda _: None)
        return dict(self.provider.asks[-1].headers)

    def test_the_list(self) -> None:
        for kind, target in (("anthropic", b"/v1/models?limit=1000"), ("openai", b"/v1/models")):
            answer = self.fetch(self.listing(kind, key="k"), [])
            self.assertEqual(self.provider.asks[0].target, target)
            self.provider.answer.send(b'{"data":[{"id":"m"}]}')
            found = self.successResultOf(answer)
            self.assertEqual(
                [evolve(m, fields={}) for m in found], [Model("m", "p", shape="openai")]
            )

    def test_a_configured_key_lists_for_everybody(self) -> None:
        source = self.listing(key="set")
        for headers in ([], CLAUDE, CHAT):
            self.assertEqual(source.scope(headers), "")
            sent = self.sent(source, headers)
            self.assertEqual(sent[b"x-api-key"], b"set")
            self.assertNotIn(b"sk-own", b" ".join(sent.values()))

    def test_a_callers_own_key_lists_for_it_alone(self) -> None:
        for kind, own, other in (("anthropic", CLAUDE, CHAT), ("openai", CHAT, CLAUDE)):
            source = self.listing(kind)
            self.assertTrue(source.scope(own))
            self.assertIn(b"sk-own", b" ".join(self.sent(source, own).values()))
            self.assertEqual(source.scope(other), "")
            self.assertNotIn(b"sk-own", b" ".join(self.sent(source, other).values()))

    def test_it_goes_to_no_other_provider_of_the_kind(self) -> None:
        source = self.listing(default=False)
        self.assertEqual(source.scope(CLAUDE), "")
        self.assertNotIn(b"sk-own", b" ".join(self.sent(source, CLAUDE).values()))

    def test_the_proxys_key_is_never_sent(self) -> None:
        headers = [(b"anthropic-version", b"2023-06-01"), (b"x-api-key", b"proxy-a")]
        source = self.listing()
        self.assertEqual(source.scope(headers), "")
        self.assertNotIn(b"proxy-a", b" ".join(self.sent(source, headers).values()))

    def test_the_vendors_are_not_asked_without_a_key(self) -> None:
        for path in ("", "/v1"):
            source = self.listing("openai", base_url=f"https://api.openai.com{path}")
            self.assertIsNone(source.scope([]))
            self.assertIsNone(source.scope(CLAUDE))
            self.assertIsNotNone(source.scope(CHAT))

    def test_codings_are_undone(self) -> None:
        answer = self.fetch(self.listing(), [])
        self.provider.answer.raw_headers = [(b"Content-Encoding", b"gzip")]
        self.provider.answer.send(gzip.compress(b'[{"id":"m"}]'))
        self.assertEqual(len(self.successResultOf(answer)), 1)

    def test_answers_that_are_no_list(self) -> None:
        for code, coding, body in (
            (401, b"", b'{"data":[]}'),
            (200, b"", b"<html>"),
            (200, b"gzip", b"not gzip"),
        ):
            answer = self.fetch(self.listing(), [])
            self.provider.answer.code = code
            self.provider.answer.raw_headers = [(b"content-encoding", coding)] if coding else []
            self.provider.answer.send(body)
            self.failureResultOf(answer, ValueError)

    def test_a_broken_body(self) -> None:
        for reason in (ConnectionLost(), UpstreamFailure("body", "fell silent")):
            answer = self.fetch(self.listing(), [])
            self.provider.answer.send(b'{"data":[', reason)
            self.failureResultOf(answer, UpstreamFailure)

    def test_a_body_without_end_is_cut(self) -> None:
        answer = self.fetch(self.listing(), [])
        for _ in range(18):
            self.provider.answer.reader.dataReceived(b" " * (MOST_BYTES // 16))
        self.assertTrue(self.provider.answer.aborted)
        self.failureResultOf(answer, ValueError)
        self.provider.answer.reader.connectionLost(Failure(ConnectionLost()))

    def test_giving_up_aborts_the_request(self) -> None:
        answer = self.fetch(self.listing(), [])
        answer.addErrback(lambda _: None)
        answer.cancel()
        self.assertTrue(self.provider.answer.aborted)
