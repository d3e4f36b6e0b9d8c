"""Streams and bodies that no sane vendor sends, made from those that vendors do send.

Everything is drawn from one :class:`random.Random`: a seed is enough to see a failure again.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.conformance.asks import ASKS
from tests.conformance.scripts import BODIES, STREAMS, Answer

TRANSCRIPTS = Path(__file__).parent.parent / "data" / "transcripts"

_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**63,
    10**40,
    float("inf"),
    "",
    "x",
    "\ud800",
    "\x00",
    "9" * 300,
    "error",
    "msg_0",
    [],
    {},
    [[]],
    [None],
    {"type": "text"},
    {"type": None},
    {"": {}},
)


@cache
def seeds(upstream: str, answers: tuple[Answer, ...]) -> list[bytes]:
    """Give the streams of an upstream to begin with."""
    found = [
        path.read_bytes().partition(b"\n\n")[2]
        for path in sorted((TRANSCRIPTS / upstream).glob("*.sse"))
    ]
    found += [STREAMS[upstream](answer) for answer in answers if upstream in answer.upstreams]
    return [stream for stream in found if len(stream) < 20_000]


def broken_stream(random: Random, upstream: str, answers: tuple[Answer, ...]) -> bytes:
    """Break a stream in a few places, in its JSON or in its bytes."""
    known = seeds(upstream, answers)
    frames = random.choice(known).split(b"\n\n")
    if random.random() < 0.3:  # a soup of frames, each of them right
        frames = frames[:1] + [
            random.choice(random.choice(known).split(b"\n\n")) for _ in range(30)
        ]
        return b"\n\n".join(frames) + b"\n\n"
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(frames))
        match random.randrange(9):
            case 0:
                del frames[at]
            case 1:
                frames.insert(random.randint(0, len(frames)), frames[at])
            case 2:
                other = random.randrange(len(frames))
                frames[at], frames[other] = frames[other], frames[at]
            case 3:
                frames.insert(at, random.choice(random.choice(known).split(b"\n\n")))
            case 4:
                frames[at] = _broken_bytes(random, frames[at])
            case _:
                frames[at] = _broken_frame(random, frames[at])
        if not frames:
            break
    out = b"\n\n".join(frames)
    return out[: random.randrange(len(out) + 1)] if random.random() < 0.1 else out


def _broken_frame(random: Random, frame: bytes) -> bytes:
    lines = frame.split(b"\n")
    for at, line in enumerate(lines):
        if line.startswith(b"data: {"):
            try:
                value = json.loads(line[6:])
            except ValueError:
                continue
            lines[at] = b"data: " + broken_json(random, value)
        elif line.startswith(b"event: ") and random.random() < 0.1:
            lines[at] = b"event: " + random.choice((b"error", b"ping", b"\xff", b""))
    return b"\n".join(lines)


def broken_json(random: Random, value: Any) -> bytes:
    """Change some members of a JSON value for others, and write it."""
    for _ in range(random.randint(1, 3)):
        value = _changed(random, value)
    return json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _changed(random: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        kind = random.randrange(6)
        if kind == 0:
            return {name: each for name, each in value.items() if name != key}
        if kind == 1:
            return value | {random.choice(("type", "index", "id", "delta", "zz")): value[key]}
        return value | {key: _changed(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [*value[:at], _changed(random, value[at]), *value[at + random.randrange(2) :]]
    return random.choice(_VALUES)


def _broken_bytes(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    kind = random.randrange(4)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + random.randbytes(random.randint(1, 8)) + data[at:]
    if kind == 2:
        return (
            data[:at] + random.choice((b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\x00")) + data[at:]
        )
    return data[:at] + data[at + random.randint(1, 9) :]


def broken_body(random: Random, upstream: str, answers: tuple[Answer, ...]) -> bytes:
    """Break a whole answer."""
    answer = random.choice([each for each in answers if upstream in each.upstreams])
    body = BODIES[upstream](answer)
    if random.random() < 0.2:
        return _broken_bytes(random, body)
    return broken_json(random, json.loads(body))


def broken_request(random: Random, caller: str) -> bytes:
    """Break a caller's request."""
    ask = random.choice([each for each in ASKS if caller in each.asked])
    request = {"model": "m", "max_tokens": 9} | ask.asked[caller]
    if random.random() < 0.1:
        return _broken_bytes(random, json.dumps(request).encode())
    return broken_json(random, request)


def pieces(random: Random, stream: bytes) -> list[bytes]:
    """Cut a stream at random places."""
    out = []
    at = 0
    while at < len(stream):
        size = random.choice((1, 2, 7, 40, 400, 4000))
        out.append(stream[at : at + size])
        at += size
    return out
