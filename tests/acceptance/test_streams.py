"""Streams and bodies on their way through: bytes, headers, pace, cancellation, codings."""

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.acceptance.caller import ANTHROPIC, OPENAI, Connection, ask, message, post
from tests.acceptance.case import AcceptanceCase, shared
from tests.acceptance.program import Program
from tests.acceptance.upstream import JSON, Asked, End, Step, Upstream, answer, stream

#: A stream with everything that a relay which parses and writes again would lose.
ODD = (
    b'\xef\xbb\xbf: a comment\n\nevent: message_start\r\ndata:{"type":"message_start"}\r\n\r\n'
    b"id: 7\rretry:  300\rdata:  two spaces\rdata\rdata: \r\r"
    b'event: never-heard-of\ndata: {"n":123456789012345678901234567890,"f":1.10,"n":1}\n\n\n\n'
    b"data: \xff\xfe not UTF-8 \x00\n\n:ping\n\nunknown: field\nevent:content_block_delta\n"
    b"data: " + b"x" * 70_000 + b'\n\nevent: message_stop\ndata: {"type": "message_stop"}\n\n'
    b": trailing, after the stop\n\nevent: ping\ndata: {}\n\ndata: no blank line at the end"
)


PATHS = (
    ("/v1/messages", message(stream=True), ANTHROPIC),
    ("/v1/chat/completions", message("gpt-x", stream=True), OPENAI),
    ("/v1/responses", {"model": "gpt-x", "input": "hi", "stream": True}, OPENAI),
)


FRAME = b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n'


CHAT = [
    {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [each]}
    for each in (
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None},
        {"index": 0, "delta": {"content": "Hello"}, "finish_reason": None},
        {"index": 0, "delta": {"content": " there"}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    )
]


CHAT_FRAMES = [b"data: " + json.dumps(each).encode() + b"\n\n" for each in CHAT]


DONE = b"data: [DONE]\n\n"


def house(stack: ExitStack, folder: Path) -> tuple[Upstream, Program]:
    """A proxy whose pings would come soon, and whose upstream serves all dialects."""
    upstream = stack.enter_context(Upstream())
    config = {
        "providers": {
            "anthropic": {"base_url": upstream.url, "keepalive": 0.2},
            "openai": {"base_url": upstream.url, "keepalive": 0.2},
            "with-headers": {
                "kind": "anthropic",
                "base_url": upstream.url,
                "headers": {"X-Team": "ours", "User-Agent": "operator/1"},
            },
            "keyed": {
                "kind": "openai",
                "base_url": upstream.url,
                "api_key": "sk-keyed",
                "keepalive": 0.2,
                "idle_timeout": 1.2,
            },
        },
        "server": {"idle_timeout": 1},
        "routes": [
            {"match": "with-headers", "provider": "with-headers"},
            {"match": "alias", "provider": "anthropic", "model": "claude-real"},
            {"match": "translated", "provider": "keyed", "model": "gpt-real"},
        ],
        "storage": {"url": "none"},
    }
    return upstream, stack.enter_context(Program(folder, config))


class StreamCase(AcceptanceCase):
    def setUp(self) -> None:
        super().setUp()
        self.up, self.proxy = shared(house)
        self.port = self.proxy.port
        self.up.answers(answer())


class BytesTests(StreamCase):
    """Status, end-to-end headers and every body byte reach the caller as the upstream sent them."""

    def test_streams_for_any_cut(self) -> None:
        for seed, (path, body, headers) in enumerate(PATHS * 2):
            chance = random.Random(seed)
            cuts = sorted(chance.sample(range(1, len(ODD)), 12))
            pieces = [ODD[a:b] for a, b in zip([0, *cuts], [*cuts, len(ODD)], strict=True)]
            self.up.answers(stream(*(part for piece in pieces for part in (piece, 0.005))))
            reply = post(self.port, path, body, headers)
            self.assertTrue(reply.whole)
            self.assertEqual(reply.body, ODD)

    def test_a_stream_that_its_length_or_close_ends(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        self.up.answers([head + b"Content-Length: %d\r\n\r\n" % len(ODD) + ODD])
        reply = post(self.port, "/v1/messages", message(stream=True), ANTHROPIC)
        self.assertEqual(reply.body, ODD)
        self.up.answers([head + b"Connection: close\r\n\r\n" + ODD, End.CLOSE])
        reply = post(self.port, "/v1/messages", message(stream=True), ANTHROPIC)
        self.assertEqual((reply.whole, reply.body), (True, ODD))

    def test_statuses_and_bodies(self) -> None:
        for status in (200, 201, 202, 226, 299, 400, 403, 404, 418, 422, 429, 500, 503, 529):
            body = b'{"odd" :\t[1.0, 10000000000000000000000001],"odd":null}\n\n'
            self.up.answers(answer(body, status))
            for path, asked, headers in PATHS:
                reply = post(self.port, path, asked, headers)
                self.assertEqual((reply.status, reply.body), (status, body))
                self.assertEqual(reply.reason, "Some Phrase")

    def test_headers(self) -> None:
        given = [
            ("Content-Type", "application/json; charset=utf-8"),
            ("request-id", "req_1"),
            ("Anthropic-RateLimit-Tokens-Remaining", "5"),
            ("X-Two", "a"),
            ("X-Two", "b"),
            ("Retry-After", "7"),
            ("Cache-Control", "private, max-age=3"),
            ("ETag", '"x"'),
            ("Set-Cookie", "a=b"),
            ("Server", "theirs"),
            ("Date", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ("Strict-Transport-Security", "max-age=1"),
            ("X-Latin", "\xe9\xfc"),
            ("X-Empty", ""),
        ]
        hop = [("Connection", "keep-alive, X-Mine"), ("X-Mine", "1"), ("Keep-Alive", "timeout=5")]
        self.up.answers(answer(b"{}", headers=[*given, *hop]))
        reply = post(self.port, "/v1/messages", message(), ANTHROPIC)
        for name, value in given:
            self.assertIn(value, reply.all(name.lower()), name)
        self.assertEqual(reply.all("x-two"), ["a", "b"])
        self.assertEqual(len(reply.all("date")), 1)
        self.assertEqual(len(reply.all("server")), 1)
        for name in ("x-mine", "keep-alive"):
            self.assertEqual(reply.all(name), [])

    def test_request_headers(self) -> None:
        given = [
            *ANTHROPIC.items(),
            ("anthropic-beta", "one-2026-01-01,two"),
            ("anthropic-workspace-id", "wrk"),
            ("User-Agent", "claude-cli/2.1.197 (external, cli)"),
            ("X-Stainless-Retry-Count", "0"),
            ("X-Claude-Code-Session-Id", "s"),
            ("x-app", "cli"),
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Content-Type", "application/json"),
            ("X-Odd", "a"),
            ("X-Odd", "b"),
        ]
        post(
            self.port,
            "/v1/messages?beta=true",
            message(),
            [*given, ("Connection", "x-mine"), ("x-mine", "1")],
        )
        asked = self.up.asked[0]
        self.assertEqual(asked.target, "/v1/messages?beta=true")
        for name, value in given:
            self.assertIn(value, asked.all(name.lower()), name)
        self.assertEqual(asked.all("x-odd"), ["a", "b"])
        self.assertIsNone(asked.header("x-mine"))
        self.assertEqual(asked.header("host"), f"127.0.0.1:{self.up.port}")
        for name in ("x-forwarded-for", "via", "forwarded"):
            self.assertIsNone(asked.header(name))

    def test_configured_headers(self) -> None:
        """Every HTTP provider also takes `headers: {name: value}`."""
        headers = {**ANTHROPIC, "user-agent": "me", "x-team": "mine"}
        post(self.port, "/v1/messages", message("with-headers"), headers)
        asked = self.up.asked[0]
        self.assertEqual((asked.all("x-team"), asked.all("user-agent")), (["ours"], ["operator/1"]))

    def test_no_accept_encoding_of_the_proxys_own(self) -> None:
        """A caller that asks for no coding gets none that it did not ask for."""
        post(self.port, "/v1/messages", message(), ANTHROPIC)
        self.assertIn(self.up.asked[0].header("accept-encoding"), (None, "identity"))

    def test_streams_say_that_nobody_may_buffer(self) -> None:
        """Answers carry `X-Accel-Buffering: no` and `Cache-Control: no-cache` on streams."""
        self.up.answers(stream(b"data: {}\n\n"))
        for path, body, headers in PATHS:
            reply = post(self.port, path, body, headers)
            self.assertEqual(reply.all("x-accel-buffering"), ["no"])
            self.assertIn("no-cache", ",".join(reply.all("cache-control")))
        self.up.answers(answer())
        reply = post(self.port, "/v1/messages", message(), ANTHROPIC)
        self.assertIsNone(reply["x-accel-buffering"])

    def test_redirects_go_to_the_caller(self) -> None:
        self.up.answers(answer(b"", 307, [("Location", self.up.url + "/elsewhere")]))
        reply = post(self.port, "/v1/messages", message(), ANTHROPIC)
        self.assertEqual((reply.status, len(self.up.asked)), (307, 1))

    def test_no_cookie_is_kept(self) -> None:
        self.up.answers(answer(headers=[*JSON, ("Set-Cookie", "session=1")]))
        post(self.port, "/v1/messages", message(), ANTHROPIC)
        post(self.port, "/v1/messages", message(), ANTHROPIC)
        self.assertIsNone(self.up.asked[1].header("cookie"))

    def test_bodies_without_content(self) -> None:
        self.up.answers([b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"])
        reply = ask(self.port, "DELETE", "/v1/files/1", b"", OPENAI)
        self.assertEqual((reply.status, reply.body, reply["x-a"]), (204, b"", "b"))


class RequestBodyTests(StreamCase):
    """A request's JSON is changed only where routing has to; every other byte stays."""

    ODD_JSON = (
        b'\t{ "zeta" : 123456789012345678901234567890 ,"model":  "MODEL" , "f":1.50e+3,\n'
        b'"messages" :[ {"role":"user","content":"\\u00e9\\ud800 \xc3\xa9"} ],"stream":false,\r\n'
        b'"unknown": {"b":1,"a":-0.0, "model":"inner"}, "unknown":[1e400, NULLISH] ,"max_tokens":1 } \n'
    ).replace(b"NULLISH", b"null")

    def test_verbatim(self) -> None:
        sent = self.ODD_JSON.replace(b"MODEL", b"claude-x")
        post(self.port, "/v1/messages", sent, ANTHROPIC)
        self.assertEqual(self.up.asked[0].body, sent)

    def test_another_model(self) -> None:
        post(self.port, "/v1/messages", self.ODD_JSON.replace(b"MODEL", b"alias"), ANTHROPIC)
        asked = self.up.asked[0]
        self.assertEqual(asked.body, self.ODD_JSON.replace(b"MODEL", b"claude-real"))
        self.assertEqual(asked.header("content-length"), str(len(asked.body)))

    def test_model_spelled_with_escapes(self) -> None:
        post(self.port, "/v1/messages", b'{"mod\\u0065l":"al\\u0069as","messages":[]}', ANTHROPIC)
        self.assertEqual(self.up.asked[0].json, {"model": "claude-real", "messages": []})

    def test_large(self) -> None:
        sent = b'{"model":"claude-x","messages":["' + b"x" * 5_000_000 + b'"]}'
        post(self.port, "/v1/messages", sent, ANTHROPIC)
        self.assertEqual(self.up.asked[0].body, sent)


class PaceTests(StreamCase):
    def test_each_piece_at_once(self) -> None:
        """Each piece goes out in the reactor turn in which it came in."""
        for path, body, headers in PATHS:
            self.up.answers(stream(FRAME, 0.5, b"data: second\n\n", 0.5, b"data: third"))
            with Connection(self.port) as caller:
                started = time.monotonic()
                caller.send("POST", path, body, headers)
                first = caller.until(FRAME) - started
                second = caller.until(b"second") - started
                third = caller.until(b"third") - started
            self.assertLess(first, 0.35)
            self.assertTrue(0.45 < second < 0.85, second)
            self.assertTrue(0.95 < third < 1.35, third)

    def test_half_a_frame_at_once(self) -> None:
        self.up.answers(stream(b"data: ha", 0.5, b"lf\n\n"))
        with Connection(self.port) as caller:
            started = time.monotonic()
            caller.send("POST", "/v1/messages", message(stream=True), ANTHROPIC)
            self.assertLess(caller.until(b"data: ha") - started, 0.4)

    def test_the_head_at_once(self) -> None:
        self.up.answers(stream(0.5, b"data: late\n\n"))
        with Connection(self.port) as caller:
            started = time.monotonic()
            caller.send("POST", "/v1/messages", message(stream=True), ANTHROPIC)
            self.assertLess(caller.until(b"\r\n\r\n") - started, 0.4)

    def test_verbatim_streams_get_no_byte_added(self) -> None:
        """However long the upstream is silent (the pings of translated streams are due by then)."""
        self.up.answers(stream(FRAME, 0.7, b"data: end\n\n"))
        reply = post(self.port, "/v1/messages", message(stream=True), ANTHROPIC)
        self.assertEqual(reply.body, FRAME + b"data: end\n\n")

    def test_idle_connections(self) -> None:
        """`idle_timeout`: seconds, a keep-alive connection with no request."""
        self.up.answers(stream(FRAME, 1.6, b"data: end\n\n"))
        with Connection(self.port) as busy, Connection(self.port) as idle:
            busy.send("POST", "/v1/messages", message(stream=True), ANTHROPIC)
            busy.until(FRAME)
            idle.send("GET", "/health")
            idle.reply()
            started = time.monotonic()
            idle.end()
            self.assertTrue(0.8 < time.monotonic() - started < 3)
            self.assertTrue(busy.reply().whole)

    def test_slow_reader(self) -> None:
        """A slow reader slows the upstream down, and memory per stream stays bounded."""
        piece = b"data: " + b"x" * 65_000 + b"\n\n"
        written = 0

        def pour(_: Asked) -> Iterator[Step]:
            nonlocal written
            yield stream()[0]
            for written in range(3000):  # noqa: B007 - read by the test
                yield b"%x\r\n%s\r\n" % (len(piece), piece)
            yield b"0\r\n\r\n"

        self.up.script = pour
        process = self.proxy.process
        assert process is not None
        before = _resident(process.pid)
        with Connection(self.port) as caller:
            caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            caller.send("POST", "/v1/messages", message(stream=True), ANTHROPIC)
            for _ in range(20):
                caller.socket.recv(4096)
                time.sleep(0.1)
            self.assertLess(_resident(process.pid) - before, 10_000_000)
            # What is under way stands in the kernel's buffers, and no more is asked for.
            self.assertLess(written, 500)
        self.eventually(lambda: self.proxy.livez["in_flight"] == 0)


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
