"""OpenAI's Chat Completions API, and what speaks it, as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from clawproxy.dashboard.view import (
    IMAGE_WEIGHT,
    Answer,
    Call,
    Citation,
    File,
    Message,
    Part,
    Prompt,
    Result,
    Text,
    Thinking,
    Tool,
)
from clawproxy.dashboard.view_anthropic import failure
from clawproxy.dashboard.view_content import parts_in, texts
from clawproxy.dashboard.view_json import (
    image_of,
    items,
    lifetime,
    members,
    other,
    parsed,
    rest_of,
    text,
    weight,
)
from clawproxy.dashboard.view_pairing import paired

_READ = frozenset({"model", "messages", "tools", "functions", "stream"})
_LISTS = frozenset({"messages", "tools", "functions"})
_ANSWER_READ = frozenset({"id", "object", "created", "model", "choices", "usage"})


def prompt(body: dict[str, object]) -> Prompt:
    """Read a request."""
    raw = tuple(items(body.get("messages")))
    tools = [("tools", items(body.get("tools"))), ("functions", items(body.get("functions")))]
    return Prompt(
        model=text(body.get("model")),
        tools=tuple(
            tool_of(tool, f"{name}/{n}") for name, found in tools for n, tool in enumerate(found)
        ),
        messages=paired(tuple(_message(item, f"messages/{n}", n) for n, item in enumerate(raw))),
        settings=rest_of(body, _READ, _LISTS),
        raw=raw,
    )


def answer(body: dict[str, object]) -> Answer:
    """Read a completion, or an error."""
    if isinstance(body.get("error"), dict | str):
        return Answer(error=failure(body["error"]))
    if not isinstance(body.get("choices"), list):
        return Answer(extras=tuple(body.items()))
    choices = [members(choice) for choice in items(body.get("choices"))]
    messages = []
    for number, choice in enumerate(choices):
        message = _message(choice.get("message"), f"choices/{number}/message", number)
        spoken = text(choice.get("text"))  # the old completions
        if spoken:
            part = Text(text=spoken, pointer=f"choices/{number}/text", weight=len(spoken))
            message = Message(role="assistant", parts=(part,), number=number)
        messages.append(message)
    stops = [text(choice.get("finish_reason")) for choice in choices]
    return Answer(
        model=text(body.get("model")),
        messages=tuple(messages),
        stop=", ".join(dict.fromkeys(stop for stop in stops if stop)),
        usage=body.get("usage"),
        extras=rest_of(body, _ANSWER_READ),
    )


def _message(item: object, pointer: str, number: int) -> Message:
    body = members(item)
    role = text(body.get("role")) or ("assistant" if pointer.startswith("choices") else "?")
    if not body:
        part = (other(item, pointer),) if item is not None else ()
        return Message(role=role, parts=part, pointer=pointer, number=number)
    if role in ("tool", "function"):
        parts: tuple[Part, ...] = (_result(body, pointer),)
    else:
        parts = tuple(_parts(body, pointer, role))
    return Message(
        role=role, parts=parts, pointer=pointer, number=number, name=text(body.get("name"))
    )


def _parts(body: dict[str, object], pointer: str, role: str) -> Iterator[Part]:
    for name in ("reasoning_content", "reasoning"):
        thought = text(body.get(name))
        if thought:
            yield Thinking(text=thought, pointer=f"{pointer}/{name}", weight=len(thought))
            break
    yield from parts_in(body.get("content"), f"{pointer}/content", role, _part, lifetime(body))
    refusal = text(body.get("refusal"))
    if refusal:
        yield Text(text=refusal, note="refusal", pointer=f"{pointer}/refusal", weight=len(refusal))
    audio = members(body.get("audio"))
    if audio:
        yield File(
            name=text(audio.get("id")) or "audio",
            media="audio",
            text=text(audio.get("transcript")),
            pointer=f"{pointer}/audio/data",
            embedded=bool(text(audio.get("data"))),
            size=len(text(audio.get("data"))) * 3 // 4,
        )
    for number, call in enumerate(items(body.get("tool_calls"))):
        yield _call(members(call), f"{pointer}/tool_calls/{number}")
    if isinstance(body.get("function_call"), dict):
        yield _call({"function": body["function_call"]}, f"{pointer}/function_call")
    notes = tuple(
        Citation(title=text(found.get("title")), url=text(found.get("url")))
        for each in items(body.get("annotations"))
        if (found := members(members(each).get("url_citation")))
    )
    if notes:
        yield Text(text="", citations=notes, pointer=f"{pointer}/annotations")


def _part(value: object, pointer: str, role: str) -> Iterator[Part]:
    body = members(value)
    kind = text(body.get("type"))
    if kind in ("text", "input_text", "output_text"):
        said = text(body.get("text"))
        if role in ("assistant", "tool"):
            yield Text(
                text=said,
                plain=role == "tool",
                pointer=f"{pointer}/text",
                weight=len(said),
                breakpoint=lifetime(body),
            )
        else:
            yield from texts(said, f"{pointer}/text", lifetime(body))
    elif kind == "image_url":
        found = body.get("image_url")
        url = members(found).get("url") if isinstance(found, dict) else found
        at = f"{pointer}/image_url/url" if isinstance(found, dict) else f"{pointer}/image_url"
        yield image_of(url, at)
    elif kind == "refusal":
        said = text(body.get("refusal"))
        yield Text(text=said, note="refusal", pointer=f"{pointer}/refusal", weight=len(said))
    elif kind == "input_audio":
        sound = members(body.get("input_audio"))
        data = text(sound.get("data"))
        yield File(
            name="audio",
            media=text(sound.get("format")),
            pointer=f"{pointer}/input_audio/data",
            embedded=bool(data),
            size=len(data) * 3 // 4,
            weight=IMAGE_WEIGHT,
        )
    elif kind == "file":
        yield _file(members(body.get("file")), f"{pointer}/file")
    else:
        yield other(value, pointer)


def _file(body: dict[str, object], pointer: str) -> File:
    data = text(body.get("file_data"))
    return File(
        name=text(body.get("filename")) or text(body.get("file_id")) or "file",
        pointer=f"{pointer}/file_data",
        embedded=bool(data),
        size=len(data) * 3 // 4,
        weight=IMAGE_WEIGHT,
    )


def _call(body: dict[str, object], pointer: str) -> Call:
    custom = members(body.get("custom"))
    function = members(body.get("function"))
    at = f"{pointer}/custom/input" if custom else f"{pointer}/function/arguments"
    raw = text(custom.get("input")) if custom else text(function.get("arguments"))
    return Call(
        id=text(body.get("id")),
        name=text(custom.get("name")) or text(function.get("name")) or "?",
        arguments=None if custom else parsed(raw),
        raw=raw,
        pointer=at,
        weight=len(raw) + 40,
    )


def _result(body: dict[str, object], pointer: str) -> Result:
    content = body.get("content")
    parts: tuple[Part, ...]
    if isinstance(content, str):
        parts = (Text(text=content, plain=True, pointer=f"{pointer}/content", weight=len(content)),)
    else:
        parts = tuple(parts_in(content, f"{pointer}/content", "tool", _part))
    return Result(
        call=text(body.get("tool_call_id")),
        name=text(body.get("name")),
        parts=parts,
        pointer=pointer,
        weight=sum(part.weight for part in parts) + 20,
        breakpoint=lifetime(body),
    )


def tool_of(tool: object, pointer: str) -> Tool:
    """Read an offered tool, in the form of either of OpenAI's APIs."""
    body = members(tool)
    kind = text(body.get("type"))
    inner = members(body.get(kind)) if kind in ("function", "custom") else {}
    found = inner or body
    schema = found.get("parameters")
    if schema is None:
        schema = {
            name: value
            for name, value in found.items()
            if name not in ("name", "type", "description", "strict", "cache_control")
        } or None
    return Tool(
        name=text(found.get("name")) or text(body.get("server_label")) or kind or "?",
        description=text(found.get("description")),
        schema=schema,
        note="" if kind in ("", "function") else kind,
        pointer=pointer,
        breakpoint=lifetime(body),
        weight=weight(tool),
    )
