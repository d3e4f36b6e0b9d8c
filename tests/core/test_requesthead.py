"""The quick reader of request heads: strict, and in agreement with Twisted's careful one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from clawproxy.core.requesthead import MAX_NAME, parse


def read(data: bytes) -> object:
    return parse(data, 65536, 500)


class HeadTests(SynchronousTestCase):
    def test_ordinary_request(self) -> None:
        head = parse(
            b"POST /v1/x?y=%20 HTTP/1.1\r\nHost: a\r\nx-one:1\r\nX-One: \t2 \r\ncontent-length: 3\r\n\r\nabc",
            65536,
            500,
        )
        assert head is not None
        self.assertEqual((head.method, head.target), (b"POST", b"/v1/x?y=%20"))
        self.assertEqual(head.headers[b"X-One"], [b"1", b"2"])
        self.assertEqual((head.length, head.size), (3, 78))

    def test_what_is_odd_is_left_to_twisted(self) -> None:
        for data in (
            b"POST /x HTTP/1.1\r\nHost: a\r\n",
            b"POST /x HTTP/1.1\nHost: a\r\n\r\n",
            b"POST /x HTTP/1.1\r\nHost: a\n b: c\r\n\r\n",
            b"POST /x HTTP/1.1\r\nHost: a\r\r\n\r\n",
            b"POST /x HTTP/1.1\r\nHost : a\r\n\r\n",
            b"POST /x HTTP/1.1\r\n folded: a\r\n\r\n",
            b"POST /x HTTP/1.1\r\nnocolon\r\n\r\n",
            b"POST /x HTTP/1.1\r\nA: \0\r\n\r\n",
            b"POST /x HTTP/1.1\r\n" + b"A" * (MAX_NAME + 1) + b": b\r\n\r\n",
            b"POST /x HTTP/2.0\r\nA: b\r\n\r\n",
            b"POST  /x HTTP/1.1\r\nA: b\r\n\r\n",
            b"POST http://a/x HTTP/1.1\r\nA: b\r\n\r\n",
            b"POST /\xff HTTP/1.1\r\nA: b\r\n\r\n",
            b"POST /x HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n",
            b"POST /x HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            b"POST /x HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            b"POST /x HTTP/1.1\r\nConnection: close\r\n\r\n",
        ):
            self.assertIsNone(read(data), data)
            # A second time, when names are remembered.
            self.assertIsNone(read(data), data)

    def test_limits(self) -> None:
        data = b"GET / HTTP/1.1\r\nA: b\r\nC: d\r\n\r\n"
        self.assertIsNone(parse(data, 10, 500))
        self.assertIsNone(parse(data, 500, 1))

    @settings(max_examples=200, deadline=None)
    @given(st.text("abcXYZ-019!~", min_size=1, max_size=20))
    def test_names_are_spelled_as_twisted_spells_them(self, name: str) -> None:
        headers = Headers()
        headers.addRawHeader(name.encode(), b"v")
        head = parse(b"GET / HTTP/1.1\r\n" + name.encode() + b": v\r\n\r\n", 65536, 500)
        assert head is not None
        self.assertEqual(list(head.headers), [key for key, _ in headers.getAllRawHeaders()])

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200))
    def test_nothing_raises(self, junk: bytes) -> None:
        read(b"GET / HTTP/1.1\r\n" + junk + b"\r\n\r\n")
        read(junk + b"\r\n\r\n")
