"""Whole chat completions: an upstream's becomes events, events become a caller's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from clawproxy.core.dialects.answer import CallBlock, TextBlock, ThinkingBlock, collect
from clawproxy.core.dialects.events import (
    ArgumentsDelta,
    BlockStopped,
    Event,
    MessageStarted,
    SignatureDelta,
    StreamFailed,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    UsageReported,
    made_up_call_id,
)
from clawproxy.core.dialects.freeform import custom_input
from clawproxy.core.dialects.openai_chat_encode import annotation, finish_reason
from clawproxy.core.dialects.openai_chat_reasoning import Details, read_reasoning
from clawproxy.core.dialects.openai_chat_usage import read_usage, usage_json
from clawproxy.core.dialects.openai_chat_wire import (
    CallDelta,
    Delta,
    Reply,
    content_text,
    name_and_text,
    read_finish,
)
from clawproxy.core.dialects.rawjson import MALFORMED, decode, encode, says_nothing
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.dialects.upstream_error import malformed, openai_fault


class _Choice(msgspec.Struct):
    message: Delta | None = None
    finish_reason: str | None = None
    error: Any = None


class _Completion(Reply):
    choices: list[_Choice] | None = None


_completion = msgspec.json.Decoder(_Completion)


def parse_response(body: bytes) -> list[Event]:
    """Read a completion.

    :raises ProxyError: the body is none.
    """
    try:
        found = decode(_completion, body)
        if fault := found.fault:
            return [StreamFailed(fault)]
        if found.choices and found.choices[0].error is not None:
            return [StreamFailed(openai_fault(found.choices[0].error))]
        if not found.choices:
            raise malformed("an answer without choices")
        choice = found.choices[0]
        if (message := choice.message) is None:
            if not choice.finish_reason:
                raise malformed("an answer without a message")
            # Gemini has none where thinking took all tokens, or a filter all words.
            message = Delta()
        blocks = _blocks(message)
    except MALFORMED:
        raise malformed("an answer") from None
    out: list[Event] = [MessageStarted(str(found.id or ""), found.model or ""), *blocks]
    if usage := read_usage(found.usage):
        out.append(UsageReported(usage))
    called = any(isinstance(event, ToolCallStarted) for event in blocks)
    reason = choice.finish_reason or "stop"
    return [*out, read_finish(reason, called=called, refused=bool(message.refusal))]


def _blocks(message: Delta) -> list[Event]:
    out: list[Event] = []
    reasoning, seal = read_reasoning(message)
    details = Details()
    details.add(message.reasoning_details)
    sealed = details.take()
    if reasoning or sealed:
        out.append(ThinkingStarted())
        if reasoning:
            out.append(ThinkingDelta(reasoning))
        out += [sealed or SignatureDelta(seal, "openai_chat"), BlockStopped()]
    if text := content_text(message.content):
        out += [TextStarted(), TextDelta(text), BlockStopped()]
    if message.refusal:
        out += [TextStarted(refusal=True), TextDelta(message.refusal), BlockStopped()]
    calls = list(message.tool_calls or ())
    if message.function_call is not None:
        calls.append(CallDelta(function=message.function_call))
    ids: set[str] = set()
    for call in calls:
        out += _call(call, ids)
    return out


def _call(call: CallDelta, ids: set[str]) -> list[Event]:
    """Read a call.

    :param ids: of the calls before; one that comes again is taken for none.
    """
    name, text = name_and_text(call)
    if not name:
        raise malformed("a tool call without a name")
    out: list[Event] = []
    if seal := call.seal:
        out += [ThinkingStarted(), seal, BlockStopped()]
    call_id = "" if call.call_id in ids else call.call_id
    ids.add(call_id)
    out += [ToolCallStarted(call_id, name, custom=call.custom is not None)]
    if text and (call.function is None or not says_nothing(text)):
        out.append(ArgumentsDelta(text))
    return [*out, BlockStopped()]


def build_response(
    events: Iterable[Event], turn: Turn, *, model: str, response_id: str, created: int
) -> bytes:
    """Write a completion.

    :raises ProxyError: see :meth:`~.dialect.Dialect.build_response`.
    """
    answer = collect(events)
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    length = 0
    for block in answer.blocks:
        match block:
            case TextBlock(refusal=True):
                refusals.append(block.text)
            case TextBlock():
                start = length
                length += len(block.text)
                texts.append(block.text)
                notes += [
                    note
                    for citation in block.citations
                    if (note := annotation(citation, start, length))
                ]
            case ThinkingBlock() if block.text:
                thoughts.append(block.text)
            case CallBlock():
                calls.append(_written_call(block, turn, response_id, len(calls)))
    stopped = answer.stopped
    said = bool(refusals)
    if stopped.reason == "refusal" and stopped.explanation:
        refusals.append(stopped.explanation)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None if calls or refusals else "",
        "refusal": "".join(refusals) if refusals else None,
    }
    if thoughts:
        message["reasoning_content"] = "\n\n".join(thoughts)
    if notes:
        message["annotations"] = notes
    if calls:
        message["tool_calls"] = calls
    return encode(
        {
            "id": response_id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": finish_reason(stopped.reason, said=said),
                }
            ],
            "usage": usage_json(answer.usage),
        }
    )


def _written_call(block: CallBlock, turn: Turn, response_id: str, ordinal: int) -> dict[str, Any]:
    started = block.started
    name = turn.original_tool_name(started.name)
    call: dict[str, Any] = {"id": started.id or made_up_call_id(response_id, ordinal)}
    if started.custom or turn.custom_tool(name) is not None:
        text = block.arguments if started.custom else custom_input(block.arguments)
        return call | {"type": "custom", "custom": {"name": name, "input": text}}
    arguments = block.arguments or "{}"
    return call | {"type": "function", "function": {"name": name, "arguments": arguments}}
