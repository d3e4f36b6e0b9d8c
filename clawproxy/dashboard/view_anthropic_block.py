"""Content blocks of Anthropic's Messages API as people read them: :func:`parts_of`.

Block types are those of https://docs.claude.com/en/api/messages and of the SDK's beta types; a type
that is not known here is shown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clawproxy.dashboard.view import (
    IMAGE_WEIGHT,
    Call,
    Citation,
    File,
    Image,
    Part,
    Result,
    Text,
    Thinking,
)
from clawproxy.dashboard.view_content import texts
from clawproxy.dashboard.view_json import (
    items,
    lifetime,
    members,
    other,
    sniff_base64,
    text,
    weight,
)


def parts_of(content: object, pointer: str, role: str) -> tuple[Part, ...]:
    """Read the content of a message, or a system prompt: a string, or blocks."""
    if isinstance(content, str):
        return tuple(_texts(content, pointer, role, "")) if content else ()
    if content is not None and not isinstance(content, list):
        return (other(content, pointer),)
    found: list[Part] = []
    for number, block in enumerate(items(content)):
        found.extend(_block(block, f"{pointer}/{number}", role))
    return tuple(found)


def _texts(content: str, pointer: str, role: str, breakpoint: str) -> Iterator[Part]:
    if role == "assistant":
        yield Text(text=content, pointer=pointer, weight=len(content), breakpoint=breakpoint)
    else:
        yield from texts(content, pointer, breakpoint)


def _block(block: object, pointer: str, role: str) -> Iterator[Part]:
    body = members(block)
    kind = text(body.get("type"))
    if kind == "text" and isinstance(body.get("text"), str):
        yield from _text(body, pointer, role)
        return
    read = _BLOCKS.get(kind)
    if read is None and kind.endswith("_tool_result"):
        read = _result
    yield other(block, pointer) if read is None else read(body, pointer)


def _text(body: dict[str, object], pointer: str, role: str) -> Iterator[Part]:
    content = text(body["text"])
    citations = tuple(_citation(members(each)) for each in items(body.get("citations")))
    if citations:
        yield Text(
            text=content,
            pointer=f"{pointer}/text",
            citations=citations,
            weight=len(content),
            breakpoint=lifetime(body),
        )
    else:
        yield from _texts(content, f"{pointer}/text", role, lifetime(body))


def _citation(body: dict[str, object]) -> Citation:
    title = text(body.get("title")) or text(body.get("document_title")) or text(body.get("source"))
    return Citation(
        title=title or text(body.get("url")) or text(body.get("type")),
        url=text(body.get("url")),
        quote=text(body.get("cited_text"))[:500],
    )


def _thinking(body: dict[str, object], pointer: str) -> Part:
    thought = text(body.get("thinking"))
    note = "" if thought else "not shown by the provider"
    return Thinking(
        text=thought,
        note=note,
        pointer=f"{pointer}/thinking",
        weight=len(thought) or len(text(body.get("signature"))),
    )


def _redacted(body: dict[str, object], pointer: str) -> Part:
    size = len(text(body.get("data")))
    return Thinking(text="", note=f"encrypted, {size:,} characters", pointer=pointer, weight=size)


def _call(body: dict[str, object], pointer: str) -> Part:
    arguments = body.get("input")
    note = {"server_tool_use": "provider's tool", "mcp_tool_use": "MCP"}.get(text(body.get("type")))
    server = text(body.get("server_name"))
    return Call(
        id=text(body.get("id")),
        name=text(body.get("name")) or "?",
        arguments=arguments,
        raw=arguments if isinstance(arguments, str) else "",
        note=f"{note} {server}".strip() if note else "",
        pointer=f"{pointer}/input",
        weight=weight(arguments) + 40,
        breakpoint=lifetime(body),
    )


def _result(body: dict[str, object], pointer: str) -> Part:
    content = body.get("content")
    at = f"{pointer}/content"
    error = body.get("is_error") is True
    if isinstance(content, dict):  # a provider's tool: one object, or an error
        error = error or "error" in text(content.get("type"))
        parts: tuple[Part, ...] = (_output(content, at),)
    elif isinstance(content, str):
        parts = (Text(text=content, plain=True, pointer=at, weight=len(content)),)
    else:
        parts = tuple(
            part
            for number, block in enumerate(items(content))
            for part in _plain(block, f"{at}/{number}")
        )
    return Result(
        call=text(body.get("tool_use_id")),
        parts=parts,
        error=error,
        pointer=pointer,
        weight=sum(part.weight for part in parts) + 20,
        breakpoint=lifetime(body),
    )


def _output(content: dict[str, object], pointer: str) -> Part:
    """Show what a program that the provider ran put out."""
    lines = [text(content.get(name)) for name in ("stdout", "stderr", "error_code")]
    said = "\n".join(line for line in lines if line)
    if said:
        return Text(text=said, plain=True, pointer=pointer, weight=len(said))
    return other(content, pointer)


def _plain(block: object, pointer: str) -> Iterator[Part]:
    body = members(block)
    if body.get("type") == "text":
        said = text(body.get("text"))
        yield Text(text=said, plain=True, pointer=f"{pointer}/text", weight=len(said))
    elif body.get("type") in ("web_search_result", "tool_reference"):
        words = [text(body.get(name)) for name in ("title", "url", "tool_name", "page_age")]
        said = "\n".join(word for word in words if word)
        yield Text(text=said, plain=True, pointer=pointer, weight=weight(body))
    else:
        yield from _block(block, pointer, "tool")


def _source(body: dict[str, object]) -> dict[str, object]:
    return members(body.get("source"))


def _image(body: dict[str, object], pointer: str) -> Part:
    source = _source(body)
    data = text(source.get("data"))
    return Image(
        pointer=f"{pointer}/source/data" if data else pointer,
        media=sniff_base64(data),
        url=(text(source.get("url")) or text(source.get("file_id")))[:2000],
        embedded=bool(data),
        size=len(data) * 3 // 4,
        weight=IMAGE_WEIGHT,
        breakpoint=lifetime(body),
    )


def _document(body: dict[str, object], pointer: str) -> Part:
    source = _source(body)
    data = text(source.get("data"))
    plain = source.get("type") == "text"
    return File(
        pointer=f"{pointer}/source/data" if data else pointer,
        name=text(body.get("title")) or text(source.get("file_id")) or text(body.get("file_id")),
        media=text(source.get("media_type"))[:100],
        text=data if plain else "",
        url=text(source.get("url"))[:2000],
        embedded=bool(data) and not plain,
        size=len(data) if plain else len(data) * 3 // 4,
        weight=len(data) if plain else IMAGE_WEIGHT,
        breakpoint=lifetime(body),
    )


def _compaction(body: dict[str, object], pointer: str) -> Part:
    content = text(body.get("content"))
    return Text(text=content, note="compaction", pointer=pointer, weight=len(content))


_BLOCKS: dict[str, Callable[[dict[str, object], str], Part]] = {
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _call,
    "server_tool_use": _call,
    "mcp_tool_use": _call,
    "tool_result": _result,
    "image": _image,
    "document": _document,
    "container_upload": _document,
    "compaction": _compaction,
}
