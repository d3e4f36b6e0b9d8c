"""Tests for :mod:`clawproxy.core.first_event`."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.first_event import MOST_HELD, FirstEvent, Held


def frame(content: object, event: str = "") -> bytes:
    """Make one event's bytes."""
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + json.dumps(content).encode() + b"\n\n"


OVERLOADED = frame(
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error"
)
STARTED = frame({"type": "message_start", "message": {"id": "msg_1"}}, "message_start")
PING = frame({"type": "ping"}, "ping")


def verdict(stream: bytes, size: int = 0) -> Held | ProxyError:
    """Feed a stream in pieces until it is decided."""
    inspector = FirstEvent()
    size = size or max(len(stream), 1)
    for start in range(0, len(stream), size):
        found = inspector.feed(stream[start : start + size])
        if found is not Held.HOLD:
            return found
    return Held.HOLD


class FirstEvents(SynchronousTestCase):
    """An answer is let go, an error is not."""

    def failed(self, stream: bytes) -> ProxyError:
        """Insist that a stream fails over."""
        found = verdict(stream)
        self.assertIsInstance(found, ProxyError, stream)
        assert isinstance(found, ProxyError)
        return found

    def test_an_answer_is_released_at_its_first_event(self) -> None:
        for stream in (
            STARTED,
            frame({"id": "chatcmpl-1", "choices": [], "error": None}),
            frame({"type": "response.created", "response": {"error": None}}, "response.created"),
            b"data: [DONE]\n\n",
            b'data: not JSON, though it says "error"\n\n',
            b'data: ["error"]\n\n',
            frame({"type": "of_tomorrow"}, "of_tomorrow"),
        ):
            self.assertIs(verdict(stream), Held.RELEASE, stream)
            self.assertIs(verdict(stream[:-1]), Held.HOLD, stream)

    def test_pings_and_comments_decide_nothing(self) -> None:
        noise = b": hello\n\n" + PING + frame({"type": "ping"}) + b"retry: 5\n\n"
        self.assertIs(verdict(noise), Held.HOLD)
        self.assertIs(verdict(noise + STARTED), Held.RELEASE)
        self.assertIsInstance(verdict(noise + OVERLOADED), ProxyError)

    def test_only_the_first_event_counts(self) -> None:
        self.assertIs(verdict(STARTED + OVERLOADED), Held.RELEASE)

    def test_anthropic_errors(self) -> None:
        error = self.failed(OVERLOADED)
        self.assertEqual((error.kind, error.message), (Kind.OVERLOADED, "Overloaded"))
        for name, kind in (
            ("rate_limit_error", Kind.RATE_LIMIT),
            ("api_error", Kind.API),
            ("timeout_error", Kind.API),
        ):
            stream = frame({"type": "error", "error": {"type": name, "message": "m"}}, "error")
            self.assertIs(self.failed(stream).kind, kind)

    def test_openai_errors(self) -> None:
        for error, kind in (
            ({"message": "m", "type": "server_error", "code": None}, Kind.API),
            ({"message": "m", "type": "rate_limit_exceeded"}, Kind.RATE_LIMIT),
            ({"message": "m", "type": "insufficient_quota"}, Kind.RATE_LIMIT),
            ({"message": "m", "code": 502}, Kind.API),
            ({"message": "m", "code": "529"}, Kind.OVERLOADED),
            ({"message": "m", "type": "InternalServerError", "code": 500}, Kind.API),
            ({"message": "m"}, Kind.API),
            ("out of order", Kind.API),
        ):
            self.assertIs(self.failed(frame({"error": error})).kind, kind, error)

    def test_responses_errors(self) -> None:
        flat = {"type": "error", "code": "server_error", "message": "m", "sequence_number": 0}
        self.assertEqual(self.failed(frame(flat, "error")).message, "m")
        ended = {
            "type": "response.failed",
            "response": {"error": {"code": "rate_limit_exceeded", "message": "m"}},
        }
        self.assertIs(self.failed(frame(ended, "response.failed")).kind, Kind.RATE_LIMIT)

    def test_an_error_of_the_request_is_the_callers(self) -> None:
        for error in (
            {"type": "invalid_request_error", "message": "m"},
            {"type": "authentication_error", "message": "m"},
            {"type": "BadRequestError", "code": 400, "message": "m"},
            {"type": "invalid_request_error", "code": "context_length_exceeded"},
            {"type": "error", "code": 404},
        ):
            stream = frame({"type": "error", "error": error}, "error")
            self.assertIs(verdict(stream), Held.RELEASE, error)

    def test_what_is_held_is_bounded(self) -> None:
        self.assertIs(verdict(b": x\n" * (MOST_HELD // 4)), Held.RELEASE)
        self.assertIs(verdict(b"data: " + b"x" * MOST_HELD), Held.RELEASE)

    def test_the_end_decides_what_is_left(self) -> None:
        inspector = FirstEvent()
        self.assertIs(inspector.feed(OVERLOADED[:-1]), Held.HOLD)
        self.assertIsInstance(inspector.close(), ProxyError)
        self.assertIs(FirstEvent().close(), Held.RELEASE)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(1, 40), st.sampled_from([STARTED, OVERLOADED, PING + OVERLOADED]))
    def test_cuts_do_not_matter(self, size: int, stream: bytes) -> None:
        whole, cut = verdict(stream), verdict(stream, size)
        self.assertEqual(str(whole), str(cut))

    @settings(deadline=None, max_examples=200)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "type", "code", "response", "message", "status"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        )
    )
    def test_no_content_raises(self, content: object) -> None:
        for event in ("", "error", "response.failed"):
            self.assertNotEqual(verdict(frame(content, event) + STARTED), Held.HOLD)
