"""A fuzzer for the dialects' readers: real streams, damaged at random.

    python -m tests.core.dialects.fuzz --streams 100000 --seed 1

Each stream is a transcript of tests/data with bytes, values or whole frames changed, doubled or
left out, fed in random cuts to every decoder; whatever comes out is written to callers of all
dialects. The readers promise to raise nothing, and this holds them to it: the first exception stops
the run with the seed and the stream's number.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import suppress
from random import Random
from typing import Any

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import Event
from clawproxy.core.errors import ProxyError
from tests.core.dialects.transcripts import DATA, grammatical, turn

JUNK = (
    *(b"null", b"0", b"-1", b"1e999", b'""', b'"x"', b"[]", b"{}", b"true", b"\xff", b"\x00"),
    *(b"\\ud800", b"\n\n", b"\r", b'"', b"{", b"}", b"[", b"9" * 5000, b"[" * 5000),
    *(b"data: ", b"event: error\n", b"[DONE]"),
)


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**53, 10**30, 1.5, "", "x", "text", "tool_use", "stop"),
    *([], {}, [[]], [None], [{}], {"type": {}}, {"type": "text"}, {"type": 7, "text": 7}),
    *({"a": {"b": [1]}}, ["text"], "0", "message_stop", "content_block_stop", "error"),
)


def transcripts() -> list[bytes]:
    """Return all streams of tests/data, in a stable order."""
    return [path.read_bytes() for path in sorted(DATA.rglob("*.sse"))]


def twisted(data: bytes, random: Random) -> bytes:
    """Give one member of one frame another value, leaving the stream's form intact."""
    lines = data.split(b"\n")
    places = [n for n, line in enumerate(lines) if line.startswith(b"data: {")]
    if not places:
        return data
    place = random.choice(places)
    try:
        value = json.loads(lines[place][6:])
    except (ValueError, RecursionError):
        return data
    node = value
    while isinstance(node, (dict, list)) and node:
        keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = random.choice(keys)
        if not isinstance(node[key], (dict, list)) or random.random() < 0.3:
            node[key] = random.choice(VALUES)
            break
        node = node[key]
    lines[place] = b"data: " + json.dumps(value).encode()
    return b"\n".join(lines)


def damaged(data: bytes, random: Random) -> bytes:
    """Change a stream in up to four places."""
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        match random.randrange(8):
            case 0:
                data = data[:at] + random.choice(JUNK) + data[at:]
            case 1:
                data = data[:at] + random.choice(JUNK) + data[at + random.randrange(12) :]
            case 2:
                data = data[:at] + random.randbytes(3) + data[at + 3 :]
            case 3:
                frames = data.split(b"\n\n")
                random.shuffle(frames)
                data = b"\n\n".join(frames)
            case 4 | 5 | 6:
                data = twisted(data, random)
            case _:
                data = data[:at] + data[max(0, at - random.randrange(300)) :]
    return data


def attempt(stream: bytes, random: Random) -> None:
    """Feed one stream to every decoder, and its events to every encoder."""
    for source in DIALECTS:
        decoder = DIALECTS[source].stream_decoder()
        events: list[Event] = []
        place = 0
        while place < len(stream):
            step = random.choice((1, 7, 100, 1000, 100_000))
            events += decoder.feed(stream[place : place + step])
            place += step
        events += decoder.close()
        assert grammatical(events), events
        for target in DIALECTS:
            _write(target, events)
        body = stream.partition(b"data: ")[2].partition(b"\n")[0]
        with suppress(ProxyError):
            DIALECTS[source].parse_response(body)
        with suppress(ProxyError):
            DIALECTS[source].parse_request(body, [])


def _write(target: DialectName, events: list[Event]) -> None:
    encoder = DIALECTS[target].stream_encoder(
        turn(target, include_usage=True), model="m", response_id="resp_1", created=1
    )
    for event in events:
        encoder.encode(event)
    encoder.close()


def fuzz(streams: int, seed: int) -> None:
    """Try so many streams.

    :raises Exception: whatever a reader let through, with the stream's number as a note.
    """
    random = Random(seed)
    sources = transcripts()
    for number in range(streams):
        stream = damaged(random.choice(sources), random)
        try:
            attempt(stream, random)
        except Exception as error:
            error.add_note(f"seed {seed}, stream {number}: {stream[:2000]!r}")
            raise


def main() -> None:
    """Fuzz for as long as it was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    fuzz(options.streams, options.seed)
    seconds = time.monotonic() - start
    sys.stdout.write(f"{options.streams} streams in {seconds:.0f} s: nothing raised\n")


if __name__ == "__main__":
    main()
