"""Callers that leave, and pings for those who stay."""

from __future__ import annotations

import socket
import time

from tests.acceptance.caller import ANTHROPIC, Connection, message, post
from tests.acceptance.test_streams import CHAT_FRAMES, DONE, FRAME, StreamCase
from tests.acceptance.upstream import End, stream


class CancellationTests(StreamCase):
    """The upstream is cancelled within a second when the caller's connection is gone, and only then."""

    def left_after(self, *, half: bool, wait_for: bytes | None) -> float:
        with Connection(self.port) as caller:
            caller.send("POST", "/v1/messages", message(stream=True), ANTHROPIC)
            if wait_for is not None:
                caller.until(wait_for)
            else:
                self.eventually(lambda: self.up.asked)
            gone = time.monotonic()
            if half:
                caller.socket.shutdown(socket.SHUT_WR)
            else:
                caller.socket.close()
            self.eventually(lambda: self.up.left, 3)
        self.eventually(lambda: self.proxy.livez["in_flight"] == 0)
        return self.up.left[0] - gone

    def test_before_the_head(self) -> None:
        self.up.answers([End.HANG])
        self.assertLess(self.left_after(half=False, wait_for=None), 1)

    def test_in_the_stream(self) -> None:
        self.up.answers(stream(FRAME, End.HANG))
        self.assertLess(self.left_after(half=False, wait_for=FRAME), 1)

    def test_a_fin_counts_as_gone(self) -> None:
        """As it does in nginx and in Go's net/http."""
        self.up.answers(stream(FRAME, End.HANG))
        self.assertLess(self.left_after(half=True, wait_for=FRAME), 1)
        self.up.answers([End.HANG])
        self.assertLess(self.left_after(half=True, wait_for=None), 1)

    def test_on_a_translated_stream(self) -> None:
        self.up.answers(stream(*CHAT_FRAMES[:2], End.HANG))
        with Connection(self.port) as caller:
            caller.send("POST", "/v1/messages", message("translated", stream=True), ANTHROPIC)
            caller.until(b"Hello")
            caller.socket.close()
            gone = time.monotonic()
            self.eventually(lambda: self.up.left, 3)
        self.assertLess(self.up.left[0] - gone, 1)

    def test_a_silent_caller_is_not_gone(self) -> None:
        self.up.answers(stream(FRAME, 1.5, b"data: end\n\n"))
        with Connection(self.port) as caller:
            caller.send("POST", "/v1/messages", message(stream=True), ANTHROPIC)
            caller.until(FRAME)
            time.sleep(1.6)
            caller.until(b"data: end\n\n")
        self.assertEqual(self.up.left, [])

    def test_in_flight(self) -> None:
        """Every request counts from its complete head until its response is finished."""
        self.assertEqual(self.proxy.livez["in_flight"], 0)
        with Connection(self.port) as caller:
            # The head alone: the body has not come yet.
            caller.send("POST", "/v1/messages", b"", {"content-length": "10"})
            self.proxy.until_in_flight(1)
            with Connection(self.port) as other:
                self.up.answers(stream(FRAME, 0.5))
                other.send("POST", "/anthropic/v1/messages", message(stream=True), ANTHROPIC)
                other.until(FRAME)
                self.proxy.until_in_flight(2)
                self.assertTrue(other.reply().whole)
            self.proxy.until_in_flight(1)
        self.proxy.until_in_flight(0)
        with Connection(self.port) as caller:
            caller.socket.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Le")
            time.sleep(0.1)
            self.assertEqual(self.proxy.livez["in_flight"], 0)


class PingTests(StreamCase):
    """On translated streams a ping may stand between frames, while the upstream is silent."""

    def test_pings(self) -> None:
        self.up.answers(stream(*CHAT_FRAMES[:2], 0.9, *CHAT_FRAMES[2:], DONE))
        reply = post(self.port, "/v1/messages", message("translated", stream=True), ANTHROPIC)
        self.assertTrue(reply.whole)
        pings = reply.body.count(b"event: ping\n")
        self.assertTrue(2 <= pings <= 6, reply.body)
        self.assertTrue(reply.body.startswith(b"event: message_start\n"), reply.body[:60])
        for frame in reply.body.split(b"\n\n"):
            self.assertRegex(frame, rb"\A(event: \w+\ndata: \{.*\})?\Z")

    def test_no_ping_before_the_first_frame(self) -> None:
        """After the dialect's first one."""
        self.up.answers(stream(0.7, *CHAT_FRAMES, DONE))
        reply = post(self.port, "/v1/messages", message("translated", stream=True), ANTHROPIC)
        self.assertTrue(reply.body.startswith(b"event: message_start\n"), reply.body[:60])

    def test_pings_hide_no_dead_upstream(self) -> None:
        """It never resets the upstream's idle clock."""
        self.up.answers(stream(*CHAT_FRAMES[:2], End.HANG))
        started = time.monotonic()
        reply = post(self.port, "/v1/messages", message("translated", stream=True), ANTHROPIC)
        self.assertTrue(1.0 < time.monotonic() - started < 3)
        self.assertFalse(reply.whole)
        self.assertIn(b"event: ping\n", reply.body)
        self.assertRegex(reply.body, rb"\n\nevent: error\ndata: .*timeout_error.*\n\n\Z")
