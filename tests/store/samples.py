"""Exchanges to store."""

from __future__ import annotations

import json
import random
from itertools import accumulate
from pydoc_data.topics import topics
from typing import Any

from clawproxy.core.record import Client, Exchange, Usage
from clawproxy.core.timestamp import rfc3339
from clawproxy.store.entry import Entry, Prepared
from clawproxy.store.pieces import Pieces
from clawproxy.store.preparation import prepare
from clawproxy.store.protocol import Store
from tests.integration import answers

EPOCH = 1_790_000_000.0


def exchange(number: int, **fields: Any) -> Exchange:
    """Make an exchange that started ``number`` seconds after :data:`EPOCH`."""
    values: dict[str, Any] = {
        "request_id": f"req_{number}",
        "started_at": rfc3339(EPOCH + number),
        "finished_at": rfc3339(EPOCH + number + 1.5),
        "outcome": "ok",
        "status": 200,
        "method": "POST",
        "path": "/v1/messages",
        "dialect": "anthropic",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "routed_model": "claude-sonnet-4-5",
        "usage": Usage(10, 5),
        "client": Client("127.0.0.1", "test"),
        "request_headers": [("content-type", "application/json")],
        "response_headers": [("content-type", "application/json")],
    }
    return Exchange(id=fields.pop("id", f"id{number:06d}"), **(values | fields))


def message(text: str, *tools: str) -> bytes:
    """Make a finished Anthropic message."""
    content: list[Any] = [{"type": "text", "text": text}]
    content += [{"type": "tool_use", "id": "t", "name": name, "input": {}} for name in tools]
    return json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": content,
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }
    ).encode()


def asking(*messages: str, system: str | None = None) -> bytes:
    """Make a request whose messages are a user's and an assistant's in turn."""
    body: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 100}
    if system is not None:
        body["system"] = system
    body["messages"] = [
        {"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(messages)
    ]
    return json.dumps(body).encode()


def stored(number: int, request: bytes = b"{}", answer: bytes = b"{}", **fields: Any) -> Prepared:
    """Make a final exchange, prepared."""
    entry = Entry(
        exchange(number, request_bytes=len(request), **fields),
        "1-a",
        True,
        request,
        None,
        Pieces((1.5,), (answer,)),
    )
    return prepare(entry, request)


async def long_session(store: Store) -> bytes:
    """Record 200 turns whose history reaches 1 MB, 100 MB of bodies together; gives the last body.

    What is said is prose, Python's own help, and the answers come word by word, at some distance.
    """
    rng = random.Random(2)
    prose = " ".join(topics.values())
    prose += prose
    history: list[str] = []
    at = 0
    for turn in range(200):
        question, answer = prose[at : at + 2400], prose[at + 2400 : at + 4500]
        at += 4500
        history.append(question)
        body = asking(*history, system="You are helpful. " * 100)
        frames = answers.anthropic_frames([answers.text(answer)])
        times = tuple(accumulate(rng.expovariate(1 / 20) for _ in frames))
        made = exchange(
            turn,
            request_bytes=len(body),
            response_headers=list(answers.STREAM),
            stream=True,
        )
        entry = Entry(made, "1-a", True, body, None, Pieces(times, tuple(frames)))
        prepared = prepare(entry, body)
        assert prepared.finished is not None
        await store.ingest([prepared])
        history.append(answer)
    return body
