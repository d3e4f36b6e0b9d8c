"""Lists that the proxy gathers itself: who gets them, and how asking for them can end."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.headers import RawHeaders
from clawproxy.testing import MemoryCaller, MemoryProxy
from clawproxy.web.local import answer_with
from clawproxy.web.request import ProxyRequest
from tests.wire import replies


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cancelled: list[object] = []
        self.value: Deferred[object] = Deferred(self.cancelled.append)
        self.proxy = MemoryProxy("auth.api_keys=[sk-proxy]")
        self.board = self.proxy.assembly.board
        self.patch(self.proxy.assembly.site.resource.api, "_local", {"/v1/things": self.things})

    def things(self, request: ProxyRequest, target: bytes) -> bool:
        async def gather(lines: RawHeaders) -> object:
            return await self.value

        answer_with(self.board, request, "/v1/things", gather)
        return True

    def ask(self, key: str = "sk-proxy") -> MemoryCaller:
        caller = self.proxy.caller()
        headers = {"x-api-key": key, "origin": "https://page.example", "x-request-id": "mine"}
        caller.post("/v1/things", b"", headers, method="GET")
        return caller

    def status_and_body(self, caller: MemoryCaller) -> tuple[int, object]:
        (reply,) = replies(caller.read())
        self.assertEqual(reply["access-control-allow-origin"], "*")
        self.assertEqual(reply["x-request-id"], "mine")
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)
        return reply.status, json.loads(reply.body)

    def test_value_is_the_answer(self) -> None:
        caller = self.ask()
        self.assertEqual(caller.read(), b"")
        self.value.callback({"things": [1]})
        self.assertEqual(self.status_and_body(caller), (200, {"things": [1]}))

    def test_callers_without_a_key_are_told_nothing(self) -> None:
        self.value.callback({"things": [1]})
        status, body = self.status_and_body(self.ask("another"))
        self.assertEqual(status, 401)
        self.assertNotIn("things", str(body))

    def test_error_is_worded_for_the_caller(self) -> None:
        caller = self.ask()
        self.value.errback(ProxyError(Kind.MODEL_NOT_FOUND, "there are none"))
        status, body = self.status_and_body(caller)
        self.assertEqual(status, 404)
        self.assertIn("there are none", str(body))

    def test_bug_is_logged_and_not_shown(self) -> None:
        caller = self.ask()
        self.value.errback(RuntimeError("a secret of the house"))
        status, body = self.status_and_body(caller)
        self.assertEqual(status, 500)
        self.assertNotIn("secret", str(body))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_caller_that_leaves_ends_the_question(self) -> None:
        self.ask().leave()
        self.assertEqual(self.cancelled, [self.value])
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)

    def test_value_that_comes_in_spite_of_that_goes_nowhere(self) -> None:
        self.value = Deferred(lambda waiting: waiting.callback({"things": [1]}))
        caller = self.ask()
        caller.leave()
        self.assertEqual(caller.read(), b"")
        self.assertEqual(self.proxy.assembly.drain.in_flight, 0)
