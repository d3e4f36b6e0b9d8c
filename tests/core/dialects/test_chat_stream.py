"""Chat Completions streams, read and written, as transcripts."""

from __future__ import annotations

import json
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName, openai_chat_decode, sequence
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
from clawproxy.core.dialects.naming import short_tool_name
from clawproxy.core.dialects.openai_chat_decode import ChatDecoder
from clawproxy.core.dialects.openai_chat_encode import ChatEncoder
from clawproxy.core.dialects.seal import UNSEALED
from clawproxy.core.dialects.tools import CustomTool, FunctionTool
from clawproxy.core.errors import Kind, ProxyError
from tests.core.dialects.transcripts import built, events_of, frames, golden, request, turn, written

STOP = BlockStopped()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """Return one chunk's frame."""
    body = {"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} | more
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def calls(*pieces: dict[str, Any]) -> bytes:
    """Return a chunk with pieces of tool calls."""
    return chunk({"tool_calls": list(pieces)})


DONE = b"data: [DONE]\n\n"


class DecodeTests(SynchronousTestCase):
    """:class:`ChatDecoder`."""

    def test_interleaved_calls(self) -> None:
        """Parallel calls that interleave come one after the other; counts become disjoint."""
        self.assertEqual(
            events_of("openai_chat", golden("chat/interleaved_calls.sse")),
            [
                MessageStarted("chatcmpl-1", "gpt-5"),
                TextStarted(),
                TextDelta("Let me look. 🦀"),
                STOP,
                ToolCallStarted("call_a", "read"),
                ArgumentsDelta('{"size":12345678901234567890123'),
                ArgumentsDelta("}"),
                UsageReported(TokenUsage(30, 40, 60, 10, 7)),
                STOP,
                ToolCallStarted("call_b", "grep"),
                ArgumentsDelta('{"pat'),
                ArgumentsDelta('tern":"x"}'),
                STOP,
                Stopped("tool_use"),
            ],
        )

    def test_sloppy_server(self) -> None:
        """Empty and missing fields make no events; calls without ids and indices stay apart."""
        self.assertEqual(
            events_of("openai_chat", golden("chat/sloppy_server.sse")),
            [
                MessageStarted(),
                ThinkingStarted(),
                ThinkingDelta("Hm. "),
                ThinkingDelta("Yes."),
                SignatureDelta(UNSEALED, "openai_chat"),
                STOP,
                TextStarted(),
                TextDelta("One"),
                TextDelta(" moment."),
                STOP,
                ToolCallStarted("", "read"),
                ArgumentsDelta('{"path":"a"}'),
                STOP,
                ToolCallStarted("", "read"),
                ArgumentsDelta('{"path":"b"}'),
                UsageReported(TokenUsage(5, 6)),
                STOP,
                Stopped("tool_use"),
            ],
        )

    def test_refusal(self) -> None:
        """A refusal is a block of its own, and the reason says so."""
        self.assertEqual(
            events_of("openai_chat", golden("chat/refusal.sse"))[1:],
            [
                TextStarted(refusal=True),
                TextDelta("I cannot "),
                TextDelta("help with that."),
                STOP,
                Stopped("refusal"),
            ],
        )

    def test_error_in_stream(self) -> None:
        """An error is final, whatever follows."""
        last = events_of("openai_chat", golden("chat/error.sse"))[-1]
        assert isinstance(last, StreamFailed)
        self.assertEqual(last.error.kind, Kind.OVERLOADED)
        self.assertEqual(last.error.message, "The server is overloaded.")

    def test_errors_of_imitators(self) -> None:
        """Other servers put a string, a number as code, or the error itself into the frame."""
        for data, kind, message in (
            (b'{"error":"no such luck"}', Kind.API, "no such luck"),
            (b'{"error":{"message":"slow down","code":429}}', Kind.RATE_LIMIT, "slow down"),
            (b'{"object":"error","message":"no","code":400}', Kind.INVALID_REQUEST, "no"),
        ):
            (event,) = events_of("openai_chat", b"data: " + data + b"\n\n")
            assert isinstance(event, StreamFailed)
            self.assertEqual((event.error.kind, event.error.message), (kind, message))

    def test_reason_with_every_chunk(self) -> None:
        """It ends nothing: text stays one block, and arguments find their call."""
        named = {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}
        more = {"index": 0, "function": {"arguments": '{"n":1}'}}
        events = events_of(
            "openai_chat",
            chunk({"content": "Let "}, "stop"),
            chunk({"content": "me see."}, "stop"),
            chunk({"tool_calls": [named]}, "tool_calls"),
            chunk({"tool_calls": [more]}, "tool_calls"),
            DONE,
        )
        self.assertEqual(
            events[1:],
            [
                TextStarted(),
                TextDelta("Let "),
                TextDelta("me see."),
                STOP,
                ToolCallStarted("a", "f"),
                ArgumentsDelta('{"n":1}'),
                STOP,
                Stopped("tool_use"),
            ],
        )

    def test_numeric_ids(self) -> None:
        """Some servers count; what has to come back is text."""
        named = {"index": 0, "id": 0, "function": {"name": "f", "arguments": "{}"}}
        events = events_of("openai_chat", chunk({"tool_calls": [named]}, "tool_calls", id=17), DONE)
        self.assertEqual(events[:2], [MessageStarted("17"), ToolCallStarted("0", "f")])

    def test_sealed_calls(self) -> None:
        """Gemini's seal of a call comes back beside it, through callers of either other dialect."""
        seal = {"google": {"thought_signature": "Es+/EA==:1"}}
        function = {"name": "f", "arguments": '{"n":1}'}
        first = {"index": 0, "id": "a", "extra_content": seal, "function": function}
        second = {"index": 0, "id": "b", "function": function}
        said = [chunk({"tool_calls": [call]}, "tool_calls") for call in (first, second)]
        message = {"content": None, "tool_calls": [first, second]}
        body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
        streamed = events_of("openai_chat", *said, DONE)
        whole = DIALECTS["openai_chat"].parse_response(json.dumps(body).encode())
        for events in (streamed, whole):
            self.assertIn(ThinkingStarted(), events)
            callers: tuple[DialectName, ...] = ("anthropic", "openai_responses")
            for caller in callers:
                told = json.loads(
                    DIALECTS[caller].build_response(
                        events, turn(caller), model="m", response_id="r", created=1
                    )
                )
                history = {"messages": [{"role": "assistant", "content": told.get("content")}]}
                back = request(caller, history | {"input": told.get("output")})
                [sent] = built("openai_chat", back, "gemini-3-pro")["messages"]
                found = [(c["id"], c.get("extra_content")) for c in sent["tool_calls"]]
                self.assertEqual(found, [("a", seal), ("b", None)])
                [sent] = built("openai_chat", back, "gpt-4o")["messages"]
                self.assertNotIn("extra_content", json.dumps(sent))

    def test_constant_index(self) -> None:
        """Calls that all have index 0 are told apart by their ids."""
        events = events_of(
            "openai_chat",
            calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"n":1}'}}),
            calls({"index": 0, "id": "b", "function": {"name": "f", "arguments": '{"n"'}}),
            calls({"index": 0, "function": {"arguments": ":2}"}}),
            chunk({}, "tool_calls"),
            DONE,
        )
        self.assertEqual(
            events[1:],
            [
                ToolCallStarted("a", "f"),
                ArgumentsDelta('{"n":1}'),
                STOP,
                ToolCallStarted("b", "f"),
                ArgumentsDelta('{"n"'),
                ArgumentsDelta(":2}"),
                STOP,
                Stopped("tool_use"),
            ],
        )

    def test_finished_call_is_stopped_when_the_next_begins(self) -> None:
        """Calls that come one after the other are not held back until the end."""
        decoder = ChatDecoder()
        decoder.feed(
            calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"n":1}'}})
        )
        self.assertEqual(
            decoder.feed(calls({"index": 1, "id": "b", "function": {"name": "g"}})),
            [STOP],
        )
        piece = calls({"index": 1, "function": {"arguments": "{"}})
        self.assertEqual(decoder.feed(piece), [ToolCallStarted("b", "g"), ArgumentsDelta("{")])
        self.assertEqual(decoder.feed(piece), [ArgumentsDelta("{")])

    def test_a_name_in_pieces(self) -> None:
        """It is whole when the arguments begin, another call, words, or the end."""
        pieces = [
            calls({"index": 0, "id": "a", "function": {"name": "edit_", "arguments": ""}}),
            calls({"index": 0, "function": {"name": "file", "arguments": ""}}),
        ]
        wanted = ToolCallStarted("a", "edit_file")
        arguments = calls({"index": 0, "function": {"name": None, "arguments": '{"a":1}'}})
        other = calls({"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}})
        end = [chunk({}, "tool_calls"), DONE]
        for more, following in (
            ([arguments], [ArgumentsDelta('{"a":1}'), STOP]),
            ([other], [STOP, ToolCallStarted("b", "g"), STOP]),
            ([chunk({"content": "so"})], [STOP, TextStarted(), TextDelta("so"), STOP]),
            ([], [STOP]),
        ):
            events = events_of("openai_chat", *pieces, *more, *end)
            self.assertEqual(events[1:-1], [wanted, *following])

    def test_an_id_behind_the_name(self) -> None:
        """It is the call's as long as its arguments have not begun."""
        events = events_of(
            "openai_chat",
            calls({"index": 0, "function": {"name": "f", "arguments": ""}}),
            calls({"index": 0, "id": "late", "function": {"arguments": "{"}}),
            calls({"index": 0, "function": {"arguments": "}"}}),
            chunk({}, "tool_calls"),
            DONE,
        )
        self.assertEqual(events[1], ToolCallStarted("late", "f"))

    def test_name_after_id(self) -> None:
        """A call begins when its name is known; arguments that came before it are kept."""
        events = events_of(
            "openai_chat",
            calls({"index": 0, "id": "a"}),
            calls({"index": 0, "function": {"arguments": "{"}}),
            calls({"index": 0, "function": {"name": "f", "arguments": "}"}}),
            DONE,
        )
        self.assertEqual(
            events[1:],
            [ToolCallStarted("a", "f"), ArgumentsDelta("{}"), STOP, Stopped("tool_use")],
        )

    def test_arguments_as_object(self) -> None:
        """Arguments that are an object instead of a string keep their spelling."""
        events = events_of(
            "openai_chat",
            b'data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":'
            b'{"name":"f","arguments":{"n": 1e400}}}]},"finish_reason":"stop"}]}\n\n',
            DONE,
        )
        self.assertIn(ArgumentsDelta('{"n": 1e400}'), events)

    def test_old_function_call(self) -> None:
        """The old form of a call is one."""
        events = events_of(
            "openai_chat",
            chunk({"function_call": {"name": "f", "arguments": "{"}}),
            chunk({"function_call": {"arguments": "}"}}, "function_call"),
            DONE,
        )
        self.assertEqual(
            events[1:],
            [
                ToolCallStarted("", "f"),
                ArgumentsDelta("{"),
                ArgumentsDelta("}"),
                STOP,
                Stopped("tool_use"),
            ],
        )

    def test_arguments_that_are_none(self) -> None:
        """Some servers write null, or announce a call with an empty object and give its arguments later."""
        for pieces, arguments in (
            (["null"], []),
            (["{}"], []),
            ([""], []),
            (["{}", '{"a":1}'], ['{"a":1}']),
            (['{"a":', "null", "}"], ['{"a":', "null", "}"]),
            (['{"a":', "{}", "}"], ['{"a":', "{}", "}"]),
        ):
            first, *more = pieces
            events = events_of(
                "openai_chat",
                calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": first}}),
                *(calls({"index": 0, "function": {"arguments": piece}}) for piece in more),
                chunk({}, "tool_calls"),
                DONE,
            )
            wanted = [ToolCallStarted("a", "f"), *map(ArgumentsDelta, arguments), STOP]
            self.assertEqual(events[1:-1], wanted)
            events = events_of(
                "openai_chat",
                *(
                    calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": piece}})
                    for piece in pieces
                ),
                chunk({}, "tool_calls"),
                DONE,
            )
            self.assertEqual(events[1:-1], wanted)

    def test_a_call_that_is_said_again(self) -> None:
        """Some servers end a call with all of it once more; both together would be no JSON."""
        function = {"name": "f", "arguments": '{"a":{"b":1}}'}
        whole: dict[str, Any] = {"index": 0, "id": "a", "function": function}
        for again in (whole, whole | {"type": "function"}):
            events = events_of(
                "openai_chat",
                calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"a":{'}}),
                calls({"index": 0, "function": {"arguments": '"b":1}}'}}),
                calls(again),
                chunk({}, "tool_calls"),
                DONE,
            )
            pieces = [ArgumentsDelta('{"a":{'), ArgumentsDelta('"b":1}}')]
            self.assertEqual(events[1:-1], [ToolCallStarted("a", "f"), *pieces, STOP])

    def test_calls_that_have_all_in_common(self) -> None:
        """Whose arguments differ is another call, though name, id and index are the same."""
        events = events_of(
            "openai_chat",
            *(
                calls({"index": 0, "id": "f", "function": {"name": "f", "arguments": arguments}})
                for arguments in ('{"a":1}', '{"a":2}')
            ),
            chunk({}, "tool_calls"),
            DONE,
        )
        one = [ToolCallStarted("f", "f"), ArgumentsDelta('{"a":1}'), STOP]
        other = [ToolCallStarted("", "f"), ArgumentsDelta('{"a":2}'), STOP]
        self.assertEqual(events[1:-1], one + other)

    def test_a_name_in_every_chunk(self) -> None:
        """It begins no other call, and long arguments are not read anew for each piece of them."""
        pieces = ['{"text":"', *["}words " * 20] * 5000, '"}']
        heads: tuple[dict[str, Any], ...] = ({"index": 0}, {"index": 0, "id": "a"})
        for head in heads:
            deltas = [head | {"function": {"name": "f", "arguments": piece}} for piece in pieces]
            stream = b"".join(map(calls, deltas)) + chunk({}, "tool_calls") + DONE
            began = time.process_time()
            events = events_of("openai_chat", stream)
            self.assertEqual(len([e for e in events if isinstance(e, ToolCallStarted)]), 1)
            self.assertLess(time.process_time() - began, 5)

    def test_text_after_calls(self) -> None:
        """Text that follows calls comes after them."""
        events = events_of(
            "openai_chat",
            calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}),
            chunk({"content": "then"}),
            chunk({}, "stop"),
            DONE,
        )
        self.assertEqual(events[2:5], [STOP, TextStarted(), TextDelta("then")])

    def test_finish_reasons(self) -> None:
        """Every reason has its neutral word; an unknown one is a plain end."""
        for said, meant in {
            "stop": "end_turn",
            "length": "max_tokens",
            "content_filter": "refusal",
            "sensitive": "refusal",
            "content_filter: PROHIBITED_CONTENT": "refusal",
            "SAFETY": "refusal",
            "MAX_TOKENS": "max_tokens",
            "STOP": "end_turn",
            "model_context_window_exceeded": "context_window",
            "model_length": "context_window",
            "tool_calls": "end_turn",  # without any call it cannot be meant
            "novelty": "end_turn",
        }.items():
            events = events_of("openai_chat", chunk({"content": "x"}), chunk({}, said), DONE)
            self.assertEqual(events[-1], Stopped(meant), said)  # type: ignore[arg-type]

    def test_reasons_that_are_failures(self) -> None:
        """An upstream whose own upstream failed has not answered, in a stream and without one."""
        fault = {"message": "gone", "code": 502}
        for ending, said in (
            ({"finish_reason": "error"}, "'error'"),
            ({"finish_reason": "network_error"}, "'network_error'"),
            ({"finish_reason": "insufficient_system_resource"}, "'insufficient_system_resource'"),
            (
                {"finish_reason": "function_call_filter: MALFORMED_FUNCTION_CALL"},
                "MALFORMED_FUNCTION_CALL",
            ),
            ({"finish_reason": "MALFORMED_FUNCTION_CALL"}, "MALFORMED_FUNCTION_CALL"),
            ({"finish_reason": "error", "error": fault}, "gone"),
        ):
            last = {"choices": [{"index": 0, "delta": {}} | ending]}
            frame = b"data: " + json.dumps(last).encode() + b"\n\n"
            events = events_of("openai_chat", chunk({"content": "x"}), frame, DONE)
            body = {"choices": [{"message": {"content": "x"}} | ending]}
            whole = DIALECTS["openai_chat"].parse_response(json.dumps(body).encode())
            for found in (events, whole):
                assert isinstance(found[-1], StreamFailed), found
                self.assertIn(said, found[-1].error.message)
                self.assertGreaterEqual(found[-1].error.http_status, 500)

    def test_unclean_ends(self) -> None:
        """No finish, no words, or nothing at all: the answer failed."""
        for pieces in (
            [chunk({"content": "x"})],
            [],
            [b": nothing\n\n"],
            [DONE],
            [chunk({"content": "x"}), b'data: {"choices":[{"delta":{"conte'],
        ):
            last = events_of("openai_chat", *pieces)[-1]
            assert isinstance(last, StreamFailed)
            self.assertEqual(last.error.kind, Kind.UPSTREAM_UNREACHABLE)

    def test_end_without_done(self) -> None:
        """A server that closes after its finish_reason has answered."""
        events = events_of("openai_chat", chunk({"content": "x"}), chunk({}, "stop"))
        self.assertEqual(events[-1], Stopped("end_turn"))

    def test_unreadable_chunk(self) -> None:
        """A frame that is no chunk fails the stream instead of raising."""
        for data in (b"{", b"[]", b'{"choices":7}', b'{"choices":[{"delta":{"tool_calls":"x"}}]}'):
            last = events_of("openai_chat", b"data: " + data + b"\n\n")[-1]
            self.assertIsInstance(last, StreamFailed, data)

    def test_lone_surrogates(self) -> None:
        """Half an emoji whose other half never comes stops nothing, and bytes that are no text become U+FFFD."""
        events = events_of(
            "openai_chat",
            b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"\\ud83db\\"\\ude00"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"\\\\ud83d \xff"},'
            b'"finish_reason":"stop"}]}\n\n',
        )
        self.assertIn(TextDelta("a"), events)
        self.assertIn(TextDelta('\ufffdb"\ufffd'), events)
        self.assertIn(TextDelta("\\ud83d \ufffd"), events)

    def test_bounds(self) -> None:
        """An upstream that never ends a call, or begins ever more, fails before memory does."""
        self.patch(openai_chat_decode, "MAX_HELD", 100)
        self.patch(sequence, "MAX_WAITING", 400)
        start = calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}})
        more = calls({"index": 0, "function": {"arguments": "x" * 60}})
        for pieces in ([start, more, more], [start, *[chunk({"content": "x" * 60})] * 3]):
            self.assertIsInstance(events_of("openai_chat", *pieces)[-1], StreamFailed)
        unfinished = [start, *[chunk({"content": "x" * 20})] * 2]
        other = calls({"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}})
        for end in (chunk({}, "stop"), DONE):
            self.assertIsInstance(
                events_of("openai_chat", *unfinished, other, end)[-1], StreamFailed
            )
        self.patch(openai_chat_decode, "MAX_CALLS", 3)
        many = [calls({"index": n, "id": str(n), "function": {"name": "f"}}) for n in range(4)]
        self.assertIsInstance(events_of("openai_chat", *many)[-1], StreamFailed)

    def test_other_choices(self) -> None:
        """Answers that nobody asked for are passed over."""
        other = b'data: {"choices":[{"index":1,"delta":{"content":"no"}}]}\n\n'
        events = events_of("openai_chat", chunk({"content": "x"}), other, chunk({}, "stop"))
        self.assertNotIn(TextDelta("no"), events)


class EncodeTests(SynchronousTestCase):
    """:class:`ChatEncoder`."""

    def test_answer(self) -> None:
        """Text and calls, without usage for a caller that did not ask."""
        events: list[Event] = [
            MessageStarted(),
            ThinkingStarted(),
            ThinkingDelta("Hm."),
            SignatureDelta("EqQB", "anthropic"),
            STOP,
            TextStarted(),
            TextDelta('Say "ü"'),
            STOP,
            ToolCallStarted("toolu_1", "read"),
            ArgumentsDelta('{"n":1e400}'),
            STOP,
            ToolCallStarted("", "list"),
            STOP,
            OpaqueBlock("anthropic", "server_tool_use", b"{}"),
            UsageReported(TokenUsage(1, 2)),
            Stopped("tool_use"),
        ]
        found = frames(written("openai_chat", events))
        self.assertEqual(found.pop(), "[DONE]")
        for one in found:
            self.assertEqual(
                (one["id"], one["object"], one["created"], one["model"]),
                ("resp_7", "chat.completion.chunk", 1_763_700_000, "shown"),
            )
            self.assertNotIn("usage", one)
        self.assertEqual(
            [one["choices"][0]["delta"] for one in found],
            [
                {"role": "assistant", "content": ""},
                {"reasoning_content": "Hm."},
                {"content": 'Say "ü"'},
                {
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": "toolu_1",
                            "type": "function",
                            "function": {"name": "read", "arguments": ""},
                        }
                    ]
                },
                {"tool_calls": [{"index": 0, "function": {"arguments": '{"n":1e400}'}}]},
                {
                    "tool_calls": [
                        {
                            "index": 1,
                            "id": "call_resp7_1",
                            "type": "function",
                            "function": {"name": "list", "arguments": ""},
                        }
                    ]
                },
                {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
                {},
            ],
        )
        self.assertEqual(
            [one["choices"][0]["finish_reason"] for one in found], [None] * 7 + ["tool_calls"]
        )

    def test_usage(self) -> None:
        """A caller that asked gets one usage chunk, and null in the others."""
        events: list[Event] = [
            UsageReported(TokenUsage(input_tokens=30, cache_read_input_tokens=60)),
            TextStarted(),
            TextDelta("x"),
            STOP,
            UsageReported(
                TokenUsage(cache_creation_input_tokens=10, output_tokens=40, reasoning_tokens=7)
            ),
            Stopped("max_tokens"),
        ]
        found = frames(written("openai_chat", events, turn("openai_chat", include_usage=True)))
        self.assertEqual([one["usage"] for one in found[:-2]], [None] * 3)
        self.assertEqual(found[-3]["choices"][0]["finish_reason"], "length")
        self.assertEqual(found[-2]["choices"], [])
        self.assertEqual(
            found[-2]["usage"],
            {
                "prompt_tokens": 100,
                "completion_tokens": 40,
                "total_tokens": 140,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
        )

    def test_stop_reasons(self) -> None:
        """Each reason has its word."""
        for reason, word in {
            "end_turn": "stop",
            "stop_sequence": "stop",
            "pause_turn": "stop",
            "max_tokens": "length",
            "context_window": "length",
            "tool_use": "tool_calls",
            "refusal": "content_filter",
        }.items():
            found = frames(written("openai_chat", [Stopped(reason)]))  # type: ignore[arg-type]
            self.assertEqual(found[-2]["choices"][0]["finish_reason"], word)

    def test_refusal(self) -> None:
        """An upstream's words on its refusal, and a block of refusal, stand in ``refusal``."""
        explained: list[Event] = [Stopped("refusal", explanation="No.")]
        spoken: list[Event] = [
            TextStarted(refusal=True),
            TextDelta("No."),
            STOP,
            Stopped("refusal"),
        ]
        for events, reason in ((explained, "content_filter"), (spoken, "stop")):
            found = frames(written("openai_chat", events))
            self.assertEqual(found[1]["choices"][0]["delta"], {"refusal": "No."})
            self.assertEqual(found[2]["choices"][0]["finish_reason"], reason)

    def test_citations(self) -> None:
        """They name the characters of the whole answer that they support, in a stream or not."""
        events: list[Event] = [
            TextStarted(),
            TextDelta("One. "),
            CitationAdded(url="http://a"),
            STOP,
            TextStarted(),
            TextDelta("Two."),
            CitationAdded(url="http://b", start=0, end=3),
            CitationAdded(title="no page"),
            STOP,
            Stopped("end_turn"),
        ]
        deltas = [
            frame["choices"][0]["delta"] for frame in frames(written("openai_chat", events))[:-1]
        ]
        streamed = [note for delta in deltas for note in delta.get("annotations", ())]
        whole = DIALECTS["openai_chat"].build_response(
            events, turn("openai_chat"), model="m", response_id="r", created=1
        )
        message = json.loads(whole)["choices"][0]["message"]
        self.assertEqual(message["content"], "One. Two.")
        for notes in (streamed, message["annotations"]):
            found = [tuple(note["url_citation"].values()) for note in notes]
            self.assertEqual(found, [("http://a", "", 0, 5), ("http://b", "", 5, 8)])

    def test_failure(self) -> None:
        """An error ends the stream without ``[DONE]``."""
        error = ProxyError(Kind.OVERLOADED, "Busy.")
        for events in ([StreamFailed(error)], [TextStarted(), TextDelta("x"), StreamFailed(error)]):
            stream = written("openai_chat", events)  # type: ignore[arg-type]
            self.assertNotIn(b"[DONE]", stream)
            self.assertEqual(frames(stream)[-1]["error"]["code"], "overloaded")

    def test_no_end(self) -> None:
        """A run that never said how it ended is an error, not an answer."""
        self.assertIn("error", frames(written("openai_chat", [TextStarted(), TextDelta("x")]))[-1])

    def test_pings(self) -> None:
        """Pings are comments, after the first frame and before the last."""
        encoder = ChatEncoder(turn("openai_chat"), model="m", response_id="r", created=1)
        self.assertEqual(encoder.ping() + encoder.encode(Ping()), b"")
        encoder.encode(MessageStarted())
        self.assertEqual(encoder.ping(), b": ping\n\n")
        self.assertEqual(encoder.encode(Ping()), b": ping\n\n")
        encoder.encode(Stopped("end_turn"))
        self.assertEqual(encoder.ping() + encoder.close(), b"")

    def test_custom_tool(self) -> None:
        """A custom tool's stand-in comes back as the custom call that the caller knows."""
        request = turn("openai_chat", tools=(CustomTool("patch"),))
        events: list[Event] = [
            ToolCallStarted("a", "patch"),
            ArgumentsDelta('{"input":"*** Be'),
            ArgumentsDelta('gin\\n"}'),
            STOP,
            Stopped("tool_use"),
        ]
        found = frames(written("openai_chat", events, request))
        start, one, two = (one["choices"][0]["delta"]["tool_calls"][0] for one in found[1:4])
        self.assertEqual(start["type"], "custom")
        self.assertEqual(start["custom"], {"name": "patch", "input": ""})
        self.assertEqual(one, {"index": 0, "custom": {"input": "*** Be"}})
        self.assertEqual(two, {"index": 0, "custom": {"input": "gin\n"}})

    def test_custom_tool_of_an_answer_that_was_cut(self) -> None:
        """What came of its text is its text, in a stream and without one."""
        request = turn("openai_chat", tools=(CustomTool("patch"),))
        for arguments, text in (('{"input":"*** Be', "*** Be"), ("{}", ""), ("null", ""), ("", "")):
            events: list[Event] = [ToolCallStarted("a", "patch")]
            events += [ArgumentsDelta(arguments)] if arguments else []
            events += [STOP, Stopped("max_tokens")]
            calls = [
                call["custom"]["input"]
                for one in frames(written("openai_chat", events, request))
                if one != "[DONE]"
                for call in one["choices"][0]["delta"].get("tool_calls", ())
            ]
            self.assertEqual("".join(calls), text)
            body = DIALECTS["openai_chat"].build_response(
                events, request, model="m", response_id="r", created=1
            )
            call = json.loads(body)["choices"][0]["message"]["tool_calls"][0]
            self.assertEqual(call["custom"]["input"], text)

    def test_shortened_name(self) -> None:
        """A name that was too long for the upstream is the caller's again."""
        long = "mcp__" + "x" * 90
        request = turn("openai_chat", tools=(FunctionTool(long),))
        stream = written(
            "openai_chat", [ToolCallStarted("a", short_tool_name(long)), STOP], request
        )
        call = frames(stream)[1]["choices"][0]["delta"]["tool_calls"][0]
        self.assertEqual(call["function"]["name"], long)

    def test_citation(self) -> None:
        """A web page that was cited is an annotation; a document of the request has no form."""
        events: list[Event] = [
            TextStarted(),
            TextDelta("It rains."),
            CitationAdded(url="https://example.org", title="Weather", start=0, end=9),
            CitationAdded(title="doc.pdf", cited="rain"),
            STOP,
            Stopped("end_turn"),
        ]
        found = frames(written("openai_chat", events))
        notes = [one["choices"][0]["delta"].get("annotations") for one in found[:-1]]
        (note,) = next(filter(None, notes))
        self.assertEqual(note["url_citation"]["url"], "https://example.org")
        self.assertEqual(len(list(filter(None, notes))), 1)
