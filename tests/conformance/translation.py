"""Any caller on any upstream: the way that an answer takes through two dialects."""

from __future__ import annotations

import json
from typing import Any

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.turn import Turn
from tests.conformance.readers import cuts

PAIRS: tuple[tuple[DialectName, DialectName], ...] = tuple(
    (upstream, caller) for upstream in DIALECTS for caller in DIALECTS
)
"""Upstream and caller; the translator is tried between equal ones too, which get bytes."""

_SCHEMA = {"type": "object", "properties": {}}
_NAMES = ("weather", "clock", "nothing", "count", "deep", "n" * 64)

REQUESTS: dict[DialectName, dict[str, Any]] = {
    "anthropic": {
        "model": "m",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [{"name": name, "input_schema": _SCHEMA} for name in _NAMES],
    },
    "openai_chat": {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream_options": {"include_usage": True},
        "tools": [
            {"type": "function", "function": {"name": name, "parameters": _SCHEMA}}
            for name in _NAMES
        ],
    },
    "openai_responses": {
        "model": "m",
        "input": "Hello",
        "tools": [
            {"type": "function", "name": name, "parameters": _SCHEMA, "strict": False}
            for name in _NAMES
        ],
    },
}

RESPONSE_ID = "resp_0123456789abcdef"
CREATED = 1_790_000_000


def turn_of(caller: DialectName) -> Turn:
    """Read the suite's plain request."""
    return DIALECTS[caller].parse_request(json.dumps(REQUESTS[caller]).encode(), [])


def translate_stream(
    upstream: DialectName, caller: DialectName, body: bytes, size: int = 1 << 20
) -> bytes:
    """Give what the caller gets while the upstream sends its bytes in pieces of one size."""
    decoder = DIALECTS[upstream].stream_decoder()
    encoder = DIALECTS[caller].stream_encoder(
        turn_of(caller), model="shown-model", response_id=RESPONSE_ID, created=CREATED
    )
    out = [encoder.encode(event) for piece in cuts(body, size) for event in decoder.feed(piece)]
    out += [encoder.encode(event) for event in decoder.close()]
    return b"".join(out) + encoder.close()


def translate_body(upstream: DialectName, caller: DialectName, body: bytes) -> bytes:
    """Give what the caller gets for a whole answer."""
    return DIALECTS[caller].build_response(
        DIALECTS[upstream].parse_response(body),
        turn_of(caller),
        model="shown-model",
        response_id=RESPONSE_ID,
        created=CREATED,
    )
