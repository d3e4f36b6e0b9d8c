"""Leaving, as an operator sees it: a real process, real signals, real exit codes."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.integration.answers import STREAM
from tests.integration.case import ProxyCase
from tests.integration.proxy import Proxy
from tests.integration.upstream import Answer, Asked
from tests.wire import ASK, replies

STREAMS = 50
SECONDS = 5.0
"""How long each of the streams takes; with 20 the test shows the same, later."""

FRAME = b'event: content_block_delta\ndata: {"n":%d}\n\n'


def stream(pieces: int, pause: float) -> Answer:
    """Make a stream of that many pieces, that many seconds apart."""
    parts: list[bytes | float] = []
    for number in range(pieces):
        parts += [FRAME % number, pause]
    return Answer(parts, headers=STREAM)


def whole(pieces: int) -> bytes:
    """Give the body of such a stream."""
    return b"".join(FRAME % number for number in range(pieces))


class DrainCase(ProxyCase):
    def setUp(self) -> None:
        super().setUp()
        self.pool = ThreadPoolExecutor(STREAMS + 10)
        self.addCleanup(self.pool.shutdown)

    def ask(self, proxy: Proxy, body: bytes = ASK) -> tuple[int, bytes, dict[str, str]]:
        """Send a request and read its answer to the end; raises if that is missing."""
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        try:
            connection.request("POST", "/v1/messages", body)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read(), headers
        finally:
            connection.close()

    def begin(self, proxy: Proxy, number: int) -> list[Future[tuple[int, bytes, dict[str, str]]]]:
        """Have that many requests in flight."""
        running = [self.pool.submit(self.ask, proxy) for _ in range(number)]
        proxy.in_flight(number)
        return running

    def log_of(self, proxy: Proxy) -> str:
        self.assertNotIn("Traceback", proxy.log)
        return proxy.log


class WaitingTests(DrainCase):
    def test_streams_in_flight_end_whole(self) -> None:
        pieces = 25
        upstream = self.upstream(lambda _: stream(pieces, SECONDS / pieces))
        proxy = self.proxy(upstream)
        idle = socket.create_connection(("127.0.0.1", proxy.port))
        self.addCleanup(idle.close)
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        while not idle.recv(10_000).endswith(b"}"):
            pass
        started = time.monotonic()
        running = self.begin(proxy, STREAMS)
        proxy.signal(signal.SIGTERM)
        idle.settimeout(5)
        self.assertEqual(idle.recv(1), b"", "an idle connection is closed")
        late: list[Future[Any]] = []
        while True:
            done = sum(each.done() for each in running)
            try:
                health, facts = proxy.get("/health"), proxy.get("/livez")
            except OSError:
                break
            undone = STREAMS - sum(each.done() for each in running)
            pending = sum(not each.done() for each in late)
            self.assertEqual((health[0], health[1]["status"]), (503, "draining"))
            self.assertEqual((facts[0], facts[1]["draining"]), (200, True))
            self.assertEqual(facts[1]["status"], "draining")
            # What our readers have read is a moment behind what the proxy has sent.
            self.assertLessEqual(facts[1]["in_flight"], STREAMS - done + len(late))
            self.assertGreaterEqual(facts[1]["in_flight"] + 5, undone + pending - 5)
            if len(late) < 3 and time.monotonic() - started < SECONDS / 2:
                late.append(self.pool.submit(self.ask, proxy))
            time.sleep(0.1)
        self.assertEqual(proxy.wait(), 0)
        self.assertGreater(time.monotonic() - started, SECONDS)
        for each in running:
            status, body, _ = each.result()
            self.assertEqual((status, body), (200, whole(pieces)))
        self.assertEqual(len(late), 3)
        for each in late:
            status, body, headers = each.result()
            self.assertEqual((status, body), (200, whole(pieces)))
            self.assertEqual(headers["connection"], "close")
        log = self.log_of(proxy)
        self.assertIn(f"draining: {STREAMS} in flight", log)
        self.assertRegex(log, r"drained in \d")
        self.assertEqual(log.count(" ok ttft="), STREAMS + 3)

    def test_nothing_in_flight_leaves_at_once(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            proxy = self.proxy(self.upstream(), name=f"proxy-{number}")
            proxy.signal(number)
            self.assertEqual(proxy.wait(10), 0)

    def test_settling(self) -> None:
        proxy = self.proxy(
            self.upstream(lambda _: stream(2, 0.05)), settings={"server.drain.settle": 2}
        )
        started = time.monotonic()
        proxy.signal(signal.SIGTERM)
        time.sleep(0.3)
        self.assertEqual(proxy.get("/health")[0], 503)
        self.assertEqual(self.ask(proxy)[:2], (200, whole(2)))
        self.assertEqual(proxy.wait(), 0)
        self.assertGreater(time.monotonic() - started, 1.9)

    def test_count_is_logged_now_and_then(self) -> None:
        proxy = self.proxy(
            self.upstream(lambda _: stream(5, 0.5)), settings={"server.drain.log_every": 1}
        )
        [running] = self.begin(proxy, 1)
        proxy.signal(signal.SIGTERM)
        self.assertEqual(running.result()[1], whole(5))
        self.assertEqual(proxy.wait(), 0)
        self.assertIn("draining: 1 in flight after 1 s", self.log_of(proxy))

    def test_ends_of_answers_that_are_read_late(self) -> None:
        """Of one of these sizes, what the kernel does not take is just what the proxy may keep."""
        sizes = range(2_300_000, 2_900_000, 50_000)
        upstream = self.upstream()
        proxy = self.proxy(upstream)
        callers = []
        for size in sizes:
            caller = socket.socket()
            self.addCleanup(caller.close)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.connect(("127.0.0.1", proxy.port))
            caller.settimeout(30)
            answer = Answer([b"x" * size], headers=STREAM)
            upstream.script = lambda _, answer=answer: answer  # type: ignore[misc]
            caller.sendall(
                b"POST /v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(ASK) + ASK
            )
            callers.append(caller)
            time.sleep(0.1)
        proxy.signal(signal.SIGTERM)
        time.sleep(2)
        for size, caller in zip(sizes, callers, strict=True):
            got = bytearray()
            while piece := caller.recv(1_000_000):
                got += piece
            [reply] = replies(bytes(got))
            self.assertEqual((reply.whole, len(reply.body)), (True, size))
        self.assertEqual(proxy.wait(), 0)

    def test_requests_that_never_stop_coming_are_all_served(self) -> None:
        proxy = self.proxy(self.upstream(lambda _: stream(3, 0.1)))
        running = self.begin(proxy, 3)
        proxy.signal(signal.SIGTERM)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            running += [self.pool.submit(self.ask, proxy)]
            time.sleep(0.05)
        for each in running:
            self.assertEqual(each.result()[:2], (200, whole(3)))
        self.assertEqual(proxy.wait(), 0)


class GivingUpTests(DrainCase):
    def cut(self, proxy: Proxy, leave: Any) -> None:
        """Look at what becomes of a stream and of a request that has no answer yet."""
        caller = socket.create_connection(("127.0.0.1", proxy.port))
        self.addCleanup(caller.close)
        caller.settimeout(30)
        request = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        caller.sendall(request % len(ASK) + ASK)
        proxy.in_flight(1)
        waiting = self.pool.submit(self.ask, proxy, ASK.replace(b"claude-x", b"claude-silent"))
        proxy.in_flight(2)
        got = bytearray(caller.recv(65_536))
        while b"event: " not in got:
            got += caller.recv(65_536)
        leave()
        while piece := caller.recv(65_536):
            got += piece
        [reply] = replies(bytes(got))
        self.assertFalse(reply.whole)
        self.assertRegex(
            reply.body, rb'(?s)^event: content.*\n\nevent: error\ndata: \{"type":"error".*\n\n$'
        )
        status, body, _ = waiting.result()
        self.assertEqual((status, json.loads(body)["type"]), (503, "error"))
        self.assertEqual(proxy.wait(10), 1)
        log = self.log_of(proxy)
        self.assertRegex(log, r"gave up draining after .* cut 2: ")
        for name in (reply["x-clawproxy-id"], "claude-x", "claude-silent"):
            self.assertIn(str(name), log.partition("gave up draining")[2])
        self.assertEqual(log.count(" cut ttft="), 2)

    def script(self, asked: Asked) -> Answer:
        if asked.json["model"] == "claude-silent":
            time.sleep(5)
        return stream(100, 0.2)

    def test_second_signal(self) -> None:
        proxy = self.proxy(self.upstream(self.script))

        def leave() -> None:
            proxy.signal(signal.SIGTERM)
            time.sleep(0.5)
            proxy.in_flight(2)
            proxy.signal(signal.SIGTERM)

        self.cut(proxy, leave)

    def test_two_signals_at_once(self) -> None:
        proxy = self.proxy(self.upstream(self.script))

        def leave() -> None:
            proxy.signal(signal.SIGTERM)
            proxy.signal(signal.SIGINT)

        self.cut(proxy, leave)

    def test_ceiling(self) -> None:
        proxy = self.proxy(self.upstream(self.script), settings={"server.drain.timeout": 1})
        self.cut(proxy, lambda: proxy.signal(signal.SIGTERM))
