"""Taps: usage, errors and ends of every dialect, for any cut, in bounded memory, cheaply."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.message_chat import ChatAccumulator
from clawproxy.core.record import Usage
from clawproxy.core.tap import MAX_FRAME, BodyTap, StreamTap, Summary


def frame(value: object, *, named: bool = True) -> bytes:
    """Write an event, named by its type unless told otherwise."""
    name = f"event: {value['type']}\n" if named and isinstance(value, dict) else ""
    data = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return f"{name}data: {data}\n\n".encode()


def anthropic(text: str = "hi") -> list[bytes]:
    """Give an Anthropic stream."""
    return [
        frame(
            {
                "type": "message_start",
                "message": {
                    "model": "claude-opus-5",
                    "usage": {
                        "input_tokens": 10,
                        "cache_read_input_tokens": 5,
                        "cache_creation_input_tokens": 3,
                        "output_tokens": 1,
                    },
                },
            }
        ),
        *(
            frame(
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": text},
                }
            )
            for _ in range(5)
        ),
        frame(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {
                    "output_tokens": 42,
                    "input_tokens": None,
                    "output_tokens_details": {"thinking_tokens": 4},
                },
            }
        ),
        frame({"type": "message_stop"}),
    ]


def chat(text: str = "hi") -> list[bytes]:
    """Give a Chat Completions stream."""

    def chunk(delta: object, reason: str | None, **more: object) -> bytes:
        return frame(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "model": "gpt-5",
                "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
                "usage": None,
                **more,
            },
            named=False,
        )

    usage = {
        "prompt_tokens": 18,
        "completion_tokens": 42,
        "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    return [
        chunk({"role": "assistant"}, None),
        *(chunk({"content": text}, None) for _ in range(5)),
        chunk({}, "stop"),
        chunk({}, None, choices=[], usage=usage),
        frame("[DONE]"),
    ]


def responses(text: str = "hi") -> list[bytes]:
    """Give a Responses stream."""
    usage = {
        "input_tokens": 18,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
        "output_tokens": 42,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    response: dict[str, object] = {"id": "resp_1", "model": "gpt-5", "error": None, "output": []}
    return [
        frame({"type": "response.created", "response": {**response, "status": "in_progress"}}),
        *(frame({"type": "response.output_text.delta", "delta": text}) for _ in range(5)),
        frame(
            {
                "type": "response.completed",
                "response": {
                    **response,
                    "status": "completed",
                    "output": [{"content": [{"type": "output_text", "text": text * 5}]}],
                    "usage": usage,
                    "metadata": {},
                },
            }
        ),
    ]


STREAMS: dict[DialectName, Callable[[str], list[bytes]]] = {
    "anthropic": anthropic,
    "openai_chat": chat,
    "openai_responses": responses,
}
EXPECTED: dict[DialectName, Summary] = {
    "anthropic": Summary(Usage(10, 42, 5, 3, 4), None, "claude-opus-5", "end_turn", True),
    "openai_chat": Summary(Usage(10, 42, 5, 3, 4), None, "gpt-5", "stop", True),
    "openai_responses": Summary(Usage(10, 42, 5, 3, 4), None, "gpt-5", "completed", True),
}


def tap(dialect: DialectName | None, *pieces: bytes) -> Summary:
    """Feed the pieces and close."""
    stream = StreamTap(dialect)
    for piece in pieces:
        stream.feed(piece)
    return stream.close()


class StreamTapTests(SynchronousTestCase):
    """:class:`StreamTap` beside streams of every dialect."""

    def test_each_dialect(self) -> None:
        """Usage, model, reason and end are found, frame by frame and in one piece."""
        for dialect, stream in STREAMS.items():
            self.assertEqual(tap(dialect, *stream("hi")), EXPECTED[dialect])
            self.assertEqual(tap(dialect, b"".join(stream("hi"))), EXPECTED[dialect])

    def test_usage_elsewhere(self) -> None:
        """Moonshot tells the usage in the choice, Groq in a member of its own, to callers who did not ask for it."""
        told = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
        ending: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}
        for last in (
            {"model": "m", "choices": [ending | {"usage": told}]},
            {"model": "m", "choices": [ending], "x_groq": {"id": "r", "usage": told}},
        ):
            stream = b"data: " + json.dumps(last).encode() + b"\n\n"
            summary = tap("openai_chat", stream, b"data: [DONE]\n\n")
            self.assertEqual(summary.usage, Usage(9, 4, complete=True))
            accumulator = ChatAccumulator()
            accumulator.feed(stream)
            self.assertEqual(accumulator.close().usage, Usage(9, 4, complete=True))

    def test_ended(self) -> None:
        """The end is told once it has come, but not where an error was told."""
        error = frame({"type": "error", "error": {"type": "api_error", "message": "no"}})
        for dialect, make in STREAMS.items():
            pieces = make("hi")
            for told in ([], [error]):
                stream = StreamTap(dialect)
                for piece in (*pieces[:6], *told):
                    stream.feed(piece)
                self.assertFalse(stream.ended)
                for piece in pieces[6:]:
                    stream.feed(piece)
                self.assertEqual(stream.ended, not told, dialect)

    def test_line_ends_and_spacing(self) -> None:
        """Other line ends and JSON written with spaces change nothing."""
        for dialect, stream in STREAMS.items():
            for end in (b"\r\n", b"\r"):
                pieces = [piece.replace(b"\n", end) for piece in stream("hi")]
                self.assertEqual(tap(dialect, *pieces), EXPECTED[dialect])
            spaced = [
                piece.replace(b'":', b'": ').replace(b'": [', b'":  [') for piece in stream("hi")
            ]
            self.assertEqual(tap(dialect, *spaced), EXPECTED[dialect])

    def test_misleading_text(self) -> None:
        """Text that reads like an event's end or error is only text."""
        text = 'error "usage":{"output_tokens":7} message_stop [DONE] "response" fallback'
        for dialect, stream in STREAMS.items():
            self.assertEqual(tap(dialect, *stream(text)), EXPECTED[dialect])

    @settings(deadline=None, max_examples=100)
    @given(
        st.sampled_from(sorted(STREAMS)),
        st.sampled_from(["hi", "error", 'usage":{', "message_stop\n\n"]),
        st.lists(st.integers(0, 3000), max_size=10),
        st.sampled_from([b"\n", b"\r\n", b"\r"]),
    )
    def test_any_cut(self, dialect: DialectName, text: str, points: list[int], end: bytes) -> None:
        """Any cut gives the same."""
        stream = b"".join(STREAMS[dialect](text)).replace(b"\n", end)
        places = sorted({point % (len(stream) + 1) for point in points})
        pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
        self.assertEqual(tap(dialect, *pieces), EXPECTED[dialect])

    def test_byte_by_byte(self) -> None:
        """The worst cut of all."""
        for dialect, stream in STREAMS.items():
            whole = b"".join(stream("hi"))
            self.assertEqual(
                tap(dialect, *[whole[i : i + 1] for i in range(len(whole))]), EXPECTED[dialect]
            )

    def test_cut_off(self) -> None:
        """A stream that broke off keeps the usage seen so far, flagged incomplete."""
        summary = tap("anthropic", *anthropic()[:4], b"event: content_blo")
        self.assertEqual(
            summary, Summary(Usage(10, 1, 5, 3, complete=False), None, "claude-opus-5", None, False)
        )
        self.assertEqual(tap("openai_chat", *chat()[:4]), Summary(None, None, "gpt-5"))

    def test_unended_last_frame(self) -> None:
        """A last frame without its blank line counts."""
        self.assertEqual(tap("openai_chat", *chat()[:-1], b"data: [DONE]"), EXPECTED["openai_chat"])

    def test_errors(self) -> None:
        """An in-band error is told in each dialect's shapes, and the usage is incomplete."""
        overloaded = {"type": "overloaded_error", "message": "Overloaded"}
        cases: list[tuple[DialectName, bytes, str]] = [
            ("anthropic", frame({"type": "error", "error": overloaded}), "Overloaded"),
            ("anthropic", b"event: error\ndata: fell over\n\n", "fell over"),
            ("openai_chat", frame({"error": {"message": "no"}}, named=False), "no"),
            ("openai_chat", frame({"error": "plain"}, named=False), "plain"),
            (
                "openai_responses",
                frame({"type": "error", "code": "server_error", "message": "bad"}),
                "bad",
            ),
            (
                "openai_responses",
                frame(
                    {
                        "type": "response.failed",
                        "response": {"status": "failed", "error": {"code": "x", "message": "m"}},
                    }
                ),
                "m",
            ),
        ]
        for dialect, error, words in cases:
            stream = STREAMS[dialect]("hi")[:3]
            summary = tap(dialect, *stream, error)
            self.assertEqual(summary.error, words)
            if summary.usage is not None:
                self.assertFalse(summary.usage.complete)
            self.assertEqual(tap(dialect, error).error, words)

    def test_fallback_model(self) -> None:
        """A fallback block names the model that served in the end."""
        block = {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "fallback", "to": {"model": "claude-haiku-5"}},
        }
        stream = anthropic()
        self.assertEqual(
            tap("anthropic", *stream[:4], frame(block), *stream[4:]).model, "claude-haiku-5"
        )

    def test_incomplete_response(self) -> None:
        """The reason of an incomplete response is the stop reason."""
        response = {
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "usage": {"input_tokens": 1, "output_tokens": 2},
        }
        summary = tap(
            "openai_responses", frame({"type": "response.incomplete", "response": response})
        )
        self.assertEqual((summary.stop_reason, summary.saw_end), ("max_output_tokens", True))

    def test_large_final_frame(self) -> None:
        """Of a final frame beyond what is kept, usage and model are still found."""
        whole = b"".join(responses("x" * MAX_FRAME))
        for size in (1000, 30_000):
            pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
            self.assertEqual(tap("openai_responses", *pieces), EXPECTED["openai_responses"])

    def test_bounded(self) -> None:
        """A frame of 20 MiB leaves little more than the bound in memory, and takes little time."""
        stream = StreamTap("anthropic")
        stream.feed(b"event: content_block_delta\ndata: ")
        started = time.perf_counter()
        for _ in range(20_000):
            stream.feed(b"x" * 1024)
        self.assertLess(time.perf_counter() - started, 2)
        self.assertLess(sum(map(len, stream._ends._pieces)), MAX_FRAME + 2048)
        for piece in (b"\n\n", *anthropic()):
            stream.feed(piece)
        self.assertEqual(stream.close(), EXPECTED["anthropic"])

    def test_usage_that_never_ends(self) -> None:
        """The end of a large body of a hostile upstream does not keep the proxy from its other work."""
        body = BodyTap("openai_chat")
        for _ in range(40):
            body.feed(b'"usage":{' * 7000)
        started = time.process_time()
        self.assertIsNone(body.close().usage)
        self.assertLess(time.process_time() - started, 1)

    def test_unknown_dialect(self) -> None:
        """Without a dialect nothing is read."""
        self.assertEqual(tap(None, *anthropic()), Summary())

    @settings(deadline=None, max_examples=200)
    @given(
        st.sampled_from(sorted(STREAMS)),
        st.lists(
            st.one_of(
                st.binary(max_size=30),
                st.sampled_from(
                    [
                        b"event: error\ndata: ",
                        b'data: {"type":"message_start","message":[]}\n\n',
                        b'data: {"type":"message_delta","delta":1,"usage":[1]}\n\n',
                        b'data: {"choices":[1,{"finish_reason":2}],"usage":{"prompt_tokens":"x",'
                        b'"prompt_tokens_details":3}}\n\n',
                        b'data: {"choices":{},"error":[],"usage":{"prompt_tokens":1e999}}\n\n',
                        b'data: {"type":"response.completed","response":{"usage":{"input_tokens":'
                        b'-5,"output_tokens":99999999999999999999999},"incomplete_details":[]}}\n\n',
                        b'data: {"response":null,"type":7}\n\n',
                        b"data: [DONE]\n\n",
                        b"\n\n",
                    ]
                ),
            ),
            max_size=8,
        ),
    )
    def test_hostile(self, dialect: DialectName, pieces: list[bytes]) -> None:
        """Nothing raises, and counts stay within what a database holds."""
        usage = tap(dialect, *pieces).usage
        if usage is not None:
            for tokens in (usage.input_tokens, usage.output_tokens):
                self.assertTrue(0 <= tokens < 2**63)


BODIES: dict[DialectName, dict[str, Any]] = {
    "anthropic": {
        "type": "message",
        "model": "claude-opus-5",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 10,
            "output_tokens": 42,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 3,
            "output_tokens_details": {"thinking_tokens": 4},
        },
    },
    "openai_chat": {
        "model": "gpt-5",
        "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 18,
            "completion_tokens": 42,
            "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
    },
    "openai_responses": {
        "model": "gpt-5",
        "status": "completed",
        "error": None,
        "output": [],
        "usage": {
            "input_tokens": 18,
            "output_tokens": 42,
            "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
            "output_tokens_details": {"reasoning_tokens": 4},
        },
    },
}


class BodyTapTests(SynchronousTestCase):
    """:class:`BodyTap` beside JSON answers."""

    def read(self, dialect: DialectName | None, body: bytes, limit: int = 10**6) -> Summary:
        """Feed the body in pieces and close."""
        body_tap = BodyTap(dialect, limit)
        for start in range(0, len(body), 100):
            body_tap.feed(body[start : start + 100])
        return body_tap.close()

    def test_each_dialect(self) -> None:
        """The same facts as of a stream."""
        for dialect, value in BODIES.items():
            self.assertEqual(self.read(dialect, json.dumps(value).encode()), EXPECTED[dialect])

    def test_errors(self) -> None:
        """Error bodies in both vendors' shapes, of a known dialect or not."""
        bodies = {
            b'{"type":"error","error":{"type":"not_found_error","message":"gone"}}': "gone",
            b'{"error":{"message":"no key","code":"invalid_api_key"}}': "no key",
            b'{"error":"plain"}': "plain",
            b'[{\n  "error": {"code": 400, "message": "odd", "status": "INVALID_ARGUMENT"}}]\n': "odd",
        }
        for body, words in bodies.items():
            for dialect in (*BODIES, None):
                self.assertEqual(self.read(dialect, body).error, words)

    def test_not_json(self) -> None:
        """A page of HTML, nothing at all, or half a body gives nothing."""
        for body in (b"<html>", b"", b"[1]", b'{"usage":{"input_tokens":1}'):
            self.assertEqual(self.read("anthropic", body), Summary())

    def test_too_large(self) -> None:
        """Of a body beyond the limit, usage and model are found at its ends."""
        value = dict(BODIES["anthropic"])
        value["content"] = [{"type": "text", "text": "x" * 100_000}]
        summary = self.read("anthropic", json.dumps(value).encode(), limit=50_000)
        self.assertEqual(summary.usage, Usage(10, 42, 5, 3, 4))
        self.assertEqual(summary.model, "claude-opus-5")
