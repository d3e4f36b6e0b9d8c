"""The clocks of a connection to an upstream: of the head, of silence, and of its own end."""

from __future__ import annotations

from clawproxy.upstream.clocks import CLOSE_WITHIN
from clawproxy.upstream.failure import UpstreamFailure
from tests.upstream.connections import ConnectionCase


class ClockTests(ConnectionCase):
    def test_head_that_never_comes(self) -> None:
        asking = self.ask(header_timeout=10)
        self.clock.advance(9.9)
        self.assertNoResult(asking)
        self.clock.advance(0.2)
        failure = self.failed(asking)
        self.assertEqual((failure.phase, failure.timeout), ("headers", True))
        self.assertTrue(self.transport.aborted)

    def test_head_that_drips_does_not_hold_the_clock(self) -> None:
        asking = self.ask(header_timeout=10)
        for byte in b"HTTP/1.1 200":
            if not self.connection.closed:
                self.connection.dataReceived(bytes([byte]))
                self.clock.advance(1)
        self.assertTrue(self.failed(asking).timeout)

    def test_no_limit_is_no_limit(self) -> None:
        asking = self.ask(header_timeout=0, idle_timeout=0)
        self.clock.advance(1_000_000)
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        _, reader = self.read(asking)
        self.clock.advance(1_000_000)
        self.connection.dataReceived(b"b")
        self.assertTrue(reader.whole)

    def test_silence_in_the_middle(self) -> None:
        asking = self.ask(idle_timeout=10)
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na")
        _, reader = self.read(asking)
        for _ in range(5):
            self.clock.advance(9)
            self.connection.dataReceived(b"x")
        self.assertIsNone(reader.end)
        self.clock.pump([1] * 11)
        self.assertEqual((reader.failure.phase, reader.failure.timeout), ("body", True))
        self.assertTrue(self.transport.aborted)

    def test_slow_reader_is_not_a_silent_upstream(self) -> None:
        asking = self.ask(idle_timeout=10)
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na")
        response, reader = self.read(asking)
        response.pauseProducing()
        self.assertTrue(self.transport.paused)
        self.clock.pump([1] * 100)
        self.assertIsNone(reader.end)
        response.resumeProducing()
        self.assertFalse(self.transport.paused)
        self.clock.pump([1] * 9)
        self.assertIsNone(reader.end)
        self.clock.pump([1] * 3)
        self.assertTrue(reader.failure.timeout)

    def test_nobody_reading_yet_holds_the_upstream_back(self) -> None:
        asking = self.ask(idle_timeout=10)
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        self.assertTrue(self.transport.paused)
        self.clock.pump([1] * 100)
        _, reader = self.read(asking)
        self.assertFalse(self.transport.paused)
        self.assertEqual(reader.body, b"ab")
        self.connection.dataReceived(b"cd")
        self.assertTrue(reader.whole)

    def test_paused_connection_reads_on_once_it_is_idle(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        response, _ = self.read(asking)
        response.pauseProducing()
        self.connection.dataReceived(b"b")
        self.assertEqual(self.idle, [self.connection])
        self.assertFalse(self.transport.paused)

    def test_no_clock_is_left(self) -> None:
        asking = self.ask()
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
        self.read(asking)
        self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(1000)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_timer_serves_all_requests_of_a_connection(self) -> None:
        for number in range(5):
            asking = self.ask(header_timeout=300, idle_timeout=300)
            self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            self.clock.advance(number)
            self.connection.dataReceived(b"b")
            self.read(asking)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.connection.close_idle()
        self.connection.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timer_of_an_earlier_request_does_not_make_this_one_late_or_early(self) -> None:
        asking = self.ask(header_timeout=300)
        self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
        self.read(asking)
        for timeout in (10, 500):
            asking = self.ask(header_timeout=timeout)
            self.clock.pump([timeout - 1, 0.5])
            self.assertNoResult(asking)
            if timeout == 10:
                self.connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
                self.read(asking)
        self.clock.advance(0.6)
        self.assertTrue(self.failureResultOf(asking, UpstreamFailure).value.timeout)

    def test_close_that_the_other_side_does_not_agree_to(self) -> None:
        self.patch(self.transport, "loseConnection", bool)
        asking = self.ask(header_timeout=1)  # whose timer is not the one that counts here
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
        self.connection.dataReceived(head + b"{}")
        self.assertTrue(self.read(asking)[1].whole)
        self.clock.advance(CLOSE_WITHIN - 1)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(1)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.gone, [self.connection])
        self.assertEqual(self.clock.getDelayedCalls(), [])
