"""The Responses API's kinds of tools as plain ones, because no other dialect has these kinds.

1. :func:`read_tools` flattens what a caller offers: functions, freeform ``custom`` tools,
   ``namespace`` groups, and the built-in tools that the *client* runs, which become functions with
   a schema of ours.
2. A :class:`GroupedFunction`, :class:`GroupedCustom` or :class:`BuiltIn` remembers what it was, and
   :func:`origin_of` tells it, so that a call goes back as the item that the client expects: Codex
   answers ``unsupported call`` when a namespace is missing.
3. Hosted tools, which the vendor itself runs, exist nowhere else. Those that clients offer without
   being asked (:data:`HOSTED_BY_DEFAULT`) are marked so that other dialects leave them out; the
   others are refused there by name.
4. :func:`write_tool` writes a tool for an upstream of this dialect.

Shapes: https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, cast

import msgspec
from attrs import frozen

from clawproxy.core.dialects.naming import MAX_TOOL_NAME, short_tool_name
from clawproxy.core.dialects.openai_schema import object_schema, strict_ready
from clawproxy.core.dialects.rawjson import (
    MALFORMED,
    Array,
    Boolean,
    Fields,
    String,
    decode,
    invalid,
    is_null,
)
from clawproxy.core.dialects.tools import CustomTool, FunctionTool, ServerTool, Tool
from clawproxy.core.dialects.turn import unsupported

BuiltInKind = Literal["tool_search", "local_shell", "shell", "apply_patch"]
Flavour = Literal["function", "custom"] | BuiltInKind
"""The kinds of tools that a Responses client runs by itself."""

HOSTED_BY_DEFAULT = frozenset(
    {
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
        "image_generation",
    }
)
"""Hosted tools that Codex offers on every turn; the model may do without them."""

EMPTY_SCHEMA = b'{"type":"object","properties":{}}'
"""The schema of a function without parameters."""

DEFAULT_NAMESPACE = "functions"
"""OpenAI's own name of the top level: its tools are called by their bare names."""

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")

_BUILT_IN: dict[str, tuple[str, bytes]] = {
    "local_shell": (
        "Runs a command on the user's machine and returns its output.",
        b'{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"},'
        b'"description":"The program and its arguments."},"working_directory":{"type":"string"},'
        b'"timeout_ms":{"type":"integer"},"env":{"type":"object",'
        b'"additionalProperties":{"type":"string"}}},"required":["command"]}',
    ),
    "shell": (
        "Runs shell commands on the user's machine and returns their output.",
        b'{"type":"object","properties":{"commands":{"type":"array","items":{"type":"string"},'
        b'"description":"Shell command lines, run in turn."},"timeout_ms":{"type":"integer"},'
        b'"max_output_length":{"type":"integer"}},"required":["commands"]}',
    ),
    "apply_patch": (
        "Creates, updates or deletes one file.",
        b'{"type":"object","properties":{"type":{"type":"string",'
        b'"enum":["create_file","update_file","delete_file"]},"path":{"type":"string"},'
        b'"diff":{"type":"string","description":"A V4A diff; for a new file every line begins '
        b'with \'+\'. Left out when a file is deleted."}},"required":["type","path"]}',
    ),
}


@frozen(slots=True)
class GroupedFunction(FunctionTool):
    """A function that came in a namespace; :attr:`name` joins both names."""

    own_name: str = ""
    namespace: str = ""


@frozen(slots=True)
class GroupedCustom(CustomTool):
    """A freeform tool that came in a namespace; :attr:`name` joins both names."""

    own_name: str = ""
    namespace: str = ""


@frozen(slots=True)
class BuiltIn(FunctionTool):
    """A tool that the API defines and the client runs, described as a function."""

    kind: BuiltInKind = "local_shell"


@frozen(slots=True)
class Origin:
    """What a tool was in the caller's request.

    :ivar name: its own name, without namespace.
    """

    flavour: Flavour
    name: str
    namespace: str | None = None


def origin_of(tool: Tool | None, name: str) -> Origin:
    """Tell as what a call has to go back to the caller.

    :param tool: the caller's tool, ``None`` if the model called one that was not offered.
    :param name: the called name, for that case.
    """
    match tool:
        case GroupedFunction(own_name=own, namespace=namespace):
            return Origin("function", own, namespace)
        case GroupedCustom(own_name=own, namespace=namespace):
            return Origin("custom", own, namespace)
        case BuiltIn(kind=kind):
            return Origin(kind, kind)
        case CustomTool(name=own):
            return Origin("custom", own)
        case _:
            return Origin("function", name)


def flat_name(name: str, namespace: str | None) -> str:
    """Give a tool of a namespace a name that every dialect takes, always the same one.

    ``namespace__name`` in the alphabet ``A-Za-z0-9_-``; one over 64 characters is cut and ends in
    a hash.

    :param namespace: ``None`` and ``"functions"`` change nothing.
    """
    if namespace in (None, "", DEFAULT_NAMESPACE):
        return name
    full = f"{namespace}__{name}"
    return _FOREIGN.sub("_", full) if len(full) <= MAX_TOOL_NAME else short_tool_name(full)


def read_tools(raw: msgspec.Raw | None, where: str = "tools") -> list[Tool]:
    """Flatten a ``tools`` array in its order; of two tools with one name the later one counts.

    :param raw: the array's JSON, ``None`` if the request has none.
    :param where: its place in the request, for the error's ``param``.
    :raises ProxyError: ``missing_field`` for an entry without type or name, ``INVALID_REQUEST`` for
        one of the wrong shape.
    """
    found: dict[str, Tool] = {}
    for tool in _flatten(raw, where, None):
        found.pop(tool.name, None)
        found[tool.name] = tool
    return list(found.values())


def _flatten(raw: msgspec.Raw | None, where: str, namespace: str | None) -> Iterator[Tool]:
    if is_null(raw):
        return
    assert raw is not None
    try:
        entries = decode(Array, raw)
    except MALFORMED as error:
        raise invalid(where, error) from None
    for index, entry in enumerate(entries):
        at = f"{where}[{index}]"
        tool = Fields.of(entry, at)
        kind = tool.need("type", String, "the tool's kind")
        if kind == "namespace":
            name = tool.need("name", String, "the namespace's name")
            yield from _flatten(tool.raw("tools"), f"{at}.tools", name)
        elif kind == "function":
            yield _function(tool, namespace)
        elif kind == "custom":
            yield _custom(tool, namespace)
        elif kind == "tool_search" and tool.take("execution", String) == "client":
            yield BuiltIn(
                name=kind,
                description=tool.take("description", String),
                parameters=_schema(tool),
                kind="tool_search",
            )
        elif kind in _BUILT_IN and _runs_at_client(tool):
            description, schema = _BUILT_IN[kind]
            yield BuiltIn(
                name=kind,
                description=description,
                parameters=schema,
                kind=cast(BuiltInKind, kind),
            )
        else:
            yield ServerTool(
                origin="openai_responses",
                kind=kind,
                name=tool.take("name", String) or tool.take("server_label", String) or kind,
                raw=bytes(entry),
                where=f"{at}.type",
                optional=kind in HOSTED_BY_DEFAULT,
            )


def _function(tool: Fields, namespace: str | None) -> FunctionTool:
    name = tool.need("name", String, "the function's name")
    strict = tool.take("strict", Boolean)
    description = tool.take("description", String)
    parameters = _schema(tool)
    if (flat := flat_name(name, namespace)) == name:
        return FunctionTool(name, description, parameters, strict)
    return GroupedFunction(
        flat, description, parameters, strict, own_name=name, namespace=namespace or ""
    )


def _custom(tool: Fields, namespace: str | None) -> CustomTool:
    name = tool.need("name", String, "the tool's name")
    description = tool.take("description", String)
    raw = tool.raw("format")
    form = None if raw is None else bytes(raw)
    if (flat := flat_name(name, namespace)) == name:
        return CustomTool(name, description, form)
    return GroupedCustom(flat, description, form, own_name=name, namespace=namespace or "")


def _runs_at_client(tool: Fields) -> bool:
    environment = tool.object("environment")
    return environment is None or environment.take("type", String) in (None, "local")


def _schema(tool: Fields) -> bytes | None:
    raw = tool.raw("parameters")
    return None if raw is None else bytes(raw)


def write_tool(tool: Tool) -> dict[str, Any] | msgspec.Raw:
    """Write a tool for an upstream that speaks this dialect.

    :raises ProxyError: ``unsupported_parameter`` for a tool that another vendor runs.
    """
    written: dict[str, Any]
    if isinstance(tool, ServerTool):
        if tool.origin != "openai_responses":
            raise unsupported(
                tool.where or "tools",
                f"the tool {tool.kind!r} is run by the vendor of the caller's own dialect; the "
                "provider that this model is routed to has no such tool.",
            )
        return msgspec.Raw(tool.raw)
    if isinstance(tool, CustomTool):
        written = {"type": "custom", "name": short_tool_name(tool.name)}
        if tool.format is not None:
            written["format"] = msgspec.Raw(tool.format)
    else:
        written = {
            "type": "function",
            "name": short_tool_name(tool.name),
            "parameters": object_schema(tool.parameters),
            "strict": bool(tool.strict) and strict_ready(tool.parameters or EMPTY_SCHEMA),
        }
    if tool.description is not None:
        written["description"] = tool.description
    return written
