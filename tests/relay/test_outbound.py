"""The request as it goes to an upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.relay import attempt, outbound
from clawproxy.relay.offload import LARGE, TRANSLATED
from clawproxy.testing import MemoryProxy
from tests.relay.asking import KEYS, ask


class MovedConversationTests(SynchronousTestCase):
    """A conversation that another vendor's model has taken part in comes back to the caller's own."""

    def test_foreign_thinking_stays_here(self) -> None:
        self.check("http://api.anthropic.com:1", vendor=True)

    def test_gateway_gets_every_byte(self) -> None:
        self.check("http://127.0.0.1:1", vendor=False)

    def check(self, url: str, *, vendor: bool) -> None:
        proxy = MemoryProxy(f"providers.anthropic.base_url={url}")
        caller = proxy.caller()
        thought = (
            b'{"type":"thinking","thinking":"Hm.","signature":"clawproxy:openai_chat::unsealed"}, '
        )
        body = (
            b'{"model": "claude-x",  "messages": [{"role":"assistant", "content": ['
            + thought
            + b'{"type":"text","text":"Hi."}]}], "n": 12345678901234567890123}'
        )
        clean = body.replace(thought, b"")
        for sent, wanted in ((body, clean if vendor else body), (clean, clean)):
            caller.post("/v1/messages", sent)
            upstream = proxy.upstream()
            self.assertEqual(upstream.request().partition(b"\r\n\r\n")[2], wanted)
            upstream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            self.assertIn(b" 200 ", caller.read())
        self.assertEqual([each.outcome for each in proxy.exchanges], ["ok", "ok"])


class LargeTests(SynchronousTestCase):
    """The reactor does not stand still for one caller's prompt."""

    def test_reading_and_writing_of_a_prompt_are_offered_to_a_thread(self) -> None:
        offered = []

        async def offload(
            reactor: Any, size: int, work: Callable[..., Any], *a: Any, **k: Any
        ) -> Any:
            offered.append((work.__name__, size))
            return work(*a, **k)

        for module in (attempt, outbound):
            self.patch(module, "offload", offload)
        ask(MemoryProxy(*KEYS).caller(), "gpt-x", stream=True)
        self.assertEqual([name for name, _ in offered], ["turn_of", "written"])
        self.assertEqual(len({size for _, size in offered}), 1)

    def test_no_prompt_holds_the_reactor_up_that_takes_long_to_translate(self) -> None:
        self.assertLessEqual(LARGE // TRANSLATED, 128 * 1024)
