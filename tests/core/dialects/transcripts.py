"""What the dialects' tests share: golden streams, quick requests, and readers of what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import (
    BlockStopped,
    Event,
    MessageStarted,
    OpaqueBlock,
    Ping,
    Stopped,
    StreamFailed,
    TextStarted,
    ThinkingStarted,
    ToolCallStarted,
    UsageReported,
)
from clawproxy.core.dialects.parts import Message, TextPart
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.sse import SSEDecoder

DATA = Path(__file__).parents[2] / "data"


def golden(name: str) -> bytes:
    """Return a transcript of tests/data."""
    return (DATA / name).read_bytes()


def turn(dialect: DialectName, **fields: Any) -> Turn:
    """Return a request of one word, with what a test adds."""
    messages = (Message("user", (TextPart("hi"),)),)
    return Turn(**({"dialect": dialect, "model": "m", "messages": messages} | fields))


def events_of(dialect: DialectName, *pieces: bytes) -> list[Event]:
    """Decode a stream that comes in pieces."""
    decoder = DIALECTS[dialect].stream_decoder()
    out = [event for piece in pieces for event in decoder.feed(piece)]
    return out + decoder.close()


def written(dialect: DialectName, events: list[Event], request: Turn | None = None) -> bytes:
    """Encode events for a caller."""
    encoder = DIALECTS[dialect].stream_encoder(
        request or turn(dialect), model="shown", response_id="resp_7", created=1_763_700_000
    )
    return b"".join(encoder.encode(event) for event in events) + encoder.close()


def frames(stream: bytes) -> list[Any]:
    """Return the JSON of a stream's frames; ``[DONE]`` stays a string."""
    decoder = SSEDecoder()
    return [
        "[DONE]" if frame.data == b"[DONE]" else json.loads(frame.data)
        for frame in decoder.feed(stream) + decoder.close()
    ]


def request(dialect: DialectName, body: dict[str, Any]) -> Turn:
    """Parse a request, filled up with what has to be there."""
    full = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | body
    return DIALECTS[dialect].parse_request(json.dumps(full).encode(), [])


def built(
    dialect: DialectName,
    asked: Turn,
    model: str = "m",
    stream: bool = False,
    api_version: str | None = None,
    server: str = "",
) -> Any:
    """Build a request and read it back."""
    return json.loads(
        DIALECTS[dialect].build_request(
            asked, model=model, stream=stream, api_version=api_version, server=server
        )
    )


def grammatical(events: list[Event]) -> bool:
    """Tell whether events obey the grammar of :mod:`clawproxy.core.dialects.events`."""
    open_block = False
    begun = False
    for place, event in enumerate(events):
        last = place == len(events) - 1
        match event:
            case MessageStarted():
                if begun:
                    return False
                begun = True
                continue
            case TextStarted() | ThinkingStarted() | ToolCallStarted():
                if open_block:
                    return False
                open_block = True
            case BlockStopped():
                if not open_block:
                    return False
                open_block = False
            case OpaqueBlock():
                if open_block:
                    return False
            case Stopped():
                return last and not open_block
            case StreamFailed():
                return last
            case Ping() | UsageReported():
                continue
            case _:
                if not open_block:
                    return False
        begun = True
    return False
