"""What the tests of the relay ask, of whom, and what they are told."""

from __future__ import annotations

import json

from clawproxy.testing import MemoryCaller
from tests.wire import replies

OVERLOADED = (
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
)
FALLBACK = 'routes=[{match: "a-*", provider: one, model: m1, fallbacks: ["b-x"]}, {match: "b-*", provider: two}]'
FOREIGN_FALLBACK = 'routes=[{match: "a-*", provider: one, fallbacks: ["gpt-x"]}]'
"""The same to a target that is asked in another dialect."""

PROVIDERS = (
    "providers.one={kind: anthropic, base_url: 'http://127.0.0.1:11', api_key: k1}",
    "providers.two={kind: anthropic, base_url: 'http://127.0.0.1:12', api_key: k2}",
)
KEYS = ("providers.openai.api_key=k", "providers.anthropic.api_key=k")


def ask(caller: MemoryCaller, model: str, **more: object) -> None:
    """Send a request in Anthropic's dialect, with further members."""
    body = {
        "model": model,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        **more,
    }
    caller.post("/v1/messages", json.dumps(body).encode())


def error_of(caller: MemoryCaller) -> tuple[int, dict[str, object]]:
    """Read the one answer that has come: its status, and what its body says."""
    (reply,) = replies(caller.read())
    return reply.status, json.loads(reply.body)
