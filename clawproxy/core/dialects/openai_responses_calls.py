"""A tool call as a Responses item, in the kind in which its tool was offered, and back.

1. :func:`call_item` makes the item for a finished call.
2. :func:`read_call` and :func:`read_output` take the items of a conversation's history apart again.

Item shapes: https://platform.openai.com/docs/api-reference/responses/object#responses-object-output.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen

from clawproxy.core.dialects.openai_responses_tools import Flavour, flat_name
from clawproxy.core.dialects.parts import ToolCallPart
from clawproxy.core.dialects.rawjson import (
    MALFORMED,
    Array,
    Fields,
    Object,
    String,
    decode,
    says_nothing,
    text_of,
)

PREFIXES: dict[Flavour, str] = {
    "function": "fc_",
    "custom": "ctc_",
    "tool_search": "tsc_",
    "local_shell": "lsh_",
    "shell": "sh_",
    "apply_patch": "apc_",
}
"""How the ids of the items begin."""

CALLS: dict[str, Flavour] = {
    "function_call": "function",
    "custom_tool_call": "custom",
    "tool_search_call": "tool_search",
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
}
"""The item types that are calls, with their flavours."""

OUTPUTS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "tool_search_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
    }
)
"""The item types that answer a call."""


@frozen(slots=True)
class ReadOutput:
    """What a client answered to a call.

    :ivar text: the answer where it is a string.
    :ivar parts: its content parts' JSON where it is a list (``input_text``, ``input_image``, …).
    :ivar tools: tool definitions that the answer makes known (``tool_search_output``), as JSON.
    """

    call_id: str
    text: str = ""
    parts: tuple[msgspec.Raw, ...] = ()
    is_error: bool = False
    tools: msgspec.Raw | None = None


def call_item(
    flavour: Flavour,
    *,
    item_id: str,
    call_id: str,
    name: str,
    namespace: str | None,
    arguments: str,
    status: str,
) -> dict[str, Any]:
    """Make the output item of a call.

    :param name: the tool's own name.
    :param arguments: the call's JSON text, except that of a freeform call: its bare text.
    :param status: ``in_progress``, ``completed`` or ``incomplete``.
    """
    item: dict[str, Any] = {"id": item_id, "type": f"{flavour}_call", "status": status}
    item["call_id"] = call_id
    if flavour == "custom":
        item |= {"type": "custom_tool_call", "name": name, "input": arguments}
    elif flavour == "function" or (action := _object(arguments)) is None:
        # A built-in's action is an object: arguments that were cut short fit only a function call.
        item |= {"type": "function_call", "name": name, "arguments": arguments}
    elif flavour == "tool_search":
        item |= {"execution": "client", "arguments": action}
    elif flavour == "local_shell":
        item["action"] = {"type": "exec", "command": [], "env": {}} | action
    elif flavour == "shell":
        item["action"] = {"commands": [], "timeout_ms": None, "max_output_length": None} | action
    else:
        item["operation"] = action
    if namespace is not None:
        item["namespace"] = namespace
    return item


def _object(text: str) -> dict[str, Any] | None:
    try:
        action = decode(Object, text.encode("utf-8", "replace"))
    except MALFORMED:
        return None
    return {**action}


def read_call(kind: str, item: Fields) -> ToolCallPart:
    """Read a call of the history.

    :param kind: the item's type, one of :data:`CALLS`.
    :raises ProxyError: a field is of the wrong type.
    """
    flavour = CALLS[kind]
    call_id = item.take("call_id", String) or item.take("id", String) or ""
    if flavour in ("function", "custom"):
        name = flat_name(
            item.need("name", String, "the called tool's name"), item.take("namespace", String)
        )
        field = "arguments" if flavour == "function" else "input"
        text = item.take(field, String) or ""
        if flavour == "function" and says_nothing(text):
            text = ""
        return ToolCallPart(call_id, name, text, flavour == "custom")
    field = {"tool_search": "arguments", "apply_patch": "operation"}.get(flavour, "action")
    raw = item.raw(field)
    if raw is None:
        return ToolCallPart(call_id, flavour, "{}")
    if flavour != "local_shell":
        return ToolCallPart(call_id, flavour, text_of(raw))
    action = Fields.of(raw, item.path(field))
    action.raw("type")
    rest = {name: msgspec.Raw(value) for name, value in action.rest().items()}
    return ToolCallPart(call_id, flavour, msgspec.json.encode(rest).decode("utf-8", "replace"))


def read_output(kind: str, item: Fields) -> ReadOutput:
    """Read the answer to a call.

    :param kind: the item's type, one of :data:`OUTPUTS`.
    :raises ProxyError: a field is of the wrong type.
    """
    call_id = item.take("call_id", String) or item.take("id", String) or ""
    failed = item.take("status", String) == "failed"
    if kind == "tool_search_output":
        tools = item.raw("tools")
        return ReadOutput(call_id, is_error=failed, tools=tools)
    output = item.raw("output")
    if output is None:
        return ReadOutput(call_id, is_error=failed)
    try:
        text = decode(String, output)
    except MALFORMED:
        pass
    else:
        return ReadOutput(call_id, text, is_error=failed)
    if kind != "shell_call_output":
        try:
            parts = decode(Array, output)
        except MALFORMED:
            pass
        else:
            return ReadOutput(call_id, parts=tuple(parts), is_error=failed)
    return ReadOutput(call_id, text=text_of(output), is_error=failed)
