"""Answers of the OpenAI APIs in which much happens at once: reasoning, words and parallel calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tests.integration.answers import JSON, STREAM, data
from tests.integration.upstream import Answer

#: A picture of one pixel, as PNG in base64.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
CHAT_USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 34,
    "total_tokens": 154,
    "prompt_tokens_details": {"cached_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 9},
}
RESPONSES_USAGE = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 100},
    "output_tokens": 34,
    "output_tokens_details": {"reasoning_tokens": 9},
    "total_tokens": 154,
}
#: Both of them as a record has them.
USAGE = {
    "input_tokens": 20,
    "output_tokens": 34,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 0,
    "reasoning_tokens": 9,
    "complete": True,
}

Call = tuple[str, str, str]
"""Id, name, and arguments as JSON text."""


def words(text: str) -> list[str]:
    """Cut a text into pieces as models do."""
    return text.replace(" ", " \0").split("\0")


def in_parts(text: str, size: int = 7) -> list[str]:
    """Cut arguments into pieces that respect nothing."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def interleaved(lists: Iterable[Sequence[Any]]) -> list[tuple[int, Any]]:
    """Give the first of each list, then the second of each, and so on, each with its list's place."""
    places = list(enumerate(lists))
    longest = max((len(each) for _, each in places), default=0)
    return [(at, each[row]) for row in range(longest) for at, each in places if row < len(each)]


def chat_stream(
    *calls: Call, thinking: str = "", text: str = "", usage: dict[str, Any] | None = CHAT_USAGE
) -> Answer:
    """A chat completion whose parallel calls come interleaved."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": word} for word in (words(thinking) if thinking else ())]
    deltas += [{"content": word} for word in (words(text) if text else ())]
    for at, (id, name, _) in enumerate(calls):
        function = {"name": name, "arguments": ""}
        deltas.append(
            {"tool_calls": [{"index": at, "id": id, "type": "function", "function": function}]}
        )
    for at, part in interleaved([in_parts(arguments) for _, _, arguments in calls]):
        deltas.append({"tool_calls": [{"index": at, "function": {"arguments": part}}]})
    head = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-scripted",
    }

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return data({**head, "choices": [choice], "usage": None})

    sent = [chunk(delta) for delta in deltas]
    sent.append(chunk({}, "tool_calls" if calls else "stop"))
    if usage is not None:
        sent.append(data({**head, "choices": [], "usage": usage}))
    return Answer([*sent, data("[DONE]")], headers=STREAM)


def chat_said(asked_stream: bool, text: str, *calls: Call) -> Answer:
    """A chat completion as a stream, or as one body."""
    if asked_stream:
        return chat_stream(*calls, text=text)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": told}}
            for id, name, told in calls
        ]
    finish = "tool_calls" if calls else "stop"
    body = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": CHAT_USAGE,
    }
    return Answer([json.dumps(body).encode()], headers=JSON)


def responses_said(asked_stream: bool, text: str, *calls: Call) -> Answer:
    """An answer of the Responses API as a stream, or as one body."""
    streamed = responses_stream(*calls, text=text)
    if asked_stream:
        return streamed
    last = [piece for piece in streamed.pieces if isinstance(piece, bytes)][-1]
    done = json.loads(last.partition(b"data: ")[2])["response"]
    return Answer([json.dumps(done).encode()], headers=JSON)


def responses_stream(*calls: Call, thinking: str = "", text: str = "") -> Answer:
    """An answer of the Responses API whose parallel calls come interleaved."""
    items: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    if thinking:
        items.append(_reasoning(steps, len(items), thinking))
    if text:
        items.append(_message(steps, len(items), text))
    items += _calls(steps, len(items), calls)
    response = {
        "id": "resp_scripted",
        "object": "response",
        "created_at": 1,
        "model": "gpt-scripted",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    done = {**response, "status": "completed", "output": items, "usage": RESPONSES_USAGE}
    steps = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *steps,
        {"type": "response.completed", "response": done},
    ]
    sent = [
        f"event: {step['type']}\n".encode() + data({**step, "sequence_number": number})
        for number, step in enumerate(steps)
    ]
    return Answer(sent, headers=STREAM)


def _reasoning(steps: list[dict[str, Any]], at: int, text: str) -> dict[str, Any]:
    part = {"type": "summary_text", "text": text}
    item = {
        "type": "reasoning",
        "id": f"rs_{at}",
        "summary": [part],
        "encrypted_content": "c2VhbGVk",
    }
    place = {"item_id": item["id"], "output_index": at, "summary_index": 0}
    steps.append(_added(at, {**item, "summary": [], "encrypted_content": ""}))
    steps.append(
        {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
    )
    steps += [
        {"type": "response.reasoning_summary_text.delta", **place, "delta": word}
        for word in words(text)
    ]
    steps.append({"type": "response.reasoning_summary_text.done", **place, "text": text})
    steps.append({"type": "response.reasoning_summary_part.done", **place, "part": part})
    steps.append(_done(at, item))
    return item


def _message(steps: list[dict[str, Any]], at: int, text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {
        "type": "message",
        "id": f"msg_{at}",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }
    place = {"item_id": item["id"], "output_index": at, "content_index": 0}
    steps.append(_added(at, {**item, "status": "in_progress", "content": []}))
    steps.append({"type": "response.content_part.added", **place, "part": {**part, "text": ""}})
    steps += [
        {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
        for word in words(text)
    ]
    steps.append({"type": "response.output_text.done", **place, "text": text, "logprobs": []})
    steps.append({"type": "response.content_part.done", **place, "part": part})
    steps.append(_done(at, item))
    return item


def _calls(steps: list[dict[str, Any]], first: int, calls: Sequence[Call]) -> list[dict[str, Any]]:
    items = [
        {
            "type": "function_call",
            "id": f"fc_{first + at}",
            "call_id": id,
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        for at, (id, name, arguments) in enumerate(calls)
    ]
    for at, item in enumerate(items, first):
        steps.append(_added(at, {**item, "arguments": "", "status": "in_progress"}))
    parts = interleaved([in_parts(arguments) for _, _, arguments in calls])
    for at, part in parts:
        steps.append(
            {
                "type": "response.function_call_arguments.delta",
                "item_id": items[at]["id"],
                "output_index": first + at,
                "delta": part,
            }
        )
    for at, item in enumerate(items, first):
        steps.append(
            {
                "type": "response.function_call_arguments.done",
                "item_id": item["id"],
                "output_index": at,
                "name": item["name"],
                "arguments": item["arguments"],
            }
        )
        steps.append(_done(at, item))
    return items


def _added(at: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


def _done(at: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": at, "item": item}


def arguments(**members: Any) -> str:
    """Write a call's arguments; integers of any size stand in them as they are."""
    return json.dumps(members)
