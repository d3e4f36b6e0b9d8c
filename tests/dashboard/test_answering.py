"""Coroutines that answer requests."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from clawproxy.dashboard.answering import Answering
from clawproxy.dashboard.api_answer import Answer, Call
from clawproxy.store.pool import StorePool


class Asked(Answering[Call]):
    """Answers what a test says, when it says so."""

    place = "/asked/"
    protection = (("X-Own", "always"), ("Cache-Control", "private"))

    def __init__(self, reactor: Clock) -> None:
        super().__init__(reactor, cast(StorePool, None))
        self.calls: list[Call] = []
        self.waiting: Deferred[Answer] = Deferred()
        self.cancelled = False

    def call(self, request: Any, call: Call) -> Call:
        """Take it as it is."""
        self.calls.append(call)
        return call

    async def answer(self, call: Call) -> Answer:
        """Wait for the test's word."""
        try:
            return await self.waiting
        except CancelledError:
            self.cancelled = True
            raise

    def bug(self, call: Call) -> Answer:
        """Say so."""
        return Answer(500, b"bug")


class AnsweringTests(SynchronousTestCase):
    """What a caller gets of it."""

    def setUp(self) -> None:
        """Have a site with one such resource."""
        self.clock = Clock()
        self.asked = Asked(self.clock)
        root = Resource()
        root.putChild(b"asked", self.asked)
        site = Site(root, reactor=self.clock, timeout=None)
        self.channel: Any = site.buildProtocol(None)
        self.transport = StringTransport()
        self.channel.makeConnection(self.transport)

    def ask(self, method: str = "GET", more: str = "") -> None:
        """Send a request."""
        head = f"{method} /asked/a%20b/c?x=%41 HTTP/1.1\r\nHost: localhost\r\n{more}\r\n"
        self.channel.dataReceived(head.encode())

    def got(self) -> tuple[bytes, bytes]:
        """Give the head and the body that came."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        return head, body

    def test_what_is_asked(self) -> None:
        """The path is read, the query as it came; what an answer says itself goes before what all say."""
        self.ask()
        (call,) = self.asked.calls
        self.assertEqual((call.method, call.path, call.query), ("GET", "a b/c", "x=%41"))
        self.assertEqual(self.transport.value(), b"")
        self.asked.waiting.callback(Answer(200, b"{}", headers=[("X-Own", "here")]))
        head, body = self.got()
        self.assertEqual(body, b"{}")
        for line in (b"200 OK", b"X-Own: here", b"Cache-Control: private", b"Content-Length: 2"):
            self.assertIn(line, head)
        self.assertNotIn(b"always", head)

    def test_head(self) -> None:
        """The length is told, and the body kept."""
        self.ask("HEAD")
        self.asked.waiting.callback(Answer(200, b"{}"))
        head, body = self.got()
        self.assertIn(b"Content-Length: 2", head)
        self.assertEqual(body, b"")

    def test_what_a_browser_has(self) -> None:
        """It is not sent again."""
        self.ask(more='If-None-Match: "v1"\r\n')
        self.asked.waiting.callback(Answer(200, b"{}", headers=[("ETag", '"v1"')]))
        head, body = self.got()
        self.assertIn(b" 304 ", head)
        self.assertEqual(body, b"")

    def test_a_caller_that_goes(self) -> None:
        """What it has asked for is not looked for any more, and that is no bug."""
        self.ask()
        self.channel.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(self.asked.cancelled)
        self.assertEqual(self.transport.value(), b"")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_bug(self) -> None:
        """It is logged and answered."""
        self.ask()
        self.asked.waiting.errback(ZeroDivisionError())
        head, body = self.got()
        self.assertIn(b" 500 ", head)
        self.assertEqual(body, b"bug")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
