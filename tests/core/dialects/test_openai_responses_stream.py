"""Responses streams: what callers get besides what the conformance suite reads with the SDK."""

from __future__ import annotations

import json
import time
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

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
from clawproxy.core.dialects.freeform import FreeformText, custom_arguments
from clawproxy.core.dialects.openai_responses import DIALECT
from clawproxy.core.dialects.openai_responses_calls import call_item
from clawproxy.core.errors import Kind, ProxyError

TOOLS = [
    {"type": "function", "name": "f"},
    {"type": "custom", "name": "patch"},
    {"type": "local_shell"},
    {"type": "shell"},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client"},
    {
        "type": "namespace",
        "name": "clock",
        "description": "",
        "tools": [{"type": "function", "name": "sleep"}, {"type": "custom", "name": "exec"}],
    },
]


STOP = BlockStopped()


def encoder(**members: Any) -> Any:
    """Return an encoder for a request with these members."""
    body = {"model": "asked", "input": "Hi", "tools": TOOLS} | members
    turn = DIALECT.parse_request(json.dumps(body).encode(), [])
    return DIALECT.stream_encoder(turn, model="shown", response_id="resp_7", created=5)


def frames(body: bytes) -> list[dict[str, Any]]:
    """Read the frames' data."""
    return [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]


def encode(*events: Event, **members: Any) -> list[dict[str, Any]]:
    """Encode events for a request with these members."""
    target = encoder(**members)
    return frames(b"".join([target.encode(event) for event in events]) + target.close())


def item_of(*events: Event) -> dict[str, Any]:
    """Return the one output item that a block of events makes."""
    (item,) = encode(*events, BlockStopped(), Stopped("end_turn"))[-1]["response"]["output"]
    return dict(item)


def decode(*data: dict[str, Any]) -> list[Event]:
    """Decode frames of this data."""
    decoder = DIALECT.stream_decoder()
    body = b"".join(
        f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in data
    )
    return decoder.feed(body) + decoder.close()


class CallItemsTests(SynchronousTestCase):
    """A call goes back as the item that the client expects."""

    def test_each_kind(self) -> None:
        """The tool's kind decides the item's."""
        for name, arguments, expected in (
            (
                "f",
                '{"a": 1}',
                {"type": "function_call", "name": "f", "arguments": '{"a": 1}'},
            ),
            ("unknown", "", {"type": "function_call", "name": "unknown", "arguments": "{}"}),
            (
                "clock__sleep",
                "{}",
                {
                    "type": "function_call",
                    "name": "sleep",
                    "namespace": "clock",
                    "arguments": "{}",
                },
            ),
            (
                "patch",
                '{"input": "*** Begin\\n+é"}',
                {"type": "custom_tool_call", "name": "patch", "input": "*** Begin\n+é"},
            ),
            (
                "clock__exec",
                '{"input": "1"}',
                {
                    "type": "custom_tool_call",
                    "name": "exec",
                    "namespace": "clock",
                    "input": "1",
                },
            ),
            (
                "local_shell",
                '{"command": ["ls"], "timeout_ms": 5}',
                {
                    "type": "local_shell_call",
                    "action": {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5},
                },
            ),
            (
                "shell",
                '{"commands": ["ls"]}',
                {
                    "type": "shell_call",
                    "action": {
                        "commands": ["ls"],
                        "timeout_ms": None,
                        "max_output_length": None,
                    },
                },
            ),
            (
                "apply_patch",
                '{"type": "delete_file", "path": "a"}',
                {
                    "type": "apply_patch_call",
                    "operation": {"type": "delete_file", "path": "a"},
                },
            ),
            (
                "tool_search",
                '{"query": "x"}',
                {
                    "type": "tool_search_call",
                    "execution": "client",
                    "arguments": {"query": "x"},
                },
            ),
            (
                "local_shell",
                '{"command": ["l',
                {
                    "type": "function_call",
                    "name": "local_shell",
                    "arguments": '{"command": ["l',
                },
            ),
        ):
            with self.subTest(name=name):
                events: list[Event] = [ToolCallStarted("call_9", name)]
                events += [ArgumentsDelta(arguments)] if arguments else []
                item = item_of(*events)
                del item["id"]
                self.assertEqual(item, {"status": "completed", "call_id": "call_9", **expected})

    def test_ids(self) -> None:
        """Each kind has the prefix that OpenAI knows, each item an id of its own."""
        names = ["f", "patch", "local_shell", "shell", "apply_patch", "tool_search"]
        events: list[Event] = []
        for name in names:
            events += [ToolCallStarted("", name), ArgumentsDelta("{}"), BlockStopped()]
        output = encode(*events, Stopped("tool_use"))[-1]["response"]["output"]
        self.assertEqual(
            [item["id"] for item in output],
            [
                "fc_resp700",
                "ctc_resp701",
                "lsh_resp702",
                "sh_resp703",
                "apc_resp704",
                "tsc_resp705",
            ],
        )
        self.assertEqual(len({item["call_id"] for item in output}), 6)

    def test_freeform_from_a_freeform_upstream(self) -> None:
        """An upstream that has freeform tools sends the bare text."""
        item = item_of(ToolCallStarted("c", "patch", custom=True), ArgumentsDelta("{"))
        self.assertEqual(item["input"], "{")

    def test_last_call_of_a_cut_answer(self) -> None:
        """Only the end tells that the last item is incomplete."""
        data = encode(
            ToolCallStarted("a", "f"),
            ArgumentsDelta("{}"),
            BlockStopped(),
            ToolCallStarted("b", "f"),
            ArgumentsDelta('{"x'),
            BlockStopped(),
            Stopped("max_tokens"),
        )
        self.assertEqual(
            [item["status"] for item in data[-1]["response"]["output"]],
            ["completed", "incomplete"],
        )
        self.assertEqual(data[-1]["type"], "response.incomplete")

    def test_function(self) -> None:
        """A function's item, without an encoder."""
        item = call_item(
            "function",
            item_id="fc_1",
            call_id="c",
            name="f",
            namespace=None,
            arguments="{}",
            status="completed",
        )
        self.assertEqual(
            item,
            {
                "id": "fc_1",
                "type": "function_call",
                "status": "completed",
                "call_id": "c",
                "name": "f",
                "arguments": "{}",
            },
        )


class FreeformTextTests(SynchronousTestCase):
    """The text inside the JSON that wraps it."""

    @given(st.text(), st.data())
    @settings(max_examples=200, deadline=None)
    def test_any_text_any_cut(self, text: str, data: st.DataObject) -> None:
        """Whatever the text and wherever the pieces end, it comes out, and as it comes."""
        wrapped = data.draw(
            st.sampled_from((custom_arguments(text), json.dumps({"input": text}, indent=1)))
        )
        reader = FreeformText()
        out = []
        at = 0
        while at < len(wrapped):
            size = data.draw(st.integers(1, 9))
            out.append(reader.feed(wrapped[at : at + size]))
            at += size
        self.assertEqual("".join(out) + reader.close(), text)

    def test_as_early_as_possible(self) -> None:
        """What is certain is given at once; half an escape waits."""
        reader = FreeformText()
        given = [
            reader.feed(piece)
            for piece in ('{"inp', 'ut": "a', "b\\", "n\\u00", "e9\\ud83d", "\\ude00", 'c"', "}")
        ]
        self.assertEqual(given, ["", "a", "b", "\n", "é", "\U0001f600", "c", ""])
        self.assertEqual(reader.close(), "")

    def test_other_json_is_kept(self) -> None:
        """A model that does not keep to the schema loses nothing."""
        for text, expected in (
            ("plain", "plain"),
            ('{"other": 1}', '{"other": 1}'),
            ('{"x": 1, "input": "y"}', "y"),
            ("{}", ""),
            ("", ""),
            ('{"input": 5}', '{"input": 5}'),
            ('{"input": "cut', "cut"),
            ('{"input": "\\ud800x"}', "\ufffdx"),
            ('{"input": "\\udc00"}', "\ufffd"),
            ('{"input": "\\ud800\\u0041"}', "\ufffdA"),
            ('{"input": "\\uzzzz"}', "\ufffdzzzz"),
        ):
            reader = FreeformText()
            self.assertEqual(reader.feed(text) + reader.close(), expected, text)


class EncoderTests(SynchronousTestCase):
    """Frames beside those of calls."""

    def test_request_is_repeated(self) -> None:
        """The response object says what was asked, in the caller's own words."""
        first, *_, last = encode(
            MessageStarted(),
            Stopped("end_turn"),
            temperature=0.5,
            reasoning={"effort": "low"},
            instructions="Be brief.",
        )
        for data in (first, last):
            response = data["response"]
            self.assertEqual(response["tools"], TOOLS)
            self.assertEqual(response["temperature"], 0.5)
            self.assertEqual(response["reasoning"], {"effort": "low"})
            self.assertEqual(response["instructions"], "Be brief.")
            self.assertEqual(
                (response["id"], response["model"], response["created_at"]),
                ("resp_7", "shown", 5),
            )

    def test_texts_are_parts_of_one_message(self) -> None:
        """Text blocks in a row make one message item with a part each."""
        (item,) = encode(
            TextStarted(),
            TextDelta("a"),
            BlockStopped(),
            TextStarted(),
            TextDelta("b"),
            BlockStopped(),
            Stopped("end_turn"),
        )[-1]["response"]["output"]
        self.assertEqual([part["text"] for part in item["content"]], ["a", "b"])

    def test_citations(self) -> None:
        """Citations of web pages become annotations, those of documents have no form here."""
        own = b'{"type": "file_citation", "file_id": "f", "filename": "n", "index": 0}'
        data = encode(
            TextStarted(),
            TextDelta("abc"),
            CitationAdded("https://e.test", "T", origin="anthropic", raw=b"{}"),
            CitationAdded(title="Doc", origin="anthropic", raw=b"{}"),
            CitationAdded(origin="openai_responses", raw=own),
            BlockStopped(),
            Stopped("end_turn"),
        )
        (part,) = data[-1]["response"]["output"][0]["content"]
        self.assertEqual(
            part["annotations"],
            [
                {
                    "type": "url_citation",
                    "url": "https://e.test",
                    "title": "T",
                    "start_index": 0,
                    "end_index": 3,
                },
                json.loads(own),
            ],
        )

    def test_seals(self) -> None:
        """A seal goes out marked with its vendor, the API's own one as it is."""
        for events, sealed in (
            ([SignatureDelta("c2ln", "anthropic")], "clawproxy:anthropic::c2ln"),
            ([SignatureDelta("ZW5j", "openai_responses")], "ZW5j"),
        ):
            item = item_of(ThinkingStarted(), ThinkingDelta("Hm."), *events)
            self.assertEqual(item["encrypted_content"], sealed)
            self.assertEqual(item["summary"], [{"type": "summary_text", "text": "Hm."}])
        item = item_of(ThinkingStarted(redacted="ZGF0YQ=="))
        self.assertEqual(item["encrypted_content"], "clawproxy:anthropic:redacted:ZGF0YQ==")
        self.assertEqual(item["summary"], [])

    def test_thinking_of_nothing(self) -> None:
        """Thinking without words or seal leaves no item behind."""
        data = encode(ThinkingStarted(), BlockStopped(), Stopped("end_turn"))
        self.assertEqual(data[-1]["response"]["output"], [])
        self.assertEqual(
            [each["type"] for each in data],
            ["response.created", "response.in_progress", "response.completed"],
        )

    def test_ping(self) -> None:
        """A ping is an event that changes nothing, and keeps the numbers rising."""
        target = encoder()
        self.assertEqual(target.ping(), b"")
        first = frames(target.encode(MessageStarted()))
        (ping,) = frames(target.ping())
        (other,) = frames(target.encode(Ping()))
        self.assertEqual([ping["type"], other["type"]], ["response.in_progress"] * 2)
        self.assertEqual(ping["response"]["id"], first[0]["response"]["id"])
        self.assertEqual([each["sequence_number"] for each in (*first, ping, other)], [0, 1, 2, 3])
        target.encode(Stopped("end_turn"))
        self.assertEqual(target.ping(), b"")

    def test_error(self) -> None:
        """A failure is told twice: to those who read the response and to those who read errors."""
        fault = ProxyError(Kind.RATE_LIMIT, "Slow down.", param="x")
        data = encode(
            TextStarted(), TextDelta("a"), UsageReported(TokenUsage(1, 2)), StreamFailed(fault)
        )
        failed, error = data[-2:]
        self.assertEqual(failed["type"], "response.failed")
        self.assertEqual(
            failed["response"]["error"], {"code": "rate_limit_exceeded", "message": "Slow down."}
        )
        self.assertEqual(failed["response"]["usage"]["total_tokens"], 3)
        self.assertEqual(
            error,
            {
                "type": "error",
                "sequence_number": error["sequence_number"],
                "code": "rate_limit_exceeded",
                "message": "Slow down.",
                "param": "x",
            },
        )

    def test_no_end_is_an_error(self) -> None:
        """A stream that is closed early ends in an error, once."""
        target = encoder()
        target.encode(TextStarted())
        self.assertEqual(frames(target.close())[-1]["type"], "error")
        self.assertEqual(target.close(), b"")
        self.assertEqual(target.error(ProxyError(Kind.API, "again")), b"")
        self.assertEqual(target.encode(TextDelta("late")), b"")

    def test_refusal_explained(self) -> None:
        """What an upstream says of a refusal is shown as one."""
        data = encode(
            TextStarted(),
            TextDelta("Well"),
            BlockStopped(),
            Stopped("refusal", explanation="Forbidden."),
        )
        response = data[-1]["response"]
        self.assertEqual(response["incomplete_details"], {"reason": "content_filter"})
        self.assertEqual(
            response["output"][1]["content"], [{"type": "refusal", "refusal": "Forbidden."}]
        )

    def test_what_has_no_form(self) -> None:
        """Blocks of another vendor's own are left out."""
        data = encode(
            OpaqueBlock("anthropic", "server_tool_use", b"{}"),
            SignatureDelta("x", "anthropic"),
            CitationAdded("https://e.test"),
            Stopped("end_turn"),
        )
        self.assertEqual(data[-1]["response"]["output"], [])


class DecoderTests(SynchronousTestCase):
    """Frames beside those of the transcripts."""

    def test_a_terminal_event_with_other_places_and_ids(self) -> None:
        """What came in the stream does not come again, and a call that did not come does."""
        thought: dict[str, Any] = {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm"}],
        }
        said: dict[str, Any] = {
            "type": "message",
            "content": [{"type": "output_text", "text": "I look."}],
        }
        call: dict[str, Any] = {
            "type": "function_call",
            "call_id": "c1",
            "name": "f",
            "arguments": '{"a":1}',
        }
        other = call | {"call_id": "c2", "name": "g"}
        streamed = (thought, said, call)
        for output, more in (
            ((thought, said, call), []),
            ((said, call), []),
            ((call,), []),
            ((), []),
            ((said, other, call), [ToolCallStarted("c2", "g"), ArgumentsDelta('{"a":1}'), STOP]),
            ((other,), [ToolCallStarted("c2", "g"), ArgumentsDelta('{"a":1}'), STOP]),
        ):
            for ids in (False, True):
                given = [item | ({"id": f"x{n}"} if ids else {}) for n, item in enumerate(output)]
                events = decode(
                    *(
                        {"type": "response.output_item.done", "output_index": index}
                        | {"item": item | {"id": f"i{index}"}}
                        for index, item in enumerate(streamed)
                    ),
                    {
                        "type": "response.completed",
                        "response": {"status": "completed", "output": given},
                    },
                )
                wanted = [
                    ThinkingStarted(summary=True, id="i0"),
                    ThinkingDelta("Hm"),
                    STOP,
                    TextStarted(),
                    TextDelta("I look."),
                    STOP,
                    ToolCallStarted("c1", "f", item_id="i2"),
                    ArgumentsDelta('{"a":1}'),
                    STOP,
                    *more,
                    Stopped("tool_use"),
                ]
                found = [
                    evolve(event, item_id="")
                    if isinstance(event, ToolCallStarted) and event.id == "c2"
                    else event
                    for event in events
                    if not isinstance(event, MessageStarted)
                ]
                self.assertEqual(found, wanted, output)

    def test_freeform_call(self) -> None:
        """An upstream's freeform call keeps its bare text."""
        item = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c", "name": "p", "input": ""}
        events = decode(
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {
                "type": "response.custom_tool_call_input.delta",
                "output_index": 0,
                "item_id": "ctc_1",
                "delta": "+a",
            },
            {
                "type": "response.output_item.done",
                "output_index": 0,
                "item": item | {"input": "+a"},
            },
            {"type": "response.completed", "response": {"id": "r", "output": []}},
        )
        self.assertEqual(
            events,
            [
                ToolCallStarted("c", "p", custom=True, item_id="ctc_1"),
                ArgumentsDelta("+a"),
                BlockStopped(),
                Stopped("tool_use"),
            ],
        )

    def test_arguments_that_are_objects(self) -> None:
        """Imitators write the object itself, and an empty one for what is still to come."""
        call = {"type": "function_call", "id": "fc", "call_id": "c", "name": "f"}
        kind = "response.function_call_arguments"
        nothing: tuple[object, ...] = ({}, "{}", "")
        for first in nothing:
            for final in ({"n": 1}, '{"n":1}'):
                frames = (
                    {"type": "response.output_item.added", "item": call | {"arguments": first}},
                    {"type": f"{kind}.done", "item_id": "fc", "arguments": final},
                    {"type": "response.output_item.done", "item": call | {"arguments": final}},
                    {"type": "response.completed", "response": {"output": []}},
                )
                source = DIALECT.stream_decoder()
                events: list[Event] = []
                for frame in frames:
                    events += source.feed(b"data: " + json.dumps(frame).encode() + b"\n\n")
                pieces = [event.text for event in events if isinstance(event, ArgumentsDelta)]
                self.assertEqual(json.loads("".join(pieces)), {"n": 1})
                self.assertEqual(events[-1], Stopped("tool_use"))

    def test_annotation(self) -> None:
        """Citations keep the API's own words."""
        note = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}
        events = decode(
            {"type": "response.output_text.delta", "output_index": 0, "delta": "ab"},
            {
                "type": "response.output_text.annotation.added",
                "output_index": 0,
                "annotation": note,
            },
            {"type": "response.completed", "response": {"output": []}},
        )
        (found,) = [event for event in events if isinstance(event, CitationAdded)]
        self.assertEqual(
            (found.url, found.title, found.start, found.end, found.origin),
            ("u", "t", 0, 2, "openai_responses"),
        )
        self.assertEqual(json.loads(found.raw), note)

    def test_sealed_reasoning(self) -> None:
        """The seal comes with the id that OpenAI wants back."""
        item = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "ZW5j"}
        self.assertEqual(
            decode(
                {"type": "response.output_item.done", "output_index": 0, "item": item},
                {"type": "response.completed", "response": {"output": [item]}},
            ),
            [
                ThinkingStarted(summary=True, id="rs_1"),
                SignatureDelta("ZW5j", "openai_responses"),
                BlockStopped(),
                Stopped("end_turn"),
            ],
        )

    def test_end_is_final(self) -> None:
        """Nothing is said after the end."""
        decoder = DIALECT.stream_decoder()
        body = b'data: {"type":"response.completed","response":{"output":[]}}\n\n'
        self.assertIsInstance(decoder.feed(body)[-1], Stopped)
        self.assertEqual(decoder.feed(body) + decoder.close(), [])


class WholeAnswersTests(SynchronousTestCase):
    """Answers that are not streams."""

    def test_items_of_one_length(self) -> None:
        """Each is given, whether it has an id or not."""
        for ids in (False, True):
            output = [
                {"type": "message", "content": [{"type": "output_text", "text": text}]}
                | ({"id": text} if ids else {})
                for text in ("One.", "Two.")
            ]
            body = json.dumps({"status": "completed", "output": output}).encode()
            texts = [e.text for e in DIALECT.parse_response(body) if isinstance(e, TextDelta)]
            self.assertEqual(texts, ["One.", "Two."])

    def test_many_items(self) -> None:
        """Reading takes a time that grows with the answer, and no faster, though the end repeats what came."""
        many = 40_000
        said = [
            {"type": "message", "content": [{"type": "output_text", "text": str(number)}]}
            for number in range(many)
        ]
        named = [item | {"id": f"i{number}"} for number, item in enumerate(said)]
        body = json.dumps({"status": "completed", "output": named}).encode()
        stream = [
            {"type": "response.output_item.done", "output_index": index, "item": item}
            for index, item in enumerate(named)
        ]
        repeated = {"status": "completed", "output": [{"type": "reasoning"}, *said]}
        began = time.process_time()
        whole = DIALECT.parse_response(body)
        events = decode(*stream, {"type": "response.completed", "response": repeated})
        for found in (whole, events):
            self.assertEqual(len([e for e in found if isinstance(e, TextStarted)]), many)
        self.assertLess(time.process_time() - began, 10)

    def test_failures(self) -> None:
        """A failed response is its error; a body that is none is one of ours."""
        failed = DIALECT.parse_response(
            b'{"id": "r", "status": "failed", "output": [], '
            b'"error": {"code": "server_error", "message": "Boom"}}'
        )
        assert isinstance(failed[-1], StreamFailed)
        self.assertEqual(failed[-1].error.message, "Boom")
        (bare,) = DIALECT.parse_response(b'{"error": {"message": "No", "code": "model_not_found"}}')
        assert isinstance(bare, StreamFailed)
        self.assertEqual(bare.error.kind, Kind.MODEL_NOT_FOUND)
        for body in (
            b"",
            b"[]",
            b"{}",
            b'{"status": "in_progress", "output": []}',
            b'{"output": 5}',
        ):
            self.assertRaises(ProxyError, DIALECT.parse_response, body)

    def test_built_from_a_failure(self) -> None:
        """A failed answer is no answer."""
        fault = ProxyError(Kind.OVERLOADED, "Busy.")
        turn = DIALECT.parse_request(b'{"model": "m", "input": ""}', [])
        failed: list[Event] = [StreamFailed(fault)]
        cut: list[Event] = [MessageStarted(), TextStarted()]
        for events in (failed, cut):
            with self.assertRaises(ProxyError):
                DIALECT.build_response(events, turn, model="m", response_id="r", created=1)

    def test_http_error(self) -> None:
        """An upstream's error keeps its status, code and headers."""
        error = DIALECT.parse_error(
            429,
            [("Retry-After", "7"), ("Server", "x")],
            b'{"error": {"message": "Slow", "type": "requests", "param": null, '
            b'"code": "rate_limit_exceeded"}}',
        )
        self.assertEqual(
            (error.kind, error.http_status, error.message, error.headers),
            (Kind.RATE_LIMIT, 429, "Slow", (("Retry-After", "7"),)),
        )
