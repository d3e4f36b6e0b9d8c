"""Every answer of every vendor, read by the SDK of every caller: see :mod:`.answers`."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from tests.conformance.answers import ANSWERS
from tests.conformance.readers import (
    MESSAGE_READERS,
    MISSING,
    STREAM_READERS,
    Reading,
    arguments_of,
)
from tests.conformance.scripts import BODIES, STREAMS, Answer
from tests.conformance.translation import (
    PAIRS,
    RESPONSE_ID,
    translate_body,
    translate_stream,
)

_TOLD = {
    "openai_chat": {"stop_sequence": "end_turn", "context_window": "max_tokens"},
    "openai_responses": {"stop_sequence": "end_turn", "context_window": "max_tokens"},
}
"""What an upstream can tell of a reason to stop, where that is less than Anthropic tells."""

SHOWN = {
    "anthropic": {"context_window": "model_context_window_exceeded"},
    "openai_chat": {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "pause_turn": "stop",
        "max_tokens": "length",
        "context_window": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    },
    "openai_responses": {
        "end_turn": "completed",
        "stop_sequence": "completed",
        "pause_turn": "completed",
        "tool_use": "completed",
        "max_tokens": "max_output_tokens",
        "context_window": "max_output_tokens",
        "refusal": "content_filter",
    },
}
"""How a caller is told."""


class AnswersTests(SynchronousTestCase):
    """One test for each answer, upstream, caller, streaming and not."""

    skip = MISSING

    def check(
        self, answer: Answer, upstream: DialectName, caller: DialectName, reading: Reading
    ) -> None:
        """Compare what the SDK read with what the vendor said."""
        self.assertIsNone(reading.error)
        self.assertEqual(reading.model, "shown-model")
        self.assertEqual(reading.response_id, RESPONSE_ID)
        text, refusal = answer.text, answer.refusal
        stop: str = "refusal" if refusal else answer.stop
        stop = _TOLD.get(upstream, {}).get(stop, stop)
        shown = SHOWN[caller].get(stop, stop)
        if caller == "anthropic":
            text, refusal = text + refusal, ""
        elif caller == "openai_responses" and refusal:
            shown = "completed"
        elif caller == "openai_chat" and refusal:
            shown = "stop"
        self.assertEqual(reading.text, text)
        self.assertEqual(reading.refusal, refusal)
        self.assertEqual(reading.thinking, answer.thinking)
        self.assertEqual(
            reading.calls,
            [(c.id, c.name, arguments_of("".join(c.pieces) or "{}")) for c in answer.calls],
        )
        self.assertEqual(reading.stop, shown)
        self.check_usage(answer, reading)

    def check_usage(self, answer: Answer, reading: Reading) -> None:
        """Compare token counts; a vendor that reported none leaves nothing or zeros."""
        usage = answer.usage or (0, 0, 0, 0, 0)
        names = ("input", "output", "cache_read", "cache_write", "reasoning")
        expected = dict(zip(names, usage, strict=True))
        if answer.usage is None and not reading.usage:
            return
        self.assertEqual({"reasoning": 0} | reading.usage, expected)


def _streaming(
    answer: Answer, upstream: DialectName, caller: DialectName
) -> Callable[[AnswersTests], None]:
    def test(self: AnswersTests) -> None:
        body = STREAMS[upstream](answer)
        translated = translate_stream(upstream, caller, body)
        self.check(answer, upstream, caller, STREAM_READERS[caller](translated))
        for size in (1, 17):
            self.assertEqual(translate_stream(upstream, caller, body, size), translated)

    return test


def _whole(
    answer: Answer, upstream: DialectName, caller: DialectName
) -> Callable[[AnswersTests], None]:
    def test(self: AnswersTests) -> None:
        translated = translate_body(upstream, caller, BODIES[upstream](answer))
        self.check(answer, upstream, caller, MESSAGE_READERS[caller](translated))

    return test


def _add_tests() -> None:
    for answer in ANSWERS:
        for upstream, caller in PAIRS:
            if upstream in answer.upstreams:
                name = f"{answer.name.replace(' ', '_')}_{upstream}_to_{caller}"
                setattr(AnswersTests, f"test_stream_{name}", _streaming(answer, upstream, caller))
                setattr(AnswersTests, f"test_whole_{name}", _whole(answer, upstream, caller))


_add_tests()
