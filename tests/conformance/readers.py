"""What a vendor's SDK makes of an answer, because its parser is the judge of our streams.

Each reader feeds bytes to the real client through an in-memory transport, with the SDK's strict
validation on, and gives a :class:`Reading` in terms that can be compared across dialects. On the
way it checks what the SDK lets pass: block order, indexes, sequence numbers, one start and one stop
each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from attrs import define, field

try:
    import anthropic
    import httpx2
    import openai
except ImportError as reason:  # pragma: no cover - depends on the installation
    MISSING: str | None = f"the vendors' SDKs are needed: {reason}"
else:
    MISSING = None


@define
class Reading:
    """An answer as a client sees it."""

    text: str = ""
    texts: list[str] = field(factory=list)
    thinking: str = ""
    refusal: str = ""
    calls: list[tuple[str, str, Any]] = field(factory=list)
    stop: str | None = None
    usage: dict[str, int] = field(factory=dict)
    error: str | None = None
    response_id: str = ""
    model: str = ""
    frames: list[dict[str, Any]] = field(factory=list)


def arguments_of(text: str) -> Any:
    """Parse arguments as a client does; text that is no JSON stays text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def frames_of(body: bytes) -> list[tuple[str, Any]]:
    """Take an SSE body apart by the plainest means, independent of the code under test."""
    frames = []
    for block in body.decode().split("\n\n"):
        name, data = "", None
        for line in block.split("\n"):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = line[6:] if data is None else data + "\n" + line[6:]
        if data is not None:
            frames.append((name, data if data == "[DONE]" else json.loads(data)))
    return frames


class _Wire:
    """The body that the next call is answered with; clients are made once, since that is slow."""

    body = b""
    content_type = ""

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        return httpx2.Response(
            200, headers={"content-type": self.content_type}, content=cuts(self.body, 61)
        )


_wire = _Wire()


@cache
def _http_client() -> httpx2.Client:
    return httpx2.Client(transport=httpx2.MockTransport(_wire))


@cache
def _openai_client(strict: bool) -> openai.OpenAI:
    return openai.OpenAI(
        api_key="none",
        base_url="http://upstream.test/v1",
        max_retries=0,
        http_client=_http_client(),
        _strict_response_validation=strict,
    )


@cache
def _anthropic_client() -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key="none",
        base_url="http://upstream.test",
        max_retries=0,
        http_client=_http_client(),
        _strict_response_validation=True,
    )


def _openai(body: bytes, content_type: str, *, strict: bool = True) -> openai.OpenAI:
    _wire.body, _wire.content_type = body, content_type
    return _openai_client(strict)


def _anthropic(body: bytes, content_type: str) -> anthropic.Anthropic:
    _wire.body, _wire.content_type = body, content_type
    return _anthropic_client()


_EVENTS = "text/event-stream"
_JSON = "application/json"


# Anthropic Messages


def anthropic_message(body: bytes) -> Reading:
    """Read a non-streaming Messages answer."""
    client = _anthropic(body, _JSON)
    message = client.messages.create(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}], timeout=9
    )
    return _from_message(message)


def anthropic_stream(body: bytes) -> Reading:
    """Read a Messages stream by the SDK's accumulating helper, after checking its order."""
    frames = frames_of(body)
    check_anthropic(frames)
    client = _anthropic(body, _EVENTS)
    reading = Reading()
    try:
        with client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as stream:
            for _ in stream:
                pass
            reading = _from_message(stream.get_final_message())
    except anthropic.APIStatusError as error:
        reading.error = error.body["error"]["type"]  # type: ignore[index]
    reading.frames = [data for _, data in frames]
    return reading


def _from_message(message: Any) -> Reading:
    reading = Reading(response_id=message.id, model=message.model, stop=message.stop_reason)
    assert message.role == "assistant"
    for block in message.content:
        if block.type == "text":
            reading.texts.append(block.text)
        elif block.type == "thinking":
            reading.thinking += block.thinking
            assert isinstance(block.signature, str)
        elif block.type == "tool_use":
            reading.calls.append((block.id, block.name, block.input))
    reading.text = "".join(reading.texts)
    usage = message.usage
    reading.usage = {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cache_read": usage.cache_read_input_tokens or 0,
        "cache_write": usage.cache_creation_input_tokens or 0,
    }
    if usage.output_tokens_details is not None:
        reading.usage["reasoning"] = usage.output_tokens_details.thinking_tokens
    return reading


def check_anthropic(frames: list[tuple[str, Any]]) -> None:
    started: set[int] = set()
    open_block: int | None = None
    ended = False
    for at, (name, data) in enumerate(frames):
        assert name == data["type"], (name, data)
        assert at or name in ("message_start", "error"), "the first frame starts or fails"
        if name in ("ping", "error"):
            continue
        assert not ended, "nothing follows message_stop"
        if name == "message_start":
            assert at == 0
            assert not data["message"]["id"].startswith("msg_")
        elif name == "content_block_start":
            assert open_block is None, "blocks do not overlap"
            assert data["index"] == len(started), "indexes count up"
            open_block = data["index"]
            started.add(open_block)
        elif name == "content_block_delta":
            assert data["index"] == open_block
            delta = data["delta"]
            empty = [key for key in ("text", "partial_json", "thinking") if delta.get(key) == ""]
            assert not empty, f"an empty delta: {delta}"
        elif name == "content_block_stop":
            assert data["index"] == open_block
            open_block = None
        elif name == "message_delta":
            assert open_block is None
        elif name == "message_stop":
            ended = True
        else:
            raise AssertionError(f"unknown event {name}")


# OpenAI Chat Completions


def chat_completion(body: bytes) -> Reading:
    """Read a non-streaming Chat Completions answer."""
    client = _openai(body, _JSON)
    completion = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "x"}]
    )
    reading = Reading(response_id=completion.id, model=completion.model)
    assert completion.object == "chat.completion"
    assert completion.created < 10**11, "created is in seconds"
    choice = completion.choices[0]
    _from_chat_message(reading, choice.message)
    reading.stop = choice.finish_reason
    reading.usage = _chat_usage(completion.usage)
    return reading


def _from_chat_message(reading: Reading, message: Any) -> None:
    assert message.role == "assistant"
    reading.text = message.content or ""
    reading.refusal = message.refusal or ""
    reading.thinking = getattr(message, "reasoning_content", None) or ""
    for call in message.tool_calls or []:
        assert call.type == "function"
        reading.calls.append((call.id, call.function.name, arguments_of(call.function.arguments)))


def chat_stream(body: bytes) -> Reading:
    """Read a Chat Completions stream chunk by chunk, as clients do that have no helper."""
    frames = frames_of(body)
    client = _openai(body, _EVENTS)
    reading = Reading(frames=[data for _, data in frames])
    calls: dict[int, dict[str, str]] = {}
    ended = False
    try:
        stream = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        for chunk in stream:
            assert not reading.response_id or chunk.id == reading.response_id
            reading.response_id, reading.model = chunk.id, chunk.model
            assert chunk.created < 10**11, "created is in seconds"
            if chunk.usage is not None:
                assert not reading.usage, "usage comes once"
                assert not chunk.choices, "usage comes in a chunk without choices"
                reading.usage = _chat_usage(chunk.usage)
            for choice in chunk.choices:
                assert not ended, "nothing follows the finish reason"
                assert choice.index == 0
                delta = choice.delta
                assert delta.tool_calls != []
                reading.text += delta.content or ""
                reading.refusal += delta.refusal or ""
                reading.thinking += getattr(delta, "reasoning_content", None) or ""
                for call in delta.tool_calls or []:
                    assert call.function is not None
                    if call.index not in calls:
                        assert call.index == len(calls), "indexes count up"
                        assert call.id and call.function.name
                        calls[call.index] = {
                            "id": call.id,
                            "name": call.function.name,
                            "arguments": "",
                        }
                    else:
                        assert call.id in (None, calls[call.index]["id"])
                    calls[call.index]["arguments"] += call.function.arguments or ""
                if choice.finish_reason:
                    reading.stop = choice.finish_reason
                    ended = True
    except openai.APIError as error:
        reading.error = error.type or error.code or error.message
    else:
        assert frames[-1][1] == "[DONE]", "the stream says that it is done"
    assert sum(data == "[DONE]" for _, data in frames) <= 1
    for found in calls.values():
        reading.calls.append((found["id"], found["name"], arguments_of(found["arguments"])))
    return reading


def _chat_usage(usage: Any) -> dict[str, int]:
    if usage is None:
        return {}
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    read = written = reasoning = 0
    if usage.prompt_tokens_details is not None:
        read = usage.prompt_tokens_details.cached_tokens or 0
        written = getattr(usage.prompt_tokens_details, "cache_write_tokens", None) or 0
    if usage.completion_tokens_details is not None:
        reasoning = usage.completion_tokens_details.reasoning_tokens or 0
    return {
        "input": usage.prompt_tokens - read - written,
        "output": usage.completion_tokens,
        "cache_read": read,
        "cache_write": written,
        "reasoning": reasoning,
    }


# OpenAI Responses


def response_object(body: bytes) -> Reading:
    """Read a non-streaming Responses answer."""
    client = _openai(body, _JSON)
    return _from_response(client.responses.create(model="m", input="x"))


def response_stream(body: bytes) -> Reading:
    """Read a Responses stream by the SDK's accumulating helper, after checking its frames."""
    frames = frames_of(body)
    check_responses(frames)
    reading = Reading()
    final: Any = None
    try:
        # Validation is per event here; the helper rebuilds events by itself and is not made for it.
        for event in _openai(body, _EVENTS).responses.create(model="m", input="x", stream=True):
            if event.type == "error":
                reading.error = event.code or "error"
            elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                final = event.response
    except openai.APIError as error:
        reading.error = error.type or error.code or error.message
    client = _openai(body, _EVENTS, strict=False)
    with client.responses.stream(model="m", input="x") as stream:
        for _ in stream:
            pass
        if final is not None and final.status == "completed":
            helped = stream.get_final_response()
            assert helped.output_text == final.output_text
    if final is not None:
        told = reading.error
        reading = _from_response(final)
        reading.error = told or reading.error
    reading.frames = [data for _, data in frames]
    return reading


def _from_response(response: Any) -> Reading:
    reading = Reading(response_id=response.id, model=response.model, stop=response.status)
    assert response.object == "response"
    assert response.created_at < 10**11, "created_at is in seconds"
    if response.status == "incomplete":
        reading.stop = response.incomplete_details.reason
    if response.error is not None:
        reading.error = response.error.code
    for item in response.output:
        if item.type == "message":
            for part in item.content:
                if part.type == "output_text":
                    reading.texts.append(part.text)
                else:
                    reading.refusal += part.refusal
        elif item.type == "function_call":
            reading.calls.append((item.call_id, item.name, arguments_of(item.arguments)))
        elif item.type == "custom_tool_call":
            reading.calls.append((item.call_id, item.name, {"input": item.input}))
        elif item.type == "reasoning":
            reading.thinking += "".join(part.text for part in item.summary)
            reading.thinking += "".join(part.text for part in item.content or [])
    reading.text = "".join(reading.texts)
    usage = response.usage
    if usage is not None:
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        read = usage.input_tokens_details.cached_tokens
        written = usage.input_tokens_details.cache_write_tokens
        reading.usage = {
            "input": usage.input_tokens - read - written,
            "output": usage.output_tokens,
            "cache_read": read,
            "cache_write": written,
            "reasoning": usage.output_tokens_details.reasoning_tokens,
        }
    return reading


_LAST = {"response.completed", "response.incomplete", "response.failed", "error"}


def check_responses(frames: list[tuple[str, Any]]) -> None:
    """Check that added, delta and done complete each other, as the API's reference describes it."""
    items: dict[int, dict[str, Any]] = {}
    done: dict[int, dict[str, Any]] = {}
    parts: dict[tuple[int, str, int], list[str]] = {}
    ended: dict[tuple[int, str, int], str] = {}
    arguments: dict[int, str] = {}
    for at, (name, data) in enumerate(frames):
        assert name == data["type"], (name, data)
        assert data["sequence_number"] == at, "sequence numbers count up from 0"
        assert not (at and frames[at - 1][0] in _LAST) or name in _LAST, "nothing follows the end"
        if name == "response.output_item.added":
            assert data["output_index"] == len(items)
            assert data["item"].get("status", "in_progress") == "in_progress"
            items[data["output_index"]] = data["item"]
        elif name == "response.output_item.done":
            index = data["output_index"]
            assert index not in done
            assert data["item"]["id"] == items[index]["id"]
            done[index] = data["item"]
            for key in parts:
                assert key[0] != index or key in ended, f"part {key} has no done"
        elif "output_index" in data:
            index = data["output_index"]
            assert index not in done, "nothing comes after an item's done"
            assert data["item_id"] == items[index]["id"]
            _check_part(name, data, parts, ended, arguments)
        if name in ("response.completed", "response.incomplete"):
            assert list(done) == list(items)
            assert data["response"]["output"] == [done[index] for index in done]


def _check_part(
    name: str,
    data: dict[str, Any],
    parts: dict[tuple[int, str, int], list[str]],
    ended: dict[tuple[int, str, int], str],
    arguments: dict[int, str],
) -> None:
    index = data["output_index"]
    if name.startswith(("response.function_call_arguments", "response.custom_tool_call_input")):
        if name.endswith("delta"):
            assert data["delta"], "an empty delta"
            arguments[index] = arguments.get(index, "") + data["delta"]
        else:
            whole = data.get("arguments", data.get("input"))
            assert whole == arguments.get(index, ""), (whole, arguments.get(index))
        return
    kind = "summary" if "summary_index" in data else "content"
    key = (index, kind, data[f"{kind}_index"])
    if name in ("response.content_part.added", "response.reasoning_summary_part.added"):
        assert key not in parts
        assert key[2] == sum(other[:2] == key[:2] for other in parts)
        parts[key] = []
    elif name.endswith(".delta"):
        assert data["delta"], "an empty delta"
        assert key not in ended
        parts[key].append(data["delta"])
    elif name in ("response.content_part.done", "response.reasoning_summary_part.done"):
        part = data["part"]
        assert part.get("text", part.get("refusal")) == "".join(parts[key])
        ended[key] = name
    elif name.endswith(".done"):
        assert data.get("text", data.get("refusal")) == "".join(parts[key])
    else:
        assert name == "response.output_text.annotation.added", name


STREAM_READERS: dict[str, Callable[[bytes], Reading]] = {
    "anthropic": anthropic_stream,
    "openai_chat": chat_stream,
    "openai_responses": response_stream,
}
MESSAGE_READERS: dict[str, Callable[[bytes], Reading]] = {
    "anthropic": anthropic_message,
    "openai_chat": chat_completion,
    "openai_responses": response_object,
}


def cuts(body: bytes, size: int) -> Iterator[bytes]:
    """Cut a body into pieces of one size."""
    for at in range(0, len(body), size):
        yield body[at : at + size]
