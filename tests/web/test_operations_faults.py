"""Operations' paths when a part of the program is at fault."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryProxy
from clawproxy.web.operations import Health


class HealthFaultTests(SynchronousTestCase):
    def test_report_that_raises_does_not_make_the_proxy_unhealthy(self) -> None:
        proxy = MemoryProxy()

        def broken() -> dict[str, object]:
            raise KeyError("part")

        root = proxy.assembly.site.resource
        root.putChild(b"health", Health(proxy.assembly.drain, {"part": broken}))
        caller = proxy.caller()
        caller.post("/health", b"", method="GET")
        head, _, body = caller.read().partition(b"\r\n\r\n")
        self.assertIn(b" 200 ", head)
        self.assertEqual(json.loads(body)["status"], "ok")
        self.assertEqual(json.loads(body)["part"], {"state": "unknown", "error": "KeyError"})
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
