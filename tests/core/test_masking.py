"""Tests for :mod:`clawproxy.core.masking`."""

from __future__ import annotations

from time import process_time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core import masking


class Masking(SynchronousTestCase):
    """What may be kept and shown."""

    def test_secrets(self) -> None:
        for name in (
            b"Authorization",
            b"Proxy-Authorization",
            b"X-Api-Key",
            b"api-key",
            b"Cookie",
            b"Set-Cookie",
            b"X-Auth-Token",
            b"x-goog-api-key",
            b"Ocp-Apim-Subscription-Key",
            b"X-Amz-Security-Token",
            b"openai-apikey",
            b"X-Client-Secret",
            b"X-Password",
            b"x-webhook-signature",
            b"X-Auth",
            b"X-Bearer",
            b"Authentication",
            b"X-Pass",
            b"DPoP",
            b"X-License",
            b"x-pat",
            b"X-Amzn-Oidc-Data",
            b"X-Pin",
            b"x-access-code",
        ):
            self.assertEqual(
                masking.mask_headers([(name, b"hush")]), [(name.decode(), "***")], name
            )

    def test_what_is_no_secret_stays_readable(self) -> None:
        head = [
            (b"anthropic-ratelimit-tokens-remaining", b"10"),
            (b"x-ratelimit-limit-tokens", b"10"),
            (b"Keep-Alive", b"timeout=5"),
            (b"www-authenticate", b"Bearer"),
            (b"X-Claude-Code-Session-Id", b"s"),
            (b"x-author", b"a"),
            (b"X-Latin", b"\xe4"),
        ]
        self.assertEqual(
            masking.mask_headers(head),
            [(name.decode(), content.decode("latin-1")) for name, content in head],
        )

    def test_long_names_are_not_remembered(self) -> None:
        """An upstream could fill the memory with them."""
        before = masking._shown.cache_info().currsize
        name = b"x-" + b"n" * 100_000 + b"-token"
        self.assertEqual(masking.mask_headers([(name, b"hush")]), [(name.decode(), "***")])
        self.assertEqual(masking._shown.cache_info().currsize, before)

    def test_a_key_in_a_location(self) -> None:
        self.assertEqual(
            masking.mask_headers([(b"Location", b"https://h/p?api_key=hush&a=b")]),
            [("Location", "https://h/p?api_key=***&a=b")],
        )

    def test_queries(self) -> None:
        for query, shown in (
            ("", ""),
            ("?beta=true", "beta=true"),
            ("beta=true&key=hush", "beta=true&key=***"),
            ("api_key=hush&api%5Fkey=hush&API-KEY=hush", "api_key=***&api%5Fkey=***&API-KEY=***"),
            ("access_token=hush;token=hush", "access_token=***;token=***"),
            ("apiKey=hush&accessKeyId=hush", "apiKey=***&accessKeyId=***"),
            ("max_tokens=5&author=me&monk=ey", "max_tokens=5&author=me&monk=ey"),
            ("key", "key"),
            ("key=a=hush", "key=***"),
            ("&&a=%zz&", "&&a=%zz&"),
        ):
            self.assertEqual(masking.mask_query(query), shown, query)

    def test_secrets_under_any_name(self) -> None:
        token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmVk"
        for content, shown in (
            ("/v1/x?key=a?b&c=d", "/v1/x?key=***&c=d"),
            ("/v1/x", "/v1/x"),
            ("Bearer hush-hush-hush", "***"),
            ("BASIC aHVzaDpodXNo", "***"),
            ("Bearer", "Bearer"),
            ("sk-ant-api03-hush_hush-hush", "***"),
            ("a risk-free task-oriented desk-lamp", "a risk-free task-oriented desk-lamp"),
            (f"x {token} y", "x *** y"),
            (
                "https://user:hush@h/x?token=hush#access_token=hush",
                "https://***@h/x?token=***#access_token=***",
            ),
            ("<https://h/?api_key=hush>; rel=next", "<https://h/?api_key=***>; rel=next"),
            ('{"url":"https://h/report?s=x"}', '{"url":"https://h/report?s=x"}'),
            ("mail a@b.c?", "mail a@b.c?"),
        ):
            head = [(b"X-Custom", content.encode())]
            self.assertEqual(masking.mask_headers(head), [("X-Custom", shown)])
            self.assertEqual(masking.mask_text(content), shown)
        self.assertEqual(masking.mask_query("x=sk-hush-hush-hush&y=1"), "x=***&y=1")

    def test_masking_takes_a_time_in_proportion_to_the_text(self) -> None:
        """A caller chooses these texts, and every stream stands still while one is looked through."""
        for unit in ("-eyJ", "eyJaaaaaa.", "bearer  ", "-sk-", "://a", "?a&a;a#a", "?a=b", "a@"):
            text = "://" + unit * (120_000 // len(unit))
            began = process_time()
            masking.mask_text(text)
            masking.mask_query(text)
            self.assertLess(process_time() - began, 0.5, unit)

    @settings(deadline=None, max_examples=200)
    @given(st.text(alphabet="?&;#=:/@ akeysk-J.", max_size=60))
    def test_masking_any_text_again_changes_nothing(self, text: str) -> None:
        once = masking.mask_text(text)
        self.assertEqual(masking.mask_text(once), once)

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=5))
    def test_no_secret_survives_any_query(self, noise: list[tuple[str, str]]) -> None:
        for name in ("key", "api_key", "token", "access_token", "client_secret", "password"):
            parts = [f"{key}={content}" for key, content in noise]
            parts.insert(len(parts) // 2, f"{name}=HUSH-HUSH-HUSH")
            self.assertNotIn("HUSH", masking.mask_query("&".join(parts)))
