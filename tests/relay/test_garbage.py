"""What an exchange leaves behind: nothing for the garbage collector, whose pauses are every stream's."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryProxy, MemoryUpstream
from tests.relay.asking import KEYS, ask
from tests.relay.test_translation import STREAM, WHOLE
from tests.wire import STREAM_HEAD, chunk

EVENTS = b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n'
ROUNDS = 5


class GarbageTests(SynchronousTestCase):
    def left(self, run: Callable[[], None]) -> list[str]:
        """Run some exchanges; gives the types of what only a collection could free, if it is of each exchange."""
        run()
        gc.collect()
        enabled = gc.isenabled()
        gc.disable()
        flags = gc.get_debug()
        try:
            for _ in range(ROUNDS):
                run()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            return sorted(
                f"{type(one).__module__}.{type(one).__name__}"
                for one in gc.garbage
                if type(one).__module__.startswith("clawproxy")
            )
        finally:
            gc.set_debug(flags)
            gc.garbage.clear()
            if enabled:
                gc.enable()

    def setUp(self) -> None:
        self.proxy = MemoryProxy(*KEYS)
        self.caller = self.proxy.caller()
        self.upstream: MemoryUpstream | None = None

    def answered(self, *pieces: bytes, model: str = "claude-x", stream: bool = False) -> None:
        """Ask and answer, always on the same connections: these are circles in Twisted itself."""
        ask(self.caller, model, stream=stream)
        if self.upstream is None:
            self.upstream = self.proxy.upstream()
        for piece in pieces:
            self.upstream.write(piece)
        self.assertIn(b" 200 OK", self.caller.read())
        self.proxy.exchanges.clear()

    def test_a_whole_answer(self) -> None:
        body = json.dumps({"type": "message", "content": [], "usage": {}}).encode()
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
        )
        self.assertEqual(self.left(lambda: self.answered(head + body)), [])

    def test_a_stream(self) -> None:
        pieces = (STREAM_HEAD, chunk(EVENTS), chunk(EVENTS), b"0\r\n\r\n")
        self.assertEqual(self.left(lambda: self.answered(*pieces, stream=True)), [])

    def test_a_translated_stream(self) -> None:
        pieces = (STREAM_HEAD, chunk(STREAM), b"0\r\n\r\n")
        self.assertEqual(self.left(lambda: self.answered(*pieces, model="gpt-x", stream=True)), [])

    def test_a_translated_answer(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        whole = head % len(WHOLE) + WHOLE
        self.assertEqual(self.left(lambda: self.answered(whole, model="gpt-x")), [])

    def test_a_refusal(self) -> None:
        def refused() -> None:
            self.caller.post("/v1/messages", b"{}")
            self.assertIn(b" 400 ", self.caller.read())
            self.proxy.exchanges.clear()

        self.assertEqual(self.left(refused), [])
