"""Tests of :mod:`clawproxy.config.quantity`."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config.quantity import seconds, size


class Seconds(SynchronousTestCase):
    def test_examples(self) -> None:
        for text, expected in (
            ("300", 300.0),
            (" 1.5 ", 1.5),
            ("5m", 300.0),
            ("300s", 300.0),
            ("1h30m", 5400.0),
            ("1h2m3.5s", 3723.5),
            ("250ms", 0.25),
            ("1m0s", 60.0),
            (".5s", 0.5),
            ("7d", 604800.0),
            ("100us", 0.0001),
            ("100\u00b5s", 0.0001),
            ("0", 0.0),
        ):
            self.assertAlmostEqual(seconds(text), expected, places=9, msg=text)

    def test_what_is_none(self) -> None:
        for text in (
            "",
            " ",
            "m",
            "5x",
            "5 m",
            "1h 30m",
            "nan",
            "inf",
            "1e999",
            "m5",
            "5m!",
            "--5",
        ):
            self.assertRaises(ValueError, seconds, text)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
    def test_parts_add_up(self, hours: int, minutes: int, secs: int, millis: int) -> None:
        text = f"{hours}h{minutes}m{secs}s{millis}ms"
        self.assertAlmostEqual(
            seconds(text), hours * 3600 + minutes * 60 + secs + millis / 1000, places=6
        )

    @settings(max_examples=200, deadline=None)
    @given(st.text(alphabet="0123456789.hmsdunµ -e", max_size=10))
    def test_a_number_or_a_value_error(self, text: str) -> None:
        try:
            number = seconds(text)
        except ValueError:
            return
        self.assertIsInstance(number, float)


class Sizes(SynchronousTestCase):
    def test_examples(self) -> None:
        for text, expected in (
            ("0", 0),
            ("33554432", 33554432),
            ("1_000", 1000),
            ("32 MiB", 33554432),
            ("32mib", 33554432),
            ("10GiB", 10 * 1024**3),
            ("1kB", 1000),
            ("1k", 1000),
            ("2Ki", 2048),
            ("1.5 MB", 1500000),
            ("7 b", 7),
            ("1TiB", 1024**4),
        ):
            self.assertEqual(size(text), expected, text)

    def test_what_is_none(self) -> None:
        for text in ("", "MiB", "-1", "1.0001 kB", "1 XB", "1.5", "nan", "1 i", "0x10"):
            self.assertRaises(ValueError, size, text)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 10**15))
    def test_numbers_stay(self, number: int) -> None:
        self.assertEqual(size(str(number)), number)
