"""What an exchange leaves behind: nothing for the garbage collector, whose pauses are every stream's."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryCaller, MemoryProxy, MemoryUpstream
from tests.relay.asking import FALLBACK, KEYS, OVERLOADED, PROVIDERS, ask
from tests.relay.test_translation import STREAM, WHOLE
from tests.wire import STREAM_HEAD, chunk

EVENTS = b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n'
ROUNDS = 5
CONNECTIONS = ("clawproxy.upstream.h1.", "clawproxy.alarm.", "clawproxy.testing.")


class GarbageCase(SynchronousTestCase):
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


class GarbageTests(GarbageCase):
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


class FailureTests(GarbageCase):
    """Nor do those leave anything of an exchange behind that end otherwise: their prompts may be large."""

    def assert_nothing_of_exchanges(self, run: Callable[[], None]) -> None:
        """See that no more is left than connections that were of no use: these are circles in Twisted itself."""
        left = {name for name in self.left(run) if not name.startswith(CONNECTIONS)}
        self.assertEqual(left, set())

    def failed(self, fail: Callable[[MemoryProxy], None], status: bytes, *sets: str) -> None:
        """Ask again and again, always on one connection, and have it fail."""
        proxy = MemoryProxy(*sets)
        caller = proxy.caller()

        def run() -> None:
            ask(caller, "a-1")
            fail(proxy)
            self.assertIn(status, caller.read())
            proxy.exchanges.clear()

        self.assert_nothing_of_exchanges(run)

    def test_no_connection(self) -> None:
        self.failed(MemoryProxy.refuse, b" 502 ")

    def test_no_answer(self) -> None:
        self.failed(lambda proxy: proxy.upstream().reset(), b" 502 ")

    def test_no_answer_in_time(self) -> None:
        def wait(proxy: MemoryProxy) -> None:
            proxy.upstream()
            proxy.advance(301)

        self.failed(wait, b" 504 ")

    def test_nobody_who_knows_the_model(self) -> None:
        self.failed(lambda _: None, b" 404 ", "default_provider.anthropic=null")

    def test_answer_that_breaks_off_before_it_is_translated(self) -> None:
        def break_off(proxy: MemoryProxy) -> None:
            upstream = proxy.upstream()
            upstream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
            upstream.reset()

        self.failed(break_off, b" 502 ", *KEYS, 'routes=[{match: "a-*", provider: openai}]')

    def test_another_target_is_asked(self) -> None:
        def reset(first: MemoryUpstream) -> None:
            first.reset()

        def busy(first: MemoryUpstream) -> None:
            first.write(STREAM_HEAD + chunk(OVERLOADED))

        for fail in (reset, busy):
            proxy = MemoryProxy(*PROVIDERS, FALLBACK)
            caller = proxy.caller()

            def run(
                proxy: MemoryProxy = proxy,
                caller: MemoryCaller = caller,
                fail: Callable[[MemoryUpstream], None] = fail,
            ) -> None:
                ask(caller, "a-1", stream=True)
                fail(proxy.upstream())
                second = proxy.upstream()
                second.write(STREAM_HEAD + chunk(EVENTS))
                second.write(b"0\r\n\r\n")
                self.assertIn(b" 200 OK", caller.read())
                second.close()
                proxy.exchanges.clear()
                proxy.assembly.board.forget("one")

            self.assert_nothing_of_exchanges(run)
