"""What holds for every stream and every request, whatever is in it."""

from __future__ import annotations

import json
import re
from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.answer import collect
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import Event, ToolCallStarted
from clawproxy.core.dialects.parts import (
    CacheControl,
    FilePart,
    ImagePart,
    InlineData,
    Message,
    RemoteUrl,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from clawproxy.core.dialects.tools import FunctionTool, ToolChoice
from clawproxy.core.dialects.turn import OutputFormat, Sampling, Turn
from clawproxy.core.errors import ProxyError
from tests.core.dialects.strategies import (
    answers,
    hostile_streams,
    hostile_values,
    ids,
    json_values,
    names,
    objects,
    pieces_of,
    words,
)
from tests.core.dialects.transcripts import events_of, golden, grammatical, turn, written

MINE: tuple[DialectName, ...] = ("anthropic", "openai_chat")
GOLDEN: tuple[tuple[DialectName, str], ...] = (
    ("openai_chat", "chat/interleaved_calls.sse"),
    ("openai_chat", "chat/sloppy_server.sse"),
    ("openai_chat", "chat/refusal.sse"),
    ("openai_chat", "chat/error.sse"),
    ("anthropic", "anthropic/thinking_and_calls.sse"),
    ("anthropic", "anthropic/overloaded.sse"),
)


class StreamProperties(SynchronousTestCase):
    """Streams."""

    def test_golden_cuts(self) -> None:
        """A transcript gives the same translation for each cut in two, and byte by byte."""
        for dialect, name in GOLDEN:
            data = golden(name)
            whole = repr(events_of(dialect, data))
            for place in range(0, len(data), 31):
                self.assertEqual(repr(events_of(dialect, data[:place], data[place:])), whole, name)
            self.assertEqual(repr(events_of(dialect, *(bytes([b]) for b in data))), whole, name)

    @settings(deadline=None, max_examples=30)
    @given(st.data(), answers())
    def test_any_cut(self, data: st.DataObject, events: list[Event]) -> None:
        """A generated stream gives the same bytes to the caller for any cuts."""
        for source, target in permutations(MINE, 2):
            stream = written(source, events)
            wanted = written(target, events_of(source, stream))
            pieces = data.draw(pieces_of(stream))
            self.assertEqual(written(target, events_of(source, *pieces)), wanted)

    @settings(deadline=None, max_examples=40)
    @given(answers())
    def test_round_trip(self, events: list[Event]) -> None:
        """What a dialect's encoder writes its decoder reads: blocks, ids, arguments, usage, end."""
        wanted = collect(events)
        for dialect in MINE:
            request = turn(dialect, include_usage=True)
            found = events_of(dialect, written(dialect, events, request))
            self.assertTrue(grammatical(found), found)
            answer = collect(found)
            self.assertEqual(
                [self._exact(block) for block in answer.blocks],
                [self._exact(block) for block in wanted.blocks],
            )
            self.assertEqual(self._calls(found), self._calls(events))
            self.assertEqual(answer.stopped.reason, wanted.stopped.reason)
            self.assertEqual(answer.usage.prompt_tokens, wanted.usage.prompt_tokens)
            self.assertEqual(answer.usage.output_tokens, wanted.usage.output_tokens)

    @settings(deadline=None, max_examples=40)
    @given(answers())
    def test_whole_as_streamed(self, events: list[Event]) -> None:
        """An answer in one piece holds what its stream holds."""
        for dialect in MINE:
            body = DIALECTS[dialect].build_response(
                events, turn(dialect), model="m", response_id="r", created=1
            )
            answer = collect(DIALECTS[dialect].parse_response(body))
            wanted = collect(events)
            self.assertEqual(
                [self._exact(block) for block in answer.blocks],
                [self._exact(block) for block in wanted.blocks],
            )
            self.assertEqual(answer.stopped.reason, wanted.stopped.reason)

    @staticmethod
    def _calls(events: list[Event]) -> list[Event]:
        """What identifies each call."""
        return [event for event in events if isinstance(event, ToolCallStarted)]

    @staticmethod
    def _exact(block: Any) -> Any:
        """Arguments as one text, whether they stood in a string or as an object."""
        return (type(block), getattr(block, "text", ""), getattr(block, "arguments", "") or "{}")

    @settings(deadline=None, max_examples=100)
    @given(hostile_streams(), st.integers(0, 400))
    def test_hostile_streams(self, stream: bytes, place: int) -> None:
        """Hostile bytes raise nothing, obey the grammar, and can be written to any caller."""
        for dialect in MINE:
            events = events_of(dialect, stream[:place], stream[place:])
            self.assertTrue(grammatical(events), events)
            for target in MINE:
                written(target, events)

    @settings(deadline=None, max_examples=80)
    @given(st.sampled_from(GOLDEN), st.integers(0, 3000), st.binary(max_size=8))
    def test_damaged_streams(self, which: tuple[DialectName, str], at: int, junk: bytes) -> None:
        """A real stream with some bytes overwritten raises nothing either."""
        dialect, name = which
        stream = golden(name)
        at %= len(stream)
        damaged = stream[:at] + junk + stream[at + len(junk) :]
        self.assertTrue(grammatical(events_of(dialect, damaged)))


texts = words.filter(str.strip).map(TextPart)
marked = st.builds(TextPart, words.filter(str.strip), st.sampled_from([None, CacheControl("1h")]))
images = st.sampled_from(
    [ImagePart(InlineData("image/png", "AA==")), ImagePart(RemoteUrl("https://e.org/a.png"))]
)
documents = st.builds(
    FilePart, st.just(InlineData("application/pdf", "JVBE")), st.sampled_from(["a.pdf", "b.pdf"])
)
arguments = objects.map(json.dumps)
results = st.builds(
    ToolResultPart, ids, st.lists(texts, min_size=1, max_size=2).map(tuple), st.just(False)
)
tools = st.lists(
    st.builds(
        FunctionTool,
        names,
        words.filter(str.strip),
        objects.map(lambda o: json.dumps({"type": "object", "properties": {}} | o).encode()),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)


@st.composite
def turns(draw: st.DrawFn, dialect: DialectName) -> Turn:
    """A request that the dialect can express in full."""
    own = dialect == "anthropic"
    messages: list[Message] = []
    for number in range(draw(st.integers(1, 3))):
        parts: list[Any] = []
        if number:
            found = draw(st.lists(results, max_size=2))
            parts += found
            if found and not own:  # tool messages are a message of their own
                messages.append(Message("user", tuple(parts)))
                parts = []
        some = st.lists(st.one_of(marked if own else texts, images, documents), max_size=3)
        parts += draw(some) or [TextPart("go")]
        messages.append(Message("user", tuple(parts)))
        if own and draw(st.booleans()):
            messages.append(Message("system", (draw(texts),)))
        parts = []
        if own and draw(st.booleans()):
            parts.append(ThinkingPart("anthropic", draw(words), "sig_" + draw(ids)))
        parts.append(TextPart("done"))
        parts += draw(st.lists(st.builds(ToolCallPart, ids, names, arguments), max_size=2))
        messages.append(Message("assistant", tuple(parts)))
    messages.append(Message("user", (TextPart("and?"),)))
    return Turn(
        dialect=dialect,
        model="claude-opus-4-8" if own else "some-model",
        system=tuple(draw(st.lists(marked, max_size=3))) if own else (),
        messages=tuple(messages),
        tools=draw(tools),
        tool_choice=draw(
            st.sampled_from([None, ToolChoice("auto"), ToolChoice("none"), ToolChoice("tool", "f")])
        ),
        max_tokens=draw(st.integers(1, 10**6)),
        stop_sequences=tuple(draw(st.lists(words.filter(str.strip), max_size=2))),
        sampling=Sampling() if own else Sampling(draw(st.floats(0, 2)), seed=draw(st.integers())),
        output=draw(
            st.sampled_from(
                [None, OutputFormat("json_schema", None if own else "n", b'{"type":1}', own)]
            )
        ),
        user=draw(st.one_of(st.none(), words)),
        stream=draw(st.booleans()),
    )


class RequestProperties(SynchronousTestCase):
    """Requests."""

    @settings(deadline=None, max_examples=30)
    @given(turns("anthropic"))
    def test_anthropic_round_trip(self, asked: Turn) -> None:
        """A turn that Anthropic can express comes back as it was."""
        self.assert_round_trip(asked)

    @settings(deadline=None, max_examples=30)
    @given(turns("openai_chat"))
    def test_chat_round_trip(self, asked: Turn) -> None:
        """A turn that Chat Completions can express comes back as it was."""
        self.assert_round_trip(asked)

    def assert_round_trip(self, asked: Turn) -> None:
        """Build a turn, parse it, and compare all but the places in the body."""
        dialect = DIALECTS[asked.dialect]
        body = dialect.build_request(asked, model=asked.model, stream=asked.stream)
        found = dialect.parse_request(body, [])
        for name in (
            "model",
            "system",
            "tools",
            "tool_choice",
            "max_tokens",
            "stop_sequences",
            "sampling",
            "output",
            "user",
            "stream",
        ):
            self.assertEqual(getattr(found, name), getattr(asked, name), name)
        self.assertEqual(self._placeless(found), self._placeless(asked))

    @staticmethod
    def _placeless(asked: Turn) -> str:
        return re.sub(r"where='[^']*'", "", repr(asked.messages))

    @settings(deadline=None, max_examples=30)
    @given(turns("anthropic"))
    def test_nothing_is_lost(self, asked: Turn) -> None:
        """Each text, call and result of an Anthropic turn is in the Chat Completions request."""
        body = json.loads(DIALECTS["openai_chat"].build_request(asked, model="m", stream=True))
        sent = json.dumps(body["messages"], ensure_ascii=False)
        for message in asked.messages:
            for part in message.parts:
                match part:
                    case TextPart(text):
                        self.assertIn(json.dumps(text, ensure_ascii=False)[1:-1], sent)
                    case ToolCallPart():
                        self.assertIn(json.dumps(part.arguments, ensure_ascii=False), sent)
                    case ThinkingPart():
                        self.assertNotIn(f'"{part.signature}"', sent)
        roles = [message["role"] for message in body["messages"]]
        wanted = sum(isinstance(p, ToolResultPart) for m in asked.messages for p in m.parts)
        self.assertEqual(roles.count("tool"), wanted)

    @settings(deadline=None, max_examples=100)
    @given(
        st.dictionaries(
            st.sampled_from(
                (
                    "model",
                    "messages",
                    "system",
                    "tools",
                    "stop",
                    "tool_choice",
                    "thinking",
                    "output_config",
                    "response_format",
                    "max_tokens",
                    "metadata",
                    "temperature",
                    "stream",
                )
            ),
            hostile_values,
        ),
        st.booleans(),
        st.lists(hostile_values, max_size=3),
    )
    def test_hostile_requests(self, body: dict[str, Any], whole: bool, content: list[Any]) -> None:
        """Hostile bodies raise nothing but ``ProxyError``, when read and when written on."""
        if whole:
            roles = ("user", "assistant", "system", "tool")
            body |= {
                "model": "m",
                "messages": [
                    {"role": role, "content": content, "tool_call_id": "t"} for role in roles
                ],
            }
        for source in MINE:
            try:
                asked = DIALECTS[source].parse_request(json.dumps(body).encode(), [])
            except ProxyError:
                continue
            for target in MINE:
                try:
                    sent = DIALECTS[target].build_request(asked, model="claude-x", stream=True)
                except ProxyError:
                    continue
                json.loads(sent)

    @settings(deadline=None, max_examples=80)
    @given(st.one_of(st.binary(max_size=60), json_values.map(lambda v: json.dumps(v).encode())))
    def test_hostile_bodies(self, body: bytes) -> None:
        """So does what is no request at all."""
        for source in MINE:
            self.assertRaises(ProxyError, DIALECTS[source].parse_request, body, [])
            self.assertRaises(ProxyError, DIALECTS[source].parse_response, body)
