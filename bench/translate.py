"""Measure what translation costs, for each pair of dialects: milliseconds a request, microseconds an
event.

1. A stream of text with two tool calls is made in one dialect, cut into pieces as a network would, and
   translated to each other dialect. Printed is the best of several runs, since anything slower is the
   machine's noise: the events an upstream sent, the time for each, and the time from the first bytes
   in to the first bytes out.
2. A coding agent's conversation (tools, calls, their results, some parallel) is written in one dialect,
   then read and written in each other one. Printed are its size and the time of both halves.

    python bench/translate.py [--events 2000] [--turns 200] [--runs 5]
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import permutations

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    Event,
    MessageStarted,
    Stopped,
    TextDelta,
    TextStarted,
    TokenUsage,
    ToolCallStarted,
    UsageReported,
)
from clawproxy.core.dialects.parts import (
    Message,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from clawproxy.core.dialects.tools import FunctionTool
from clawproxy.core.dialects.turn import Turn

MODELS: dict[DialectName, str] = {
    "anthropic": "claude-sonnet-4-5",
    "openai_chat": "gpt-5.1",
    "openai_responses": "gpt-5.1",
}
"""A model of each dialect's vendor: rules about fields go by names."""


def answer(deltas: int) -> list[Event]:
    """Return an answer of so many text deltas, and two tool calls of a tenth of that each."""
    events: list[Event] = [MessageStarted("up_1", "model"), TextStarted()]
    events += [TextDelta(f"word {n} of the answer, ") for n in range(deltas)]
    events.append(BlockStopped())
    for call in range(2):
        events.append(ToolCallStarted(f"call_{call}", "lookup"))
        events.append(ArgumentsDelta('{"items":['))
        events += [ArgumentsDelta(f'"item {n}",') for n in range(deltas // 10)]
        events += [ArgumentsDelta('"last"]}'), BlockStopped()]
    events.append(UsageReported(TokenUsage(1200, 340, 800)))
    return [*events, Stopped("tool_use")]


def turn(dialect: DialectName) -> Turn:
    """Return a request that such an answer fits."""
    return Turn(
        dialect=dialect,
        model="model",
        messages=(Message("user", (TextPart("go"),)),),
        tools=(FunctionTool("lookup"),),
        stream=True,
        include_usage=True,
    )


def stream(name: DialectName, events: list[Event]) -> list[bytes]:
    """Return the frames of an answer in a dialect."""
    encoder = DIALECTS[name].stream_encoder(turn(name), model="m", response_id="resp_1", created=1)
    frames = [piece for event in events if (piece := encoder.encode(event))]
    return [*frames, encoder.close()]


def translate(
    source: DialectName, target: DialectName, pieces: list[bytes]
) -> tuple[float, float, int]:
    """Translate a stream; return the seconds it took in all, those to the first output, and its
    events.
    """
    start = time.perf_counter()
    decoder = DIALECTS[source].stream_decoder()
    encoder = DIALECTS[target].stream_encoder(
        turn(target), model="m", response_id="resp_2", created=1
    )
    first = 0.0
    for piece in pieces:
        for event in decoder.feed(piece):
            if encoder.encode(event) and not first:
                first = time.perf_counter() - start
    for event in decoder.close():
        encoder.encode(event)
    encoder.close()
    return time.perf_counter() - start, first, b"".join(pieces).count(b"\n\n")


def conversation(dialect: DialectName, turns: int, size: int) -> Turn:
    """Return a coding agent's request.

    :param turns: answers of the model so far; each calls a tool, every fifth three at once.
    :param size: characters of each tool's result.
    """
    line = 'def name(argument: "type") -> None:\n    return {"key": [1, 2, 3]}  # schön \\ \n'
    result = (line * (size // len(line) + 1))[:size]
    messages = [Message("user", (TextPart("Mend the tests, please. " * 20),))]
    for turn_number in range(turns):
        calls = 3 if turn_number % 5 == 0 else 1
        ids = [f"call_{turn_number:04d}_{call}" for call in range(calls)]
        said: list[Part] = [
            ThinkingPart(dialect, "Where is it? " * 10, signature="c2VhbA" * 40),
            TextPart(f"I look at file {turn_number} now."),
        ]
        said += [
            ToolCallPart(name, "Read", '{"file_path": "/src/module.py", "limit": 100, "offset": 1}')
            for name in ids
        ]
        messages.append(Message("assistant", tuple(said)))
        messages.append(
            Message("user", tuple(ToolResultPart(name, (TextPart(result),)) for name in ids))
        )
    schema = (
        b'{"type":"object","properties":{"file_path":{"type":"string","description":"Where it is."},'
        b'"limit":{"type":"integer"},"offset":{"type":"integer"}},"required":["file_path","limit","offset"],'
        b'"additionalProperties":false}'
    )
    names = ["Read", *(f"mcp__server__tool_{number}" for number in range(39))]
    return Turn(
        dialect=dialect,
        model="model",
        messages=tuple(messages),
        system=(TextPart("You are an agent. " * 1000),),
        tools=tuple(FunctionTool(name, "It does. " * 50, schema) for name in names),
        max_tokens=32000,
        stream=True,
    )


def request(source: DialectName, target: DialectName, body: bytes) -> tuple[float, float]:
    """Translate a request; return the seconds that reading and writing it took."""
    start = time.perf_counter()
    turn = DIALECTS[source].parse_request(body, ())
    read = time.perf_counter()
    DIALECTS[target].build_request(turn, model=MODELS[target], stream=True)
    return read - start, time.perf_counter() - read


def main() -> None:
    """Print a line for each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=2000, help="text deltas in the answer")
    parser.add_argument("--turns", type=int, default=200, help="answers in the conversation")
    parser.add_argument("--size", type=int, default=2000, help="characters of a tool's result")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the best counts")
    options = parser.parse_args()
    events = answer(options.events)
    line = "{:<16} {:<16} {:>7} {:>10} {:>10}\n"
    sys.stdout.write(line.format("upstream", "caller", "events", "us/event", "first us"))
    for source, target in permutations(DIALECTS, 2):
        pieces = stream(source, events)
        runs = [translate(source, target, pieces) for _ in range(options.runs)]
        count = runs[0][2]
        cost = min(run[0] for run in runs) / count * 1e6
        wait = min(run[1] for run in runs) * 1e6
        sys.stdout.write(line.format(source, target, count, f"{cost:.1f}", f"{wait:.0f}"))
    line = "{:<16} {:<16} {:>7} {:>10} {:>10}\n"
    sys.stdout.write("\n" + line.format("caller", "upstream", "KB", "read ms", "write ms"))
    for source, target in permutations(DIALECTS, 2):
        asked = conversation(source, options.turns, options.size)
        body = DIALECTS[source].build_request(asked, model=MODELS[source], stream=True)
        halves = [request(source, target, body) for _ in range(options.runs)]
        best = [f"{min(half) * 1e3:.1f}" for half in zip(*halves, strict=True)]
        sys.stdout.write(line.format(source, target, len(body) // 1000, *best))


if __name__ == "__main__":
    main()
