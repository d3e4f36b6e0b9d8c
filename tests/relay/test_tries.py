"""The tries at one target, and when one is the last."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryProxy
from tests.wire import ASK


class RetryTests(SynchronousTestCase):
    def test_retries_then_passes_the_last_answer_on_unchanged(self) -> None:
        proxy = MemoryProxy("providers.anthropic.max_retries=1")
        caller = proxy.caller()
        caller.post("/v1/messages", ASK)
        upstream = proxy.upstream()
        upstream.write(b"HTTP/1.1 529 Overloaded\r\nRetry-After: 2\r\nContent-Length: 1\r\n\r\nx")
        proxy.advance(1.9)
        self.assertEqual(upstream.request().count(b"POST"), 1)
        proxy.advance(0.2)
        self.assertEqual(upstream.request().count(b"POST"), 1)
        upstream.write(
            b"HTTP/1.1 529 Overloaded\r\nRetry-After: 2\r\nContent-Length: 4\r\n\r\nlast"
        )
        sent = caller.read()
        self.assertIn(b" 529 Overloaded", sent)
        self.assertIn(b"retry-after: 2", sent.lower())
        self.assertTrue(sent.endswith(b"last"))
        self.assertEqual(proxy.exchanges[0].tries, 2)

    def test_400_is_not_retried(self) -> None:
        proxy = MemoryProxy("providers.anthropic.max_retries=3")
        caller = proxy.caller()
        caller.post("/v1/messages", ASK)
        proxy.upstream().write(b"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno")
        self.assertTrue(caller.read().endswith(b"no"))
        self.assertEqual(proxy.exchanges[0].tries, 1)
