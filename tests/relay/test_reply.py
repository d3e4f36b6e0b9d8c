"""What a caller gets in place of an answer, before and after the head of one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.testing import MemoryProxy
from clawproxy.web.delivery import LAST_WORDS
from tests.relay.asking import error_of
from tests.wire import ASK, STREAM_HEAD, chunk


class ErrorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = MemoryProxy()
        self.caller = self.proxy.caller()

    def test_refused_connection_is_a_502_in_the_callers_dialect(self) -> None:
        self.caller.post("/v1/messages", ASK)
        self.proxy.refuse()
        status, body = error_of(self.caller)
        self.assertEqual((status, body["type"]), (502, "error"))
        self.assertEqual(body["error"]["type"], "api_error")  # type: ignore[index]
        self.caller.post("/v1/chat/completions", b'{"model":"gpt-x","messages":[]}')
        self.proxy.refuse()
        status, body = error_of(self.caller)
        self.assertEqual((status, body["error"]["code"]), (502, "upstream_unreachable"))  # type: ignore[index]

    def test_silence_before_the_head_is_a_504(self) -> None:
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        self.proxy.advance(299)
        self.assertEqual(self.caller.read(), b"")
        self.proxy.advance(2)
        status, body = error_of(self.caller)
        self.assertEqual((status, body["error"]["type"]), (504, "timeout_error"))  # type: ignore[index]
        self.assertTrue(upstream.aborted)

    def test_broken_stream_gets_an_error_event_and_an_unclean_end(self) -> None:
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b'event: ping\ndata: {"ty'))
        upstream.reset()
        sent = self.caller.read()
        self.assertIn(b'event: ping\ndata: {"ty', sent)
        self.assertIn(b"\n\nevent: error\ndata: ", sent)
        # Many HTTP clients tell of a broken end at once, and drop what they had not passed on by then.
        self.assertFalse(self.caller.closed)
        self.proxy.advance(LAST_WORDS)
        self.assertTrue(self.caller.closed)
        self.assertNotIn(b"0\r\n\r\n", sent)
        self.assertEqual(self.proxy.exchanges[0].outcome, "error")

    def test_silence_in_the_middle_of_a_stream_ends_it(self) -> None:
        self.caller.post("/v1/messages", ASK)
        upstream = self.proxy.upstream()
        upstream.write(STREAM_HEAD + chunk(b"event: ping\ndata: {}\n\n"))
        self.caller.read()
        self.proxy.advance(301)
        self.assertIn(b"event: error", self.caller.read())
        self.assertTrue(upstream.aborted)
