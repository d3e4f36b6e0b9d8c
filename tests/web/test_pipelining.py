"""Requests sent ahead of their answers: all are answered, in order, whatever waits for whom."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryProxy, MemoryUpstream
from clawproxy.web import channel as channels
from clawproxy.web import readahead
from tests.web.socketlike import SocketLike
from tests.wire import ASK, LAST_CHUNK, STREAM_HEAD, chunk, first_reply

_SIZE = f"Content-Length: {len(ASK)}"
_BODY = b'{"pad":"' + b"x" * 150 + b'"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


def _ask(start: str, *lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{start} HTTP/1.1", "Host: proxy", *lines, "", ""]).encode() + body


# What is asked, and the statuses with which it is answered.
_MORE: dict[str, tuple[bytes, list[int]]] = {
    "local": (_ask("GET /livez", "X-Request-Id: N"), [200]),
    "odd": (_ask("GET /livez", "X-Request-Id: N", "Connection: keep-alive, te"), [200]),
    "long": (_ask("GET /livez", "X-Request-Id: N", "X-Long: " + "v" * 900), [200]),
    "page": (_ask("GET /metrics", "X-Request-Id: N"), [200]),
    "head": (_ask("HEAD /livez", "X-Request-Id: N"), [200]),
    "unknown": (_ask("GET /nowhere", "X-Request-Id: N"), [404]),
    "forwarded": (_ask("POST /v1/messages", "X-Request-Id: N", _SIZE, body=ASK), [200]),
    "expect": (
        _ask("POST /v1/messages", "X-Request-Id: N", _SIZE, "Expect: 100-continue", body=ASK),
        [100, 200],
    ),
    "chunked": (
        _ask(
            "POST /v1/messages",
            "X-Request-Id: N",
            "Transfer-Encoding: chunked",
            body=chunk(ASK[:9]) + chunk(ASK[9:]) + LAST_CHUNK,
        ),
        [200],
    ),
    "wrong": (_ask("POST /v1/messages", "X-Request-Id: N", "Content-Length: 1", body=b"["), [400]),
}
_LAST: dict[str, tuple[bytes, list[int]]] = {
    "": (b"", []),
    "refused": (b"no request\r\n\r\n", [400]),
    "large": (_ask("POST /v1/messages", "Content-Length: 999999", body=ASK), [413]),
    "close": (_ask("GET /livez", "X-Request-Id: N", "Connection: close"), [200]),
    "forwarded and close": (
        _ask(
            "POST /v1/messages",
            "X-Request-Id: N",
            "Connection: close",
            "Content-Length: 300",
            body=ASK.ljust(300),
        ),
        [200],
    ),
}
_ALL = {**_MORE, **_LAST}

AT_ONCE, MAX_PIPELINED, READ = 500, 1500, 1500
"""Small, so that every limit is met within a few requests."""

_MANY = st.lists(st.sampled_from(sorted(_MORE)), min_size=1, max_size=25)
_ROOM = st.sampled_from([0, 100, 500, 5000])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.sampled_from([1, 7, 100, 400, READ, READ])),
        st.tuples(st.just("take"), st.sampled_from([1, 30, 300, 3000, 1_000_000])),
        st.tuples(st.just("answer"), st.integers(0, 3)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=80,
)


class PipeliningTests(SynchronousTestCase):
    proxy: MemoryProxy
    upstreams: list[MemoryUpstream]
    due: list[tuple[MemoryUpstream, list[bytes]]]

    def setUp(self) -> None:
        self.patch(readahead, "AT_ONCE", AT_ONCE)
        self.patch(readahead, "MAX_PIPELINED", MAX_PIPELINED)
        self.patch(readahead, "_peer_is_gone", lambda transport: transport.fin)
        self.patch(channels, "MAX_HEAD", 1200)
        self.patch(channels.ProxyChannel, "MAX_LENGTH", 1200)

    @property
    def site(self) -> Any:
        return self.proxy.assembly.site

    def answer(self, kind: int) -> None:
        """Answer one upstream request by a further piece."""
        if self.proxy.connecting:
            self.upstreams.append(self.proxy.upstream())
        for upstream in self.upstreams:
            if not upstream.transport.lost and upstream.request():
                events = [chunk(b"data: %d\n\n" % number * 9) for number in range(kind * 3)]
                ways = (
                    [_ANSWER],
                    [_ANSWER[:60], _ANSWER[60:]],
                    [STREAM_HEAD, *events, LAST_CHUNK],
                    [STREAM_HEAD + b"".join(events), LAST_CHUNK],
                )
                self.due.append((upstream, ways[kind]))
        for upstream, pieces in self.due[:1]:
            if not upstream.paused:
                upstream.write(pieces.pop(0))
                if not pieces:
                    self.due.pop(0)

    def settle(self, caller: SocketLike) -> None:
        """Let everybody do what is left to do."""
        for _ in range(400):
            caller.deliver(READ)
            self.answer(0)
            caller.take(1_000_000)
            self.proxy.reactor.advance(0)

    def play(self, asked: list[str], steps: list[tuple[str, int]], room: int) -> SocketLike:
        """Send requests and do some steps, with what always holds looked at after each."""
        self.flushLoggedErrors()
        self.proxy = MemoryProxy("server.max_body=300", "providers.anthropic.api_key=k")
        self.upstreams = []
        self.due = []
        caller = SocketLike(self.proxy.reactor, self.site, room)
        for number, name in enumerate(asked):
            caller.incoming += _ALL[name][0].replace(b"Id: N", b"Id: n%d" % number)
        for step, size in steps:
            if step == "deliver":
                caller.deliver(size)
            elif step == "take":
                caller.take(size)
            elif step == "answer":
                self.answer(size)
            else:
                self.proxy.reactor.advance(0)
            self.check(caller)
        return caller

    @settings(deadline=None, max_examples=200)
    @given(_MANY, st.sampled_from(sorted(_LAST)), _STEPS, _ROOM)
    # Each of these failed once.
    @example(["expect"], "", [("deliver", 400)], 0)
    @example(["chunked"] * 11, "", [("deliver", 400), ("deliver", 1500)], 0)
    @example([*["chunked"] * 8, "long"], "", [*[("deliver", 1500)] * 2, ("answer", 0)], 0)
    @example(["chunked", "local", "head", "head"], "forwarded and close", [], 500)
    @example(
        ["forwarded", *["long"] * 20],
        "",
        [("deliver", 150), ("answer", 3), *[("deliver", 1500)] * 10],
        100,
    )
    def test_all_are_answered_in_order(
        self, more: list[str], last: str, steps: list[tuple[str, int]], room: int
    ) -> None:
        asked = [*more, last]
        caller = self.play(asked, steps, room)
        self.settle(caller)
        if not caller.lost:
            self.assertEqual((caller.incoming, caller.waiting), (b"", b""))
        data = caller.got
        for number, name in enumerate(asked):
            request, statuses = _ALL[name]
            for status in statuses:
                self.assertTrue(data, f"nothing for {name} {number}")
                reply, data = first_reply(data, head_only=name == "head")
                self.assertEqual((reply.status, reply.whole), (status, True))
                if b"Id: N" in request and status != 100:
                    self.assertEqual(reply["x-request-id"], f"n{number}")
        self.assertEqual(data, b"")
        self.assertEqual((self.site.held, self.proxy.assembly.drain.in_flight), (0, 0))
        if last:
            self.proxy.advance(channels.LINGER + 1)
            caller.take(1_000_000)
        else:
            channel = caller.protocol._channel
            self.assertEqual((channel.idle, channel.paused, caller.reading), (True, False, True))
            caller.leave()
        self.assertNothingLeft(caller)

    @settings(deadline=None, max_examples=100)
    @given(_MANY, _STEPS, _ROOM, st.booleans())
    def test_whoever_leaves_is_noticed(
        self, asked: list[str], steps: list[tuple[str, int]], room: int, taking: bool
    ) -> None:
        caller = self.play(asked, steps, room)
        caller.leave()
        # One who takes nothing and for whom nothing runs is noticed by the clock for that.
        taking = taking or not caller.protocol._channel._handlingRequest
        for _ in range(60):
            caller.deliver(READ)
            if taking:
                caller.take(1_000_000)
            self.answer(0)
            self.proxy.reactor.advance(0)
        self.proxy.advance(1)
        if not caller.lost:
            self.assertFalse(caller.protocol._channel._handlingRequest)
            caller.take(1_000_000)
            self.settle(caller)
        self.assertNothingLeft(caller)

    def assertNothingLeft(self, caller: SocketLike) -> None:
        self.assertTrue(caller.lost)
        self.assertEqual((self.site.held, self.proxy.assembly.drain.in_flight), (0, 0))
        self.assertEqual(self.site.channels, set())
        self.assertEqual(self.flushLoggedErrors(), [])

    def check(self, caller: SocketLike) -> None:
        """What holds at any moment."""
        channel = caller.protocol._channel
        if caller.lost or caller.disconnecting or channel.refused:
            return
        self.assertGreaterEqual(self.site.held, 0)
        if channel.paused:
            self.assertFalse(caller.reading, "reads without taking up")
            self.assertFalse(channel._handlingRequest)
            later = channel._later is not None and channel._later.active()
            self.assertTrue(later or caller.full, "waits for nothing")
        if channel._handlingRequest:
            self.assertTrue(caller.reading or channel._watch is not None, "would miss a FIN")
        elif not caller.reading:
            self.assertTrue(channel.paused or caller.full, "reads no more")
        kept = len(channel._buffer) + sum(map(len, channel._dataBuffer))
        self.assertLessEqual(kept - self.site.held, READ + AT_ONCE, "kept and not counted")
        self.assertLessEqual(kept, MAX_PIPELINED + 2 * READ, "too much is read ahead")
