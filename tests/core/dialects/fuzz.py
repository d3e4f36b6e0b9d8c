"""A fuzzer for the dialects' readers and writers: real streams and requests, damaged at random.

    python -m tests.core.dialects.fuzz --streams 100000 --requests 100000 --seed 1

Each stream is a transcript of tests/data with bytes, values or whole frames changed, doubled or
left out, fed in random cuts to every decoder; whatever comes out is written to callers of all
dialects. The readers promise to raise nothing, and this holds them to it: the first exception stops
the run with the seed and the stream's number.

Requests are those of the conformance suite with members changed, added or left out; each is read and, if it can be,
written to every upstream. Nothing but ``ProxyError`` may come of it, and what is written has to be JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from contextlib import suppress
from random import Random
from typing import Any, cast

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.anthropic_cache import with_cache
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import Event
from clawproxy.core.errors import ProxyError
from tests.conformance.asks import ASKS
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
NAMES = (
    *(
        "type",
        "name",
        "id",
        "content",
        "text",
        "arguments",
        "input",
        "output",
        "call_id",
        "role",
        "summary",
    ),
    *(
        "tools",
        "schema",
        "strict",
        "required",
        "properties",
        "items",
        "anyOf",
        "$ref",
        "format",
        "enum",
    ),
    *("additionalProperties", "minItems", "$defs", "cache_control"),
)
MODELS = ("claude-sonnet-4-5", "claude-opus-4-8", "gpt-4o", "gpt-5.1", "gemini-3-pro")


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


def changed(value: Any, random: Random) -> Any:
    """Give some members of a request another value, another name or no place."""
    value = copy.deepcopy(value)
    for _ in range(random.randint(1, 4)):
        node = value
        while isinstance(node, (dict, list)) and node:
            keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = random.choice(keys)
            kind = random.random()
            if kind < 0.05:
                del node[key]
                break
            if kind < 0.15 and isinstance(node, dict):
                key = random.choice(NAMES)
            elif isinstance(node[key], (dict, list)) and kind < 0.85:
                node = node[key]
                continue
            node[key] = copy.deepcopy(random.choice(VALUES))
            break
    return value


def fuzz_requests(requests: int, seed: int) -> None:
    """Try so many requests.

    :raises Exception: whatever a reader or a writer let through, with the request as a note.
    """
    random = Random(seed)
    asked = [
        (cast(DialectName, dialect), {"model": "m", **body})
        for ask in ASKS
        for dialect, body in ask.asked.items()
    ]
    for number in range(requests):
        dialect, whole = random.choice(asked)
        body = json.dumps(changed(whole, random)).encode()
        try:
            turn = DIALECTS[dialect].parse_request(body, [])
            for target in DIALECTS:
                with suppress(ProxyError):
                    model = random.choice(MODELS)
                    json.loads(
                        DIALECTS[target].build_request(with_cache(turn), model=model, stream=True)
                    )
        except ProxyError:
            continue
        except Exception as error:
            error.add_note(f"seed {seed}, request {number}: {body[:2000]!r}")
            raise


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
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    fuzz(options.streams, options.seed)
    fuzz_requests(options.requests, options.seed)
    seconds = time.monotonic() - start
    tried = f"{options.streams} streams and {options.requests} requests"
    sys.stdout.write(f"{tried} in {seconds:.0f} s: nothing raised\n")


if __name__ == "__main__":
    main()
