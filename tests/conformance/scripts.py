"""The same answer as each vendor would send it, written by hand so that no code under test helps.

An :class:`Answer` is a list of beats. :func:`anthropic_frames`, :func:`chat_frames` and
:func:`responses_frames` give it as a stream's bytes; :func:`anthropic_body`, :func:`chat_body` and
:func:`responses_body` as a whole answer's. What a vendor has no words for is left out of its
version, or :attr:`Answer.upstreams` leaves out the vendor.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from attrs import frozen

Stop = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "context_window",
]
Dialect = Literal["anthropic", "openai_chat", "openai_responses"]
ALL: tuple[Dialect, ...] = ("anthropic", "openai_chat", "openai_responses")


@frozen
class Text:
    """Words, in the pieces in which they come."""

    pieces: tuple[str, ...]


@frozen
class Refusal:
    """Words that refuse."""

    pieces: tuple[str, ...]


@frozen
class Thinking:
    """Thoughts, with a seal where the vendor has one."""

    pieces: tuple[str, ...]
    signature: str = "c2lnbmVk"


@frozen
class Call:
    """A tool call, its arguments in pieces."""

    id: str
    name: str
    pieces: tuple[str, ...]


Beat = Text | Refusal | Thinking | Call


@frozen
class Answer:
    """What a model says.

    :ivar usage: input, output, cache_read, cache_write, reasoning; disjoint input counts.
    :ivar interleaved: the calls' pieces come in turns, where the vendor's stream allows it.
    """

    name: str
    beats: tuple[Beat, ...]
    stop: Stop = "end_turn"
    usage: tuple[int, int, int, int, int] | None = (11, 7, 0, 0, 0)
    upstreams: tuple[Dialect, ...] = ALL
    interleaved: bool = False

    @property
    def text(self) -> str:
        """All words."""
        return "".join("".join(b.pieces) for b in self.beats if isinstance(b, Text))

    @property
    def refusal(self) -> str:
        """All refusing words."""
        return "".join("".join(b.pieces) for b in self.beats if isinstance(b, Refusal))

    @property
    def thinking(self) -> str:
        """All thoughts."""
        return "".join("".join(b.pieces) for b in self.beats if isinstance(b, Thinking))

    @property
    def calls(self) -> list[Call]:
        """All calls."""
        return [beat for beat in self.beats if isinstance(beat, Call)]


def sse(name: str, data: Any) -> bytes:
    """Write a frame with a name."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


# Anthropic


def _anthropic_usage(answer: Answer) -> dict[str, Any]:
    if answer.usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    read, out, cached, written, reasoning = answer.usage
    usage: dict[str, Any] = {
        "input_tokens": read,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": out,
    }
    if reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": reasoning}
    return usage


def _anthropic_stop(answer: Answer) -> dict[str, Any]:
    reason: str = answer.stop
    if reason == "context_window":
        reason = "model_context_window_exceeded"
    stop: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
    if reason == "stop_sequence":
        stop["stop_sequence"] = "END"
    return stop


def anthropic_frames(answer: Answer) -> bytes:
    """Write a Messages stream."""
    usage = _anthropic_usage(answer)
    message: dict[str, Any] = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-8",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage | {"output_tokens": 1 if answer.usage else 0},
    }
    out = sse("message_start", {"type": "message_start", "message": message})
    out += sse("ping", {"type": "ping"})
    for index, beat in enumerate(answer.beats):
        start, deltas = _anthropic_block(beat)
        at = {"index": index}
        out += sse(
            "content_block_start",
            {"type": "content_block_start", **at, "content_block": start},
        )
        for delta in deltas:
            out += sse("content_block_delta", {"type": "content_block_delta", **at, "delta": delta})
        out += sse("content_block_stop", {"type": "content_block_stop", **at})
    stop = _anthropic_stop(answer)
    out += sse("message_delta", {"type": "message_delta", "delta": stop, "usage": usage})
    return out + sse("message_stop", {"type": "message_stop"})


def _anthropic_block(beat: Beat) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match beat:
        case Text(pieces) | Refusal(pieces):
            return {"type": "text", "text": ""}, [
                {"type": "text_delta", "text": piece} for piece in pieces
            ]
        case Thinking(pieces, signature):
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
            deltas.append({"type": "signature_delta", "signature": signature})
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case Call(id, name, pieces):
            start = {"type": "tool_use", "id": id, "name": name, "input": {}}
            first = {"type": "input_json_delta", "partial_json": ""}
            return start, [
                first,
                *({"type": "input_json_delta", "partial_json": piece} for piece in pieces),
            ]


def anthropic_body(answer: Answer) -> bytes:
    """Write a whole message, numbers of arguments as they are spelled."""
    content = []
    for beat in answer.beats:
        match beat:
            case Text(pieces) | Refusal(pieces):
                content.append(json.dumps({"type": "text", "text": "".join(pieces)}))
            case Thinking(pieces, signature):
                thinking = {"thinking": "".join(pieces), "signature": signature}
                content.append(json.dumps({"type": "thinking", **thinking}))
            case Call(id, name, pieces):
                head = json.dumps({"type": "tool_use", "id": id, "name": name})
                content.append(f'{head[:-1]}, "input": {"".join(pieces) or "{}"}}}')
    rest = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-8",
        **_anthropic_stop(answer),
        "usage": _anthropic_usage(answer),
    }
    return f'{json.dumps(rest)[:-1]}, "content": [{", ".join(content)}]}}'.encode()


# OpenAI Chat Completions


def _chat_usage(answer: Answer) -> dict[str, Any] | None:
    if answer.usage is None:
        return None
    read, out, cached, written, reasoning = answer.usage
    prompt = read + cached + written
    return {
        "prompt_tokens": prompt,
        "completion_tokens": out,
        "total_tokens": prompt + out,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "context_window": "length",
    "pause_turn": "stop",
}


def chat_frames(answer: Answer) -> bytes:
    """Write a Chat Completions stream."""

    def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        data = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "gpt-5.5",
            "choices": choices,
            **more,
        }
        return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"

    out = chunk({"role": "assistant", "content": ""})
    index = 0
    waiting: list[list[bytes]] = []
    for beat in answer.beats:
        match beat:
            case Text(pieces):
                out += b"".join(chunk({"content": piece}) for piece in pieces)
            case Refusal(pieces):
                out += b"".join(chunk({"refusal": piece}) for piece in pieces)
            case Thinking(pieces):
                out += b"".join(chunk({"reasoning_content": piece}) for piece in pieces)
            case Call(id, name, pieces):
                function = {"name": name, "arguments": ""}
                first = {"index": index, "id": id, "type": "function", "function": function}
                out += chunk({"tool_calls": [first]})
                rest = [
                    chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
                    for piece in pieces
                ]
                waiting.append(rest)
                if not answer.interleaved:
                    out += b"".join(rest)
                index += 1
    if answer.interleaved:
        for turn in range(max(map(len, waiting))):
            out += b"".join(rest[turn] for rest in waiting if turn < len(rest))
    finish = "stop" if answer.refusal else _FINISH[answer.stop]
    out += chunk({}, finish)
    if answer.usage is not None:
        out += chunk(None, usage=_chat_usage(answer))
    return out + b"data: [DONE]\n\n"


def chat_body(answer: Answer) -> bytes:
    """Write a whole completion."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.refusal:
        message["refusal"] = answer.refusal
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.pieces)},
            }
            for call in answer.calls
        ]
    finish = "stop" if answer.refusal else _FINISH[answer.stop]
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-5.5",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if answer.usage is not None:
        body["usage"] = _chat_usage(answer)
    return json.dumps(body).encode()


# OpenAI Responses


def _responses_usage(answer: Answer) -> dict[str, Any] | None:
    if answer.usage is None:
        return None
    read, out, cached, written, reasoning = answer.usage
    whole = read + cached + written
    return {
        "input_tokens": whole,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": whole + out,
    }


def _item(index: int, beat: Beat) -> dict[str, Any]:
    match beat:
        case Text(pieces):
            text = "".join(pieces)
            part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
        case Refusal(pieces):
            part = {"type": "refusal", "refusal": "".join(pieces)}
        case Thinking(pieces, signature):
            return {
                "id": f"rs_{index}",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "".join(pieces)}],
                "encrypted_content": signature,
            }
        case Call(id, name, pieces):
            return {
                "id": f"fc_{index}",
                "type": "function_call",
                "call_id": id,
                "name": name,
                "arguments": "".join(pieces),
                "status": "completed",
            }
    return {
        "id": f"msg_{index}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def _response(answer: Answer, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    reasons = {
        "max_tokens": "max_output_tokens",
        "context_window": "max_output_tokens",
        "refusal": "content_filter",
    }
    reason = None if answer.refusal else reasons.get(answer.stop)
    if status == "completed" and reason:
        status = "incomplete"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": "gpt-5.5",
        "status": status,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _responses_usage(answer) if status != "in_progress" else None,
    }


def responses_frames(answer: Answer) -> bytes:
    """Write a Responses stream."""
    sequence = iter(range(1_000_000))

    def event(name: str, **data: Any) -> bytes:
        return sse(name, {"type": name, "sequence_number": next(sequence), **data})

    begun = _response(answer, "in_progress", [])
    out = event("response.created", response=begun) + event("response.in_progress", response=begun)
    items = [_item(index, beat) for index, beat in enumerate(answer.beats)]
    waiting: list[list[tuple[str, dict[str, Any]]]] = []
    for index, (beat, item) in enumerate(zip(answer.beats, items, strict=True)):
        at = {"output_index": index, "item_id": item["id"]}
        if isinstance(beat, Call):
            first = item | {"arguments": "", "status": "in_progress"}
            out += event("response.output_item.added", output_index=index, item=first)
            name = "response.function_call_arguments"
            rest = [(f"{name}.delta", {**at, "delta": piece}) for piece in beat.pieces]
            rest.append((f"{name}.done", {**at, "arguments": item["arguments"]}))
            rest.append(("response.output_item.done", {"output_index": index, "item": item}))
            if answer.interleaved:
                waiting.append(rest)
            else:
                out += b"".join(event(name, **data) for name, data in rest)
            continue
        out += _words(event, beat, item, at)
    for turn in range(max(map(len, waiting), default=0)):
        for rest in waiting:
            if turn < len(rest):
                out += event(rest[turn][0], **rest[turn][1])
    ended = _response(answer, "completed", items)
    return out + event(f"response.{ended['status']}", response=ended)


def _words(
    event: Callable[..., bytes], beat: Beat, item: dict[str, Any], at: dict[str, Any]
) -> bytes:
    index = at["output_index"]
    if isinstance(beat, Thinking):
        part_at = {**at, "summary_index": 0}
        part = item["summary"][0]
        out = event("response.output_item.added", output_index=index, item=item | {"summary": []})
        out += event("response.reasoning_summary_part.added", **part_at, part=part | {"text": ""})
        for piece in beat.pieces:
            out += event("response.reasoning_summary_text.delta", **part_at, delta=piece)
        out += event("response.reasoning_summary_text.done", **part_at, text=part["text"])
        out += event("response.reasoning_summary_part.done", **part_at, part=part)
        return out + event("response.output_item.done", output_index=index, item=item)
    part_at = {**at, "content_index": 0}
    part = item["content"][0]
    kind, field = ("refusal", "refusal") if "refusal" in part else ("output_text", "text")
    first = item | {"content": [], "status": "in_progress"}
    out = event("response.output_item.added", output_index=index, item=first)
    out += event("response.content_part.added", **part_at, part=part | {field: ""})
    for piece in beat.pieces:
        out += event(f"response.{kind}.delta", **part_at, delta=piece)
    out += event(f"response.{kind}.done", **part_at, **{field: part[field]})
    out += event("response.content_part.done", **part_at, part=part)
    return out + event("response.output_item.done", output_index=index, item=item)


def responses_body(answer: Answer) -> bytes:
    """Write a whole response."""
    items = [_item(index, beat) for index, beat in enumerate(answer.beats)]
    return json.dumps(_response(answer, "completed", items)).encode()


STREAMS = {
    "anthropic": anthropic_frames,
    "openai_chat": chat_frames,
    "openai_responses": responses_frames,
}
BODIES = {
    "anthropic": anthropic_body,
    "openai_chat": chat_body,
    "openai_responses": responses_body,
}
