"""Measure what translation costs: microseconds an event, decoding and encoding, for each pair of
dialects.

A stream of text with two tool calls is made in one dialect, cut into pieces as a network would, and
translated to each other dialect. Printed is the best of several runs, since anything slower is the
machine's noise: the events an upstream sent, the time for each, and the time from the first bytes
in to the first bytes out.

    python bench/translate.py [--events 2000] [--runs 5]
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
from clawproxy.core.dialects.turn import FunctionTool, Message, TextPart, Turn


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


def main() -> None:
    """Print a line for each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=2000, help="text deltas in the answer")
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


if __name__ == "__main__":
    main()
