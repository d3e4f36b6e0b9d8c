"""Whatever callers and upstreams do in whatever order, each exchange ends once and nothing is left behind."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryCaller, MemoryProxy, MemoryUpstream
from tests.wire import ASK, LAST_CHUNK, OK, STREAM_HEAD, chunk

CHAT = b'{"model":"gpt-x","messages":[],"stream":true}'
TRANSLATED = (
    b'{"model":"gpt-x","messages":[{"role":"user","content":"x"}],"max_tokens":9,"stream":true}'
)
WHOLE = b'{"model":"claude-x","messages":[{"role":"user","content":"x"}],"max_tokens":9}'
DEMO = b'{"model":"demo","messages":[{"role":"user","content":"x"}],"max_tokens":9,"stream":true}'


def request(path: str, body: bytes, *lines: str, version: str = "1.1") -> bytes:
    """Write a request."""
    head = [f"POST {path} HTTP/{version}", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


REQUESTS = [
    request("/v1/messages", ASK),
    request("/v1/messages", WHOLE),
    request("/v1/messages", TRANSLATED),
    request("/v1/messages", DEMO),
    request("/v1/chat/completions", CHAT),
    request("/v1/chat/completions", WHOLE),
    request("/v1/messages", ASK, version="1.0"),
    request("/v1/messages", ASK, "Connection: close"),
    request("/v1/messages", b"{"),
    request("/v1/messages", b"x" * 3000),
    b"POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(ASK) + LAST_CHUNK,
    b"POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /v1/files/x HTTP/1.1\r\n\r\n",
    b"HEAD /v1/files/x HTTP/1.1\r\n\r\n",
    b"GET /livez HTTP/1.1\r\n\r\n",
    b"GARBAGE\r\n\r\n",
]
FRAME = b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n'
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
)
ANSWERS = [
    OK,
    OK.replace(b"200 OK", b"529 Busy"),
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 429 Slow\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n",
    STREAM_HEAD,
    STREAM_HEAD + chunk(START),
    STREAM_HEAD
    + chunk(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'),
    chunk(FRAME),
    chunk(b"data: half"),
    chunk(b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'),
    LAST_CHUNK,
    b"ff\r\nnot all of it",
    b"garbage",
]

GOOD = [data for data in REQUESTS if data.startswith(b"POST") and b'"messages":[' in data]
small = st.integers(0, 5)
actions = st.one_of(
    st.tuples(st.just("begin"), small, st.sampled_from(GOOD)),
    st.tuples(st.just("stream"), small, st.sampled_from(GOOD)),
    st.tuples(st.just("call"), small, st.sampled_from(REQUESTS)),
    st.tuples(st.just("call"), small, st.sampled_from(REQUESTS).map(lambda data: data[:-7])),
    st.tuples(st.just("answer"), small, st.sampled_from(ANSWERS)),
    st.tuples(st.just("answer"), small, st.sampled_from(ANSWERS)),
    st.tuples(st.sampled_from(["pause", "resume", "leave", "close", "reset"]), small, st.none()),
    st.tuples(st.sampled_from(["accept", "refuse"]), small, st.none()),
    st.tuples(st.just("time"), st.sampled_from([0.1, 1.0, 3.0, 40.0, 320.0]), st.none()),
    st.tuples(st.sampled_from(["drain", "give up"]), small, st.none()),
)


class World:
    """A proxy with up to six callers and the upstream connections that it makes."""

    def __init__(self, *sets: str) -> None:
        self.proxy = MemoryProxy(
            "server.max_body=2000",
            "server.drain.timeout=100",
            "providers.openai.api_key=k",
            "providers.anthropic.api_key=k",
            *sets,
        )
        self.left: list[MemoryCaller] = []
        self.callers: dict[int, MemoryCaller] = {}
        self.upstreams: list[MemoryUpstream] = []
        self.drain = self.proxy.assembly.drain

    def caller(self, number: int) -> MemoryCaller:
        """Give a caller's connection, a new one where the old one has ended."""
        caller = self.callers.get(number)
        if caller is None or caller.closed:
            caller = self.callers[number] = self.proxy.caller()
        return caller

    def upstream(self, number: int) -> MemoryUpstream | None:
        """Give one of the open upstream connections."""
        living = [each for each in self.upstreams if not each.transport.lost]
        return living[number % len(living)] if living else None

    def do(self, action: str, which: Any, data: bytes | None) -> None:
        """Let one thing happen."""
        if action == "time":
            self.proxy.advance(which)
        elif action in ("begin", "stream"):
            assert data is not None
            if which in self.callers:
                self.left.append(self.callers[which])
            caller = self.callers[which] = self.proxy.caller()
            caller.write(data)
            if self.proxy.connecting:
                self.upstreams.append(self.proxy.upstream())
                if action == "stream":
                    self.upstreams[-1].write(STREAM_HEAD + chunk(START))
        elif action == "call":
            assert data is not None
            self.caller(which).write(data)
        elif action in ("pause", "resume", "leave"):
            caller = self.caller(which)
            if caller.transport.producer is not None or action == "leave":
                getattr(caller, action)()
        elif action in ("accept", "refuse"):
            if self.proxy.connecting:
                if action == "refuse":
                    self.proxy.refuse()
                else:
                    self.upstreams.append(self.proxy.upstream())
        elif action == "drain":
            self.drain.start()
        elif action == "give up":
            self.drain.give_up()
        else:
            upstream = self.upstream(which)
            if upstream is None:
                return
            if action == "answer":
                assert data is not None
                upstream.write(data)
            else:
                getattr(upstream, action)()


class LifecycleTests(SynchronousTestCase):
    def check(self, steps: list[tuple[str, Any, bytes | None]], *sets: str) -> None:
        observer = EventLoggingObserver()
        globalLogPublisher.addObserver(observer)
        try:
            self.run_world(steps, *sets)
        finally:
            globalLogPublisher.removeObserver(observer)
        bad = [event for event in observer if event["log_level"] >= LogLevel.error]
        self.assertEqual(bad, [])

    def run_world(self, steps: list[tuple[str, Any, bytes | None]], *sets: str) -> None:
        world = World(*sets)
        board = world.proxy.assembly.board
        for step in steps:
            world.do(*step)
            self.assertGreaterEqual(world.drain.in_flight, len(board.running))
        for caller in [*world.callers.values(), *world.left]:
            caller.leave()
        self.assertEqual(world.drain.in_flight, 0)
        self.assertEqual(board.running, set())
        ids = [each.id for each in world.proxy.exchanges]
        self.assertEqual(len(ids), len(set(ids)), "an exchange ended twice")
        for each in world.proxy.exchanges:
            self.assertNotEqual(each.outcome, "running")
        # What upstream connections are left are idle, and none is left for long.
        world.proxy.advance(60)
        for upstream in world.upstreams:
            self.assertTrue(upstream.transport.lost)

    @settings(deadline=None, max_examples=250, suppress_health_check=list(HealthCheck))
    @given(st.lists(actions, max_size=30))
    def test_any_order_of_things(self, steps: list[tuple[str, Any, bytes | None]]) -> None:
        self.check(steps)

    @settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
    @given(st.lists(actions, max_size=30))
    def test_any_order_with_retries_and_fallbacks(
        self, steps: list[tuple[str, Any, bytes | None]]
    ) -> None:
        self.check(
            steps,
            "providers.anthropic.max_retries=2",
            "providers.openai.max_retries=1",
            "providers.openai.max_connections=1",
            "providers.anthropic.max_connections=2",
            'routes=[{"match":"claude-*","provider":"anthropic","fallbacks":["gpt-x","demo"]},'
            '{"match":"gpt-*","provider":"openai","fallbacks":["claude-x"]}]',
        )
