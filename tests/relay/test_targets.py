"""Who may answer a request, in which order."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryProxy
from tests.relay.asking import FOREIGN_FALLBACK, PROVIDERS, ask


class FallbackKeyTests(SynchronousTestCase):
    def test_fallback_without_a_key_is_left_out(self) -> None:
        proxy = MemoryProxy(PROVIDERS[0], FOREIGN_FALLBACK)
        caller = proxy.caller()
        ask(caller, "a-1")
        proxy.upstream().write(b"HTTP/1.1 529 No\r\nContent-Length: 4\r\n\r\nbusy")
        sent = caller.read()
        self.assertIn(b" 529 ", sent)
        self.assertTrue(sent.endswith(b"busy"))


class SubagentTests(SynchronousTestCase):
    def test_agent_id_chooses_the_model(self) -> None:
        proxy = MemoryProxy(
            "subagents={enable: true, mappings: {reviewer: claude-small}, agents_dirs: []}"
        )
        caller = proxy.caller()
        caller.post(
            "/v1/messages",
            b'{"model":"claude-x","messages":[]}',
            {"x-claude-code-agent-id": "reviewer"},
        )
        self.assertIn(b'"claude-small"', proxy.upstream().request())
