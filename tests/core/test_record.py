"""Tests for :mod:`clawproxy.core.record`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.record import Client, Exchange, Usage, decode_exchange, encode_exchange


class JSONTests(SynchronousTestCase):
    """An exchange's JSON is read back, whatever a caller has sent."""

    def test_comes_back(self) -> None:
        """All of it, also what is nested."""
        exchange = Exchange(
            "x", usage=Usage(1, 2), client=Client("::1", "ü"), request_headers=[("a", "b")]
        )
        self.assertEqual(decode_exchange(encode_exchange(exchange)), exchange)

    def test_strings_that_are_no_text(self) -> None:
        """Surrogates, which UTF-8 has no bytes for, become question marks, and only they."""
        exchange = Exchange("x", path="/\udcff", request_headers=[("user-agent", "ü \udc80 ok")])
        read = decode_exchange(encode_exchange(exchange))
        self.assertEqual(read.path, "/?")
        self.assertEqual(read.request_headers, [("user-agent", "ü ? ok")])
