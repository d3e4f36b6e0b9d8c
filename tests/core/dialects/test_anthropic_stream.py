"""Anthropic streams, read and written, as transcripts."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import sequence
from clawproxy.core.dialects.anthropic_encode import AnthropicEncoder
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    CitationAdded,
    Event,
    MessageStarted,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Stopped,
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    TokenUsage,
    ToolCallStarted,
    UsageReported,
)
from clawproxy.core.dialects.seal import unwrap
from clawproxy.core.dialects.upstream_error import unstopped
from clawproxy.core.errors import Kind, ProxyError
from tests.core.dialects.transcripts import events_of, frames, golden, turn, written

STOP = BlockStopped()


def event(kind: str, **fields: Any) -> bytes:
    """Return one frame."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields)}\n\n".encode()


def block(index: int, **content: Any) -> bytes:
    """Return the frame that begins a block."""
    return event("content_block_start", index=index, content_block=content)


def delta(index: int, **content: Any) -> bytes:
    """Return the frame of a delta."""
    return event("content_block_delta", index=index, delta=content)


END = event("message_delta", delta={"stop_reason": "end_turn"}) + event("message_stop")


class DecodeTests(SynchronousTestCase):
    """:class:`AnthropicDecoder`."""

    def test_thinking_and_calls(self) -> None:
        """All block types, pings, unknown events, exact numbers, usage in two places."""
        self.assertEqual(
            events_of("anthropic", golden("anthropic/thinking_and_calls.sse")),
            [
                MessageStarted("msg_01", "claude-opus-4-8"),
                UsageReported(TokenUsage(30, 1, 60, 10)),
                ThinkingStarted(),
                Ping(),
                ThinkingDelta("Two files."),
                SignatureDelta("EqQB", "anthropic"),
                STOP,
                TextStarted(),
                TextDelta("Reading “both”."),
                STOP,
                ToolCallStarted("toolu_1", "read"),
                ArgumentsDelta('{"offset": 12345678901234567890123, "ratio": 1.10}'),
                STOP,
                ToolCallStarted("toolu_2", "list"),
                STOP,
                UsageReported(TokenUsage(output_tokens=50, reasoning_tokens=20)),
                Stopped("tool_use"),
            ],
        )

    def test_errors_of_gateways(self) -> None:
        """Some tell an error without its event's name, as OpenAI does: its words are not lost."""
        start = b'event: message_start\ndata: {"type":"message_start","message":{"id":"a"}}\n\n'
        for fault, kind in (
            ({"message": "Busy.", "type": "server_error", "code": 429}, Kind.RATE_LIMIT),
            ({"message": "Busy.", "type": "overloaded_error"}, Kind.OVERLOADED),
        ):
            told = b"data: " + json.dumps({"error": fault}).encode() + b"\n\n"
            last = events_of("anthropic", start, told)[-1]
            assert isinstance(last, StreamFailed)
            self.assertEqual((last.error.message, last.error.kind), ("Busy.", kind))

    def test_error(self) -> None:
        """An in-band error keeps its type."""
        last = events_of("anthropic", golden("anthropic/overloaded.sse"))[-1]
        assert isinstance(last, StreamFailed)
        self.assertEqual((last.error.kind, last.error.message), (Kind.OVERLOADED, "Overloaded"))

    def test_unclean_ends(self) -> None:
        """Without ``message_stop`` the answer is not whole, even if it gave its reason."""
        whole = golden("anthropic/thinking_and_calls.sse")
        for cut in (b"", whole[:700], whole[: whole.index(b"event: message_stop")]):
            last = events_of("anthropic", cut)[-1]
            assert isinstance(last, StreamFailed)
            self.assertEqual(last.error.kind, Kind.UPSTREAM_UNREACHABLE)

    def test_nothing_after_the_end(self) -> None:
        """Bytes after the terminal event are passed over."""
        events = events_of("anthropic", END + event("ping") + b"junk")
        self.assertEqual(events, [Stopped("end_turn")])

    def test_input_without_deltas(self) -> None:
        """A call whose input came with its start keeps it."""
        stream = block(0, type="tool_use", id="a", name="f", input={"n": 1})
        events = events_of("anthropic", stream + event("content_block_stop", index=0) + END)
        self.assertEqual(events[1], ArgumentsDelta('{"n": 1}'))

    def test_inputs_of_imitators(self) -> None:
        """A string, and what holds nothing, in a stream and without one."""
        for given, meant in (
            (None, ""),
            ("", ""),
            ({}, ""),
            ("null", ""),
            ('{"n": 1}', '{"n": 1}'),
        ):
            call: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "f", "input": given}
            stopped = event("content_block_stop", index=0)
            body = {"type": "message", "content": [call], "stop_reason": "tool_use"}
            for events in (
                events_of("anthropic", block(0, **call) + stopped + END),
                DIALECTS["anthropic"].parse_response(json.dumps(body).encode()),
            ):
                found = [each.text for each in events if isinstance(each, ArgumentsDelta)]
                self.assertEqual("".join(found), meant)

    def test_bounds(self) -> None:
        """An upstream that never ends a block fails before memory does."""
        self.patch(sequence, "MAX_WAITING", 1000)
        stream = block(0, type="text") + block(1, type="text")
        more = delta(1, type="text_delta", text="x" * 500)
        failed = events_of("anthropic", stream + more + more)[-1]
        assert isinstance(failed, StreamFailed)
        self.assertEqual(failed.error.message, unstopped().message)

    def test_a_call_that_begins_twice(self) -> None:
        """It is one call: a second would be run with no arguments."""
        start = block(0, type="tool_use", id="a", name="f", input={})
        piece = delta(0, type="input_json_delta", partial_json='{"n":1}')
        stop = event("content_block_stop", index=0)
        other = block(0, type="tool_use", id="b", name="f", input={})
        events = events_of("anthropic", start + start + piece + stop + other + stop + END)
        one = [ToolCallStarted("a", "f"), ArgumentsDelta('{"n":1}'), STOP]
        self.assertEqual(events[:-1], [*one, ToolCallStarted("b", "f"), STOP])

    def test_muddled_blocks(self) -> None:
        """Missing, double and foreign stops, and deltas to nowhere, give clean blocks."""
        stream = (
            block(0, type="text", text="a")
            + block(1, type="tool_use", id="t", name="f", input={})
            + delta(1, type="input_json_delta", partial_json="{}")
            + delta(0, type="text_delta", text="b")
            + event("content_block_stop", index=7)
            + event("content_block_stop", index=0)
            + event("content_block_stop", index=0)
            + delta(0, type="text_delta", text="late")
            + block(1, type="text", text="c")
            + END
        )
        self.assertEqual(
            events_of("anthropic", stream),
            [
                TextStarted(),
                TextDelta("a"),
                TextDelta("b"),
                STOP,
                ToolCallStarted("t", "f"),
                ArgumentsDelta("{}"),
                STOP,
                TextStarted(),
                TextDelta("c"),
                STOP,
                Stopped("end_turn"),
            ],
        )

    def test_foreign_blocks(self) -> None:
        """Server tools stay whole; citations keep their form; hidden thinking keeps its data."""
        stream = (
            block(0, type="server_tool_use", id="s", name="web_search", input={})
            + delta(0, type="input_json_delta", partial_json='{"query":"x"}')
            + event("content_block_stop", index=0)
            + block(1, type="redacted_thinking", data="zzz")
            + event("content_block_stop", index=1)
            + block(2, type="text", text="")
            + delta(
                2, type="citations_delta", citation={"url": "u", "title": "t", "cited_text": "c"}
            )
            + delta(2, type="novelty_delta", of="tomorrow")
            + event("content_block_stop", index=2)
            + END
        )
        events = events_of("anthropic", stream)
        assert isinstance(events[0], OpaqueBlock)
        self.assertEqual(events[0].kind, "server_tool_use")
        self.assertEqual(events[1:3], [ThinkingStarted(redacted="zzz"), STOP])
        citation = events[4]
        assert isinstance(citation, CitationAdded)
        self.assertEqual((citation.url, citation.title, citation.cited), ("u", "t", "c"))

    def test_stop_reasons(self) -> None:
        """Every reason of the API has its neutral word; details of a refusal are kept."""
        for said, meant in {
            "end_turn": "end_turn",
            "max_tokens": "max_tokens",
            "tool_use": "tool_use",
            "pause_turn": "pause_turn",
            "compaction": "pause_turn",
            "model_context_window_exceeded": "context_window",
            "novelty": "end_turn",
        }.items():
            stream = event("message_delta", delta={"stop_reason": said}) + event("message_stop")
            self.assertEqual(events_of("anthropic", stream), [Stopped(meant)])  # type: ignore[arg-type]
        details = {"type": "refusal", "category": "bio", "explanation": "No."}
        stream = event(
            "message_delta", delta={"stop_reason": "refusal", "stop_details": details}
        ) + event("message_stop")
        self.assertEqual(events_of("anthropic", stream), [Stopped("refusal", None, "No.", "bio")])

    def test_unreadable(self) -> None:
        """A known event of another shape fails the stream; an unknown one does not."""
        for data in (b'{"type":"content_block_delta","index":"x"}', b"{", b"[1]"):
            last = events_of("anthropic", b"data: " + data + b"\n\n")[-1]
            self.assertIsInstance(last, StreamFailed)
        events = events_of("anthropic", b'data: {"type":"new","index":"x"}\n\n' + END)
        self.assertEqual(events, [Stopped("end_turn")])


class EncodeTests(SynchronousTestCase):
    """:class:`AnthropicEncoder`."""

    def test_answer(self) -> None:
        """A Chat Completions answer as an Anthropic client reads it."""
        stream = written(
            "anthropic", events_of("openai_chat", golden("chat/interleaved_calls.sse"))
        )
        found = frames(stream)
        names = [line[7:].decode() for line in stream.split(b"\n") if line.startswith(b"event: ")]
        self.assertEqual(names, [one["type"] for one in found])
        start = found[0]["message"]
        self.assertEqual(
            (start["id"], start["model"], start["role"]), ("resp_7", "shown", "assistant")
        )
        self.assertEqual(start["usage"]["input_tokens"], 0)
        self.assertEqual(
            [
                (one["type"], one["index"], one.get("content_block") or one.get("delta"))
                for one in found[1:-2]
            ],
            [
                ("content_block_start", 0, {"type": "text", "text": ""}),
                ("content_block_delta", 0, {"type": "text_delta", "text": "Let me look. 🦀"}),
                ("content_block_stop", 0, None),
                (
                    "content_block_start",
                    1,
                    {"type": "tool_use", "id": "call_a", "name": "read", "input": {}},
                ),
                (
                    "content_block_delta",
                    1,
                    {"type": "input_json_delta", "partial_json": '{"size":12345678901234567890123'},
                ),
                ("content_block_delta", 1, {"type": "input_json_delta", "partial_json": "}"}),
                ("content_block_stop", 1, None),
                (
                    "content_block_start",
                    2,
                    {"type": "tool_use", "id": "call_b", "name": "grep", "input": {}},
                ),
                ("content_block_delta", 2, {"type": "input_json_delta", "partial_json": '{"pat'}),
                (
                    "content_block_delta",
                    2,
                    {"type": "input_json_delta", "partial_json": 'tern":"x"}'},
                ),
                ("content_block_stop", 2, None),
            ],
        )
        self.assertEqual(found[-2]["delta"], {"stop_reason": "tool_use", "stop_sequence": None})
        self.assertEqual(
            found[-2]["usage"],
            {
                "input_tokens": 30,
                "cache_creation_input_tokens": 10,
                "cache_read_input_tokens": 60,
                "output_tokens": 40,
                "output_tokens_details": {"thinking_tokens": 7},
            },
        )
        self.assertEqual(found[-1], {"type": "message_stop"})

    def test_thinking(self) -> None:
        """Reasoning is thinking without a signature; OpenAI's seal is marked as OpenAI's."""
        events: list[Event] = [
            ThinkingStarted(id="rs_1"),
            ThinkingDelta("Hm."),
            SignatureDelta("gAAA", "openai_responses"),
            STOP,
            Stopped("end_turn"),
        ]
        found = frames(written("anthropic", events))
        self.assertEqual(
            found[1]["content_block"], {"type": "thinking", "thinking": "", "signature": ""}
        )
        seal = found[3]["delta"]["signature"]
        self.assertEqual(unwrap(seal, "anthropic"), ("openai_responses", "gAAA", "rs_1"))

    def test_made_up_ids(self) -> None:
        """Calls without ids get different ones, the same at each try."""
        events: list[Event] = [
            ToolCallStarted("", "f"),
            STOP,
            ToolCallStarted("", "f"),
            STOP,
            Stopped("tool_use"),
        ]
        found = frames(written("anthropic", events))
        ids = [one["content_block"]["id"] for one in found if one["type"] == "content_block_start"]
        self.assertEqual(ids, ["call_resp7_0", "call_resp7_1"])

    def test_refusal(self) -> None:
        """A refusal is text, and the reason with its details says what it is."""
        found = frames(written("anthropic", events_of("openai_chat", golden("chat/refusal.sse"))))
        self.assertEqual(found[2]["delta"]["text"], "I cannot ")
        self.assertEqual(found[-2]["delta"]["stop_reason"], "refusal")
        self.assertEqual(found[-2]["delta"]["stop_details"]["type"], "refusal")

    def test_failure(self) -> None:
        """Errors are ``event: error`` with the type, and the request's id where it is known."""
        encoder = AnthropicEncoder(turn("anthropic"), model="m", response_id="r")
        encoder.request_id = "req_9"
        stream = encoder.encode(MessageStarted())
        stream += encoder.encode(StreamFailed(ProxyError(Kind.OVERLOADED, "Busy.")))
        self.assertIn(b"event: error\n", stream)
        self.assertEqual(
            frames(stream)[-1],
            {
                "type": "error",
                "error": {"type": "overloaded_error", "message": "Busy."},
                "request_id": "req_9",
            },
        )
        self.assertEqual(encoder.close() + encoder.encode(TextDelta("late")), b"")

    def test_no_end(self) -> None:
        """A run that never said how it ended is an error, not an answer."""
        found = frames(written("anthropic", [TextStarted(), TextDelta("x")]))
        self.assertEqual(found[-1]["type"], "error")

    def test_pings(self) -> None:
        """Pings come after ``message_start`` and before ``message_stop``."""
        encoder = AnthropicEncoder(turn("anthropic"), model="m", response_id="r")
        self.assertEqual(encoder.ping() + encoder.encode(Ping()), b"")
        encoder.encode(TextStarted())
        self.assertEqual(encoder.ping(), encoder.encode(Ping()))
        self.assertEqual(frames(encoder.ping()), [{"type": "ping"}])
        encoder.encode(Stopped("end_turn"))
        self.assertEqual(encoder.ping(), b"")
