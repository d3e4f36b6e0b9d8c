"""Callers that wait for the connection."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.handshake import Hello
from clawproxy.upstream.openclaw.waiting import Waiters


class WaitersTests(SynchronousTestCase):
    """Each waits for itself, and all hear at once."""

    def setUp(self) -> None:
        self.clock = Clock()
        late = ProxyError(Kind.UPSTREAM_TIMEOUT, "too late")
        self.waiters = Waiters(self.clock, lambda: late)

    def test_welcome(self) -> None:
        waiting = [self.waiters.wait(10) for _ in range(3)]
        hello = Hello(4, "2026.9.6")
        self.waiters.welcome(hello)
        self.assertEqual([self.successResultOf(each) for each in waiting], [hello] * 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_dismiss(self) -> None:
        waiting = self.waiters.wait(10)
        self.waiters.dismiss(ProxyError(Kind.UPSTREAM_UNREACHABLE, "gone"))
        self.assertEqual(self.failureResultOf(waiting, ProxyError).value.message, "gone")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self) -> None:
        """The one whose time is up hears; the other goes on."""
        short, long = self.waiters.wait(1), self.waiters.wait(2)
        self.clock.advance(1)
        self.assertEqual(self.failureResultOf(short, ProxyError).value.message, "too late")
        self.assertNoResult(long)
        self.waiters.welcome(Hello(4, "2026.9.6"))
        self.successResultOf(long)

    def test_cancelled(self) -> None:
        """A caller that left is not called back, and leaves no timer."""
        waiting = self.waiters.wait(100)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.waiters.welcome(Hello(4, "2026.9.6"))
