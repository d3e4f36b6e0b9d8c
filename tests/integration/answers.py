"""Answers as the real APIs word them, for :mod:`tests.integration.upstream` to give."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tests.integration.upstream import Answer

STREAM = (("content-type", "text/event-stream; charset=utf-8"), ("request-id", "req_scripted"))
JSON = (("content-type", "application/json"), ("request-id", "req_scripted"))


def event(kind: str, **members: Any) -> bytes:
    """One Anthropic frame."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def data(value: Any) -> bytes:
    """One OpenAI frame."""
    return f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode()


def paced(frames: Iterable[bytes], pause: float) -> list[bytes | float]:
    """Put a pause after each frame."""
    return [part for frame in frames for part in (frame, pause)]


def _message(content: list[Any], stop: str | None, output: int, model: str) -> dict[str, Any]:
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": output},
    }


def anthropic_frames(
    blocks: Sequence[dict[str, Any]], stop: str = "end_turn", model: str = "claude-scripted"
) -> list[bytes]:
    """A whole stream: blocks of text and thinking come in pieces of words, those of tools in halves of
    their input's JSON.
    """
    frames = [event("message_start", message=_message([], None, 1, model)), event("ping")]
    for index, block in enumerate(blocks):
        empty: dict[str, Any]
        if block["type"] == "text":
            empty = {"type": "text", "text": ""}
            deltas = [
                {"type": "text_delta", "text": word}
                for word in block["text"].replace(" ", " \0").split("\0")
            ]
        elif block["type"] == "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": word}
                for word in block["thinking"].replace(" ", " \0").split("\0")
            ]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        else:
            empty = {**block, "input": {}}
            text = json.dumps(block["input"])
            deltas = [
                {"type": "input_json_delta", "partial_json": half}
                for half in ("", text[: len(text) // 2], text[len(text) // 2 :])
            ]
        frames.append(event("content_block_start", index=index, content_block=empty))
        frames += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        frames.append(event("content_block_stop", index=index))
    end = {"stop_reason": stop, "stop_sequence": None}
    frames.append(event("message_delta", delta=end, usage={"output_tokens": 30}))
    frames.append(event("message_stop"))
    return frames


def text(words: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": words}


def thinking(words: str, signature: str = "c2lnbmVk") -> dict[str, Any]:
    """A block of thinking, signed."""
    return {"type": "thinking", "thinking": words, "signature": signature}


def tool_use(name: str, arguments: dict[str, Any], call: str = "toolu_scripted") -> dict[str, Any]:
    """A block that calls a tool."""
    return {"type": "tool_use", "id": call, "name": name, "input": arguments}


def anthropic(
    asked_stream: bool, *blocks: dict[str, Any], stop: str = "end_turn", pause: float = 0
) -> Answer:
    """The blocks as a stream, or as one message."""
    if asked_stream:
        return Answer(paced(anthropic_frames(blocks, stop), pause), headers=STREAM)
    message = _message(list(blocks), stop, 30, "claude-scripted")
    return Answer([json.dumps(message).encode()], headers=JSON)


def anthropic_error(status: int, kind: str, message: str, *headers: tuple[str, str]) -> Answer:
    """An error as the Messages API words it."""
    body = {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": "req_scripted",
    }
    return Answer([json.dumps(body).encode()], status, (*JSON, *headers))


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-scripted",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def chat(asked_stream: bool, words: str) -> Answer:
    """A chat completion that says *words*."""
    usage = {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42}
    if asked_stream:
        frames = [data(_chunk({"role": "assistant", "content": ""}))]
        frames += [
            data(_chunk({"content": word})) for word in words.replace(" ", " \0").split("\0")
        ]
        frames += [data(_chunk({}, "stop")), data("[DONE]")]
        return Answer(frames, headers=STREAM)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": words},
        "finish_reason": "stop",
    }
    whole = {**_chunk({}), "object": "chat.completion", "choices": [choice], "usage": usage}
    return Answer([json.dumps(whole).encode()], headers=JSON)


def chat_tool(asked_stream: bool, name: str, arguments: dict[str, Any]) -> Answer:
    """A chat completion that calls a tool."""
    inner = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": "call_scripted", "type": "function", "function": inner}
    if asked_stream:
        half = len(inner["arguments"]) // 2
        opened = {**call, "index": 0, "function": {"name": name, "arguments": ""}}
        deltas: list[dict[str, Any]] = [
            {"role": "assistant", "content": None, "tool_calls": [opened]}
        ]
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
            for part in (inner["arguments"][:half], inner["arguments"][half:])
        ]
        frames = [data(_chunk(delta)) for delta in deltas]
        return Answer([*frames, data(_chunk({}, "tool_calls")), data("[DONE]")], headers=STREAM)
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    whole = {**_chunk({}), "object": "chat.completion", "choices": [choice]}
    return Answer([json.dumps(whole).encode()], headers=JSON)


def openai_error(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    """An error as OpenAI's API words it."""
    body = {"error": {"message": message, "type": "server_error", "param": None, "code": code}}
    return Answer([json.dumps(body).encode()], status, (*JSON, *headers))


def response(asked_stream: bool, words: str) -> Answer:
    """An answer of the Responses API that says *words*."""
    part = {"type": "output_text", "text": words, "annotations": []}
    item = {
        "type": "message",
        "id": "msg_scripted",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }
    whole = {
        "id": "resp_scripted",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-scripted",
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 12,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 30,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 42,
        },
    }
    if not asked_stream:
        return Answer([json.dumps(whole).encode()], headers=JSON)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_scripted", "output_index": 0, "content_index": 0}
    empty = {**item, "status": "in_progress", "content": []}
    steps: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": empty},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *(
            {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
            for word in words.replace(" ", " \0").split("\0")
        ),
        {"type": "response.output_text.done", **place, "text": words, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    frames = [
        f"event: {step['type']}\n".encode() + data({**step, "sequence_number": number})
        for number, step in enumerate(steps)
    ]
    return Answer(frames, headers=STREAM)
