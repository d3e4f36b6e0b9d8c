"""A tool call reaches its caller as the model made it, whatever the ways of the server and of the network."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise, permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.answer import CallBlock, collect
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import Event
from clawproxy.core.dialects.naming import escaped_call_id
from tests.core.dialects.strategies import json_values, names, pieces_of, words
from tests.core.dialects.transcripts import events_of, grammatical, written

Call = tuple[str, str, list[str]]
"""A call's id, its tool, and the pieces of its arguments, whose strings may hold half a character."""
Piece = tuple[int, int]
"""A call and one of its pieces."""

texts = st.one_of(words, st.text(st.sampled_from('a\\"\n\t/é😀🦀{}'), max_size=8))


@st.composite
def calls(draw: st.DrawFn) -> tuple[list[Call], list[Piece]]:
    """Some calls, and the order in which their pieces come."""
    together = draw(st.booleans())
    made: list[Call] = []
    for number in range(draw(st.integers(1, 3))):
        value = draw(st.dictionaries(texts, st.one_of(texts, json_values), max_size=3))
        text = json.dumps(value, ensure_ascii=draw(st.booleans()))
        identifier = f"call_{number}_{draw(st.sampled_from(('a', 'functions.f:0', 'x' * 50)))}"
        made.append((identifier, draw(names), cut(draw, text, halves=not together)))
    left = [(number, place) for number, call in enumerate(made) for place in range(len(call[2]))]
    if not together:
        return made, left
    order: list[Piece] = []
    while left:
        nexts = sorted({number for number, _ in left})
        chosen = draw(st.sampled_from(nexts))
        order.append(left.pop(next(i for i, piece in enumerate(left) if piece[0] == chosen)))
    return made, order


def cut(draw: st.DrawFn, text: str, *, halves: bool) -> list[str]:
    """Cut a text into pieces; between the 16-bit units of JavaScript's strings, or between characters."""
    coded = text.encode("utf-16-le" if halves else "utf-32-le")
    unit = 2 if halves else 4
    places = draw(st.lists(st.integers(1, max(1, len(coded) // unit - 1)), max_size=6, unique=True))
    edges = [0, *sorted(unit * place for place in places), len(coded)]
    form = "utf-16-le" if halves else "utf-32-le"
    pieces = [coded[a:b].decode(form, "surrogatepass") for a, b in pairwise(edges)]
    return [piece for piece in pieces if piece]


def frame(body: dict[str, Any]) -> bytes:
    """Write a frame as a server in JavaScript does: halves of characters as escapes."""
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def anthropic(made: list[Call], order: Iterable[Piece]) -> bytes:
    """The calls as blocks that interleave."""
    out = [frame({"type": "message_start", "message": {"id": "m", "model": "m", "usage": {}}})]
    for number, place in order:
        identifier, name, pieces = made[number]
        if not place:
            block = {"type": "tool_use", "id": identifier, "name": name, "input": {}}
            out.append(
                frame({"type": "content_block_start", "index": number, "content_block": block})
            )
        delta = {"type": "input_json_delta", "partial_json": pieces[place]}
        out.append(frame({"type": "content_block_delta", "index": number, "delta": delta}))
        if place == len(pieces) - 1:
            out.append(frame({"type": "content_block_stop", "index": number}))
    out.append(frame({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}}))
    return b"".join((*out, frame({"type": "message_stop"})))


def openai_chat(made: list[Call], order: Iterable[Piece]) -> bytes:
    """The calls as deltas that interleave."""
    out: list[bytes] = []
    for number, place in order:
        identifier, name, pieces = made[number]
        delta: dict[str, Any] = {"index": number, "function": {"arguments": pieces[place]}}
        if not place:
            delta |= {"id": identifier, "type": "function"}
            delta["function"] |= {"name": name}
        out.append(frame({"choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]}))
    out.append(frame({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}))
    return b"".join((*out, b"data: [DONE]\n\n"))


def openai_responses(made: list[Call], order: Iterable[Piece]) -> bytes:
    """The calls as items that interleave."""
    out = [frame({"type": "response.created", "response": {"id": "r", "model": "m"}})]
    items: list[dict[str, Any]] = [{} for _ in made]
    for number, place in order:
        identifier, name, pieces = made[number]
        where = {"output_index": number, "item_id": f"fc_{number}"}
        item = {"id": f"fc_{number}", "type": "function_call", "call_id": identifier, "name": name}
        if not place:
            added = item | {"arguments": ""}
            out.append(frame({"type": "response.output_item.added", "item": added} | where))
        kind = "response.function_call_arguments.delta"
        out.append(frame({"type": kind, "delta": pieces[place]} | where))
        if place == len(pieces) - 1:
            items[number] = item | {"arguments": whole(pieces)}
            out.append(frame({"type": "response.output_item.done", "item": items[number]} | where))
    response = {"id": "r", "status": "completed", "output": items}
    return b"".join((*out, frame({"type": "response.completed", "response": response})))


def whole(pieces: Iterable[str]) -> str:
    """Join pieces and the halves of characters in them."""
    return "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le")


SERVERS = {
    "anthropic": anthropic,
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
}


def found(events: list[Event]) -> list[tuple[str, str, str]]:
    """The calls of an answer; no arguments are an empty object."""
    return [
        (block.started.id, block.started.name, block.arguments or "{}")
        for block in collect(events).blocks
        if isinstance(block, CallBlock)
    ]


class CallProperties(SynchronousTestCase):
    """Every server's calls, to every caller."""

    @settings(deadline=None, max_examples=60)
    @given(calls(), st.data())
    def test_every_pair(self, made: tuple[list[Call], list[Piece]], data: st.DataObject) -> None:
        given_calls, order = made
        seen = sorted(range(len(given_calls)), key=lambda n: order.index((n, 0)))
        wanted = [
            (i, name, whole(pieces)) for i, name, pieces in map(given_calls.__getitem__, seen)
        ]
        for source, target in permutations(DIALECTS, 2):
            stream = SERVERS[source](given_calls, order)
            events = events_of(source, *data.draw(pieces_of(stream)))
            self.assertTrue(grammatical(events), events)
            self.assertEqual(found(events), wanted)
            again = events_of(target, written(target, events))
            self.assertTrue(grammatical(again), again)
            legal = [(escaped_call_id(i), name, text) for i, name, text in wanted]
            told = legal if target == "anthropic" else wanted
            self.assertEqual(found(again), told)
            self.assertWhole(target, events, told)

    def assertWhole(
        self, target: DialectName, events: list[Event], wanted: list[tuple[str, str, str]]
    ) -> None:
        """The answer without a stream holds the same."""
        request = DIALECTS[target].parse_request(
            b'{"model":"m","messages":[],"input":"x"}'
            if target != "openai_responses"
            else b'{"model":"m","input":"x"}',
            (),
        )
        body = DIALECTS[target].build_response(
            events, request, model="m", response_id="r", created=1
        )
        self.assertEqual(found(DIALECTS[target].parse_response(body)), wanted)
