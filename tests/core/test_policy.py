"""Tests for :mod:`clawproxy.core.policy`."""

from __future__ import annotations

import math
import time
from email.utils import formatdate

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.policy import (
    Cause,
    Failure,
    GiveUp,
    Retry,
    RetryPolicy,
    backoff,
    falls_back,
    retry_after,
    transient,
)

NOW = 1_795_000_000.0


def answered(status: int, *headers: tuple[bytes, bytes]) -> Failure:
    """Make the failure that an HTTP error is."""
    return Failure(Cause.STATUS, status, headers)


class Retries(SynchronousTestCase):
    """Whether the same target is asked again."""

    def test_statuses(self) -> None:
        policy = RetryPolicy(1)
        for status in (408, 409, 429, 500, 502, 503, 504, 529, 599):
            self.assertEqual(policy.verdict(1, answered(status), NOW, 0), Retry(0.5), status)
        for status in (400, 401, 402, 403, 404, 405, 413, 422, 425, 426, 451, 499):
            self.assertEqual(policy.verdict(1, answered(status), NOW, 0), GiveUp("not transient"))
            self.assertFalse(falls_back(answered(status)), status)

    def test_causes(self) -> None:
        policy = RetryPolicy(1)
        for cause in (Cause.CONNECT, Cause.LOST):
            self.assertEqual(policy.verdict(1, Failure(cause), NOW, 0), Retry(0.5))
        self.assertIsInstance(policy.verdict(1, Failure(Cause.SILENT), NOW, 0), GiveUp)
        for cause in (Cause.CONNECT, Cause.LOST, Cause.SILENT):
            self.assertTrue(falls_back(Failure(cause)))

    def test_tries_are_counted_after_the_first(self) -> None:
        for most in range(4):
            verdicts = [
                RetryPolicy(most).verdict(tries, answered(503), NOW, 0) for tries in range(1, 6)
            ]
            self.assertEqual([isinstance(v, Retry) for v in verdicts].count(True), most)
            self.assertEqual(verdicts[most], GiveUp("no tries left"))

    def test_waits_double_up_to_a_bound(self) -> None:
        policy = RetryPolicy(9)
        waits = [
            verdict.after
            for tries in range(1, 8)
            if isinstance(verdict := policy.verdict(tries, answered(500), NOW, 0), Retry)
        ]
        self.assertEqual(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0])
        self.assertEqual(backoff(10_000, 1.0), 6.0)
        self.assertEqual(backoff(0, 0.5), 0.4375)

    def test_retry_after_is_obeyed_up_to_its_bound(self) -> None:
        policy = RetryPolicy(3)
        for text, verdict in (
            (b"7", Retry(7.0)),
            (b"0", Retry(0.0)),
            (b"30", Retry(30.0)),
            (b"30.1", GiveUp("retry-after is too long to wait")),
            (b"1000000000", GiveUp("retry-after is too long to wait")),
            (b"-5", Retry(0.5)),
            (b"soon", Retry(0.5)),
        ):
            failure = answered(429, (b"Retry-After", text))
            self.assertEqual(policy.verdict(1, failure, NOW, 0), verdict, text)

    def test_the_upstream_may_refuse_retries_but_not_widen_them(self) -> None:
        policy = RetryPolicy(3)
        no = (b"X-Should-Retry", b"false")
        yes = (b"X-Should-Retry", b"true")
        self.assertIsInstance(policy.verdict(1, answered(529, no), NOW, 0), GiveUp)
        self.assertTrue(falls_back(answered(529, no)))
        self.assertIsInstance(policy.verdict(1, answered(529, yes), NOW, 0), Retry)
        self.assertIsInstance(policy.verdict(1, answered(400, yes), NOW, 0), GiveUp)

    def test_transient_is_exact(self) -> None:
        found = [status for status in range(100, 600) if transient(status)]
        self.assertEqual(found, [408, 409, 429, *range(500, 600)])


class RetryAfter(SynchronousTestCase):
    """All the spellings of one wish."""

    def read(self, **said: str) -> float | None:
        """Read from headers whose names are given with underscores."""
        head = [
            (name.replace("_", "-").encode(), text.encode("latin-1")) for name, text in said.items()
        ]
        return retry_after(head, NOW)

    def test_numbers(self) -> None:
        for text, seconds in (
            ("7", 7.0),
            (" 7 ", 7.0),
            ("0.25", 0.25),
            (".5", 0.5),
            ("1e1", 10.0),
            ("+3", 3.0),
            ("1e999", math.inf),
        ):
            self.assertEqual(self.read(Retry_After=text), seconds, text)

    def test_what_is_no_number_counts_as_absent(self) -> None:
        for text in ("", "-1", "nan", "inf", "1_0", "0x10", "7s", "1,5", "\xb2", "--1"):
            self.assertIsNone(self.read(retry_after=text), text)

    def test_many_digits(self) -> None:
        started = time.monotonic()
        self.assertIsNone(self.read(retry_after="1" * 100_000 + "x"))
        self.assertEqual(self.read(retry_after="1" * 100_000), math.inf)
        self.assertLess(time.monotonic() - started, 5)

    def test_milliseconds_come_first(self) -> None:
        self.assertEqual(self.read(retry_after="7", Retry_After_Ms="350"), 0.35)
        self.assertEqual(self.read(retry_after="7", retry_after_ms="-1"), 7.0)
        self.assertEqual(self.read(retry_after="7", retry_after_ms="x"), 7.0)

    def test_dates(self) -> None:
        self.assertEqual(self.read(retry_after=formatdate(NOW + 12, usegmt=True)), 12.0)
        self.assertEqual(self.read(retry_after=formatdate(NOW, usegmt=True)), 0.0)
        self.assertIsNone(self.read(retry_after=formatdate(NOW - 1, usegmt=True)))
        self.assertEqual(self.read(retry_after="Sun, 06 Nov 1994 08:49:37 GMT"), None)
        # RFC 9110, 5.6.7: the two obsolete forms are still to be read.
        self.assertIsNotNone(self.read(retry_after="Sunday, 06-Nov-44 08:49:37 GMT"))
        self.assertIsNotNone(self.read(retry_after="Sun Nov  6 08:49:37 2044"))

    @settings(deadline=None, max_examples=300)
    @given(
        st.binary(max_size=40) | st.text("0123456789 :,-+GMTNovSun", max_size=40).map(str.encode)
    )
    @example(b"Sun, 99 Nov 2044 99:99:99 GMT")
    @example(b"Sun, 06 Nov 99999999999 08:49:37 GMT")
    @example(b"1e9999")
    def test_nothing_raises(self, text: bytes) -> None:
        for name in (b"retry-after", b"retry-after-ms"):
            wait = retry_after([(name, text)], NOW)
            self.assertTrue(wait is None or wait >= 0)
