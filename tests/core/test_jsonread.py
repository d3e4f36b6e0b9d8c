"""Reading JSON as it really comes: tolerant values, cheap looks, one kind of error."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.jsonread import JSONError, peek, read


class ReadTests(SynchronousTestCase):
    """:func:`read` takes what strict readers refuse."""

    def test_tolerance(self) -> None:
        """NaN, lone surrogates, sizes beyond float and int, bytes that are no UTF-8, a BOM."""
        value = read(b'[NaN, 1e400, "\\ud800x", "\xff", "\\ud83d\\ude00", 12345678901234567890123]')
        assert isinstance(value, list)
        self.assertTrue(math.isnan(value[0]))
        self.assertEqual(
            value[1:], [math.inf, "\ufffdx", "\ufffd", "\U0001f600", 12345678901234567890123]
        )
        self.assertEqual(read(b"1" * 5000), math.inf)
        self.assertEqual(read(b"\xef\xbb\xbf{}"), {})
        self.assertEqual(read(b'{"a":1,"a":2}'), {"a": 2})

    def test_faults(self) -> None:
        """What is not JSON raises the one error, with the byte where it stopped."""
        for text in (b"", b"{", b"[1 2]", b'"\n"', b"nope", b"\xff", b"[" * 200_000):
            self.assertRaises(JSONError, read, text)
        error = self.assertRaises(JSONError, read, '["é", x]'.encode())
        self.assertEqual(error.position, 7)

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=40))
    def test_hostile(self, text: bytes) -> None:
        """Random bytes raise nothing else."""
        try:
            read(text)
        except JSONError:
            return

    @settings(deadline=None, max_examples=100)
    @given(st.text(alphabet=st.characters()))
    def test_encodable(self, text: str) -> None:
        """Whatever a string holds, what is read can be encoded, and is the same if it could be."""
        value = read(json.dumps(text).encode())
        assert isinstance(value, str)
        value.encode()
        try:
            text.encode()
        except UnicodeEncodeError:
            return
        self.assertEqual(value, text)


class PeekTests(SynchronousTestCase):
    """:func:`peek` gives top-level members on demand."""

    def test_members(self) -> None:
        """Values, kinds, spelling; absent members; the last of two."""
        members = peek(
            b'{"model":"a","mod\\u0065l":"b","stream":true,"n":-1.50,"o":{"x":[]},"l":[1],"z":null}'
        )
        self.assertEqual(members.get("model"), "b")
        self.assertEqual(members.text("model"), "b")
        self.assertIs(members.get("stream"), True)
        self.assertEqual(members.raw("n"), b"-1.50")
        self.assertEqual(members.get("o"), {"x": []})
        self.assertIsNone(members.text("n"))
        self.assertIsNone(members.raw("none"))
        self.assertEqual(members.get("none", 7), 7)
        self.assertIn("z", members)
        self.assertNotIn("none", members)
        self.assertEqual(
            [members.kind(name) for name in ("model", "stream", "n", "o", "l", "z", "none")],
            ["string", "boolean", "number", "object", "array", "null", None],
        )
        self.assertEqual(list(members), ["model", "stream", "n", "o", "l", "z"])
        self.assertEqual(len(members), 6)

    def test_tolerance(self) -> None:
        """What the strict reader refuses is scanned, with the same answers."""
        members = peek(b'\xef\xbb\xbf {"t":NaN, "model" : "x\\ud800", "l":[{"a":"]}"}] ,"l":[2]}')
        self.assertEqual(members.get("model"), "x\ufffd")
        self.assertEqual(members.get("l"), [2])
        self.assertEqual(members.raw("t"), b"NaN")

    def test_faults(self) -> None:
        """Empty, not JSON, not an object, nested beyond reason."""
        for body in (b"", b"  ", b"[]", b'"x"', b'{"a"', b'{"a":1}}', b'{"a":' + b"[" * 200_000):
            self.assertRaises(JSONError, peek, body)

    def test_words_of_faults(self) -> None:
        """They go on from "it is", and end in the place where that is known."""
        for body, words in (
            (b"[]", "an array, not an object"),
            (b'"x"', "a string, not an object"),
            (b"1.5", "a number, not an object"),
            (b"true", "a boolean, not an object"),
            (b"null", "null, not an object"),
            (b"{'a'}", "not JSON: Expecting property name enclosed in double quotes (byte 1)"),
            (b'{"a":"\x00"}', "not JSON: Invalid control character (byte 6)"),
        ):
            self.assertEqual(str(self.assertRaises(JSONError, peek, body)), words)

    @settings(deadline=None, max_examples=200)
    @given(
        st.dictionaries(
            st.text(max_size=5),
            st.recursive(
                st.one_of(
                    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)
                ),
                lambda inner: st.one_of(
                    st.lists(inner, max_size=3),
                    st.dictionaries(st.text(max_size=3), inner, max_size=3),
                ),
                max_leaves=6,
            ),
            max_size=5,
        ),
        st.sampled_from([None, 1]),
        st.booleans(),
    )
    def test_like_the_standard_library(
        self, value: dict[str, object], indent: int | None, ascii_only: bool
    ) -> None:
        """Every member reads as :mod:`json` reads it."""
        body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
        expected = json.loads(body)
        members = peek(body)
        self.assertEqual(list(members), list(expected))
        for name in members:
            self.assertEqual(repr(members.get(name)), repr(expected[name]))
