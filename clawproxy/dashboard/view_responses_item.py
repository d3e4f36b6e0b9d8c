"""Items of OpenAI's Responses API as people read them: messages, reasoning, calls and what came of them.

Types are those of https://platform.openai.com/docs/api-reference/responses; a type that is not known here is shown as
it is.
"""

from __future__ import annotations

from collections.abc import Iterator

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
from clawproxy.dashboard.view_content import parts_in, texts
from clawproxy.dashboard.view_json import (
    image_of,
    items,
    members,
    other,
    parsed,
    sniff_base64,
    text,
    weight,
)

_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "mcp_call": "arguments",
    "local_shell_call": "action",
    "shell_call": "action",
    "computer_call": "action",
    "apply_patch_call": "operation",
    "web_search_call": "action",
    "file_search_call": "queries",
    "code_interpreter_call": "code",
}
_OURS = frozenset(
    {"function_call", "custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
_OUTPUTS = ("output", "results", "outputs")
"""Where a call's own item holds what came of it, if a provider ran it."""
_PRINTED = ("stdout", "stderr", "logs")


def read_item(item: object, pointer: str, answered: bool) -> tuple[str, tuple[Part, ...]]:
    """Read an item: who says it, and what.

    :param answered: it is part of an answer, and not of a request.
    """
    body = members(item)
    kind = text(body.get("type"))
    if isinstance(item, str):
        return "user", tuple(texts(item, pointer))
    if kind == "message" or (not kind and "role" in body):
        role = text(body.get("role")) or ("assistant" if answered else "?")
        return role, tuple(content_of(body.get("content"), f"{pointer}/content", role))
    if kind == "reasoning":
        return "assistant", (_reasoning(body, pointer),)
    if kind in _CALLS:
        return "assistant", tuple(_call(body, kind, pointer))
    if kind.endswith("_output"):
        return "tool", (_result(body, pointer),)
    if kind == "image_generation_call":
        return "assistant", (_picture(body, pointer),)
    if kind in ("compaction", "compaction_summary"):
        size = len(text(body.get("encrypted_content")))
        note = f"compaction, encrypted, {size:,} characters"
        return "assistant", (Thinking(text="", note=note, pointer=pointer, weight=size),)
    return "assistant" if answered else "item", (other(item, pointer),)


def content_of(content: object, pointer: str, role: str) -> Iterator[Part]:
    """Read a message's content, or instructions: a string, or parts."""
    return parts_in(content, pointer, role, _part)


def _part(value: object, pointer: str, role: str) -> Iterator[Part]:
    body = members(value)
    kind = text(body.get("type"))
    if kind in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        said = text(body.get("text"))
        notes = tuple(_note(members(each)) for each in items(body.get("annotations")))
        if role in ("assistant", "tool"):
            plain = role == "tool"
            yield Text(
                text=said,
                plain=plain,
                citations=notes,
                pointer=f"{pointer}/text",
                weight=len(said),
            )
        else:
            yield from texts(said, f"{pointer}/text")
    elif kind in ("input_image", "computer_screenshot"):
        if text(body.get("image_url")):
            yield image_of(body.get("image_url"), f"{pointer}/image_url")
        else:
            yield Image(pointer=pointer, url=text(body.get("file_id")), weight=IMAGE_WEIGHT)
    elif kind == "image" and text(body.get("url")):  # the code interpreter's
        yield image_of(body.get("url"), f"{pointer}/url")
    elif kind == "input_file":
        data = text(body.get("file_data"))
        yield File(
            name=text(body.get("filename")) or text(body.get("file_id")) or "file",
            url=text(body.get("file_url"))[:2000],
            pointer=f"{pointer}/file_data",
            embedded=bool(data),
            size=len(data) * 3 // 4,
            weight=IMAGE_WEIGHT,
        )
    elif kind == "refusal":
        said = text(body.get("refusal"))
        yield Text(text=said, note="refusal", pointer=f"{pointer}/refusal", weight=len(said))
    else:
        yield other(value, pointer)


def _note(body: dict[str, object]) -> Citation:
    title = text(body.get("title")) or text(body.get("filename")) or text(body.get("file_id"))
    return Citation(title=title or text(body.get("type")), url=text(body.get("url")))


def _reasoning(body: dict[str, object], pointer: str) -> Thinking:
    said = [
        text(members(each).get("text"))
        for name in ("summary", "content")
        for each in items(body.get(name))
    ]
    sealed = len(text(body.get("encrypted_content")))
    thought = "\n\n".join(each for each in said if each)
    note = "" if thought else "not shown by the provider"
    if sealed and not thought:
        note = f"encrypted, {sealed:,} characters"
    return Thinking(text=thought, note=note, pointer=pointer, weight=len(thought) or sealed)


def _call(body: dict[str, object], kind: str, pointer: str) -> Iterator[Part]:
    member = _CALLS[kind]
    given = body.get(member)
    raw = text(given)
    arguments = given if not isinstance(given, str) else None
    if kind in ("function_call", "mcp_call"):
        arguments = parsed(raw)
    elif kind == "code_interpreter_call":
        arguments = {"code": raw}
    given_back = next((each for each in _OUTPUTS if body.get(each) is not None), None)
    result = _result(body, pointer, given_back) if given_back is not None else None
    error = body.get("error")
    if error:
        said = text(error) or text(members(error).get("message"))
        result = Result(parts=(Text(text=said, plain=True),), error=True, pointer=pointer)
    note = "" if kind in _OURS else "provider's tool"
    yield Call(
        id=text(body.get("call_id")) or text(body.get("id")),
        name=text(body.get("name")) or kind.removesuffix("_call"),
        arguments=arguments,
        raw=raw,
        note=note if kind != "mcp_call" else f"MCP {text(body.get('server_label'))}".strip(),
        result=result,
        pointer=f"{pointer}/{member}",
        weight=weight(given) + 40,
    )


def _result(body: dict[str, object], pointer: str, member: str = "output") -> Result:
    output = body.get(member)
    at = f"{pointer}/{member}"
    parts: tuple[Part, ...]
    if isinstance(output, str):
        parts = (Text(text=_unwrapped(output), plain=True, pointer=at, weight=len(output)),)
    elif isinstance(output, list):
        parts = tuple(
            part for number, each in enumerate(output) for part in _output(each, f"{at}/{number}")
        )
    elif output is not None:
        parts = tuple(_output(output, at))
    else:
        parts = (other(body, pointer),)
    return Result(
        call=text(body.get("call_id")),
        parts=parts,
        error=body.get("status") == "failed",
        pointer=pointer,
        weight=sum(part.weight for part in parts) + 20,
    )


def _output(value: object, pointer: str) -> Iterator[Part]:
    body = members(value)
    said = "\n".join(said for name in _PRINTED if (said := text(body.get(name))))
    if said:
        yield Text(text=said, plain=True, pointer=pointer, weight=len(said))
    else:
        yield from _part(value, pointer, "tool")


def _unwrapped(output: str) -> str:
    """Give what a command put out where the client wrapped it in JSON, as Codex does."""
    if not output.startswith("{"):
        return output
    found = members(parsed(output))
    inner = found.get("output")
    return inner if isinstance(inner, str) and set(found) <= {"output", "metadata"} else output


def _picture(body: dict[str, object], pointer: str) -> Image:
    data = text(body.get("result"))
    return Image(
        pointer=f"{pointer}/result",
        media=sniff_base64(data),
        embedded=bool(data),
        size=len(data) * 3 // 4,
        alt=text(body.get("revised_prompt"))[:500],
        weight=IMAGE_WEIGHT,
    )
