"""What callers do: leave at any moment, read slowly, or speak HTTP in unusual ways, on real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any
from unittest import skipUnless

from twisted.internet.threads import deferToThread

from clawproxy.testing import Hang, Send, answer, event_stream
from clawproxy.web.readahead import MAX_PIPELINED
from tests.integration.answers import STREAM
from tests.integration.case import ProxyCase
from tests.integration.live import LiveCase
from tests.integration.proxy import Proxy
from tests.integration.upstream import Answer
from tests.wire import ASK, STREAM_HEAD, chunk, replies

BIG = b"data: " + b"x" * 1_000_000 + b"\n\n"
SOON = 1.0
"""Seconds within which an upstream has to be cancelled once its caller is gone."""


class LeavingTests(LiveCase):
    """The upstream is cancelled within a second, and the count is exact."""

    async def gone(self) -> None:
        """Wait for the end of the exchange and of its upstream connection, and look at what is recorded."""
        await self.eventually(lambda: self.in_flight == 0, SOON)
        await self.eventually(lambda: self.upstream.open == 0, SOON)
        self.assertEqual(
            [(each.outcome, each.status) for each in self.exchanges], [("client_gone", 499)]
        )

    async def test_before_the_head(self) -> None:
        self.upstream.script([Hang()])
        await self.proxy()
        caller = await self.caller()
        caller.post("/v1/messages")
        await self.eventually(lambda: self.upstream.requests)
        self.assertEqual(self.in_flight, 1)
        caller.leave()
        await self.gone()

    async def test_while_connecting(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self.addCleanup(listener.close)
        for _ in range(3):
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        await self.proxy(f"providers.anthropic.base_url={url}", "providers.anthropic.max_retries=2")
        caller = await self.caller()
        caller.post("/v1/messages")
        await self.eventually(lambda: self.in_flight == 1)
        caller.leave()
        await self.gone()
        self.assertEqual(self.exchanges[0].tries, 1)

    async def test_in_the_middle(self) -> None:
        self.upstream.script([Send(STREAM_HEAD + chunk(b"data: 1\n\n")), Hang()])
        await self.proxy()
        caller = await self.caller()
        caller.post("/v1/messages")
        await caller.until(b"data: 1")
        caller.leave()
        await self.gone()

    async def test_while_paused(self) -> None:
        self.upstream.script(event_stream(*[BIG] * 60))
        await self.proxy()
        caller = await self.caller()
        caller.transport.pauseProducing()
        caller.post("/v1/messages")
        await self.eventually(lambda: self.upstream.requests)
        await self.pause(0.3)
        self.assertEqual(self.in_flight, 1)
        caller.leave()
        await self.gone()

    async def test_between_two_tries(self) -> None:
        self.upstream.script(answer(b"{}", 529, [("Retry-After", "20")]))
        await self.proxy("providers.anthropic.max_retries=3")
        caller = await self.caller()
        caller.post("/v1/messages")
        await self.eventually(lambda: self.upstream.requests)
        await self.pause(0.05)
        caller.leave()
        await self.eventually(lambda: self.in_flight == 0, SOON)
        await self.pause(0.05)
        self.assertEqual(len(self.upstream.requests), 1)
        self.assertEqual(self.exchanges[0].outcome, "client_gone")

    async def test_a_half_closed_connection_is_a_gone_caller(self) -> None:
        self.upstream.script([Send(STREAM_HEAD + chunk(b"data: 1\n\n")), Hang()])
        await self.proxy()
        caller = await self.caller()
        caller.post("/v1/messages")
        await caller.until(b"data: 1")
        caller.transport.loseWriteConnection()
        await self.gone()
        await caller.end()

    async def test_behind_much_that_was_pipelined(self) -> None:
        self.upstream.script([Send(STREAM_HEAD + chunk(b"data: 1\n\n")), Hang()])
        await self.proxy("server.max_body=800000")
        caller = await self.caller()
        caller.post("/v1/messages")
        await caller.until(b"data: 1")
        more = b"POST /v1/messages HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 5_000_000
        caller.write(more)
        await self.pause(0.3)
        self.assertEqual(self.in_flight, 1)
        [channel] = self.service._assembled.site.channels
        kept = sum(map(len, channel._dataBuffer))
        self.assertGreater(kept, MAX_PIPELINED)
        self.assertLess(kept, MAX_PIPELINED + 200_000, "reading did not stop")
        caller.leave()
        await self.gone()

    async def test_fin_behind_much_that_was_pipelined(self) -> None:
        await self.behind(MAX_PIPELINED + 300_000, "server.max_body=800000")

    async def test_fin_behind_a_whole_further_request(self) -> None:
        """The kernels hold no 20 MB: the FIN would wait on the caller's side for the proxy to read on."""
        await self.behind(20_000_000)

    async def behind(self, size: int, *sets: str, listen: str = "") -> None:
        """Send some bytes behind a request that is being answered, and then a FIN."""
        self.upstream.script([Send(STREAM_HEAD + chunk(b"data: 1\n\n")), Hang()])
        await self.proxy(*sets, listen=listen or "tcp:0:interface=127.0.0.1")
        address: Any = self.service.addresses[0]

        def call() -> socket.socket:
            caller = socket.socket(socket.AF_UNIX if listen else socket.AF_INET)
            caller.connect(listen[len("unix:") :] if listen else ("127.0.0.1", address.port))
            caller.sendall(
                b"POST /v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(ASK) + ASK
            )
            caller.recv(1000)
            caller.settimeout(0.3 if sets else 20)
            with contextlib.suppress(TimeoutError):
                caller.sendall(b"x" * size)
            caller.shutdown(socket.SHUT_WR)
            return caller

        caller = await deferToThread(call)
        self.addCleanup(caller.close)
        await self.gone()

    async def test_fin_of_a_unix_socket_behind_much(self) -> None:
        # A path in the short folder /tmp: those of Unix sockets are limited to 107 bytes.
        path = f"/tmp/clawproxy-behind-{os.getpid()}.sock"
        await self.behind(5_000_000, "server.max_body=800000", listen=f"unix:{path}")

    async def test_while_the_body_is_going_up(self) -> None:
        await self.proxy()
        caller = await self.caller()
        caller.write(b"POST /v1/messages HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{")
        await self.eventually(lambda: self.in_flight == 1)
        caller.leave()
        await self.eventually(lambda: self.in_flight == 0, SOON)
        self.assertEqual(self.upstream.requests, [])

    async def test_many_at_once(self) -> None:
        self.upstream.script([Send(STREAM_HEAD + chunk(b"data: 1\n\n")), Hang()])
        await self.proxy()
        callers = [await self.caller() for _ in range(40)]
        for caller in callers:
            caller.post("/v1/messages")
        await self.eventually(lambda: len(self.upstream.requests) == 40)
        self.assertEqual(self.in_flight, 40)
        for caller in callers[::2]:
            caller.leave()
        await self.eventually(lambda: self.in_flight == 20, SOON)
        await self.eventually(lambda: self.upstream.open == 20, SOON)
        for caller in callers[1::2]:
            caller.leave()
        await self.eventually(lambda: self.in_flight == 0, SOON)


class StalledTests(LiveCase):
    """A caller that is connected and takes nothing counts as gone after a while; a slow one does not."""

    async def test_takes_nothing(self) -> None:
        self.upstream.script(event_stream(*[BIG] * 60))
        await self.proxy("server.send_timeout=0.6")
        caller = await self.caller()
        caller.transport.pauseProducing()
        caller.post("/v1/messages")
        await self.eventually(lambda: self.in_flight == 1)
        await self.eventually(lambda: self.in_flight == 0, 5)
        await self.eventually(lambda: self.upstream.open == 0)
        [exchange] = self.exchanges
        self.assertEqual((exchange.outcome, exchange.status), ("client_gone", 499))
        self.assertIn("send_timeout", exchange.error or "")

    async def test_takes_little_by_little(self) -> None:
        """Also where the kernel's buffer is so large that the proxy itself sends nothing for long."""
        self.upstream.script(event_stream(*[BIG] * 60))
        await self.proxy("server.send_timeout=0.6")
        address: Any = self.service.addresses[0]

        def call() -> bool:
            with socket.socket() as caller:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
                caller.connect(("127.0.0.1", address.port))
                caller.sendall(
                    b"POST /v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(ASK) + ASK
                )
                end = time.monotonic() + 3
                while time.monotonic() < end:
                    if not caller.recv(8_000):
                        return False
                    time.sleep(0.05)
                return True

        self.assertTrue(await deferToThread(call))
        await self.eventually(lambda: self.in_flight == 0)
        self.assertEqual(self.exchanges[0].error, "the caller went away")


class ManyRequestsTests(LiveCase):
    """One connection, several requests."""

    async def test_pipelined(self) -> None:
        self.upstream.script(
            event_stream(b"data: 1\n\n", 0.05, b"data: 2\n\n"), answer(b"[]"), answer(b"{}")
        )
        await self.proxy()
        caller = await self.caller()
        for _ in range(3):
            caller.post("/v1/messages")
        await caller.until(b"{}")
        first, second, third = replies(bytes(caller.data))
        self.assertEqual(first.body, b"data: 1\n\ndata: 2\n\n")
        self.assertEqual((second.body, third.body), (b"[]", b"{}"))
        self.assertEqual(self.upstream.connections, 1)

    async def test_next_request_after_an_upstreams_error(self) -> None:
        await self.proxy("providers.anthropic.base_url=http://127.0.0.1:1")
        caller = await self.caller()
        caller.post("/v1/messages")
        self.assertEqual((await caller.reply()).status, 502)
        caller.post("/v1/chat/completions", b'{"model":"gpt-x","messages":[]}')
        self.assertEqual((await caller.reply()).status, 200)

    async def test_head_of_the_front(self) -> None:
        await self.proxy()
        caller = await self.caller()
        caller.post("/", b"", method="HEAD")
        await caller.until(b"\r\n\r\n")
        self.assertTrue(caller.data.startswith(b"HTTP/1.1 200 "))

    async def test_each_piece_at_once(self) -> None:
        self.upstream.script(event_stream(b"data: 1\n\n", 0.4, b"data: 2\n\n"))
        await self.proxy()
        caller = await self.caller()
        caller.post("/v1/messages")
        await caller.until(b"data: 1")
        self.assertNotIn(b"data: 2", caller.data)
        await caller.reply()


@skipUnless(Path("/proc/self/status").exists(), "needs Linux's /proc to look at memory")
class SlowReaderTests(ProxyCase):
    """A caller that reads slowly slows the upstream down; nothing piles up in between."""

    OFFERED = 200
    SECONDS = 3.0
    MOST = 10_000

    def resident(self, proxy: Proxy) -> int:
        """The memory of the proxy's process, KB."""
        assert proxy.process is not None
        status = Path(f"/proc/{proxy.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def read_slowly(self, storage: str) -> None:
        upstream = self.upstream(lambda _: Answer([BIG] * self.OFFERED, headers=STREAM))
        proxy = self.proxy(upstream, settings={"storage.url": storage})
        with socket.socket() as warm:
            warm.connect(("127.0.0.1", proxy.port))
        before = self.resident(proxy)
        caller = socket.socket()
        self.addCleanup(caller.close)
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        caller.connect(("127.0.0.1", proxy.port))
        caller.sendall(b"POST /v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(ASK) + ASK)
        end = time.monotonic() + self.SECONDS
        read = 0
        while time.monotonic() < end:
            read += len(caller.recv(1_000))
            time.sleep(0.1)
        grown = self.resident(proxy) - before
        self.assertGreater(read, 10_000)
        self.assertLess(grown, self.MOST, f"{grown} KB more after {read} bytes read")
        self.assertEqual(proxy.get("/livez")[1]["in_flight"], 1)
        caller.close()
        proxy.in_flight(0)

    def test_memory_stays(self) -> None:
        """Without recording."""
        self.read_slowly("none")

    def test_memory_stays_with_recording(self) -> None:
        """What is recorded is what was sent, so it cannot pile up either."""
        self.read_slowly(storage="sqlite:clawproxy.db")
