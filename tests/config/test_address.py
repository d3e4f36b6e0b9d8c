"""Tests of :mod:`clawproxy.config.address`."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config.address import base_url, gateway_url, mask, storage_url, web_origin


class Addresses(SynchronousTestCase):
    def check(
        self, function: Callable[[str], str], good: dict[str, str], bad: tuple[str, ...]
    ) -> None:
        for text, expected in good.items():
            self.assertEqual(function(text), expected)
            self.assertEqual(function(expected), expected)
        for text in bad:
            self.assertRaises(ValueError, function, text)

    def test_base_urls(self) -> None:
        self.check(
            base_url,
            {
                "https://api.anthropic.com": "https://api.anthropic.com",
                "https://api.anthropic.com/": "https://api.anthropic.com",
                "https://api.openai.com/v1": "https://api.openai.com",
                "https://api.openai.com/v1/": "https://api.openai.com",
                "https://openrouter.ai/api/v1//": "https://openrouter.ai/api",
                "http://[::1]:8080/v1": "http://[::1]:8080",
                "http://host/v1beta": "http://host/v1beta",
                " http://host/v1 ": "http://host",
            },
            (
                "",
                "host",
                "host:80",
                "ftp://host",
                "https://",
                "https://host:99999",
                "https://host:x",
                "https://u:p@host",
                "https://host/?key=x",
                "https://host/#x",
                "https://a b",
                "https://bücher.example",
                "https://host/\N{GREEK SMALL LETTER PI}",
                "https://host/\x1b[31m",
                "https://[::1",
            ),
        )

    def test_gateway_urls(self) -> None:
        self.check(
            gateway_url,
            {
                "ws://127.0.0.1:18789": "ws://127.0.0.1:18789",
                "ws://127.0.0.1:18789/": "ws://127.0.0.1:18789",
                "http://host:1": "ws://host:1",
                "https://host/path?x=1": "wss://host/path?x=1",
            },
            ("", "127.0.0.1:18789", "tcp://host", "ws://u:p@host", "ws://bücher.example"),
        )

    def test_storage_urls(self) -> None:
        self.check(
            storage_url,
            {
                "none": "none",
                "sqlite:clawproxy.db": "sqlite:clawproxy.db",
                "sqlite:./x/../clawproxy.db": "sqlite:clawproxy.db",
                "sqlite:/var/lib/x.db": "sqlite:/var/lib/x.db",
                "sqlite:///var/lib/x.db": "sqlite:/var/lib/x.db",
                "sqlite:////var/lib/x.db": "sqlite:/var/lib/x.db",
                "sqlite:~/x.db": "sqlite:~/x.db",
                "postgres://u:p@h/db": "postgresql://u:p@h/db",
                "postgresql://u:p@h:5432/db?sslmode=require": (
                    "postgresql://u:p@h:5432/db?sslmode=require"
                ),
                "postgresql:///db": "postgresql:///db",
                "postgresql:///db?host=/run/pg&user=u@h": "postgresql:///db?host=/run/pg&user=u@h",
                "postgresql://u%40x:%2F%23%25@[::1]:5432/d%20b": (
                    "postgresql://u%40x:%2F%23%25@[::1]:5432/d%20b"
                ),
                "postgresql://u:p?#@h/db": "postgresql://u:p?#@h/db",
                "postgresql://h?user=u": "postgresql://h?user=u",
                "postgresql://u:p@h1,h2/db": "postgresql://u:p@h1,h2/db",
                "postgresql://u:p@h1:1,h2:2/db": "postgresql://u:p@h1:1,h2:2/db",
            },
            (
                "",
                "clawproxy.db",
                "sqlite:",
                "sqlite:///",
                "sqlite:x/",
                "sqlite::memory:",
                "mysql://h/db",
                "postgresql:db",
                "postgresql://h:x/db",
                "postgresql://h:65536/db",
                "postgresql://h1:5432,h2:0/db",
            ),
        )

    def test_a_password_as_it_is(self) -> None:
        """What of it would pass for another part of the URL is refused, and not repeated."""
        for password in ("SE@CRET", "SE/CRET", "12/SECRET", "SE%CRET"):
            with (
                self.subTest(password=password),
                self.assertRaises(ValueError) as caught,
            ):
                storage_url(f"postgresql://u:{password}@127.0.0.1:5432/db")
            for piece in ("SE", "CRET"):
                self.assertNotIn(piece, str(caught.exception))
                self.assertIn("percent-encoded", str(caught.exception))

    def test_origins(self) -> None:
        self.check(
            web_origin,
            {
                "*": "*",
                "null": "null",
                "https://App.example.com/": "https://app.example.com",
                "http://localhost:3000": "http://localhost:3000",
                "chrome-extension://abc": "chrome-extension://abc",
            },
            ("", "app.example.com", "https://", "https://a/b", "https://*. x"),
        )


class Mask(SynchronousTestCase):
    def test_examples(self) -> None:
        for text, expected in (
            ("https://host/path", "https://host/path"),
            ("postgresql://u:p@h/db", "postgresql://***@h/db"),
            ("postgresql://u:p@ss/w@h/db?x=1", "postgresql://***@h/db?***"),
            ("u:p@h", "***@h"),
            ("sqlite:x.db", "sqlite:x.db"),
        ):
            self.assertEqual(mask(text), expected)

    @settings(max_examples=100, deadline=None)
    @given(st.text(alphabet="ab:/?@#%", max_size=8))
    def test_no_password_survives(self, noise: str) -> None:
        self.assertNotIn("SECRET", mask(f"postgresql://user{noise}SECRET@host/db"))
        self.assertNotIn("SECRET", mask(f"postgresql://user:pw@host/db?{noise}SECRET"))
