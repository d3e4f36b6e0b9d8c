"""The words of a prompt or an answer, for the search index: what a person wrote or would read, and
no ids or base64."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clawproxy.core.jsonread import JSONError, read
from clawproxy.store.parts import Part

VERSION = 1
"""Counts changes of what these functions give: an index of another version has to be built anew."""
TEXT_LIMIT = 384 << 10
"""Characters of one exchange that are indexed; PostgreSQL's index entry takes no more than 1 MB."""
_BLOB = 400  # a "word" this long is base64 or a hash, not something to search for
_LONG = re.compile(rf"\S{{{_BLOB},}}")

MEMBERS = frozenset(("messages", "input", "contents", "prompt", "system", "instructions"))
"""Members of a request that hold text for people."""
STANDING = frozenset(("system", "instructions"))
"""Those among them that are the same in every request of a program."""

_SILENT = frozenset(
    (
        "type", "role", "id", "object", "model", "status", "signature", "data", "media_type",
        "tool_use_id", "tool_call_id", "call_id", "item_id", "cache_control", "encrypted_content",
        "finish_reason", "stop_reason", "stop_sequence", "usage", "service_tier", "logprobs",
        "system_fingerprint", "request_id", "image_url", "file_id", "file_data", "phase", "tools",
    )
)  # fmt: skip


def _strings(value: object) -> Iterator[str]:
    # With a list of what is left and not by recursion: a value may be nested deeper than Python's frames may be.
    left = [iter((value,))]
    while left:
        for item in left[-1]:
            if isinstance(item, str):
                yield item
            elif isinstance(item, list):
                left.append(iter(item))
                break
            elif isinstance(item, dict):
                left.append(iter([each for name, each in item.items() if name not in _SILENT]))
                break
        else:
            left.pop()


def text_of(data: bytes, limit: int = TEXT_LIMIT) -> str:
    """Give the text in a JSON value (a message, a system prompt, an answer, an error).

    :param data: JSON; what is not JSON has no text.
    :param limit: the most characters to give.
    """
    try:
        value = read(data)
    except JSONError:
        return ""
    found, size = [], 0
    for string in _strings(value):
        text = string.replace("\0", " ")
        if len(text) > _BLOB:
            text = _LONG.sub(" ", text)
        found.append(text[: limit - size])
        size += len(found[-1]) + 1
        if size >= limit:
            break
    return "\n".join(found)


def document(parts: Sequence[bytes], finished: bytes | None) -> str:
    """Give the text that an exchange is found by.

    What goes into the index has to be taken out again word by word, so this depends on nothing but
    what is stored.

    :param parts: those of its request that are indexed, in that order.
    :param finished: the finished message.
    """
    found, room = [], TEXT_LIMIT
    for data in (*parts, finished):
        if data and room > 0:
            found.append(text_of(data, room))
            room -= len(found[-1]) + 1
    return "\n".join(filter(None, found))


def is_answer(part: Part) -> bool:
    """Tell whether a message in a request is an earlier answer of a model."""
    try:
        value = read(part.data)
    except JSONError:
        return False
    if not isinstance(value, dict):
        return False
    if "role" in value:
        return value["role"] in ("assistant", "model")
    # Items of the Responses API without a role that the model made.
    return value.get("type") in (
        "function_call",
        "reasoning",
        "custom_tool_call",
        "local_shell_call",
    )
