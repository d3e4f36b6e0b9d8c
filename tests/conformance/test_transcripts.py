"""Streams as upstreams really send them, oddities included, read by the SDK of every caller.

A stream's transcript is ``tests/data/transcripts/UPSTREAM/NAME.sse``: an upstream's bytes, before which an
SSE comment says in JSON what a caller has to get:

* ``text``, ``thinking``, ``refusal``: all of it; ``calls``: ``[id, name, arguments]`` each, where
  an id of ``""`` means that the upstream gave none, so that any unique one will do;
* ``stop``: the reason in Anthropic's words; ``usage``: token counts, absent ones are 0;
* ``error``: the :class:`~clawproxy.core.errors.Kind`; ``text`` is then what came before it;
* ``foreign``: there are blocks that the vendor's own SDK does not know, so that it is not asked;
* ``invalid``: the arguments are no JSON, so a caller's SDK may not be able to show them.

A whole answer's transcript is ``NAME.json``: ``expect``, in the same words, and ``body``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.errors import Kind, ProxyError
from tests.conformance.readers import (
    MESSAGE_READERS,
    MISSING,
    STREAM_READERS,
    Reading,
    frames_of,
)
from tests.conformance.test_answers import SHOWN
from tests.conformance.translation import translate_body, translate_stream

TRANSCRIPTS = Path(__file__).parent.parent / "data" / "transcripts"


def spoken(caller: DialectName, frames: list[tuple[str, Any]]) -> str:
    """Give the words in a translated stream's deltas, whether or not the SDK got to its end."""
    words = []
    for name, data in frames:
        if caller == "anthropic" and name == "content_block_delta":
            words.append(data["delta"].get("text", ""))
        elif caller == "openai_responses" and name == "response.output_text.delta":
            words.append(data["delta"])
        elif caller == "openai_chat" and data != "[DONE]":
            for choice in data.get("choices", ()):
                words.append(choice["delta"].get("content") or "")
    return "".join(words)


def arguments_sent(caller: DialectName, frames: list[tuple[str, Any]]) -> str:
    """Give all pieces of arguments in a translated stream."""
    pieces = []
    for name, data in frames:
        if caller == "anthropic" and name == "content_block_delta":
            pieces.append(data["delta"].get("partial_json", ""))
        elif caller == "openai_responses" and name == "response.function_call_arguments.delta":
            pieces.append(data["delta"])
        elif caller == "openai_chat" and data != "[DONE]":
            for choice in data.get("choices", ()):
                for call in choice["delta"].get("tool_calls", ()):
                    pieces.append(call["function"].get("arguments", ""))
    return "".join(pieces)


class TranscriptsTests(SynchronousTestCase):
    """One test for each transcript and caller."""

    skip = MISSING

    def check_error(self, expected: dict[str, Any], caller: DialectName, body: bytes) -> None:
        """The caller learns of the failure, after the words that had come, and takes no answer."""
        kind = Kind[expected["error"]]
        frames = frames_of(body)
        self.assertEqual(spoken(caller, frames), expected.get("text", ""))
        reading = STREAM_READERS[caller](body)
        if caller == "anthropic":
            self.assertEqual(reading.error, kind.anthropic_type)
            self.assertEqual(frames[-1][0], "error")
            self.assertNotIn("message_stop", [name for name, _ in frames])
        elif caller == "openai_chat":
            self.assertEqual(reading.error, kind.openai_type)
            self.assertNotIn("[DONE]", [data for _, data in frames])
            self.assertIsNone(reading.stop)
        else:
            self.assertTrue(reading.error)
            self.assertEqual(frames[-1][0], "error")
            self.assertNotIn("response.completed", [name for name, _ in frames])

    def check_answer(self, expected: dict[str, Any], caller: DialectName, body: bytes) -> None:
        """The caller gets the answer, whole and once."""
        if expected.get("invalid") and caller == "anthropic":
            self.check_invalid(expected, caller, body)
            return
        self.check_reading(expected, caller, STREAM_READERS[caller](body), body)

    def check_reading(
        self, expected: dict[str, Any], caller: DialectName, reading: Reading, body: bytes
    ) -> None:
        """What the SDK read is what the transcript says."""
        self.assertIsNone(reading.error)
        text, refusal = expected.get("text", ""), expected.get("refusal", "")
        shown = SHOWN[caller].get(expected["stop"], expected["stop"])
        if refusal and not text and caller != "anthropic":  # refused in words, not by a filter
            shown = "completed" if caller == "openai_responses" else "stop"
        if caller == "anthropic" and refusal:
            if f'"explanation":{json.dumps(refusal)}' not in body.decode():
                text += refusal  # else it stands in stop_details
            refusal = ""
        self.assertEqual(reading.text, text)
        self.assertEqual(reading.refusal, refusal)
        self.assertEqual(reading.thinking, expected.get("thinking", ""))
        self.assertEqual(reading.stop, shown)
        self.check_calls(expected.get("calls", []), reading)
        if "usage" in expected:
            counts = {name: value for name, value in reading.usage.items() if value}
            self.assertEqual(counts, expected["usage"])

    def check_calls(self, expected: list[list[Any]], reading: Reading) -> None:
        """Compare the calls, made-up ids aside."""
        found = [
            (given[0] and identifier, name, arguments)
            for given, (identifier, name, arguments) in zip(expected, reading.calls, strict=True)
        ]
        self.assertEqual(found, [tuple(call) for call in expected])
        identifiers = [identifier for identifier, _, _ in reading.calls]
        self.assertEqual(len(set(identifiers)), len(identifiers))
        self.assertNotIn("", identifiers)

    def check_invalid(self, expected: dict[str, Any], caller: DialectName, body: bytes) -> None:
        """Arguments that are no JSON go out as they came."""
        frames = frames_of(body)
        self.assertEqual(
            arguments_sent(caller, frames), "".join(call[2] for call in expected["calls"])
        )
        self.assertEqual(frames[-1][0], "message_stop")


def _test(path: Path, caller: DialectName) -> Callable[[TranscriptsTests], None]:
    upstream: DialectName = path.parent.name  # type: ignore[assignment]

    def test(self: TranscriptsTests) -> None:
        head, _, body = path.read_bytes().partition(b"\n\n")
        expected = json.loads(head.removeprefix(b": "))
        translated = translate_stream(upstream, caller, body)
        if expected.get("foreign") and upstream == caller:
            self.assertIn(b"event: message_stop", translated)
        elif "error" in expected:
            self.check_error(expected, caller, translated)
        else:
            self.check_answer(expected, caller, translated)
        for size in (1, 7):
            self.assertEqual(translate_stream(upstream, caller, body, size), translated)

    return test


def _whole(path: Path, caller: DialectName) -> Callable[[TranscriptsTests], None]:
    upstream: DialectName = path.parent.name  # type: ignore[assignment]

    def test(self: TranscriptsTests) -> None:
        found = json.loads(path.read_bytes())
        expected, body = found["expect"], json.dumps(found["body"]).encode()
        if "error" in expected:
            error = self.assertRaises(ProxyError, translate_body, upstream, caller, body)
            self.assertEqual(error.kind, Kind[expected["error"]])
            return
        translated = translate_body(upstream, caller, body)
        if expected.get("foreign") and upstream == caller:
            self.assertIn(b"stop_reason", translated)
        else:
            self.check_reading(expected, caller, MESSAGE_READERS[caller](translated), translated)

    return test


def _add_tests() -> None:
    for path in sorted(TRANSCRIPTS.glob("*/*.sse")):
        for caller in DIALECTS:
            name = f"{path.parent.name}_{path.stem}_to_{caller}"
            setattr(TranscriptsTests, f"test_stream_{name}", _test(path, caller))
    for path in sorted(TRANSCRIPTS.glob("*/*.json")):
        for caller in DIALECTS:
            name = f"{path.parent.name}_{path.stem}_to_{caller}"
            setattr(TranscriptsTests, f"test_whole_{name}", _whole(path, caller))


_add_tests()
