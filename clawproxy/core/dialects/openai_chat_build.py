"""Write a turn as a Chat Completions request.

1. The system prompt's parts stay apart and in order, in one ``system`` message; later ``system``
   messages stay in their places.
2. Tool results become ``tool`` messages right after the assistant's; their images and files, for
   which such a message has no place, follow in a ``user`` message, each with the call it belongs
   to.
3. Sealed thinking is left out; it means nothing to another vendor and is never sent as text.
   Thinking that such a server gave out itself goes back to it as ``reasoning_content``, and Gemini's
   seals go back beside the calls that they came with.
4. Usage is always asked for in a stream.

Rules and their sources: docs/decisions/dialects.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from attrs import evolve

from clawproxy.core.dialects.freeform import custom_arguments
from clawproxy.core.dialects.naming import chat_call_id, short_tool_name
from clawproxy.core.dialects.parts import (
    FilePart,
    ImagePart,
    InlineData,
    Message,
    OpaquePart,
    PlainText,
    RefusalPart,
    RemoteUrl,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    VendorFile,
)
from clawproxy.core.dialects.rawjson import MALFORMED, Object, encode, is_object
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, ServerTool, Tool
from clawproxy.core.dialects.traits import (
    most_tokens,
    openai_effort,
    parallel,
    reasons,
    seals_calls,
)
from clawproxy.core.dialects.turn import OutputFormat, Turn, field_name, unsupported

Json = dict[str, Any]

ERROR_MARK = "Error: "
"""Stands before a failed tool's text, since a ``tool`` message has no other place to say so."""

UNKNOWN_SEAL = {"google": {"thought_signature": "skip_thought_signature_validator"}}
"""Stands for the seal of a call that another model made; without one Gemini answers 400
(https://ai.google.dev/gemini-api/docs/thought-signatures).
"""

_DROPPED_BLOCKS = frozenset({"fallback", "tool_search_tool_result"})
"""Anthropic's blocks that tell of its own machinery and say nothing to another model."""

_MAX_USER = 64


def build_request(turn: Turn, *, model: str, stream: bool) -> bytes:
    """Write the body of ``POST /v1/chat/completions``.

    :raises ProxyError: see :meth:`~.dialect.Dialect.build_request`.
    """
    out: Json = {"model": model, "messages": _messages(turn, model)}
    tools = [found for tool in turn.tools if (found := _tool(tool)) is not None]
    if tools:
        out["tools"] = tools
        if choice := _tool_choice(turn):
            out["tool_choice"] = choice
        if turn.parallel_tool_calls is not None and parallel(model):
            out["parallel_tool_calls"] = turn.parallel_tool_calls
    if turn.max_tokens is not None:
        if turn.max_tokens < 1:
            raise unsupported(field_name(turn, "max_tokens"), "at least 1 is expected.")
        name = "max_completion_tokens" if reasons(model) else "max_tokens"
        out[name] = min(turn.max_tokens, most_tokens(model))
    if turn.stop_sequences:
        out["stop"] = list(turn.stop_sequences)
    out |= _sampling(turn, model)
    if effort := openai_effort(model, turn.reasoning):
        out["reasoning_effort"] = effort
    if turn.output is not None and turn.output.kind != "text":
        out["response_format"] = _response_format(turn.output)
    if turn.verbosity and reasons(model):
        out["verbosity"] = turn.verbosity
    if turn.user is not None and len(turn.user) <= _MAX_USER:
        out["user"] = turn.user
    if turn.dialect == "openai_chat":
        if turn.metadata is not None:
            out["metadata"] = msgspec.Raw(turn.metadata)
        for name, raw in turn.extras.items():
            out.setdefault(name, msgspec.Raw(raw))
    if stream:
        out["stream"] = True
        out["stream_options"] = {"include_usage": True}
    return encode(out)


def _messages(turn: Turn, model: str) -> list[Json]:
    out: list[Json] = []
    if turn.system:
        out.append({"role": "system", "content": _joined([_text(p) for p in turn.system])})
    waiting: list[Json] = []  # results have to follow their calls, instructions can wait for them
    for message in _adjoined(turn.messages):
        if message.role == "assistant":
            out += waiting + _assistant(message, model)
            waiting = []
        elif message.role != "user" and (waiting or (out and out[-1].get("tool_calls"))):
            waiting += _other(message, model)
        else:
            mine = _other(message, model)
            results = [one for one in mine if one["role"] == "tool"]
            out += results + waiting + mine[len(results) :]
            waiting = []
    out += waiting
    if reasons(model):
        for written in out:  # OpenAI's own models take no reasoning back in this API
            written.pop("reasoning_content", None)
    else:
        for written in out:  # only reasoning models know the role; templates of others raise on it
            if written["role"] == "developer":
                written["role"] = "system"
    return out


def _adjoined(messages: Iterable[Message]) -> Iterator[Message]:
    """Join messages of one role that stand between calls and their results, as Anthropic reads them: here
    each call's result has to follow at once.
    """
    last: Message | None = None
    for message in messages:
        if last is not None and last.role == message.role and _belong(last, message):
            last = evolve(last, parts=last.parts + message.parts)
            continue
        if last is not None:
            yield last
        last = message
    if last is not None:
        yield last


def _belong(one: Message, other: Message) -> bool:
    if one.role == "assistant":
        return any(isinstance(part, ToolCallPart) for part in one.parts)
    return one.role == "user" and any(isinstance(part, ToolResultPart) for part in other.parts)


def _other(message: Message, model: str) -> list[Json]:
    """Write a ``user``, ``system`` or ``developer`` message, tool results first."""
    results: list[Json] = []
    moved: list[Json] = []  # what a result holds beside text
    content: list[Json] = []
    for part in message.parts:
        match part:
            case ToolResultPart():
                call_id = chat_call_id(part.call_id, model)
                text, rest = _result(part, call_id)
                results.append({"role": "tool", "tool_call_id": call_id, "content": text})
                moved += rest
            case ImagePart():
                content.append(_image(part))
            case FilePart():
                content.append(_file(part))
            case TextPart() | RefusalPart():
                content.append(_text(part))
            case OpaquePart():
                content += _opaque(part)
            case ThinkingPart() | ToolCallPart():
                pass  # only an assistant's
    content = moved + content
    if content:
        out: Json = {"role": message.role, "content": _joined(content)}
        if message.name:
            out["name"] = message.name
        return [*results, out]
    return results


def _assistant(message: Message, model: str) -> list[Json]:
    content: list[Json] = []
    calls: list[Json] = []
    refusals: list[str] = []
    reasoning: list[str] = []
    seal: Json = {}  # of the thinking about the call that follows
    for part in message.parts:
        match part:
            case TextPart():
                if part.text:
                    content.append(_text(part))
            case RefusalPart(text):
                refusals.append(text)
            case ToolCallPart():
                calls.append(_call(part, model) | seal)
                seal = {}
            case ThinkingPart() if part.origin == "openai_chat" and is_object(part.signature):
                if seals_calls(model):
                    seal = {"extra_content": msgspec.Raw(part.signature.encode())}
            case ThinkingPart():
                if part.origin == "openai_chat" and part.text:
                    reasoning.append(part.text)
            case OpaquePart():
                content += _opaque(part)
            case ImagePart() | FilePart():
                raise unsupported(part.where, "an assistant's message cannot hold images or files.")
            case ToolResultPart():
                pass  # only a user's
    if not content and not calls and not refusals:
        return []
    out: Json = {"role": "assistant", "content": _joined(content) if content else None}
    if reasoning:
        out["reasoning_content"] = "".join(reasoning)
    if refusals:
        out["refusal"] = "".join(refusals)
    if calls:
        if seals_calls(model):
            calls[0].setdefault("extra_content", UNKNOWN_SEAL)
        out["tool_calls"] = calls
    if message.name:
        out["name"] = message.name
    return [out]


def _joined(content: list[Json]) -> str | list[Json]:
    """Return one text as a string, which every server takes; more parts stay apart."""
    if len(content) == 1 and content[0]["type"] == "text":
        return str(content[0]["text"])
    return content


def _text(part: TextPart | RefusalPart) -> Json:
    return {"type": "text", "text": part.text}


def _call(part: ToolCallPart, model: str) -> Json:
    call_id = chat_call_id(part.id, model)
    name = short_tool_name(part.name)
    # A custom tool is offered as its stand-in function, so its calls are that function's.
    arguments = custom_arguments(part.arguments) if part.custom else part.arguments or "{}"
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _result(part: ToolResultPart, call_id: str) -> tuple[str | list[Json], list[Json]]:
    """Return a ``tool`` message's content, and what has to follow in a ``user`` message."""
    texts: list[Json] = []
    moved: list[Json] = []
    for inner in part.content:
        match inner:
            case TextPart():
                texts.append(_text(inner))
            case FilePart(source=PlainText()):
                texts.append(_file(inner))
            case ImagePart():
                moved.append(_image(inner))
            case FilePart():
                moved.append(_file(inner))
    if moved:
        label = f"What the tool call {call_id} returned beside text:"
        moved.insert(0, {"type": "text", "text": label})
        if not texts:
            texts.append({"type": "text", "text": "(The result is in the next message.)"})
    if part.is_error:
        first = (texts[0]["text"] if texts else "") or "The tool failed."
        if not first.startswith("Error"):
            first = ERROR_MARK + first
        texts[:1] = [{"type": "text", "text": first}]
    return (_joined(texts) if texts else ""), moved


def _image(part: ImagePart) -> Json:
    match part.source:
        case InlineData(media_type, data):
            url = f"data:{media_type};base64,{data}"
        case RemoteUrl(address):
            url = address
        case VendorFile():
            raise unsupported(part.where, "a file at another vendor cannot be read.")
    return {
        "type": "image_url",
        "image_url": {"url": url} | ({"detail": part.detail} if part.detail else {}),
    }


def _file(part: FilePart) -> Json:
    match part.source:
        case PlainText(text):
            head = "\n".join(said for said in (part.name, part.context) if said)
            return {"type": "text", "text": f"{head}\n\n{text}" if head else text}
        case InlineData(media_type, data):
            name = part.name or ("document.pdf" if media_type == "application/pdf" else "document")
            url = f"data:{media_type};base64,{data}"
            return {"type": "file", "file": {"filename": name, "file_data": url}}
        case VendorFile(file_id, origin) if origin != "anthropic":
            return {"type": "file", "file": {"file_id": file_id}}
        case VendorFile():
            raise unsupported(part.where, "a file at another vendor cannot be read.")
        case RemoteUrl():
            raise unsupported(part.where, "Chat Completions takes files' data, not their address.")


def _opaque(part: OpaquePart) -> list[Json]:
    if part.kind in _DROPPED_BLOCKS:
        return []
    try:
        block = msgspec.json.decode(part.raw, type=dict[str, Any])
    except MALFORMED:
        block = {}
    if part.kind == "server_tool_use" and str(block.get("name")).startswith("tool_search_tool"):
        return []
    if part.kind == "compaction" and isinstance(block.get("content"), str):
        return [{"type": "text", "text": block["content"]}]
    raise unsupported(part.where, f"{part.kind} cannot be expressed in Chat Completions.")


def _tool(tool: Tool) -> Json | None:
    match tool:
        case FunctionTool():
            function: Json = {"name": short_tool_name(tool.name)}
            if tool.description:
                function["description"] = tool.description
            function["parameters"] = object_schema(tool.parameters)
            if tool.strict is not None:
                function["strict"] = tool.strict and strict_ready(tool.parameters or b"{}")
            return {"type": "function", "function": function}
        case CustomTool():
            return _tool(tool.as_function())
        case ServerTool():
            if tool.optional:
                return None
            raise unsupported(
                tool.where, f"the tool {tool.kind} cannot be expressed in Chat Completions."
            )


def _tool_choice(turn: Turn) -> str | Json | None:
    choice = turn.tool_choice
    if choice is None:
        return None
    if choice.allowed is not None:
        names = [
            {"type": "function", "function": {"name": short_tool_name(name)}}
            for name in choice.allowed
        ]
        mode = "required" if choice.mode == "required" else "auto"
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": names}}
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": short_tool_name(choice.name or "")}}
    return choice.mode


def _sampling(turn: Turn, model: str) -> Json:
    sampling = turn.sampling
    if sampling.top_k is not None:
        raise unsupported("top_k", "OpenAI's API does not take it.")
    out: Json = {}
    for name in ("temperature", "top_p"):
        value = getattr(sampling, name)
        if value is not None and not reasons(model):
            out[name] = value
    for name in ("frequency_penalty", "presence_penalty", "seed"):
        if (value := getattr(sampling, name)) is not None:
            out[name] = value
    if sampling.logit_bias is not None:
        out["logit_bias"] = msgspec.Raw(sampling.logit_bias)
    return out


def _response_format(shape: OutputFormat) -> Json:
    if shape.kind == "json_object" or shape.schema is None:
        return {"type": "json_object"}
    inner: Json = {"name": shape.name or "answer", "schema": msgspec.Raw(shape.schema)}
    if shape.description:
        inner["description"] = shape.description
    if shape.strict is not None:
        inner["strict"] = shape.strict and strict_ready(shape.schema)
    return {"type": "json_schema", "json_schema": inner}


def object_schema(parameters: bytes | None) -> msgspec.Raw | Json:
    """Return a function's schema as OpenAI takes it: 400 is the answer to one whose top is not called an
    object or has no ``properties``, as many MCP tools without arguments have it.
    """
    try:
        members = Object.decode(parameters) if parameters else {}
    except MALFORMED:
        members = {}
    if parameters and "type" in members and "properties" in members:
        return msgspec.Raw(parameters)
    return {"type": "object", "properties": {}} | members


def strict_ready(schema: bytes) -> bool:
    """Tell whether OpenAI takes a schema with ``strict``: each object has to close itself and
    require all of its properties.

    Anthropic's schemas need only the former, and OpenAI answers 400 to the rest
    (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas).
    """
    try:
        return _strict(msgspec.json.decode(schema))
    except MALFORMED:
        return False


def _strict(node: Any) -> bool:
    if isinstance(node, list):
        return all(_strict(item) for item in node)
    if not isinstance(node, dict):
        return True
    properties = node.get("properties")
    if node.get("type") == "object" or isinstance(properties, dict):
        if node.get("additionalProperties") is not False:
            return False
        required = node.get("required")
        names = properties if isinstance(properties, dict) else {}
        if set(names) - set(required if isinstance(required, list) else ()):
            return False
    return all(_strict(value) for value in node.values())
