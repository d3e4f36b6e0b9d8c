"""Tests for :mod:`clawproxy.core.requestid`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core import requestid


class RequestIds(SynchronousTestCase):
    """The rule of three ids."""

    def test_precedence(self) -> None:
        self.assertEqual(requestid.request_id("up", "caller", "own"), "up")
        self.assertEqual(requestid.request_id(None, "caller", "own"), "caller")
        self.assertEqual(requestid.request_id("", "c@ller", "own"), "own")
        self.assertEqual(requestid.request_id(None, None, "own"), "own")

    def test_sanity(self) -> None:
        for good in ("a", "A-b_c.9", "x" * 128):
            self.assertEqual(requestid.sane_id(good), good)
        for bad in ("", "x" * 129, "a b", "a\n", "ü", "a/b"):
            self.assertIsNone(requestid.sane_id(bad))

    def test_both_vendors_spellings(self) -> None:
        self.assertEqual(requestid.upstream_request_id({b"request-id": b"req_1"}), "req_1")
        self.assertEqual(
            requestid.upstream_request_id({b"request-id": b"a", b"x-request-id": b"b"}), "b"
        )
        self.assertIsNone(requestid.upstream_request_id({b"x-request-id": b""}))


class Stamp(SynchronousTestCase):
    """What every answer carries."""

    def test_a_stream_says_that_nothing_buffers_it(self) -> None:
        stamped = requestid.stamp([], own_id="own", request_id="r", stream=True)
        self.assertEqual(
            stamped,
            [
                (b"x-clawproxy-id", b"own"),
                (b"x-request-id", b"r"),
                (b"cache-control", b"no-cache"),
                (b"x-accel-buffering", b"no"),
            ],
        )

    def test_the_upstreams_own_words_stay(self) -> None:
        head = [(b"Cache-Control", b"No-Cache, no-transform"), (b"X-Request-ID", b"up")]
        stamped = requestid.stamp(head, own_id="own", request_id="up", stream=True)
        self.assertEqual(stamped[:2], head)
        self.assertEqual([name for name, _ in stamped].count(b"cache-control"), 0)
        self.assertEqual([name for name, _ in stamped].count(b"x-request-id"), 0)

    def test_no_cache_stands_beside_another_directive(self) -> None:
        head = [(b"Cache-Control", b"no-store"), (b"X-Accel-Buffering", b"yes")]
        stamped = requestid.stamp(head, own_id="own", request_id="r", stream=True)
        self.assertIn((b"Cache-Control", b"no-store"), stamped)
        self.assertIn((b"cache-control", b"no-cache"), stamped)
        self.assertNotIn((b"X-Accel-Buffering", b"yes"), stamped)

    def test_a_plain_answer_gets_ids_only(self) -> None:
        stamped = requestid.stamp(
            [(b"x-request-id", b"other")], own_id="own", request_id="r", stream=False
        )
        self.assertEqual(stamped, [(b"x-clawproxy-id", b"own"), (b"x-request-id", b"r")])
