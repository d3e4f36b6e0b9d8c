"""What the caller reads is what the upstream wrote, and the other way round: byte for byte.

Most of it runs in memory, where hypothesis decides how the bytes are cut; at the end the same over real
sockets, where the kernel does.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.headers import HOP_BY_HOP
from clawproxy.testing import MemoryProxy, Pause, Send
from tests.integration.live import LiveCase
from tests.wire import ASK, LAST_CHUNK, OK, Reply, chunk, replies

RECORDED = sorted((Path(__file__).parents[1] / "data").rglob("*.sse"))
QUICK = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        # The same tests run once more with recording on, as another class's.
        HealthCheck.differing_executors,
    ],
)
PATHS = {
    "/v1/messages": ASK,
    "/v1/chat/completions": b'{"model":"gpt-x","messages":[],"stream":true}',
    "/v1/responses": b'{"model":"gpt-x","input":"","stream":true}',
}
ADDED = {"x-clawproxy-id", "x-request-id", "x-accel-buffering", "transfer-encoding", "connection"}
"""What the proxy itself may say on an answer, beside CORS and ``Cache-Control``."""

ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
words = st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b""))
fields = st.sampled_from(
    [b"event:", b"event: ", b"data:", b"data: ", b"id: ", b"retry: 10", b": ", b":", b"odd", b""]
)
lines = st.tuples(fields, words, ends).map(b"".join)
generated = st.lists(lines, max_size=40).map(b"".join)
streams = st.one_of(
    generated,
    st.sampled_from(RECORDED).map(Path.read_bytes),
    st.sampled_from(RECORDED).map(lambda path: path.read_bytes().replace(b"\n", b"\r\n")),
    st.sampled_from(RECORDED).map(lambda path: path.read_bytes().rstrip()),
    st.binary(max_size=300),
)
places = st.lists(st.floats(0, 1), max_size=20)
tokens = st.text(
    "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=20
)
values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60
).map(str.strip)


def cut(data: bytes, shares: Sequence[float]) -> list[bytes]:
    """Cut bytes at some shares of their length."""
    marks = sorted({0, len(data), *(int(share * len(data)) for share in shares)})
    return [data[start:end] for start, end in pairwise(marks)]


def framed(body: bytes, shares: Sequence[float]) -> bytes:
    """Frame a body in chunks that end at some shares of its length."""
    return b"".join(chunk(piece) for piece in cut(body, shares)) + LAST_CHUNK


class MemoryCase(SynchronousTestCase):
    """One exchange over a proxy in memory."""

    def exchange(
        self,
        wire: Sequence[bytes],
        path: str = "/v1/messages",
        body: bytes = ASK,
        headers: dict[str, str] | None = None,
        *sets: str,
        close: bool = False,
    ) -> tuple[bytes, Reply]:
        """Give the request as the upstream got it, and the answer as the caller got it."""
        proxy = MemoryProxy(*sets)
        caller = proxy.caller()
        caller.post(path, body, headers)
        upstream = proxy.upstream()
        request = upstream.request()
        for piece in wire:
            upstream.write(piece)
        if close:
            upstream.close()
        self.assertEqual(proxy.assembly.drain.in_flight, 0)
        [reply] = replies(caller.read(), closed=caller.closed)
        self.assertTrue(reply.whole)
        [recorded] = proxy.exchanges
        self.assertEqual(recorded.response_bytes, len(reply.body))
        return request, reply


class AnswerTests(MemoryCase):
    @QUICK
    @given(streams, places, places, st.sampled_from(sorted(PATHS)))
    def test_streams_in_chunks(
        self, body: bytes, chunks: list[float], cuts: list[float], path: str
    ) -> None:
        head = (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        _, reply = self.exchange(cut(head + framed(body, chunks), cuts), path, PATHS[path])
        self.assertEqual(reply.body, body)

    @QUICK
    @given(streams, places)
    def test_streams_until_the_connection_ends(self, body: bytes, cuts: list[float]) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        _, reply = self.exchange(cut(head + body, cuts), close=True)
        self.assertEqual(reply.body, body)

    @QUICK
    @given(st.binary(max_size=500), places, st.integers(200, 599))
    def test_bodies_of_known_length(self, body: bytes, cuts: list[float], status: int) -> None:
        if status in (204, 304):
            return
        head = b"HTTP/1.1 %d Quite So\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        _, reply = self.exchange(cut(head + body, cuts))
        self.assertEqual((reply.status, reply.reason, reply.body), (status, "Quite So", body))
        self.assertEqual(reply.all("content-length"), [str(len(body))])

    @QUICK
    @given(st.lists(st.tuples(tokens, values), max_size=12), st.booleans(), places)
    def test_headers(self, sent: list[tuple[str, str]], stream: bool, cuts: list[float]) -> None:
        hop = {name.decode() for name in HOP_BY_HOP} | ADDED | {"content-length"}
        sent = [line for line in sent if line[0].lower() not in hop]
        wire = "".join(f"{name}: {value}\r\n" for name, value in sent).encode("latin-1")
        kind = b"text/event-stream" if stream else b"application/json"
        head = b"HTTP/1.1 200 OK\r\n" + wire + b"Content-Type: " + kind
        _, reply = self.exchange(cut(head + b"\r\nContent-Length: 2\r\n\r\n{}", cuts))
        for name in {name.lower() for name, _ in sent} - {"cache-control", "vary"}:
            if not name.startswith("access-control-"):
                self.assertEqual(
                    reply.all(name), [value for found, value in sent if found.lower() == name]
                )

    def test_headers_that_clients_act_on(self) -> None:
        lines = (
            "request-id: req_1",
            "Retry-After: 7",
            "retry-after-ms: 350",
            "x-should-retry: false",
            "anthropic-ratelimit-tokens-remaining: 1",
            "anthropic-ratelimit-unified-5h-status: allowed",
            "Set-Cookie: a=1; Path=/",
            "Set-Cookie: b=2, c",
            "X-Empty:",
            "CF-RAY: caf\xe9",
            "Date: Fri, 21 Nov 2025 00:00:00 GMT",
            "Server: upstream",
            'ETag: W/"x"',
        )
        head = "\r\n".join(["HTTP/1.1 429 Slow Down", *lines, "Content-Length: 2", "", ""])
        _, reply = self.exchange([head.encode("latin-1") + b"no"])
        self.assertEqual((reply.status, reply.reason, reply.body), (429, "Slow Down", b"no"))
        for line in lines:
            name, _, value = line.partition(":")
            self.assertIn(value.strip(), reply.all(name.lower()))
        self.assertEqual(reply.all("set-cookie"), ["a=1; Path=/", "b=2, c"])
        for name in ("date", "server"):
            self.assertEqual(len(reply.all(name)), 1)
        self.assertEqual(reply["x-request-id"], "req_1")

    def test_what_is_of_one_connection_only_stays_there(self) -> None:
        head = (
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\n"
            b"X-Private: 1\r\nProxy-Authenticate: x\r\nTrailer: x\r\nContent-Length: 0\r\n\r\n"
        )
        _, reply = self.exchange([head])
        found = {name for name, _ in reply.headers}
        self.assertFalse(
            found & {"keep-alive", "x-private", "proxy-authenticate", "trailer"}, reply.headers
        )

    @QUICK
    @given(streams, places, st.sampled_from(["gzip", "br", "zstd", "deflate", "unheard-of"]))
    def test_coded_bodies(self, body: bytes, cuts: list[float], coding: str) -> None:
        coded = {
            "gzip": gzip.compress,
            "br": brotli.compress,
            "zstd": zstandard.compress,
            "deflate": bytes,
            "unheard-of": bytes,
        }[coding](body)
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            f"Content-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        _, reply = self.exchange(cut(head.encode() + framed(coded, cuts), cuts))
        self.assertEqual(reply.body, coded)
        self.assertEqual(reply.all("content-encoding"), [coding])


class RequestTests(MemoryCase):
    def sent(self, body: bytes, headers: dict[str, str] | None = None, *sets: str) -> Reply:
        """Give the request as the upstream read it; an answer's reader serves as well."""
        request, _ = self.exchange([OK], "/v1/messages", body, headers, *sets)
        head, _, rest = request.partition(b"\r\n\r\n")
        lines = head.partition(b"\r\n")[2]
        [read] = replies(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n" + rest)
        return read

    def test_what_json_can_hold(self) -> None:
        for extra in (
            b'"n": 12345678901234567890123456789',
            b'"n": 1e400, "m": -0.0, "o": 1.0e+02',
            b'"a": 1, "a": 2, "model": "claude-x"',
            b'"s": "\\ud800 \\u0000 \\/ \xe2\x82\xac"',
            b'"messages2" : [ 1 ,\t2\r\n]',
            b'"deep": ' + b"[" * 200 + b"]" * 200,
        ):
            body = b' {"model": "claude-x", "messages": [], ' + extra + b"}\n "
            self.assertEqual(self.sent(body).body, body)

    @QUICK
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: (
                st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
            ),
            max_leaves=12,
        ),
        st.booleans(),
        st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]),
    )
    def test_any_json(self, value: object, ascii_only: bool, separators: tuple[str, str]) -> None:
        document = {"x": value, "model": "claude-x", "messages": [], "y": value}
        text = json.dumps(document, ensure_ascii=ascii_only, separators=separators)
        body = text.encode("utf-8", "surrogatepass")
        self.assertEqual(self.sent(body).body, body)

    def test_rewriting_the_model_leaves_every_other_byte(self) -> None:
        routes = 'routes=[{"match":"fast","provider":"anthropic","model":"claude-\\"é"}]'
        before = b'\t{ "n":1.0e2 , "model" : '
        after = b' ,"messages":[ ], "x":"\\u0041","model2":"fast","m":{"model":"fast"}}\r\n'
        for spelling in (b'"fast"', b'"f\\u0061st"'):
            body = self.sent(before + spelling + after, None, routes).body
            self.assertTrue(body.startswith(before) and body.endswith(after), body)
            middle = body[len(before) : len(body) - len(after)]
            self.assertEqual(json.loads(middle), 'claude-"é')

    def test_compressed_requests_travel_as_they_came(self) -> None:
        for coding, code in (
            ("gzip", gzip.compress),
            ("br", brotli.compress),
            ("zstd", zstandard.compress),
            ("x-unheard-of", bytes),
        ):
            body = code(ASK)
            request = self.sent(body, {"Content-Encoding": coding})
            self.assertEqual(request.body, body)
            self.assertEqual(request.all("content-encoding"), [coding])

    def test_accepted_codings_are_the_callers(self) -> None:
        for accepted in ("gzip, deflate, br, zstd", "identity", "gzip;q=0.5, *;q=0"):
            request = self.sent(ASK, {"Accept-Encoding": accepted})
            self.assertEqual(request.all("accept-encoding"), [accepted])
        self.assertEqual(self.sent(ASK).all("accept-encoding"), [])

    @QUICK
    @given(st.lists(st.tuples(tokens, values), max_size=10))
    def test_headers(self, extra: list[tuple[str, str]]) -> None:
        prefixed = [(f"X-{name}", value) for name, value in extra]
        prefixed = [
            line for line in prefixed if not line[0].lower().startswith(("x-f", "x-r", "x-a"))
        ]
        proxy = MemoryProxy()
        caller = proxy.caller()
        lines = ["POST /v1/messages HTTP/1.1", "Host: x", f"Content-Length: {len(ASK)}"]
        lines += [f"{name}: {value}" for name, value in prefixed]
        caller.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + ASK)
        head = proxy.upstream().request().partition(b"\r\n\r\n")[0].decode("latin-1")
        found = [line.partition(":") for line in head.split("\r\n")[1:]]
        for name in {name.lower() for name, _ in prefixed} - {"x-clawproxy-id"}:
            self.assertEqual(
                [value.strip() for key, _, value in found if key.lower() == name],
                [value for key, value in prefixed if key.lower() == name],
            )
        caller.leave()


class SocketTests(LiveCase):
    """The same where the kernel cuts."""

    async def test_recorded_streams(self) -> None:
        await self.proxy()
        caller = await self.caller()
        for number, path in enumerate(RECORDED[::5]):
            body = path.read_bytes()
            wire = (
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\nX-Number: %d\r\n\r\n" % number
            ) + framed(body, [0.1, 0.11, 0.5, 0.9])
            self.upstream.script(
                [
                    step
                    for piece in cut(wire, [0.2, 0.4, 0.7])
                    for step in (Send(piece), Pause(0.001))
                ]
            )
            caller.post("/v1/messages")
            reply = await caller.reply()
            self.assertEqual((reply.body, reply["x-number"]), (body, str(number)))
        self.assertEqual(self.upstream.connections, 1)
        self.assertEqual({each.outcome for each in self.exchanges} - {"ok", "error"}, set())
