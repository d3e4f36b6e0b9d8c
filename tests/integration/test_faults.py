"""What upstreams do wrong, on real sockets: each fault has one clean outcome for the caller."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

from twisted.internet.threads import deferToThread

from clawproxy.testing import Close, Hang, Pause, Reset, Send, answer, event_stream
from tests.integration.live import LiveCase
from tests.wire import ASK, OK, STREAM_HEAD, Reply, chunk, replies

FRAME = b'event: content_block_delta\ndata: {"x":1}\n\n'


class FaultCase(LiveCase):
    async def ask(self, *sets: str, path: str = "/v1/messages", body: bytes = ASK) -> Reply:
        await self.proxy(*sets)
        caller = await self.caller()
        caller.post(path, body)
        return await caller.reply()

    def assertError(self, reply: Reply, status: int, kind: str) -> None:
        self.assertEqual((reply.status, reply["content-type"]), (status, "application/json"))
        error = json.loads(reply.body)
        self.assertEqual((error["type"], error["error"]["type"]), ("error", kind))
        self.assertEqual(error["request_id"], reply["x-request-id"])
        self.assertEqual([each.outcome for each in self.exchanges], ["error"])

    def assertCut(self, reply: Reply, before: bytes) -> None:
        self.assertEqual(reply.status, 200)
        self.assertFalse(reply.whole, "a cut answer was ended as if it were whole")
        self.assertTrue(reply.body.startswith(before))
        ending = reply.body[len(before) :]
        self.assertRegex(ending, rb"\n\nevent: error\ndata: \{.*\}\n\n$")
        data = json.loads(ending.partition(b"data: ")[2])
        self.assertEqual(data["type"], "error")
        self.assertEqual([each.outcome for each in self.exchanges], ["error"])


class BeforeTheAnswerTests(FaultCase):
    async def test_refused(self) -> None:
        await self.upstream.stop()
        self.assertError(await self.ask(), 502, "api_error")

    async def test_refused_in_the_other_dialect(self) -> None:
        await self.upstream.stop()
        body = b'{"model":"gpt-x","messages":[],"stream":true}'
        reply = await self.ask(path="/v1/chat/completions", body=body)
        error = json.loads(reply.body)["error"]
        self.assertEqual((reply.status, error["code"]), (502, "upstream_unreachable"))
        self.assertEqual(error.keys(), {"message", "type", "param", "code"})

    async def test_reset_before_the_head(self) -> None:
        self.upstream.script([Reset()])
        self.assertError(await self.ask(), 502, "api_error")
        self.assertEqual(len(self.upstream.requests), 1)

    async def test_closed_before_the_head(self) -> None:
        self.upstream.script([Close()])
        self.assertError(await self.ask(), 502, "api_error")
        self.assertEqual(len(self.upstream.requests), 1, "a fresh connection is not a stale one")

    async def test_reset_in_the_head(self) -> None:
        self.upstream.script([Send(b"HTTP/1.1 200 OK\r\nContent-"), Reset()])
        self.assertError(await self.ask(), 502, "api_error")

    async def test_garbage(self) -> None:
        self.upstream.script([Send(b"\x00\x01SSH-2.0-hello\r\n\r\n"), Hang()])
        self.assertError(await self.ask(), 502, "api_error")
        await self.eventually(lambda: self.upstream.open == 0)

    async def test_silence(self) -> None:
        self.upstream.script([Hang()])
        reply = await self.ask("providers.anthropic.response_header_timeout=0.2")
        self.assertError(reply, 504, "timeout_error")
        await self.eventually(lambda: self.upstream.open == 0)

    async def test_name_that_does_not_exist(self) -> None:
        reply = await self.ask("providers.anthropic.base_url=http://nowhere.invalid")
        self.assertError(reply, 502, "api_error")

    async def test_connection_that_does_not_come_about(self) -> None:
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # The kernel drops further SYNs once the backlog of one is full.
        for _ in range(3):
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        await self.pause(0.05)
        reply = await self.ask(
            "providers.anthropic.connect_timeout=0.3",
            f"providers.anthropic.base_url=http://127.0.0.1:{listener.getsockname()[1]}",
        )
        self.assertError(reply, 504, "timeout_error")


class StaleTests(FaultCase):
    """Keep-alive connections that the upstream has closed."""

    async def second(self, *scripts: list[Any]) -> Reply:
        self.upstream.script(answer(b"{}"), *scripts)
        await self.proxy()
        caller = await self.caller()
        caller.post("/v1/messages")
        self.assertEqual((await caller.reply()).status, 200)
        caller.post("/v1/messages")
        return await caller.reply()

    async def test_closed_on_reuse(self) -> None:
        for end in (Close(), Reset()):
            self.upstream.requests.clear()
            reply = await self.second([end], answer(b"[]"))
            self.assertEqual((reply.status, reply.body), (200, b"[]"))
            self.assertEqual(len(self.upstream.requests), 3)
            self.assertEqual(self.exchanges[-1].tries, 1)

    async def test_closed_while_idle(self) -> None:
        self.upstream.script([*answer(b"{}"), Pause(0.05), Close()], answer(b"[]"))
        await self.proxy()
        caller = await self.caller()
        caller.post("/v1/messages")
        await caller.reply()
        await self.eventually(lambda: self.upstream.open == 0)
        caller.post("/v1/messages")
        self.assertEqual((await caller.reply()).body, b"[]")
        self.assertEqual(len(self.upstream.requests), 2)

    async def test_closed_on_reuse_after_a_byte(self) -> None:
        reply = await self.second([Send(b"H"), Close()], answer(b"[]"))
        self.assertEqual(reply.status, 502)
        self.assertEqual(len(self.upstream.requests), 2)


class MiddleTests(FaultCase):
    """Streams that end in the middle."""

    async def test_reset_after_the_head(self) -> None:
        self.upstream.script([Send(STREAM_HEAD), Pause(0.05), Reset()])
        await self.proxy()
        caller = await self.caller()
        caller.post("/v1/messages")
        reply = await caller.reply()
        self.assertFalse(reply.whole)
        self.assertTrue(reply.body.startswith(b"event: error\ndata: "))

    async def test_reset_between_frames(self) -> None:
        self.upstream.script([Send(STREAM_HEAD + chunk(FRAME)), Pause(0.05), Reset()])
        reply = await self.ask()
        self.assertFalse(reply.whole)
        self.assertTrue(reply.body.startswith(FRAME + b"event: error\n"))

    async def test_reset_in_a_chunk(self) -> None:
        half = b'event: content_block_delta\ndata: {"x'
        self.upstream.script(
            [Send(STREAM_HEAD + b"1000\r\n" + half), Pause(0.05), Reset()],
        )
        self.assertCut(await self.ask(), half)

    async def test_half_a_chunk_and_a_proper_end(self) -> None:
        half = b'event: content_block_delta\ndata: {"x'
        self.upstream.script([Send(STREAM_HEAD + b"1000\r\n" + half), Close()])
        self.assertCut(await self.ask(), half)

    async def test_end_without_the_last_chunk(self) -> None:
        self.upstream.script(event_stream(FRAME, end=Close()))
        reply = await self.ask()
        self.assertFalse(reply.whole)
        self.assertIn(b"event: error", reply.body)

    async def test_broken_chunk_framing(self) -> None:
        self.upstream.script([Send(STREAM_HEAD + chunk(FRAME)), Pause(0.05), Send(b"xyz\r\n")])
        reply = await self.ask()
        self.assertFalse(reply.whole)
        self.assertTrue(reply.body.startswith(FRAME + b"event: error\n"))

    async def test_short_of_its_length(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        self.upstream.script([Send(head + b'{"id":'), Close()])
        reply = await self.ask()
        self.assertEqual((reply.whole, reply.body), (False, b'{"id":'))
        self.assertEqual(self.exchanges[0].outcome, "error")

    async def test_silence(self) -> None:
        half = b"event: ping\ndata: {"
        self.upstream.script([Send(STREAM_HEAD + chunk(half)), Hang()])
        reply = await self.ask("providers.anthropic.idle_timeout=0.2")
        self.assertCut(reply, half)
        self.assertIn(b"timeout_error", reply.body)
        await self.eventually(lambda: self.upstream.open == 0)

    async def test_slow_caller_is_not_a_silent_upstream(self) -> None:
        big = b"data: " + b"x" * 1_000_000 + b"\n\n"
        self.upstream.script(event_stream(*[big] * 24))
        await self.proxy("providers.anthropic.idle_timeout=0.3")
        caller = await self.caller()
        caller.transport.pauseProducing()
        caller.post("/v1/messages")
        await self.pause(1.2)
        self.assertEqual(self.in_flight, 1)
        caller.transport.resumeProducing()
        reply = await caller.reply()
        self.assertTrue(reply.whole)
        self.assertEqual(reply.body, big * 24)

    async def test_stream_in_the_other_dialects(self) -> None:
        self.upstream.script([Send(STREAM_HEAD + chunk(b'data: {"x')), Pause(0.05), Reset()])
        await self.proxy()
        for path, body, ending in (
            (
                "/v1/chat/completions",
                b'{"model":"gpt-x","messages":[],"stream":true}',
                rb'^data: \{"x\n\ndata: \{"error":\{.*\}\}\n\n$',
            ),
            (
                "/v1/responses",
                b'{"model":"gpt-x","input":"x","stream":true}',
                rb'^data: \{"x\n\nevent: error\ndata: \{"type":"error",.*\}\n\n$',
            ),
        ):
            caller = await self.caller()
            caller.post(path, body)
            reply = await caller.reply()
            self.assertFalse(reply.whole)
            self.assertRegex(reply.body, ending)


class LargeTests(FaultCase):
    """Large things pass; beyond the limits there is an answer that arrives."""

    async def test_large_response_headers(self) -> None:
        many = [(f"X-Many-{number}", "v" * 1000) for number in range(64)]
        for headers in (many, [("X-Big", "v" * 102_400)]):
            self.upstream.script(answer(b"{}", headers=headers))
            reply = await self.ask()
            self.assertEqual(reply.status, 200)
            for name, value in headers:
                self.assertEqual(reply.all(name.lower()), [value])

    async def test_response_headers_beyond_all_measure(self) -> None:
        self.upstream.script(answer(b"{}", headers=[("X-Big", "v" * 300_000)]))
        self.assertError(await self.ask(), 502, "api_error")

    async def test_interim_answers(self) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        self.upstream.script([Send(interim), Pause(0.02), Send(interim + OK)])
        reply = await self.ask()
        self.assertEqual((reply.status, reply.body, reply["link"]), (200, b"{}", None))

    async def test_lines_of_5_MiB(self) -> None:
        line = b"data: " + b"x" * (5 * 1024 * 1024) + b"\n\n"
        self.upstream.script(event_stream(line, FRAME, line))
        reply = await self.ask()
        self.assertTrue(reply.whole)
        self.assertEqual(reply.body, line + FRAME + line)

    async def test_request_of_20_MB(self) -> None:
        body = b'{"model":"claude-x","messages":["' + b"x" * 20_000_000 + b'"]}'
        reply = await self.ask(body=body)
        self.assertEqual(reply.status, 200)
        self.assertEqual(self.upstream.requests[0].body, body)

    async def test_early_error_while_the_body_is_going_up(self) -> None:
        body = b'{"model":"claude-x","messages":["' + b"x" * 20_000_000 + b'"]}'
        self.upstream.early = True
        for end in (Hang(), Close()):
            self.upstream.script([*answer(b'{"type":"error"}', 413), end])
            reply = await self.ask(body=body)
            self.assertEqual((reply.status, reply.body), (413, b'{"type":"error"}'))

    def refused(self, data: bytes) -> Reply:
        """Write everything before reading anything, as many clients do."""
        address: Any = self.service.addresses[0]
        with socket.create_connection(("127.0.0.1", address.port), timeout=10) as caller:
            sender = threading.Thread(target=caller.sendall, args=(data,))
            sender.start()
            sender.join()
            got = b""
            while b"\r\n\r\n" not in got or not replies(got)[0].whole:
                piece = caller.recv(65_536)
                if not piece:
                    break
                got += piece
        [reply] = replies(got)
        return reply

    async def test_refusals_arrive_while_the_caller_still_sends(self) -> None:
        await self.proxy("server.max_body=1000000")
        first = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n"
        size = 8_000_000
        for data, status in (
            (first + b"Content-Length: %d\r\n\r\n" % size + b"x" * size, 413),
            (first + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 10_000) * 800, 413),
            (first + b"X-Long: " + b"v" * size, 431),
            (first + b"X-Many: v\r\n" * 100_000, 431),
            (b"\x15\x03\x01" * 1_000_000 + b"\r\n", 431),
            (b"\x16\x03\x01" * 1_000_000 + b"\r\n", 400),
        ):
            reply = await deferToThread(self.refused, data)
            self.assertEqual((reply.status, reply["connection"]), (status, "close"))
            self.assertIn("error", json.loads(reply.body))
            self.assertEqual(self.in_flight, 0)


class QueueTests(FaultCase):
    """``max_connections``."""

    async def test_requests_wait_in_line(self) -> None:
        self.upstream.script([Pause(0.5), *answer(b"{}")])
        await self.proxy("providers.anthropic.max_connections=2")
        callers = [await self.caller() for _ in range(6)]
        for caller in callers:
            caller.post("/v1/messages")
        await self.eventually(lambda: (self.in_flight, self.upstream.open) == (6, 2))
        for caller in callers:
            self.assertEqual((await caller.reply()).status, 200)
        self.assertEqual(self.upstream.connections, 2)

    async def test_line_has_its_limit(self) -> None:
        self.upstream.script([Hang()])
        await self.proxy(
            "providers.anthropic.max_connections=1", "providers.anthropic.connect_timeout=0.3"
        )
        first, second = await self.caller(), await self.caller()
        first.post("/v1/messages")
        await self.pause(0.05)
        second.post("/v1/messages")
        self.assertError(await second.reply(), 504, "timeout_error")
        self.assertEqual(self.in_flight, 1)
        first.leave()

    async def test_caller_that_leaves_the_line(self) -> None:
        self.upstream.script([Pause(0.2), *answer(b"{}")])
        await self.proxy("providers.anthropic.max_connections=1")
        first, second, third = [await self.caller() for _ in range(3)]
        for caller in (first, second, third):
            caller.post("/v1/messages")
            await self.pause(0.02)
        second.leave()
        await self.eventually(lambda: self.in_flight == 2)
        self.assertEqual((await first.reply()).status, 200)
        self.assertEqual((await third.reply()).status, 200)
        self.assertEqual(len(self.upstream.requests), 2)
