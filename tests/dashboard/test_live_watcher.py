"""Those who watch, and those who read too slowly for it."""

from __future__ import annotations

from typing import Any

from clawproxy.dashboard import live_watcher
from tests.dashboard.livecase import BODY, HEAD, LiveCase, delta


class Slow(LiveCase):
    """A watcher that does not read on."""

    def test_a_slow_watcher(self) -> None:
        """It misses progress, gets the rest late, and is dropped when even that piles up."""
        watcher = self.watch()
        watcher.pause()
        caller, upstream = self.ask()
        upstream.write(HEAD + delta("text"))
        self.proxy.advance(1)
        self.assertIn(b"text", caller.read())
        self.assertEqual(watcher.read(), b"")
        self.finish(upstream)
        watcher.resume()
        self.assertEqual([name for name, _ in self.events(watcher.read())], ["started", "finished"])
        self.patch(live_watcher, "QUEUED", 3)
        watcher.pause()
        for _ in range(4):
            self.proxy.caller().post("/v1/messages", BODY)
        self.assertFalse(self.proxy.assembly.board.watched)

    def test_more_under_way_than_may_wait(self) -> None:
        """Whoever comes while thousands are under way is not taken for a slow watcher because of them."""
        self.patch(live_watcher, "QUEUED", 3)
        for _ in range(9):
            self.proxy.caller().post("/v1/messages", BODY)
        watcher = self.proxy.caller()
        begin = live_watcher.Watcher.__init__

        def begin_slowly(shown: live_watcher.Watcher, *arguments: Any) -> None:
            begin(shown, *arguments)
            shown.pauseProducing()  # as a transport asks for it when its buffer is full

        self.patch(live_watcher.Watcher, "__init__", begin_slowly)
        watcher.write(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertTrue(self.proxy.assembly.board.watched)
