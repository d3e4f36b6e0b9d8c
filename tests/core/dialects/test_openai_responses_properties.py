"""What holds for every Responses stream and request, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.answer import Answer, CallBlock, collect
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import Event
from clawproxy.core.dialects.openai_responses_build import build_request
from clawproxy.core.dialects.openai_responses_request import parse_request
from clawproxy.core.dialects.parts import (
    FilePart,
    ImagePart,
    InlineData,
    Message,
    Part,
    RefusalPart,
    RemoteUrl,
    Role,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, ToolChoice
from clawproxy.core.dialects.turn import OutputFormat, Reasoning, Sampling, Turn
from tests.core.dialects.strategies import answers, ids, names, objects, pieces_of, words
from tests.core.dialects.transcripts import events_of, turn, written

PAIRS: tuple[tuple[DialectName, DialectName], ...] = (
    ("openai_responses", "anthropic"),
    ("openai_responses", "openai_chat"),
)


def shown(answer: Answer) -> list[Any]:
    """Give what a caller sees of an answer's blocks; a call without arguments has ``{}``."""
    return [
        (block.started.id, block.started.name, block.arguments or "{}")
        if isinstance(block, CallBlock)
        else (type(block), getattr(block, "text", ""))
        for block in answer.blocks
    ]


class StreamProperties(SynchronousTestCase):
    """Streams."""

    def assert_same(self, found: Answer, wanted: Answer) -> None:
        """Compare all that the API has words for."""
        self.assertEqual(shown(found), shown(wanted))
        self.assertEqual(found.stopped.reason, wanted.stopped.reason)
        self.assertEqual(found.usage.prompt_tokens, wanted.usage.prompt_tokens)
        self.assertEqual(found.usage.output_tokens, wanted.usage.output_tokens)

    @settings(deadline=None, max_examples=40)
    @given(answers())
    def test_round_trip(self, events: list[Event]) -> None:
        """What is encoded is decoded again: blocks, ids, arguments, usage, end."""
        found = events_of("openai_responses", written("openai_responses", events))
        self.assert_same(collect(found), collect(events))

    @settings(deadline=None, max_examples=40)
    @given(answers())
    def test_whole_as_streamed(self, events: list[Event]) -> None:
        """An answer in one piece holds what its stream's last event holds."""
        dialect = DIALECTS["openai_responses"]
        asked = turn("openai_responses")
        body = dialect.build_response(events, asked, model="m", response_id="r", created=1)
        encoder = dialect.stream_encoder(asked, model="m", response_id="r", created=1)
        last = [frame for event in events if (frame := encoder.encode(event))][-1]
        data = last.rstrip().rpartition(b"\ndata: ")[2]
        self.assertEqual(json.loads(data)["response"], json.loads(body))
        self.assert_same(collect(dialect.parse_response(body)), collect(events))

    @settings(deadline=None, max_examples=30)
    @given(st.data(), answers(), st.sampled_from(PAIRS))
    def test_any_cut(
        self,
        data: st.DataObject,
        events: list[Event],
        pair: tuple[DialectName, DialectName],
    ) -> None:
        """A stream gives the caller the same bytes for any cuts, either way."""
        for source, target in (pair, pair[::-1]):
            stream = written(source, events)
            wanted = written(target, events_of(source, stream))
            pieces = data.draw(pieces_of(stream))
            self.assertEqual(written(target, events_of(source, *pieces)), wanted)


texts = words.map(TextPart)
images = st.sampled_from(
    [
        ImagePart(InlineData("image/png", "AA=="), "auto"),
        ImagePart(RemoteUrl("https://e.org/a.png"), "low"),
    ]
)
documents = st.builds(
    FilePart, st.just(InlineData("application/pdf", "JVBE")), st.sampled_from(["a.pdf", "b.pdf"])
)
thoughts = st.builds(
    ThinkingPart,
    st.just("openai_responses"),
    words,
    ids.map(lambda name: "enc_" + name),
    st.just(""),
    ids.map(lambda name: "rs_" + name),
)
tools = st.lists(
    st.one_of(
        st.builds(
            FunctionTool,
            names,
            words,
            objects.map(lambda o: json.dumps({"type": "object", "properties": {}} | o).encode()),
            st.just(False),
        ),
        st.builds(CustomTool, names, words, st.sampled_from([None, b'{"type":"text"}'])),
    ),
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Some turns that the API can express, each call answered."""
    out: list[Message] = []
    numbers = iter(range(100))
    for _ in range(draw(st.integers(1, 3))):
        role: Role = draw(st.sampled_from(("user", "user", "developer", "system")))
        parts = st.lists(st.one_of(texts, images, documents) if role == "user" else texts)
        out.append(Message(role, tuple(draw(parts) or [TextPart("go")])))
        said: list[Part] = draw(
            st.lists(st.one_of(texts, words.map(RefusalPart), thoughts), max_size=3)
        )
        called = [
            ToolCallPart(f"call_{next(numbers)}", draw(names), json.dumps(draw(objects)))
            for _ in range(draw(st.integers(0, 2)))
        ]
        if not called and said and isinstance(said[-1], ThinkingPart):
            said.append(TextPart("so"))  # the API takes no reasoning that nothing follows
        if said or called:
            out.append(Message("assistant", (*said, *called)))
        if called:
            results = [
                ToolResultPart(call.id, tuple(draw(st.lists(st.one_of(texts, images), max_size=2))))
                for call in called
            ]
            out.append(Message("user", tuple(results)))
    return tuple(out)


turns = st.builds(
    Turn,
    dialect=st.just("openai_responses"),
    model=st.just("gpt-4o"),
    system=st.lists(texts, max_size=1).map(tuple),
    messages=conversations(),
    tools=tools,
    max_tokens=st.one_of(st.none(), st.integers(16, 16384)),
    sampling=st.builds(Sampling, st.one_of(st.none(), st.floats(0, 2))),
    output=st.sampled_from(
        [
            None,
            OutputFormat("text"),
            OutputFormat("json_object"),
            OutputFormat("json_schema", "n", b'{"type":"string"}', True, "d"),
        ]
    ),
    user=st.one_of(st.none(), words),
    verbosity=st.sampled_from([None, "low"]),
    stream=st.booleans(),
)


class RequestProperties(SynchronousTestCase):
    """Requests."""

    @settings(deadline=None, max_examples=60)
    @given(turns)
    def test_round_trip(self, asked: Turn) -> None:
        """A turn that the API can express comes back as it was."""
        custom = {tool.name for tool in asked.tools if isinstance(tool, CustomTool)}
        called = [part for message in asked.messages for part in message.parts]
        # Such a call is told as the tool now is: a custom tool's, with text.
        assume(not any(isinstance(part, ToolCallPart) and part.name in custom for part in called))
        found = parse_request(build_request(asked, model=asked.model, stream=asked.stream))
        for name in ("model", "system", "max_tokens", "sampling", "output", "user", "verbosity"):
            self.assertEqual(getattr(found, name), getattr(asked, name), name)
        self.assertEqual(found.tools, asked.tools)
        self.assertEqual(found.stream, asked.stream)
        self.assertEqual(self._placeless(found.messages), self._placeless(asked.messages))

    def _placeless(self, messages: tuple[Message, ...]) -> list[Message]:
        return [
            evolve(message, parts=tuple(self._moved(part) for part in message.parts))
            for message in messages
        ]

    def _moved(self, part: Part) -> Part:
        """Forget where a part stood; several texts of a result are one in the API."""
        match part:
            case ImagePart() | FilePart():
                return evolve(part, where="")
            case ToolResultPart(content=content):
                plain = [each.text for each in content if isinstance(each, TextPart)]
                if plain and len(plain) == len(content):
                    return evolve(part, content=(TextPart("\n\n".join(plain)),))
                return evolve(part, content=tuple(self._moved(each) for each in content))  # type: ignore[misc]
            case _:
                return part

    @settings(deadline=None, max_examples=40)
    @given(
        st.sampled_from(("auto", "none", "required", "tool", "allowed")),
        st.sampled_from((None, True, False)),
        st.sampled_from((None, "low", "medium", "high")),
    )
    def test_round_trip_of_choices(self, mode: Any, parallel: bool | None, effort: Any) -> None:
        """Choices come back too, of tools of either kind."""
        for name in ("f", "patch"):
            choice = {
                "tool": ToolChoice("tool", name),
                "allowed": ToolChoice("required", allowed=("patch", "f")),
            }.get(mode) or ToolChoice(mode)
            asked = Turn(
                dialect="openai_responses",
                model="gpt-5.5",
                messages=(Message("user", (TextPart("go"),)),),
                tools=(FunctionTool("f"), CustomTool("patch")),
                tool_choice=choice,
                parallel_tool_calls=parallel,
                reasoning=Reasoning(effort=effort, summary="auto"),
            )
            found = parse_request(build_request(asked, model="gpt-5.5", stream=False))
            self.assertEqual(found.tool_choice, choice)
            self.assertEqual(found.parallel_tool_calls, parallel)
            self.assertEqual(found.reasoning, asked.reasoning)
