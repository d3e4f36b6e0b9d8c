"""One connection to an upstream: every way in which an answer can come, end, or fail to."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from clawproxy.upstream.h1 import MAX_HEAD, SMALL
from clawproxy.upstream.response import H1Response
from tests.upstream.connections import ConnectionCase, Reader


class AnswerTests(ConnectionCase):
    """Whole answers, in all the ways in which HTTP/1 frames them."""

    def test_request_leaves_in_one_write(self) -> None:
        self.ask(body=b"x" * 100)
        self.assertEqual(self.transport.value(), b"HEAD\r\n\r\n" + b"x" * 100)

    def test_large_request_leaves_whole(self) -> None:
        self.ask(body=b"x" * (SMALL + 1))
        self.assertEqual(self.transport.value(), b"HEAD\r\n\r\n" + b"x" * (SMALL + 1))

    def test_length(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(
            b"HTTP/1.1 201 Made It\r\nX-One: 1\r\nx-one:  2 \r\nX-Empty:\r\nContent-Length: 5\r\n\r\nab"
        )
        response, reader = self.read(asking)
        self.assertEqual((response.code, response.phrase), (201, b"Made It"))
        self.assertEqual(response.length, 5)
        names = [(name, value.strip()) for name, value in response.raw_headers]
        self.assertEqual(
            names,
            [(b"X-One", b"1"), (b"x-one", b"2"), (b"X-Empty", b""), (b"Content-Length", b"5")],
        )
        self.assertFalse(reader.whole)
        self.connection.dataReceived(b"cde")
        self.assertEqual(reader.body, b"abcde")
        self.assertTrue(reader.whole)
        self.assertEqual(self.idle, [self.connection])

    def test_chunks_with_extensions_and_trailers(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2;why=not\r\nab\r\n3\r\ncde\r\n0\r\nX-Trailer: dropped\r\n\r\n"
        )
        response, reader = self.read(asking)
        self.assertEqual(reader.body, b"abcde")
        self.assertTrue(reader.whole)
        self.assertNotIn(b"X-Trailer", dict(response.raw_headers))
        self.assertEqual(self.idle, [self.connection])

    def test_one_read_is_one_piece(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        _, reader = self.read(asking)
        self.connection.dataReceived(b"2\r\nab\r\n2\r\ncd\r\n")
        self.connection.dataReceived(b"2\r\nef\r\n0\r\n\r\n")
        self.assertEqual(reader.pieces, [b"abcd", b"ef"])

    def test_body_until_the_connection_ends(self) -> None:
        for head in (
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        ):
            self.connection, self.transport = self.connect()
            asking = self.ask()
            self.connection.dataReceived(head + b"abc")
            _, reader = self.read(asking)
            self.assertIsNone(reader.end)
            self.connection.connectionLost(Failure(ConnectionDone()))
            self.assertTrue(reader.whole, head)
            self.assertEqual(reader.body, b"abc")
        self.assertEqual(self.idle, [])

    def test_body_until_a_reset_is_broken(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\n\r\nabc")
        _, reader = self.read(asking)
        self.connection.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(reader.failure.phase, "body")

    def test_answers_without_a_body(self) -> None:
        for method, head in (
            (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
            (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
            (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
            (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ):
            self.connection, self.transport = self.connect()
            asking = self.ask(method)
            self.connection.dataReceived(head)
            _, reader = self.read(asking)
            self.assertTrue(reader.whole, head)
            self.assertEqual(reader.body, b"")

    def test_interim_answers_are_skipped(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.connection.dataReceived(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 ")
        self.assertNoResult(asking)
        self.connection.dataReceived(b"OK\r\nContent-Length: 2\r\n\r\nok")
        response, reader = self.read(asking)
        self.assertEqual(response.raw_headers, [(b"Content-Length", b"2")])
        self.assertEqual((response.code, reader.body), (200, b"ok"))
        self.assertTrue(reader.whole)

    def test_connection_is_kept_only_if_the_upstream_keeps_it(self) -> None:
        for line, kept in ((b"", True), (b"Connection: Close\r\n", False)):
            self.connection, self.transport = self.connect()
            asking = self.ask()
            self.connection.dataReceived(
                b"HTTP/1.1 200 OK\r\n" + line + b"Content-Length: 1\r\n\r\nx"
            )
            self.assertTrue(self.read(asking)[1].whole)
            self.assertEqual(self.idle, [self.connection] if kept else [])
            self.assertEqual(self.transport.disconnecting, not kept)
            self.idle.clear()

    def test_connection_is_not_kept_behind_bytes_that_nobody_asked_for(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n"
        )
        self.assertTrue(self.read(asking)[1].whole)
        self.assertEqual(self.idle, [])
        self.assertTrue(self.connection.closed)

    def test_bytes_on_an_idle_connection_end_it(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.read(asking)
        self.connection.dataReceived(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.gone, [self.connection])

    def test_several_requests_in_a_row(self) -> None:
        for number in range(3):
            asking = self.ask()
            self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
            _, reader = self.read(asking)
            self.assertEqual(reader.body, b"%d" % number)
        self.assertEqual(len(self.idle), 3)

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(cuts=st.lists(st.integers(0, 400), max_size=40))
    def test_any_cut_gives_the_same_answer(self, cuts: list[int]) -> None:
        wire = (
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
            b"HTTP/1.1 200 All Right\r\nContent-Type: text/event-stream\r\nX-Twice: a\r\n"
            b"Transfer-Encoding: chunked\r\nx-twice: b\r\n\r\n"
            b'1a\r\nevent: ping\r\ndata: {"a":1}\r\n8;x=y\r\n: \xff\xfe odd\r\n0\r\n\r\n'
        )
        connection, _ = self.connect()
        asking = connection.send(b"POST", b"HEAD\r\n\r\n", b"", 0, 0)
        reader = Reader()
        headers: list[tuple[bytes, bytes]] = []

        def begin(response: H1Response) -> None:
            headers.extend(response.raw_headers)
            response.deliverBody(reader)

        asking.addCallback(begin)
        places = sorted({0, len(wire), *(min(cut, len(wire)) for cut in cuts)})
        for start, end in pairwise(places):
            connection.dataReceived(wire[start:end])
        self.assertEqual(reader.body, b'event: ping\r\ndata: {"a":1}: \xff\xfe odd')
        self.assertTrue(reader.whole)
        self.assertEqual([name for name, _ in headers].count(b"X-Twice"), 1)
        self.assertIn((b"x-twice", b"b"), headers)


class LimitTests(ConnectionCase):
    """Large heads and lines pass; what is beyond all measure ends cleanly."""

    def test_long_header_lines_pass(self) -> None:
        asking = self.ask()
        big = b"v" * 102_400
        self.connection.dataReceived(
            b"HTTP/1.1 200 OK\r\nX-Big: " + big + b"\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertIn((b"X-Big", big), self.successResultOf(asking).raw_headers)

    def test_many_headers_pass(self) -> None:
        asking = self.ask()
        lines = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 50) for number in range(1000))
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(len(self.successResultOf(asking).raw_headers), 1001)

    def test_endless_head_is_a_failure(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nX-Big: ")
        for _ in range(MAX_HEAD // 65_536 + 1):
            if not self.connection.closed:
                self.connection.dataReceived(b"v" * 65_536)
        failure = self.failed(asking)
        self.assertEqual((failure.phase, failure.timeout), ("headers", False))
        self.assertIn(str(MAX_HEAD), failure.message)
        self.assertTrue(self.transport.aborted)

    def test_endless_interim_answers_are_a_failure(self) -> None:
        asking = self.ask()
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1000
        for _ in range(MAX_HEAD // len(interim) + 1):
            if not self.connection.closed:
                self.connection.dataReceived(interim)
        self.assertEqual(self.failed(asking).phase, "headers")

    def test_body_of_a_single_huge_line_passes(self) -> None:
        asking = self.ask()
        line = b"data: " + b"x" * (5 * 1024 * 1024) + b"\n\n"
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        _, reader = self.read(asking)
        wire = b"%x\r\n%s\r\n0\r\n\r\n" % (len(line), line)
        for start in range(0, len(wire), 65_536):
            self.connection.dataReceived(wire[start : start + 65_536])
        self.assertEqual(reader.body, line)
        self.assertTrue(reader.whole)


class FaultTests(ConnectionCase):
    """Answers that break off, and things that are no answers."""

    def test_lost_before_the_head(self) -> None:
        for reason, word in ((ConnectionDone(), "closed"), (ConnectionLost(), "reset")):
            self.connection, self.transport = self.connect()
            asking = self.ask()
            self.connection.connectionLost(Failure(reason))
            failure = self.failed(asking)
            self.assertEqual((failure.phase, failure.stale), ("headers", False))
            self.assertIn(word, failure.message)
            self.assertEqual(self.gone, [self.connection])
            self.gone.clear()

    def test_kept_connection_lost_without_a_byte_is_stale(self) -> None:
        for sent, stale in ((b"", True), (b"H", False), (b"HTTP/1.1 103 Hi\r\n\r\n", False)):
            self.connection, self.transport = self.connect()
            first = self.ask()
            self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            self.read(first)
            second = self.ask()
            if sent:
                self.connection.dataReceived(sent)
            self.connection.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(self.failed(second).stale, stale, sent)

    def test_cut_bodies(self) -> None:
        for wire in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        ):
            for reason in (ConnectionDone(), ConnectionLost()):
                self.connection, self.transport = self.connect()
                asking = self.ask()
                self.connection.dataReceived(wire)
                _, reader = self.read(asking)
                self.assertIsNone(reader.end)
                self.connection.connectionLost(Failure(reason))
                self.assertEqual((reader.body, reader.failure.phase), (b"abc", "body"), wire)

    def test_what_is_not_http(self) -> None:
        for wire in (
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"<html>hello</html>\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ):
            self.connection, self.transport = self.connect()
            asking = self.ask()
            self.connection.dataReceived(wire)
            failure = self.failed(asking)
            self.assertEqual((failure.phase, failure.timeout), ("headers", False), wire)
            self.assertTrue(self.transport.aborted)

    def test_broken_chunk_framing_in_the_middle(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
        )
        _, reader = self.read(asking)
        self.connection.dataReceived(b"3\r\ncde\r\nnonsense\r\n")
        self.assertEqual((reader.body, reader.failure.phase), (b"abcde", "body"))
        self.assertTrue(self.transport.aborted)

    def test_second_answer_changes_nothing_of_the_first(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            b"HTTP/1.1 418 Teapot\r\nX-Two: 2\r\nContent-Length: 3\r\n\r\nbad"
        )
        response, reader = self.read(asking)
        self.assertEqual((response.code, response.phrase, reader.body), (200, b"OK", b"ok"))
        self.assertEqual([name for name, _ in response.raw_headers], [b"Content-Length"])
        self.assertEqual(self.idle, [])

    def test_unasked_switch_of_protocols(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n\r\n\x81\x00"
        )
        self.assertEqual(self.failed(asking).phase, "headers")
        self.assertTrue(self.transport.aborted)

    def test_unasked_switch_that_is_only_half_said(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
        self.assertEqual(self.failed(asking).phase, "headers")
        self.assertTrue(self.transport.aborted)

    def test_upgrade_that_is_only_offered_is_an_answer_like_any_other(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(
            b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok"
        )
        self.assertEqual(self.read(asking)[1].body, b"ok")

    def test_reader_that_leaves_aborts(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        response, reader = self.read(asking)
        response.stopProducing()
        self.assertTrue(self.transport.aborted)
        self.assertIsNone(reader.end)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelling_aborts(self) -> None:
        asking = self.ask()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_request_waits_behind_a_large_body_that_was_answered_early(self) -> None:
        asking = self.ask(body=b"x" * (SMALL + 1))
        socket = FileDescriptor(reactor=cast(Any, self.clock))
        socket.dataBuffer = b"x"  # its server may never read that
        self.transport.transport = socket  # type: ignore[attr-defined]
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        _, reader = self.read(asking)
        self.assertEqual((reader.body, reader.whole, self.idle), (b"ok", True, []))
        self.assertTrue(self.transport.disconnecting)
        self.assertFalse(self.transport.aborted)

    def test_error_before_all_of_a_large_body_was_sent_ends_the_connection(self) -> None:
        asking = self.ask(body=b"x" * (SMALL + 1))
        self.connection.dataReceived(b"HTTP/1.1 413 Too Big\r\nContent-Length: 2\r\n\r\nno")
        response, reader = self.read(asking)
        self.assertEqual((response.code, reader.body), (413, b"no"))
        self.assertTrue(reader.whole)
        self.assertEqual(self.idle, [])
        # Closed at once: whatever of the body is not sent yet is wanted by nobody.
        self.assertTrue(self.transport.aborted)
