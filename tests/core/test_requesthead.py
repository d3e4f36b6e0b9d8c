"""The quick reader of request heads: strict, and in agreement with Twisted's careful one."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http
from twisted.web.http_headers import Headers

from clawproxy.core.requesthead import MAX_NAME, forwardable, parse

_NAMES = st.sampled_from(
    [b"Host", b"x-one", b"X-One", b"a!", b"Content-Type", b" x", b"y ", b"z\r"]
)
_VALUES = st.sampled_from(
    [
        b"",
        b" ",
        b" 1",
        b"\t2",
        b"3 ",
        b" 4\t",
        b" a b",
        b" a\rb",
        b" a\nb: c",
        b"\0",
        b" \xff",
        b": x",
    ]
)


def read(data: bytes) -> object:
    return parse(data, 65536, 500)


def _as_twisted_reads(data: bytes) -> list[tuple[bytes, Sequence[bytes]]]:
    found: list[Headers] = []

    class Asked(http.Request):
        def process(self) -> None:
            found.append(self.requestHeaders)

    channel = http.HTTPChannel()
    channel.requestFactory = Asked
    channel.makeConnection(StringTransport())
    channel.dataReceived(data)
    return list(found[0].getAllRawHeaders())


class HeadTests(SynchronousTestCase):
    def test_ordinary_request(self) -> None:
        head = parse(
            b"POST /v1/x?y=%20 HTTP/1.1\r\nHost: a\r\nx-one:1\r\nX-One: \t2\r\nempty:\r\ncontent-length: 3\r\n\r\nabc",
            65536,
            500,
        )
        assert head is not None
        self.assertEqual((head.method, head.target), (b"POST", b"/v1/x?y=%20"))
        self.assertEqual(
            head.lines,
            [
                (b"Host", b"a"),
                (b"x-one", b"1"),
                (b"X-One", b"2"),
                (b"empty", b""),
                (b"content-length", b"3"),
            ],
        )
        self.assertEqual(head.first[b"x-one"], b"1")
        self.assertEqual((head.length, head.size), (3, 85))

    def test_a_connection_that_stays_is_ordinary(self) -> None:
        head = parse(b"GET / HTTP/1.1\r\nConnection: Keep-Alive\r\n\r\n", 65536, 500)
        assert head is not None
        self.assertEqual(head.lines, [(b"Connection", b"Keep-Alive")])

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
            b"POST /x HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
            b"POST /x HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            b"POST /x HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            b"POST /x HTTP/1.1\r\nConnection: close\r\n\r\n",
            b"POST /x HTTP/1.1\r\nConnection: keep-alive, x-hop\r\n\r\n",
            b"POST /x HTTP/1.1\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
            b"POST /x HTTP/1.1\r\nA: b \r\n\r\n",
            b"POST /x HTTP/1.1\r\nA: b\t\r\n\r\n",
            b"POST /x HTTP/1.1\r\n: b\r\n\r\n",
        ):
            self.assertIsNone(read(data), data)
            # A second time, when names are remembered.
            self.assertIsNone(read(data), data)

    def test_limits(self) -> None:
        data = b"GET / HTTP/1.1\r\nA: b\r\nC: d\r\n\r\n"
        self.assertIsNone(parse(data, 10, 500))
        self.assertIsNone(parse(data, 500, 1))

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.tuples(_NAMES, _VALUES), max_size=6))
    def test_what_is_read_is_what_twisted_reads(self, lines: list[tuple[bytes, bytes]]) -> None:
        section = b"".join(name + b":" + value + b"\r\n" for name, value in lines)
        data = b"GET /x HTTP/1.1\r\n" + section + b"\r\n"
        head = parse(data, 65536, 500)
        if head is None:
            return
        mine = Headers()
        for name, value in head.lines:
            mine.addRawHeader(name, value)
        self.assertEqual(list(mine.getAllRawHeaders()), _as_twisted_reads(data))

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200))
    def test_nothing_raises(self, junk: bytes) -> None:
        read(b"GET / HTTP/1.1\r\n" + junk + b"\r\n\r\n")
        read(junk + b"\r\n\r\n")


class ForwardableTests(SynchronousTestCase):
    """What of HTTP/2 HTTP/1 can say; h2 refuses most of it itself, but not every version of it does."""

    head = ((b":method", b"POST"), (b":path", b"/v1/x?y"), (b":scheme", b"https"), (b"a", b"b\t c"))

    def test_ordinary_request(self) -> None:
        self.assertTrue(forwardable(self.head))
        self.assertTrue(forwardable([(b":method", b"OPTIONS"), (b":path", b"*")]))

    def test_what_would_be_another_request(self) -> None:
        for line in (
            (b"x y", b"z"),
            (b"x:", b"z"),
            (b"x" * (MAX_NAME + 1), b"z"),
            (b"x", b"z\r\ny: z"),
            (b"x", b"z\n"),
            (b"x", b"\0"),
        ):
            self.assertFalse(forwardable([*self.head, line]), line)
        for method, path in (
            (b"GET /", b"/"),
            (b"GET", b"/ HTTP/1.1\r\n"),
            (b"GET", b"x"),
            (b"", b"/"),
        ):
            self.assertFalse(forwardable([(b":method", method), (b":path", path)]))
