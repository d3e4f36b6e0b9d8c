"""Demotion: streams back to whole messages, and their failures to HTTP errors."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.demotion import Demoted, Demoter
from clawproxy.core.errors import Kind, ProxyError

STREAM = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
    b'"role":"assistant","model":"claude-opus-5","content":[],"stop_reason":null,'
    b'"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
    b'event: ping\ndata: {"type":"ping"}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn",'
    b'"stop_sequence":null},"usage":{"output_tokens":9}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-5",'
    b'"content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","stop_sequence":null,'
    b'"usage":{"input_tokens":3,"output_tokens":9}}'
)
BROKEN = ProxyError(Kind.UPSTREAM_TIMEOUT, "silent for 300 s")


def demote(
    *pieces: bytes, content_type: str = "text/event-stream", failure: ProxyError | None = None
) -> Demoted:
    """Feed the pieces and close."""
    demoter = Demoter(content_type)
    for piece in pieces:
        demoter.feed(piece)
    return demoter.close(failure)


def error_event(kind: str) -> bytes:
    """Give an in-band error."""
    return (
        b'event: error\ndata: {"type":"error","error":{"type":"%s","message":"Sorry",'
        b'"n":1.50},"request_id":"req_1"}\n\n' % kind.encode()
    )


class DemoterTests(SynchronousTestCase):
    """:class:`Demoter` on whole, failed and cut answers."""

    def test_whole(self) -> None:
        """A whole stream is a 200 with the message; so it is if only the connection broke after."""
        for failure in (None, BROKEN):
            demoted = demote(STREAM, failure=failure)
            self.assertEqual((demoted.status, demoted.body, demoted.error), (200, MESSAGE, None))
            assert demoted.finished.usage is not None
            self.assertEqual(demoted.finished.usage.output_tokens, 9)
        self.assertEqual(demote(STREAM, content_type="").body, MESSAGE)

    def test_told_errors(self) -> None:
        """An in-band error becomes the HTTP error of its type, in the upstream's words."""
        for kind, status in (
            ("overloaded_error", 529),
            ("rate_limit_error", 429),
            ("api_error", 500),
            ("invalid_request_error", 400),
            ("timeout_error", 504),
            ("some_future_error", 500),
        ):
            for before in (b"", STREAM[: STREAM.index(b"event: content_block_stop")]):
                demoted = demote(before, error_event(kind), failure=BROKEN)
                self.assertEqual(demoted.status, status)
                assert demoted.body is not None and demoted.error is not None
                self.assertIn(b'"n":1.50', demoted.body)
                self.assertEqual(demoted.error.message, "Sorry")

    def test_odd_error(self) -> None:
        """An error event that is not worded as an error body is left to be worded."""
        for data in (b"fell over", b'{"message":"fell over"}', b'{"error":"fell over"}'):
            demoted = demote(b"event: error\ndata: " + data + b"\n\n")
            self.assertEqual((demoted.status, demoted.body), (500, None))
            assert demoted.error is not None
            self.assertEqual(demoted.error.message, "fell over")

    @settings(deadline=None, max_examples=100)
    @given(st.integers(0, len(STREAM) - 1), st.integers(1, 200), st.booleans())
    def test_half_is_never_whole(self, length: int, size: int, broken: bool) -> None:
        """Wherever a stream ends before its end, the answer is an error."""
        cut = STREAM[:length]
        pieces = [cut[start : start + size] for start in range(0, length, size)]
        demoted = demote(*pieces, failure=BROKEN if broken else None)
        if length >= len(STREAM.rstrip()):
            self.assertEqual(demoted.status, 200)
            return
        self.assertEqual(demoted.status, 504 if broken else 502)
        self.assertIsNone(demoted.body)
        self.assertIsNotNone(demoted.error)

    def test_unreadable(self) -> None:
        """An event that cannot be read leaves no whole message."""
        bad = STREAM.replace(b'"text":"Hi"}}', b'"text":"Hi"}')
        demoted = demote(bad)
        self.assertEqual((demoted.status, demoted.body), (502, None))

    def test_json_anyway(self) -> None:
        """Plain JSON is passed on byte for byte; cut, broken or no JSON, it is an error."""
        body = b' {"type": "message", "content": [], "n": 1.50}\n'
        for content_type in ("application/json", "application/json; charset=utf-8", ""):
            demoted = demote(body[:1], body[1:9], body[9:], content_type=content_type)
            self.assertEqual((demoted.status, demoted.body), (200, body))
        self.assertEqual(demote(body[:9], content_type="application/json").status, 502)
        self.assertEqual(demote(b"", content_type="").status, 502)
        self.assertEqual(demote(body, content_type="application/json", failure=BROKEN).status, 504)
        error = b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}'
        demoted = demote(error, content_type="application/json")
        self.assertEqual((demoted.status, demoted.body), (529, error))

    def test_limit(self) -> None:
        """An answer beyond the limit is an error and is not kept."""
        for content_type in ("text/event-stream", "application/json"):
            demoter = Demoter(content_type, limit=1000)
            for _ in range(100):
                demoter.feed(STREAM[:400])
            demoted = demoter.close()
            self.assertEqual((demoted.status, demoted.body), (502, None))

    def test_same_as_json(self) -> None:
        """The message is JSON that any reader takes."""
        demoted = demote(STREAM)
        assert demoted.body is not None
        self.assertEqual(json.loads(demoted.body)["content"][0]["text"], "Hi")
