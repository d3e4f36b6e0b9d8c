"""The service: what it does when a part cannot start, and what a reload changes and leaves alone."""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from clawproxy.config import ConfigError, load
from clawproxy.config.model import Config
from clawproxy.service import ClawProxyService
from clawproxy.testing import answer, event_stream
from tests.integration.live import LiveCase, reactor
from tests.wire import ASK


class Part:
    """A part that says what is done to it."""

    def __init__(self, name: str, said: list[str], *, works: bool = True) -> None:
        self.name = name
        self.said = said
        self.works = works

    async def start(self) -> None:
        self.said.append(f"start {self.name}")
        if not self.works:
            raise ValueError(self.name)

    async def stop(self) -> None:
        self.said.append(f"stop {self.name}")


class StartTests(LiveCase):
    def config(self) -> Config:
        return load(
            listen=["tcp:0:interface=127.0.0.1"], sets=["storage.url=none"], environ={}
        ).config

    async def test_part_that_cannot_start(self) -> None:
        said: list[str] = []
        parts = [Part("a", said), Part("b", said, works=False), Part("c", said)]
        service = ClawProxyService(self.config(), reactor, parts)
        failures: list[Failure] = []
        service.cannot_start = failures.append
        service.startService()
        await self.eventually(lambda: failures)
        self.assertIsInstance(failures[0].value, ValueError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        await service.stopService()
        self.assertEqual(said, ["start a", "start b", "stop a"])

    async def test_stop_at_once(self) -> None:
        said: list[str] = []
        service = ClawProxyService(self.config(), reactor, [Part("a", said)])
        service.startService()
        await service.stopService()
        self.assertEqual(said, ["start a", "stop a"])
        self.assertTrue(service.whole)

    async def test_stop_without_a_start(self) -> None:
        service = ClawProxyService(self.config(), reactor)
        await service.stopService()


class ReloadTests(LiveCase):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def again(self, *sets: str) -> Config:
        base = [
            "storage.url=none",
            f"providers.anthropic.base_url={self.base_url}",
            f"providers.openai.base_url={self.base_url}",
        ]
        return load(listen=["tcp:0:interface=127.0.0.1"], sets=[*base, *sets], environ={}).config

    def log(self) -> str:
        return "\n".join(formatEvent(event) for event in self.events)

    async def test_new_exchanges_use_the_new_one_and_old_ones_keep_theirs(self) -> None:
        self.upstream.script(event_stream(b"data: 1\n\n", 0.3, b"data: 2\n\n"), answer(b"{}"))
        service = await self.proxy()
        caller, other = await self.caller(), await self.caller()
        caller.post("/v1/messages")
        await caller.until(b"data: 1")
        route = 'routes=[{"match":"*","provider":"anthropic","model":"claude-new"}]'
        self.assertTrue(service.reload(lambda: self.again(route, 'auth.api_keys=["k"]')))
        other.post("/v1/messages")
        self.assertEqual((await other.reply()).status, 401)
        other.post("/v1/messages", ASK, "x-api-key: k")
        self.assertEqual((await other.reply()).status, 401, "k is the proxy's, not the upstream's")
        self.assertTrue((await caller.reply()).whole)
        self.assertTrue(service.reload(lambda: self.again(route)))
        other.post("/v1/messages", ASK, "x-api-key: k")
        self.assertEqual((await other.reply()).status, 200)
        self.assertEqual(json.loads(self.upstream.requests[-1].body)["model"], "claude-new")
        self.assertEqual(
            self.upstream.connections, 1, "a provider that is the same keeps its connections"
        )

    async def test_provider_that_changed_is_asked_over_new_connections(self) -> None:
        self.upstream.script(answer(b"{}"))
        service = await self.proxy()
        caller = await self.caller()
        caller.post("/v1/messages")
        await caller.reply()
        self.assertTrue(service.reload(lambda: self.again("providers.anthropic.api_key=sk-new")))
        await self.eventually(lambda: self.upstream.open == 0)
        caller.post("/v1/messages")
        await caller.reply()
        self.assertEqual(self.upstream.requests[-1].header("x-api-key"), "sk-new")
        self.assertEqual(self.upstream.connections, 2)

    async def test_limits_towards_callers_are_the_new_ones(self) -> None:
        service = await self.proxy()
        caller = await self.caller()
        sets = ["server.max_body=5", "server.drain.timeout=7", "server.idle_timeout=3"]
        self.assertTrue(service.reload(lambda: self.again(*sets, "server.send_timeout=9")))
        caller.post("/v1/messages")
        self.assertEqual((await caller.reply()).status, 413)
        site = service._assembled.site
        self.assertEqual((service.drain.timeout, site.timeOut, site.send_timeout), (7, 3, 9))

    async def test_wrong_one_changes_nothing_and_is_told(self) -> None:
        service = await self.proxy()
        before = service.config
        self.assertFalse(service.reload(lambda: self.again("server.max_boody=1")))
        self.assertIs(service.config, before)
        self.assertIn("max_boody", self.log())

        def broken() -> Config:
            raise OSError("the file is gone")

        self.assertFalse(service.reload(broken))
        self.assertIn("the file is gone", self.log())
        with self.assertRaises(ConfigError):
            self.again("server.max_boody=1")

    async def test_what_cannot_change_is_said(self) -> None:
        service = await self.proxy()
        listen = load(
            listen=["tcp:1:interface=127.0.0.1"], sets=["storage.url=none"], environ={}
        ).config
        self.assertTrue(service.reload(lambda: listen))
        self.assertIn("server.listen", self.log())
        self.assertEqual(service.config.server.listen, ("tcp:0:interface=127.0.0.1",))
