"""Tests for :mod:`clawproxy.core.headers`."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core import headers

NAMES = st.text(string.ascii_letters + "-", min_size=1, max_size=12).map(str.encode)
VALUES = st.binary(max_size=20)
HEADS = st.lists(st.tuples(NAMES, VALUES), max_size=12)


class EndToEnd(SynchronousTestCase):
    """What is of one connection stays on it."""

    def test_hop_by_hop_of_every_spelling_is_dropped(self) -> None:
        head = [
            (b"Connection", b"keep-alive"),
            (b"KEEP-ALIVE", b"timeout=5"),
            (b"Proxy-Connection", b"close"),
            (b"te", b"trailers"),
            (b"Trailer", b"x"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Upgrade", b"h2c"),
            (b"Proxy-Authenticate", b"Basic"),
            (b"Proxy-Authorization", b"Basic abc"),
            (b"X-Kept", b"1"),
        ]
        self.assertEqual(headers.end_to_end(head), [(b"X-Kept", b"1")])

    def test_connection_is_read_before_it_is_deleted(self) -> None:
        head = [
            (b"X-One", b"1"),
            (b"Connection", b"close, X-One"),
            (b"x-TWO", b"2"),
            (b"connection", b" x-two ,,"),
            (b"X-Three", b"3"),
        ]
        self.assertEqual(headers.end_to_end(head), [(b"X-Three", b"3")])

    def test_connection_cannot_unframe_a_message(self) -> None:
        head = [
            (b"Connection", b"content-length, content-encoding, content-type, cache-control"),
            (b"Content-Length", b"5"),
            (b"Content-Encoding", b"gzip"),
        ]
        self.assertEqual(headers.end_to_end(head), head[1:])

    @settings(deadline=None, max_examples=100)
    @given(HEADS)
    def test_order_spelling_and_repetition_survive(self, head: list[tuple[bytes, bytes]]) -> None:
        kept = headers.end_to_end(head)
        remaining = iter(head)
        self.assertTrue(all(line in remaining for line in kept))
        named = {
            option.strip().lower()
            for name, content in head
            if name.lower() == b"connection"
            for option in content.split(b",")
        }
        for line in head:
            if line[0].lower() not in headers.HOP_BY_HOP | named:
                self.assertIn(line, kept)


class RequestHeaders(SynchronousTestCase):
    """What goes upstream, and what stays with us."""

    def test_what_is_the_proxys_own_business_stays(self) -> None:
        for name in (
            b"Host",
            b"Content-Length",
            b"Expect",
            b"Cookie",
            b"Origin",
            b"Referer",
            b"X-Forwarded-For",
            b"Access-Control-Request-Method",
            b"X-ClawProxy-Provider",
            b"X-ClawProxy-Id",
            b"Authorization",
            b"X-Api-Key",
            b"Api-Key",
        ):
            self.assertEqual(headers.request_headers([(name, b"x")]), [], name)

    def test_what_clients_and_vendors_agree_on_travels(self) -> None:
        head = [
            (b"User-Agent", b"claude-cli/2.1.197 (external, sdk-cli)"),
            (b"anthropic-version", b"2023-06-01"),
            (b"anthropic-beta", b"a,b"),
            (b"anthropic-beta", b"c"),
            (b"anthropic-workspace-id", b"w"),
            (b"X-Claude-Code-Session-Id", b"s"),
            (b"X-Stainless-Retry-Count", b"0"),
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
            (b"Content-Type", b"application/json"),
            (b"Content-Encoding", b"zstd"),
            (b"x-codex-turn-metadata", b"{}"),
        ]
        self.assertEqual(headers.request_headers(head), head)

    def test_a_translated_request_takes_over_nothing_of_a_dialect(self) -> None:
        head = [
            (b"User-Agent", b"u"),
            (b"anthropic-beta", b"a"),
            (b"openai-organization", b"org"),
            (b"chatgpt-account-id", b"acc"),
            (b"Content-Encoding", b"zstd"),
            (b"Accept-Encoding", b"br"),
            (b"Content-Type", b"text/plain"),
        ]
        self.assertEqual(
            headers.request_headers(head, translated=True),
            [
                (b"User-Agent", b"u"),
                (b"content-type", b"application/json"),
                (b"accept-encoding", b"identity"),
            ],
        )


class ResponseHeaders(SynchronousTestCase):
    """What the caller sees of the upstream's head."""

    head = (
        (b"Content-Type", b"text/event-stream"),
        (b"Content-Length", b"10"),
        (b"Content-Encoding", b"gzip"),
        (b"request-id", b"req_1"),
        (b"retry-after", b"7"),
        (b"anthropic-ratelimit-tokens-reset", b"2026-11-20T00:00:00Z"),
        (b"Set-Cookie", b"__cf_bm=x"),
        (b"access-control-allow-origin", b"*"),
        (b"Connection", b"X-Hop"),
        (b"X-Hop", b"1"),
        (b"x-clawproxy-id", b"of another proxy"),
    )

    def test_a_verbatim_body_keeps_its_description(self) -> None:
        self.assertEqual(headers.response_headers(self.head), list(self.head[:8]))

    def test_a_changed_body_loses_its_description(self) -> None:
        self.assertEqual(headers.response_headers(self.head, changed=True), list(self.head[3:8]))

    def test_no_upstream_meddles_with_the_dashboards_login(self) -> None:
        kept = [b"__cf_bm=x", b"clawproxy_session2=x", b"Clawproxy_session=x", b"clawproxy_session"]
        kept += [b"a=clawproxy_session=x", b"not_clawproxy_session=x", b"b=1; clawproxy_session=x"]
        dropped = [
            b"clawproxy_session=",
            b"clawproxy_session=1.2.3; Path=/",
            b"=clawproxy_session=x",
        ]
        dropped += [b" = clawproxy_session=x", b"clawproxy_session =x", b"\tclawproxy_session=x"]
        head = [
            (b"set-Cookie", value) for pair in zip(kept, dropped, strict=False) for value in pair
        ]
        head += [(b"Set-Cookie", value) for value in kept[len(dropped) :]]
        found = headers.response_headers([(b"A", b"b"), *head, (b"C", b"d")], cors=True)
        self.assertEqual([value for _, value in found], [b"b", *kept, b"d"])
        self.assertEqual([value for _, value in headers.response_headers(head, changed=True)], kept)

    def test_one_answer_to_cors(self) -> None:
        self.assertEqual(headers.response_headers(self.head, cors=True), list(self.head[:7]))

    def test_a_browser_runs_nothing_of_an_upstreams(self) -> None:
        """What is not plainly JSON or a stream is shown in an origin of its own, if at all."""
        for head in (
            [(b"Content-Type", b"application/json")],
            [(b"content-type", b"Application/JSON; charset=utf-8"), (b"A", b"1"), (b"a", b"2")],
            [(b"Content-Type", b"text/event-stream;charset=utf-8")],
        ):
            self.assertEqual(headers.disarm(head, head, headers.firsts(head)), head)
        for head in (
            [],
            [(b"Content-Type", b"text/html")],
            [(b"Content-Type", b"image/svg+xml"), (b"Content-Security-Policy", b"default-src *")],
            [(b"Content-Type", b"application/json, text/html")],
            [(b"Content-Type", b"text/event-stream;x"), (b"A", b"1")],
            [(b"Content-Type", b"application/json"), (b"content-type", b"text/html")],
        ):
            found = headers.disarm(head, head, headers.firsts(head))
            self.assertEqual(found[: len(head)], head)
            self.assertIn((b"content-security-policy", b"sandbox"), found)
            self.assertIn((b"x-content-type-options", b"nosniff"), found)


class Credentials(SynchronousTestCase):
    """What a caller presents as its key."""

    def test_three_forms_in_order(self) -> None:
        found = headers.credentials(
            [
                (b"Authorization", b"bearer  sk-ant-oat01-x "),
                (b"Accept", b"*/*"),
                (b"X-Api-Key", b" k "),
                (b"api-key", b"z"),
            ]
        )
        self.assertEqual([c.token for c in found], ["sk-ant-oat01-x", "k", "z"])
        self.assertEqual(found[0].raw, b"bearer  sk-ant-oat01-x ")

    def test_another_scheme_is_a_credential_without_a_token(self) -> None:
        (found,) = headers.credentials([(b"authorization", b"Basic dTpw")])
        self.assertEqual(found.token, "")

    def test_it_does_not_print_itself(self) -> None:
        self.assertNotIn("hush", repr(headers.credentials([(b"x-api-key", b"hush")])))
