"""Who is let in, by the facts of a request."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.dashboard.access import (
    Facts,
    cross_site,
    from_loopback,
    is_loopback_address,
    is_loopback_host,
    same_origin,
    split_host,
)

HERE = Facts("GET", "127.0.0.1", host="localhost:8080")


def facts(**changes: Any) -> Facts:
    """A call from this machine, but for these facts."""
    return evolve(HERE, **changes)


class Loopback(SynchronousTestCase):
    """Without a password."""

    def test_addresses(self) -> None:
        """All of 127/8 and ::1, in each spelling of theirs."""
        for address in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"):
            self.assertTrue(is_loopback_address(address), address)
        for address in ("10.0.0.1", "::", "0.0.0.0", "::ffff:10.0.0.1", "", "localhost", "1"):
            self.assertFalse(is_loopback_address(address), address)
        self.assertFalse(is_loopback_address(None))

    def test_hosts(self) -> None:
        """Names and addresses that never leave the machine."""
        for host in (
            "localhost",
            "LOCALHOST:8080",
            "a.localhost",
            "127.0.0.1:1",
            "[::1]:8080",
            "localhost.",
        ):
            self.assertTrue(is_loopback_host(host), host)
        for host in (
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "notlocalhost",
            "10.0.0.1",
            "[::2]",
            "[::1",
            "localhost:x",
            "127.0.0.1%.evil.example",
            "[::1%.evil.example]",
            ".localhost",
            "evil.example\\.localhost",
            "evil.example/.localhost",
            "",
        ):
            self.assertFalse(is_loopback_host(host), host)
        self.assertFalse(is_loopback_host(None))

    def test_both_are_needed(self) -> None:
        """An address says where the caller is, a Host whom its page belongs to."""
        self.assertIsNone(from_loopback(HERE))
        for wrong in (
            facts(address="192.168.1.5"),
            facts(address=None),
            facts(host="evil.example"),
            facts(host=None),
        ):
            refusal = from_loopback(wrong)
            assert refusal is not None
            self.assertEqual(refusal.status, 403)

    def test_behind_a_proxy(self) -> None:
        """A proxy on this machine speaks for others."""
        for words in (
            "203.0.113.9",
            "127.0.0.1, 203.0.113.9",
            'for="[2001:db8::1]:99";proto=https',
            "unknown",
        ):
            self.assertIsNotNone(from_loopback(facts(forwarded=(words,))), words)
        for words in ("127.0.0.1", "for=127.0.0.1;host=localhost", "::1", 'for="[::1]:80"'):
            self.assertIsNone(from_loopback(facts(forwarded=(words,))), words)
        self.assertIsNotNone(from_loopback(facts(forwarded_host="proxy.example")))
        self.assertIsNone(from_loopback(facts(forwarded_host="localhost:3000")))


class CrossSite(SynchronousTestCase):
    """Pages of other origins."""

    def refused(self, *, page: bool = False, **changes: Any) -> bool:
        """Whether such a call is refused."""
        return cross_site(facts(**changes), page=page) is not None

    def test_origins(self) -> None:
        """Only this server's own."""
        self.assertFalse(self.refused(origin="http://localhost:8080"))
        self.assertFalse(self.refused(origin="http://LOCALHOST:8080"))
        for origin in (
            "http://evil.example",
            "http://localhost:8081",
            "http://localhost",
            "http://127.0.0.1:8080",
            "null",
            "",
            "localhost:8080",
            "http://localhost:8080.evil.example",
            "file://",
        ):
            self.assertTrue(self.refused(origin=origin), origin)

    def test_default_ports(self) -> None:
        """They may be left out on either side; TLS may end in front."""
        self.assertTrue(same_origin("https://proxy.example", facts(host="proxy.example")))
        self.assertTrue(same_origin("https://proxy.example", facts(host="proxy.example:443")))
        self.assertFalse(same_origin("https://proxy.example", facts(host="proxy.example:80")))

    def test_a_rewritten_host(self) -> None:
        """A browser's own word counts where a proxy in front hides the Host; for no opaque origin."""
        changed: dict[str, Any] = {"host": "127.0.0.1:8080", "origin": "https://proxy.example"}
        self.assertTrue(self.refused(**changed))
        self.assertFalse(self.refused(**changed, fetch_site="same-origin"))
        self.assertFalse(self.refused(**changed, forwarded_host="proxy.example"))
        self.assertTrue(self.refused(origin="null", fetch_site="same-origin"))

    def test_fetch_metadata(self) -> None:
        """Other sites may link to pages and do nothing else."""
        self.assertTrue(self.refused(fetch_site="cross-site"))
        self.assertTrue(self.refused(fetch_site="same-site"))
        self.assertFalse(self.refused(fetch_site="none"))
        self.assertFalse(self.refused(fetch_site="same-origin"))
        self.assertFalse(self.refused(fetch_site="cross-site", fetch_mode="navigate", page=True))
        self.assertTrue(self.refused(fetch_site="cross-site", fetch_mode="no-cors", page=True))
        self.assertTrue(
            self.refused(fetch_site="cross-site", fetch_mode="navigate", page=True, method="POST")
        )

    def test_programs(self) -> None:
        """A call without any of a browser's headers is none of a browser's."""
        self.assertFalse(self.refused(method="DELETE"))
        self.assertTrue(self.refused(method="DELETE", referer="http://evil.example/x"))
        self.assertFalse(self.refused(method="DELETE", referer="http://localhost:8080/ui/"))


class Reading(SynchronousTestCase):
    """Host headers of any form."""

    def test_forms(self) -> None:
        """With and without port and brackets."""
        self.assertEqual(split_host("a.example:80"), ("a.example", 80))
        self.assertEqual(split_host("[::1]:80"), ("::1", 80))
        self.assertEqual(split_host("::1"), ("::1", None))
        for wrong in ("", ":80", "[::1]x", "a:b", "a:٣", "a:123456"):
            self.assertIsNone(split_host(wrong), wrong)

    @settings(deadline=None, max_examples=200)
    @given(st.text(max_size=40))
    def test_anything(self, text: str) -> None:
        """Nothing raises, and nothing odd is a loopback host."""
        split_host(text)
        if is_loopback_host(text):
            name = split_host(text)
            assert name is not None
            self.assertTrue(name[0].endswith("localhost") or is_loopback_address(name[0]))
