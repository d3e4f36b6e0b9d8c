"""Measure what reading beside a stream costs: microseconds a piece, an event or a body.

Printed is the best of several runs, since anything slower is the machine's noise.

    python bench/streams.py
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from timeit import repeat

from clawproxy.core.coding import decode
from clawproxy.core.demotion import Demoter
from clawproxy.core.dialects import DialectName
from clawproxy.core.jsonedit import edit, peek
from clawproxy.core.message import accumulator
from clawproxy.core.sse import FrameBoundary, SSEDecoder
from clawproxy.core.tap import StreamTap
from clawproxy.core.tokens import estimate, preload

ANTHROPIC = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"hello there"}}\n\n'
)
CHAT = (
    b'data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1,"model":"gpt-5",'
    b'"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}],"usage":null}\n\n'
)
RESPONSES = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
    b'"sequence_number":7,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"hello"}\n\n'
)
DELTAS: dict[DialectName, bytes] = {
    "anthropic": ANTHROPIC,
    "openai_chat": CHAT,
    "openai_responses": RESPONSES,
}
BEGIN = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,'
    b'"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
)
END = (
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn",'
    b'"stop_sequence":null},"usage":{"output_tokens":9}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def show(what: str, run: Callable[[], object], number: int, each: int = 1) -> None:
    """Measure and print.

    :param number: how often to run it in one measurement.
    :param each: how many events one run is.
    """
    best = min(repeat(run, number=number, repeat=7)) / number / each
    print(f"{what:50} {best * 1e6:12.2f} µs")


def request(messages: int) -> bytes:
    """Give a request like a coding agent's: system prompt, 25 tools, a history."""
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in "abcde"}}
    value = {
        "model": "claude-x",
        "max_tokens": 32000,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hello " * 20}]}
            for _ in range(messages)
        ],
        "system": [{"type": "text", "text": "x" * 15_000}],
        "tools": [
            {"name": f"tool_{n}", "description": "d" * 800, "input_schema": schema}
            for n in range(25)
        ],
        "stream": True,
    }
    return json.dumps(value).encode()


def pieces() -> None:
    """What each piece of a stream costs."""
    decoder, boundary = SSEDecoder(), FrameBoundary()
    crlf = ANTHROPIC.replace(b"\n", b"\r\n")
    show("SSEDecoder, one frame a piece", lambda: decoder.feed(ANTHROPIC), 20_000)
    show("SSEDecoder, 20 frames a piece, a frame", lambda: decoder.feed(ANTHROPIC * 20), 2000, 20)
    show("SSEDecoder, CRLF", lambda: decoder.feed(crlf), 10_000)
    show("FrameBoundary", lambda: boundary.feed(ANTHROPIC), 50_000)
    for dialect, delta in DELTAS.items():
        tap = StreamTap(dialect)
        tap.feed(BEGIN if dialect == "anthropic" else delta)
        show(f"StreamTap, {dialect}", lambda tap=tap, delta=delta: tap.feed(delta), 20_000)  # type: ignore[misc]


def cut_pieces() -> None:
    """What pieces cost that end within a frame."""
    first, second = ANTHROPIC[:40], ANTHROPIC[40:]
    decoder, tap = SSEDecoder(), StreamTap("anthropic")
    tap.feed(BEGIN)

    def decode_both() -> None:
        decoder.feed(first)
        decoder.feed(second)

    def tap_both() -> None:
        tap.feed(first)
        tap.feed(second)

    show("SSEDecoder, a frame in two pieces", decode_both, 10_000)
    show("StreamTap, a frame in two pieces", tap_both, 10_000)


def messages() -> None:
    """What putting messages together costs."""
    for dialect, delta in DELTAS.items():
        taker = accumulator(dialect)
        taker.feed(BEGIN)
        show(f"accumulator, {dialect}", lambda taker=taker, delta=delta: taker.feed(delta), 5000)  # type: ignore[misc]

    def demote() -> None:
        demoter = Demoter("text/event-stream")
        demoter.feed(BEGIN)
        for _ in range(100):
            demoter.feed(ANTHROPIC)
        demoter.feed(END)
        assert demoter.close().status == 200

    show("Demoter, 105 events, an event", demote, 100, 105)


def bodies() -> None:
    """What reading and changing requests costs."""
    body, large = request(150), request(180_000)
    coded = gzip.compress(body)
    for name, data, number in ((len(body), body, 200), (len(large), large, 1)):
        show(f"edit, {name:,} bytes", lambda data=data: edit(data, {("model",): b'"y"'}), number)  # type: ignore[misc]
        show(f"peek, {name:,} bytes", lambda data=data: peek(data).text("model"), number)  # type: ignore[misc]
    show("decode gzip, the same", lambda: decode(coded, "gzip", 1 << 25), 100)
    preload()
    show("estimate tokens, the same", lambda: estimate("anthropic", body), 20)


if __name__ == "__main__":
    pieces()
    cut_pieces()
    messages()
    bodies()
