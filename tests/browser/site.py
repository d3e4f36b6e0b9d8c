"""Dashboards with something to see: proxies that are started once, for all tests that only look."""

from __future__ import annotations

import atexit
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from attrs import frozen

from tests.browser.hostile import attack
from tests.browser.recording import Play, Script
from tests.dashboard import stories
from tests.integration.proxy import Proxy
from tests.integration.upstream import Upstream


@frozen
class Site:
    """A proxy that has recorded a play.

    :ivar ids: of the exchanges, in order.
    """

    proxy: Proxy
    ids: list[str]

    @property
    def url(self) -> str:
        """Its origin."""
        return self.proxy.url

    def looks(self, *paths: str) -> list[str]:
        """The exchanges with their record's path, below ``/ui/``."""
        return [f"/ui/requests/{each}{path}" for each in self.ids for path in paths]

    def conversations(self) -> list[str]:
        """The paths of the conversations."""
        found = self.proxy.get("/api/conversations")[1]["conversations"]
        return [f"/ui/conversations/{each['id']}" for each in found]


def record(stack: ExitStack, tell: Callable[[Script], object]) -> Site:
    """Have a proxy record what *tell* tells.

    :param stack: ends it.
    """
    folder = Path(mkdtemp(prefix="clawproxy-browser-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    script = Script(time.time())
    tell(script)
    play = Play(script.parts)
    upstream = stack.enter_context(Upstream(play.answer))
    settings = {
        "providers.anthropic.base_url": upstream.url,
        "providers.openai.base_url": upstream.url,
        "providers.demo.kind": "demo",
        "providers.demo.tokens_per_second": 0,
        "routes": '[{match: "demo*", provider: demo}, {match: "claude-*", provider: anthropic}]',
        "storage.url": "sqlite:clawproxy.db",
    }
    proxy = stack.enter_context(Proxy(folder, settings=settings))
    return Site(proxy, play.act(proxy))


def _kept(tell: Callable[[Script], object]) -> Site:
    stack = ExitStack()
    atexit.register(stack.close)
    return record(stack, tell)


def _session(script: Script) -> None:
    stories.coding(script)
    stories.chatting(script)
    stories.responding(script)
    stories.failing(script)


@cache
def session() -> Site:
    """A coding agent's session, a chat, and what went wrong."""
    return _kept(_session)


@cache
def hostile() -> Site:
    """An attack on whoever reads it."""
    return _kept(attack)
