"""Frames in and out, also those that no JSON reader likes."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.upstream.openclaw.frames import (
    Event,
    FrameError,
    Response,
    count,
    decode,
    encode_request,
    number,
    scrub,
    text,
)


class Decoding(SynchronousTestCase):
    """Text to values."""

    def test_event(self) -> None:
        frame = decode('{"type":"event","event":"tick","payload":{"ts":1},"seq":4}')
        self.assertEqual(frame, Event("tick", {"ts": 1}))

    def test_response(self) -> None:
        frame = decode('{"type":"res","id":"1","ok":true,"payload":{"a":1}}')
        self.assertEqual(frame, Response("1", True, {"a": 1}))

    def test_array(self) -> None:
        frame = decode('{"type":"res","id":"1","ok":true,"payload":[1]}')
        assert isinstance(frame, Response)
        self.assertEqual(frame.payload, {"items": [1]})

    def test_error(self) -> None:
        frame = decode(
            '{"type":"res","id":"1","ok":false,"error":{"code":"UNAVAILABLE","message":"later",'
            '"retryAfterMs":500,"details":{"code":"X"}}}'
        )
        assert isinstance(frame, Response) and frame.error is not None
        self.assertEqual(frame.error.retry_after, 0.5)
        self.assertEqual(frame.error.detail_code, "X")

    def test_lone_surrogate(self) -> None:
        """Node escapes half an emoji; msgspec refuses it, and the text must come through."""
        frame = decode('{"type":"event","event":"agent","payload":{"text":"a\\ud83d"}}')
        assert isinstance(frame, Event)
        self.assertEqual(frame.payload["text"], "a\ud83d")

    def test_not_a_number(self) -> None:
        frame = decode('{"type":"event","event":"x","payload":{"n":NaN}}')
        self.assertIsInstance(frame, Event)

    def test_unknown_type(self) -> None:
        self.assertIsNone(decode('{"type":"stream","data":1}'))
        self.assertIsNone(decode("{}"))

    def test_nonsense(self) -> None:
        for message in ("", "x", "[]", "7", "null", '"x"', "{"):
            self.assertRaises(FrameError, decode, message)

    @settings(max_examples=150, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["type", "id", "ok", "payload", "error", "event", "code"])
                    | st.text(max_size=3),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=12,
        )
    )
    def test_any_json(self, value: object) -> None:
        """Whatever JSON comes, it is a frame, nothing, or no frame; never another error."""
        try:
            frame = decode(json.dumps(value))
        except FrameError:
            self.assertNotIsInstance(value, dict)
        else:
            self.assertTrue(frame is None or isinstance(frame, Event | Response))


class Encoding(SynchronousTestCase):
    """Values to text."""

    def test_request(self) -> None:
        self.assertEqual(
            json.loads(encode_request("1", "agent", {"message": "é"})),
            {"type": "req", "id": "1", "method": "agent", "params": {"message": "é"}},
        )


class Reading(SynchronousTestCase):
    """Members that may be anything."""

    def test_wrong_types(self) -> None:
        self.assertEqual(text({"a": 1}, "a", "d"), "d")
        self.assertIsNone(number({"a": True}, "a"))
        self.assertIsNone(number({"a": "1"}, "a"))
        for wrong in (-1, "5", None, True, 2**70, [1]):
            self.assertEqual(count({"a": wrong}, "a"), 0)
        self.assertEqual(count({"a": 3.0}, "a"), 3)

    def test_scrub(self) -> None:
        self.assertEqual(scrub("a\ud83db"), "a\ufffdb")
        self.assertEqual(scrub("\ud83d\ude00"), "😀")
        self.assertEqual(scrub("plain é 😀"), "plain é 😀")
