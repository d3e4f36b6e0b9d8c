"""The proxy in another Twisted program: the example of the documentation, and what it promises."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.threads import deferToThread

from clawproxy.service import CannotListen, ClawProxyService
from clawproxy.testing import event_stream
from tests.integration.case import ProxyCase
from tests.integration.live import Caller, LiveCase, reactor
from tests.integration.proxy import PATIENCE, TWISTD, environment, free_port
from tests.wire import ASK

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "embedding.py"


def example() -> ModuleType:
    """Import the example."""
    spec = importlib.util.spec_from_file_location("embedding", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ExampleTests(LiveCase):
    async def connect(self, port: int) -> Caller:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        caller: Caller = await connectProtocol(endpoint, Caller())
        self.addCleanup(caller.leave)
        return caller

    async def page(self, port: int) -> bytes:
        caller = await self.connect(port)
        caller.write(b"GET / HTTP/1.0\r\n\r\n")
        await caller.end()
        return bytes(caller.data).partition(b"\r\n\r\n")[2]

    async def test_it_serves_both_and_stops_when_the_last_answer_is_complete(self) -> None:
        self.upstream.script(event_stream(b"data: 1\n\n", 0.5, b"data: 2\n\n"))
        port = free_port()
        application, proxy = example().make(
            reactor,
            f"tcp:{port}:interface=127.0.0.1",
            "tcp:0:interface=127.0.0.1",
            ("storage.url=none", f"providers.anthropic.base_url={self.base_url}"),
        )
        application.privilegedStartService()
        application.startService()
        self.assertEqual(await self.page(port), b"The proxy is at work; 0 in flight.\n")
        address: Any = proxy.addresses[0]
        caller = await self.connect(address.port)
        caller.post("/v1/messages")
        await caller.until(b"data: 1")
        self.assertEqual(await self.page(port), b"The proxy is at work; 1 in flight.\n")
        stopping: Deferred[None] = application.stopService()
        ended: list[object] = []
        stopping.addBoth(ended.append)
        late = await self.connect(address.port)
        late.post("/health", b"", method="GET")
        self.assertEqual((await late.reply()).status, 503)
        self.assertEqual(ended, [])
        reply = await caller.reply()
        self.assertTrue(reply.whole)
        await stopping
        self.assertTrue(proxy.whole)


class EmbeddedTests(LiveCase):
    async def test_whoever_is_connected_comes_in_time(self) -> None:
        """Also one that nobody has accepted yet, and one that has not sent its request yet."""
        service = await self.proxy()
        address: Any = service.addresses[0]
        callers = [socket.create_connection(("127.0.0.1", address.port), 10) for _ in range(2)]
        for caller in callers:
            self.addCleanup(caller.close)
        first, second = callers
        data = b"POST /v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(ASK) + ASK
        first.sendall(data)
        stopping = service.stopService()
        await self.pause(0.1)
        second.sendall(data)
        await stopping
        for caller in callers:
            self.assertTrue((await deferToThread(caller.recv, 100)).startswith(b"HTTP/1.1 200 "))

    async def test_no_connection_outlives_it(self) -> None:
        """Neither one with half a request, nor one whose refused request is still coming."""
        service = await self.proxy("server.max_body=1000")
        half, refused = await self.caller(), await self.caller()
        half.write(b"POST /v1/messages HTTP/1.1\r\nContent-")
        refused.write(b"POST /v1/messages HTTP/1.1\r\nContent-Length: 5000\r\n\r\n")
        await refused.until(b"request_too_large")
        await self.pause(0.05)
        await service.stopService()
        await self.eventually(lambda: half.lost and refused.lost, 1)
        self.assertEqual(service._assembled.site.channels, set())
        self.assertEqual(self.upstream.requests, [])

    async def test_a_running_program_takes_it_in_and_lets_it_go(self) -> None:
        parent = MultiService()
        parent.startService()
        service = await self.proxy()
        await service.stopService()
        other = ClawProxyService(service.config, reactor)
        other.setServiceParent(parent)
        self.assertEqual(len(other.addresses), 1)
        leaving: Any = other.disownServiceParent()
        await leaving
        self.assertTrue(other.whole)

    async def test_start_alone_is_enough(self) -> None:
        service = await self.proxy()
        alone = ClawProxyService(service.config, reactor)
        alone.startService()
        self.assertEqual(len(alone.addresses), 1)
        await alone.stopService()

    async def test_many_may_wait_for_the_stop(self) -> None:
        service = await self.proxy()
        first, second = service.stopService(), service.stopService()
        await first
        await second
        await service.stopService()

    async def test_taken_port(self) -> None:
        service = await self.proxy()
        address: Any = service.addresses[0]
        from clawproxy.config import load

        config = load(
            listen=["tcp:0:interface=127.0.0.1", f"tcp:{address.port}:interface=127.0.0.1"],
            sets=["storage.url=none"],
            environ={},
        ).config
        second = ClawProxyService(config, reactor)
        with self.assertRaises(CannotListen) as caught:
            second.privilegedStartService()
        self.assertIn(f"{address.port}:interface", str(caught.exception))
        self.assertTrue(str(caught.exception).endswith(": address already in use"))
        await self.pause(0.01)

    async def test_why_it_cannot_listen(self) -> None:
        from clawproxy.config import load

        garbage = Path(self.mktemp())
        garbage.write_text("no key\n")
        for words, why in (
            (f"ssl:0:privateKey={garbage}", "no key and certificate in PEM in its files ("),
            ("unix:/nowhere/proxy.sock", "no such file or directory: /nowhere/proxy.sock.lock"),
            ("ssl:0:privateKey=/nowhere.pem", "no such file or directory: /nowhere.pem"),
            ("systemd:domain=INET:index=7", "systemd has handed over no such socket"),
            ("systemd:domain=INET:name=web", "systemd has handed over no such socket"),
        ):
            config = load(listen=[words], sets=["storage.url=none"], environ={}).config
            with self.assertRaises(CannotListen) as caught:
                ClawProxyService(config, reactor).privilegedStartService()
            self.assertIn(f"cannot listen on {words!r}: {why}", str(caught.exception))
        await self.pause(0.01)

    async def test_parts_are_stopped_after_the_drain_in_reverse(self) -> None:
        said: list[str] = []

        class Part:
            def __init__(self, name: str) -> None:
                self.name = name

            async def start(self) -> None:
                said.append(f"start {self.name}")

            async def stop(self) -> None:
                said.append(f"stop {self.name} at {service.drain.in_flight}")
                if self.name == "b":
                    raise ValueError("a part that cannot stop")

        model = await self.proxy()
        self.upstream.script(event_stream(b"data: 1\n\n", 0.2, b"data: 2\n\n"))
        service = ClawProxyService(model.config, reactor, parts=[Part("a"), Part("b")])
        service.startService()
        self.service = service
        caller = await self.caller()
        caller.post("/v1/messages")
        await caller.until(b"data: 1")
        await service.stopService()
        self.assertTrue((await caller.reply()).whole)
        self.assertEqual(said, ["start a", "start b", "stop b at 0", "stop a at 0"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.service = model


class ProgramTests(ProxyCase):
    """Programs of their own, as their users start them."""

    def run_until_ready(self, *command: str, port: int) -> subprocess.Popen[bytes]:
        log = (self.folder / "log").open("wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment(self.folder), stdout=log, stderr=log
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                said = (self.folder / "log").read_text()
                self.assertLess(time.monotonic(), deadline, said)
                self.assertIsNone(process.poll(), said)
                time.sleep(0.05)
            else:
                return process

    def test_the_example_under_twistd(self) -> None:
        """As its first line says, but on free ports."""
        page, port = free_port(), free_port()
        text = EXAMPLE.read_text().replace("8081", str(page)).replace("8080", str(port))
        (self.folder / "embedding.py").write_text(text)
        process = self.run_until_ready(str(TWISTD), "--pidfile=", "-ny", "embedding.py", port=port)
        with socket.create_connection(("127.0.0.1", page)) as caller:
            caller.sendall(b"GET / HTTP/1.0\r\n\r\n")
            got = b""
            while piece := caller.recv(1000):
                got += piece
        self.assertIn(b"0 in flight", got)
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        said = (self.folder / "log").read_text()
        self.assertNotIn("Traceback", said)
        self.assertIn("drained in", said)
        self.assertNotEqual(list(self.folder.glob("embedded.db*")), [])

    def test_a_reactor_that_just_stops_drains_too(self) -> None:
        """Nobody calls stopService: the reactor's own end does."""
        upstream = self.upstream(lambda _: stream_of_two())
        port = free_port()
        program = self.folder / "program.py"
        program.write_text(
            "from twisted.internet import reactor\n"
            "from clawproxy.config import load\n"
            "from clawproxy.service import ClawProxyService\n"
            f"config = load(listen=['tcp:{port}:interface=127.0.0.1'], environ={{}}, sets=[\n"
            f"    'storage.url=none', 'providers.anthropic.base_url={upstream.url}']).config\n"
            "ClawProxyService(config, reactor).startService()\n"
            "reactor.run()\n"
        )
        import sys

        process = self.run_until_ready(sys.executable, str(program), port=port)
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.settimeout(PATIENCE)
            body = b'{"model":"claude-x","messages":[],"stream":true}'
            caller.sendall(
                b"POST /v1/messages HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            got = caller.recv(10_000)
            process.send_signal(signal.SIGTERM)
            while piece := caller.recv(10_000):
                got += piece
        self.assertTrue(got.endswith(b"data: 1\n\ndata: 2\n\n"), got)
        process.wait(PATIENCE)


def stream_of_two() -> Any:
    """Two events, a second apart."""
    from tests.integration.answers import STREAM
    from tests.integration.upstream import Answer

    return Answer([b"data: 1\n\n", 1.0, b"data: 2\n\n"], headers=STREAM)
