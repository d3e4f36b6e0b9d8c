"""What callers ask for, in their own words, and what has to arrive at each upstream.

An :class:`Ask` gives the same wish in every dialect that has words for it, and for each upstream
the members of the request that carry it: a path with dots and indexes, and the value that stands
there. :class:`Refused` is a wish that an upstream cannot be told.
``ABSENT`` is a path that must not exist.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

ABSENT = object()

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@frozen
class Ask:
    """A wish.

    :ivar asked: the caller's request by dialect, without the members that all of them share.
    :ivar sent: what each upstream has to be told.
    :ivar models: upstream models other than the plain ones.
    :ivar version: the ``anthropic-version`` that goes with it.
    """

    name: str
    asked: dict[str, dict[str, Any]]
    sent: dict[str, dict[str, Any]]
    models: dict[str, str] = field(factory=dict)
    version: str | None = None


def user(*content: Any) -> dict[str, Any]:
    """Write a user's message."""
    return {"role": "user", "content": list(content)}


def says(text: str) -> dict[str, Any]:
    """Write a text part, which two of the dialects share."""
    return {"type": "text", "text": text}


def said(text: str) -> dict[str, Any]:
    """Write a text part of the Responses API."""
    return {"type": "input_text", "text": text}


def chat_call(name: str, arguments: str, identifier: str = "call_1") -> dict[str, Any]:
    """Write an earlier call in Chat Completions."""
    function = {"name": name, "arguments": arguments}
    return {"id": identifier, "type": "function", "function": function}


def item_call(name: str, arguments: str, identifier: str = "call_1") -> dict[str, Any]:
    """Write an earlier call in the Responses API."""
    return {
        "type": "function_call",
        "call_id": identifier,
        "name": name,
        "arguments": arguments,
    }


def use(name: str, arguments: dict[str, Any], identifier: str = "call_1") -> dict[str, Any]:
    """Write an earlier call in Messages."""
    return {"type": "tool_use", "id": identifier, "name": name, "input": arguments}


def result(content: Any, identifier: str = "call_1", **more: Any) -> dict[str, Any]:
    """Write a tool's answer in Messages."""
    return {"type": "tool_result", "tool_use_id": identifier, "content": content, **more}


def tools(*names: str) -> dict[str, dict[str, Any]]:
    """Offer tools in every dialect."""
    return {
        "anthropic": {"tools": [{"name": name, "input_schema": SCHEMA} for name in names]},
        "openai_chat": {
            "tools": [
                {"type": "function", "function": {"name": name, "parameters": SCHEMA}}
                for name in names
            ]
        },
        "openai_responses": {
            "tools": [
                {"type": "function", "name": name, "parameters": SCHEMA, "strict": False}
                for name in names
            ]
        },
    }


HELLO: dict[str, dict[str, Any]] = {
    "anthropic": {"messages": [user(says("Hello"))]},
    "openai_chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "openai_responses": {"input": "Hello"},
}


def with_hello(**more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Say hello and more, in the dialects that are given."""
    return {dialect: HELLO[dialect] | members for dialect, members in more.items()}


def choice(name: str, words: dict[str, Any], sent: dict[str, Any]) -> Ask:
    """A wish about tool choice, with two tools on offer."""
    offered = tools("weather", "clock")
    return Ask(
        name,
        {d: HELLO[d] | offered[d] | {"tool_choice": word} for d, word in words.items()},
        {d: {"tool_choice": word} for d, word in sent.items()},
    )


IMAGE = {
    "anthropic": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
    },
    "openai_chat": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    "openai_responses": {
        "type": "input_image",
        "detail": "auto",
        "image_url": f"data:image/png;base64,{PNG}",
    },
}
_A, _C, _R = "anthropic", "openai_chat", "openai_responses"
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 10000}, "max_tokens": 20000}
CITY = '{"city": "Oslo"}'

ASKS: tuple[Ask, ...] = (
    Ask(
        "words",
        HELLO,
        {
            _A: {"messages.0": user(says("Hello")), "model": "claude-sonnet-4-5", "system": ABSENT},
            _C: {"messages.0.role": "user", "messages.0.content": "Hello", "model": "gpt-4o"},
            _R: {"input.0.content.0": said("Hello"), "store": False, "model": "gpt-4o"},
        },
    ),
    Ask(
        "system prompt",
        with_hello(
            anthropic={"system": "Be brief."},
            openai_chat={
                "messages": [{"role": "system", "content": "Be brief."}, *HELLO[_C]["messages"]]
            },
            openai_responses={"instructions": "Be brief."},
        ),
        {_A: {"system.0.text": "Be brief."}, _C: {"messages.0.content": "Be brief."}, _R: {}},
    ),
    Ask(
        "developer prompt",
        {
            _C: {
                "messages": [{"role": "developer", "content": "Be brief."}, *HELLO[_C]["messages"]]
            },
            _R: {
                "input": [
                    {"role": "developer", "content": "Be brief."},
                    {"role": "user", "content": "Hello"},
                ]
            },
        },
        {
            _A: {"system.0.text": "Be brief.", "messages.0.content.0.text": "Hello"},
            _C: {"messages.0": {"role": "system", "content": "Be brief."}},
            _R: {"input.0.role": "developer", "input.0.content.0.text": "Be brief."},
        },
    ),
    Ask(
        "system prompt in parts with marks",
        {
            _A: HELLO[_A]
            | {
                "system": [
                    says("x-anthropic-billing-header: cc_version=2"),
                    says("You are Claude Code.") | {"cache_control": {"type": "ephemeral"}},
                    says("Rules.") | {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
                ]
            }
        },
        {
            _A: {
                "system.0.text": "x-anthropic-billing-header: cc_version=2",
                "system.0.cache_control": ABSENT,
                "system.1.cache_control": {"type": "ephemeral"},
                "system.2.cache_control": {"type": "ephemeral", "ttl": "1h"},
            },
            _C: {"messages.0.content.0.text": "x-anthropic-billing-header: cc_version=2"},
            _R: {
                "input.0.content.0.text": "x-anthropic-billing-header: cc_version=2",
                "input.1.content.0.text": "You are Claude Code.",
                "input.2.role": "developer",
                "instructions": ABSENT,
            },
        },
    ),
    Ask(
        "system message in the middle",
        {
            _A: {
                "messages": [
                    user(says("One")),
                    {"role": "system", "content": "Now be brief."},
                    user(says("Two")),
                ]
            },
            _C: {
                "messages": [
                    {"role": "user", "content": "One"},
                    {"role": "system", "content": "Now be brief."},
                    {"role": "user", "content": "Two"},
                ]
            },
            _R: {
                "input": [
                    {"role": "user", "content": "One"},
                    {"role": "system", "content": "Now be brief."},
                    {"role": "user", "content": "Two"},
                ]
            },
        },
        {
            _A: {"messages.0.content.1.text": "<system>\nNow be brief.\n</system>"},
            _C: {"messages.1": {"role": "system", "content": "Now be brief."}},
            _R: {"input.1.role": "system", "input.1.content.0.text": "Now be brief."},
        },
    ),
    Ask(
        "earlier turns",
        {
            _A: {
                "messages": [
                    user(says("Hi")),
                    {"role": "assistant", "content": "Ho"},
                    user(says("Hm")),
                ]
            },
            _C: {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Ho"},
                    {"role": "user", "content": "Hm"},
                ]
            },
            _R: {
                "input": [
                    {"role": "user", "content": "Hi"},
                    {
                        "type": "message",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "Ho", "annotations": []}],
                    },
                    {"role": "user", "content": [said("Hm")]},
                ]
            },
        },
        {
            _A: {"messages.1": {"role": "assistant", "content": [says("Ho")]}},
            _C: {"messages.1.content": "Ho", "messages.2.content": "Hm"},
            _R: {"input.1.content.0.type": "output_text", "input.1.content.0.text": "Ho"},
        },
    ),
    Ask(
        "image as data",
        {
            _A: {"messages": [user(says("What?"), IMAGE[_A])]},
            _C: {"messages": [user(says("What?"), IMAGE[_C])]},
            _R: {"input": [user(said("What?"), IMAGE[_R])]},
        },
        {
            _A: {"messages.0.content.1": IMAGE[_A]},
            _C: {"messages.0.content.1.image_url.url": f"data:image/png;base64,{PNG}"},
            _R: {"input.0.content.1": IMAGE[_R]},
        },
    ),
    Ask(
        "image by address",
        {
            _A: {
                "messages": [
                    user(
                        {"type": "image", "source": {"type": "url", "url": "https://e.test/a.png"}}
                    )
                ]
            },
            _C: {
                "messages": [
                    user({"type": "image_url", "image_url": {"url": "https://e.test/a.png"}})
                ]
            },
            _R: {
                "input": [
                    user(
                        {
                            "type": "input_image",
                            "image_url": "https://e.test/a.png",
                            "detail": "auto",
                        }
                    )
                ]
            },
        },
        {
            _A: {"messages.0.content.0.source": {"type": "url", "url": "https://e.test/a.png"}},
            _C: {"messages.0.content.0.image_url.url": "https://e.test/a.png"},
            _R: {"input.0.content.0.image_url": "https://e.test/a.png"},
        },
    ),
    Ask(
        "PDF",
        {
            _A: {
                "messages": [
                    user(
                        {
                            "type": "document",
                            "title": "a.pdf",
                            "source": {
                                "type": "base64",
                                "media_type": "application/pdf",
                                "data": PDF,
                            },
                        }
                    )
                ]
            },
            _C: {
                "messages": [
                    user(
                        {
                            "type": "file",
                            "file": {
                                "filename": "a.pdf",
                                "file_data": f"data:application/pdf;base64,{PDF}",
                            },
                        }
                    )
                ]
            },
            _R: {
                "input": [
                    user(
                        {
                            "type": "input_file",
                            "filename": "a.pdf",
                            "file_data": f"data:application/pdf;base64,{PDF}",
                        }
                    )
                ]
            },
        },
        {
            _A: {
                "messages.0.content.0.source.data": PDF,
                "messages.0.content.0.source.media_type": "application/pdf",
                "messages.0.content.0.title": "a.pdf",
            },
            _C: {"messages.0.content.0.file.file_data": f"data:application/pdf;base64,{PDF}"},
            _R: {
                "input.0.content.0.file_data": f"data:application/pdf;base64,{PDF}",
                "input.0.content.0.filename": "a.pdf",
            },
        },
    ),
    Ask(
        "text document",
        {
            _A: {
                "messages": [
                    user(
                        {
                            "type": "document",
                            "title": "Notes",
                            "source": {"type": "text", "media_type": "text/plain", "data": "Abc"},
                        }
                    )
                ]
            }
        },
        {
            _A: {"messages.0.content.0.source.data": "Abc"},
            _C: {"messages.0.content": "Notes\n\nAbc"},
            _R: {"input.0.content.0.text": "Notes\n\nAbc"},
        },
    ),
    Ask(
        "tools",
        {d: HELLO[d] | tools("weather", "clock")[d] for d in HELLO},
        {
            _A: {"tools.0": {"name": "weather", "input_schema": SCHEMA}, "tools.1.name": "clock"},
            _C: {"tools.0.function.name": "weather", "tools.1.function.parameters": SCHEMA},
            _R: {"tools.0.name": "weather", "tools.1.parameters": SCHEMA, "tools.0.strict": False},
        },
    ),
    Ask(
        "tool without parameters",
        {
            _C: HELLO[_C] | {"tools": [{"type": "function", "function": {"name": "now"}}]},
            _R: HELLO[_R]
            | {"tools": [{"type": "function", "name": "now", "parameters": None, "strict": None}]},
        },
        {
            _A: {"tools.0.input_schema": {"type": "object", "properties": {}}},
            _C: {"tools.0.function.parameters": {"type": "object", "properties": {}}},
            _R: {"tools.0.parameters": {"type": "object", "properties": {}}},
        },
    ),
    Ask(
        "tool of a long name",
        {_A: HELLO[_A] | tools("m" * 100)[_A]},
        {
            _A: {"tools.0.name": "m" * 100},
            _C: {"tools.0.function.name": "m" * 55 + "_" + "f6449b4f"},
            _R: {"tools.0.name": "m" * 55 + "_" + "f6449b4f"},
        },
    ),
    Ask(
        "call and result",
        {
            _A: {
                "messages": [
                    user(says("?")),
                    {
                        "role": "assistant",
                        "content": [says("Hm."), use("weather", {"city": "Oslo"})],
                    },
                    user(result("Rain")),
                ],
                **tools("weather")[_A],
            },
            _C: {
                "messages": [
                    {"role": "user", "content": "?"},
                    {
                        "role": "assistant",
                        "content": "Hm.",
                        "tool_calls": [chat_call("weather", CITY)],
                    },
                    {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
                ],
                **tools("weather")[_C],
            },
            _R: {
                "input": [
                    {"role": "user", "content": "?"},
                    {"role": "assistant", "content": "Hm."},
                    item_call("weather", CITY),
                    {"type": "function_call_output", "call_id": "call_1", "output": "Rain"},
                ],
                **tools("weather")[_R],
            },
        },
        {
            _A: {
                "messages.1.content.1": use("weather", {"city": "Oslo"}),
                "messages.2.content.0": result([says("Rain")]),
            },
            _C: {
                "messages.1.tool_calls.0": chat_call("weather", CITY),
                "messages.2": {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
            },
            _R: {
                "input.1.content.0.text": "Hm.",
                "input.2": item_call("weather", CITY),
                "input.3.output": "Rain",
            },
        },
    ),
    Ask(
        "parallel calls, results and words",
        {
            _A: {
                "messages": [
                    user(says("?")),
                    {"role": "assistant", "content": [use("a", {}), use("b", {}, "call_2")]},
                    user(result("1"), result("2", "call_2"), says("Go on.")),
                ],
                **tools("a", "b")[_A],
            },
            _C: {
                "messages": [
                    {"role": "user", "content": "?"},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [chat_call("a", "{}"), chat_call("b", "{}", "call_2")],
                    },
                    {"role": "tool", "tool_call_id": "call_1", "content": "1"},
                    {"role": "tool", "tool_call_id": "call_2", "content": "2"},
                    {"role": "user", "content": "Go on."},
                ],
                **tools("a", "b")[_C],
            },
            _R: {
                "input": [
                    {"role": "user", "content": "?"},
                    item_call("a", "{}"),
                    item_call("b", "{}", "call_2"),
                    {"type": "function_call_output", "call_id": "call_1", "output": "1"},
                    {"type": "function_call_output", "call_id": "call_2", "output": "2"},
                    {"role": "user", "content": "Go on."},
                ],
                **tools("a", "b")[_R],
            },
        },
        {
            _A: {
                "messages.1.content.1.id": "call_2",
                "messages.2.content.0.tool_use_id": "call_1",
                "messages.2.content.1.tool_use_id": "call_2",
                "messages.2.content.2.text": "Go on.",
            },
            _C: {
                "messages.1.tool_calls.1.id": "call_2",
                "messages.2.tool_call_id": "call_1",
                "messages.3.content": "2",
                "messages.4.content": "Go on.",
            },
            _R: {
                "input.2.call_id": "call_2",
                "input.3.output": "1",
                "input.4.call_id": "call_2",
                "input.5.content.0.text": "Go on.",
            },
        },
    ),
    Ask(
        "failed tool",
        {
            _A: {
                "messages": [
                    user(says("?")),
                    {"role": "assistant", "content": [use("weather", {})]},
                    user(result("No network", is_error=True)),
                ],
                **tools("weather")[_A],
            }
        },
        {
            _A: {"messages.2.content.0.is_error": True},
            _C: {"messages.2.content": "Error: No network"},
            _R: {"input.2.output": "Error: No network"},
        },
    ),
    Ask(
        "result with text, image and words beside it",
        {
            _A: {
                "messages": [
                    user(says("?")),
                    {"role": "assistant", "content": [use("look", {})]},
                    user(result([says("A shot:"), IMAGE[_A]]), says("See?")),
                ],
                **tools("look")[_A],
            },
            _R: {
                "input": [
                    {"role": "user", "content": "?"},
                    item_call("look", "{}"),
                    {
                        "type": "function_call_output",
                        "call_id": "call_1",
                        "output": [said("A shot:"), IMAGE[_R]],
                    },
                    {"role": "user", "content": "See?"},
                ],
                **tools("look")[_R],
            },
        },
        {
            _A: {
                "messages.2.content.0.content": [says("A shot:"), IMAGE[_A]],
                "messages.2.content.1.text": "See?",
            },
            _C: {
                "messages.2.content": "A shot:",
                "messages.3.content.1.image_url.url": f"data:image/png;base64,{PNG}",
            },
            _R: {"input.2.output": [said("A shot:"), IMAGE[_R]]},
        },
    ),
    choice(
        "tool choice auto",
        {_A: {"type": "auto"}, _C: "auto", _R: "auto"},
        {_A: {"type": "auto"}, _C: "auto", _R: "auto"},
    ),
    choice(
        "tool choice required",
        {_A: {"type": "any"}, _C: "required", _R: "required"},
        {_A: {"type": "any"}, _C: "required", _R: "required"},
    ),
    choice(
        "tool choice none",
        {_A: {"type": "none"}, _C: "none", _R: "none"},
        {_A: {"type": "none"}, _C: "none", _R: "none"},
    ),
    choice(
        "tool choice of one",
        {
            _A: {"type": "tool", "name": "clock"},
            _C: {"type": "function", "function": {"name": "clock"}},
            _R: {"type": "function", "name": "clock"},
        },
        {
            _A: {"type": "tool", "name": "clock"},
            _C: {"type": "function", "function": {"name": "clock"}},
            _R: {"type": "function", "name": "clock"},
        },
    ),
    Ask(
        "tool choice of some",
        {
            _C: HELLO[_C]
            | tools("weather", "clock")[_C]
            | {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [{"type": "function", "function": {"name": "clock"}}],
                    },
                }
            },
            _R: HELLO[_R]
            | tools("weather", "clock")[_R]
            | {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "required",
                    "tools": [{"type": "function", "name": "clock"}],
                }
            },
        },
        {
            _A: {"tools.0.name": "clock", "tools.1": ABSENT, "tool_choice": {"type": "any"}},
            _C: {"tool_choice.allowed_tools.mode": "required"},
            _R: {"tool_choice.tools.0.name": "clock", "tool_choice.mode": "required"},
        },
    ),
    Ask(
        "one call at a time",
        {
            _A: HELLO[_A]
            | tools("a")[_A]
            | {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            _C: HELLO[_C] | tools("a")[_C] | {"parallel_tool_calls": False},
            _R: HELLO[_R] | tools("a")[_R] | {"parallel_tool_calls": False},
        },
        {
            _A: {"tool_choice.disable_parallel_tool_use": True},
            _C: {"parallel_tool_calls": False},
            _R: {"parallel_tool_calls": False},
        },
    ),
    Ask(
        "structured output",
        {
            _A: HELLO[_A]
            | {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
            _C: HELLO[_C]
            | {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": CLOSED, "strict": True},
                }
            },
            _R: HELLO[_R]
            | {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "answer",
                        "schema": CLOSED,
                        "strict": True,
                    }
                }
            },
        },
        {
            _A: {"output_config.format": {"type": "json_schema", "schema": CLOSED}},
            _C: {
                "response_format.json_schema": {"name": "answer", "schema": CLOSED, "strict": True}
            },
            _R: {"text.format.schema": CLOSED, "text.format.strict": True},
        },
    ),
    Ask(
        "structured output that OpenAI does not take as strict",
        {_A: HELLO[_A] | {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}},
        {
            _A: {"output_config.format.schema": SCHEMA},
            _C: {"response_format.json_schema.strict": False},
            _R: {"text.format.strict": False, "text.format.name": "answer"},
        },
    ),
    Ask(
        "sampling",
        {
            _A: HELLO[_A] | {"temperature": 0.5, "max_tokens": 99},
            _C: HELLO[_C] | {"temperature": 0.5, "max_tokens": 99},
            _R: HELLO[_R] | {"temperature": 0.5, "max_output_tokens": 99},
        },
        {
            _A: {"temperature": 0.5, "max_tokens": 99},
            _C: {"temperature": 0.5, "max_tokens": 99},
            _R: {"temperature": 0.5, "max_output_tokens": 99},
        },
    ),
    Ask(
        "sampling that models refuse is left out",
        {
            _A: HELLO[_A] | {"temperature": 0.5, "top_p": 0.9},
            _C: HELLO[_C] | {"temperature": 0.5, "top_p": 0.9},
            _R: HELLO[_R] | {"temperature": 0.5, "top_p": 0.9},
        },
        {
            _A: {"temperature": ABSENT, "top_p": ABSENT},
            _C: {"temperature": ABSENT, "top_p": ABSENT},
            _R: {"temperature": ABSENT, "top_p": ABSENT},
        },
        {_A: "claude-opus-4-8", _C: "gpt-5.5", _R: "gpt-5.5"},
        "2026-10-21",
    ),
    Ask(
        "max_tokens where it is required",
        {_C: HELLO[_C], _R: HELLO[_R]},
        {_A: {"max_tokens": 32000}, _C: {"max_tokens": ABSENT}, _R: {"max_output_tokens": ABSENT}},
    ),
    Ask(
        "a limit below the smallest",
        {_A: HELLO[_A] | {"max_tokens": 1}},
        {_A: {"max_tokens": 1}, _C: {"max_tokens": 1}, _R: {"max_output_tokens": 16}},
    ),
    Ask(
        "stop sequences",
        {
            _A: HELLO[_A] | {"stop_sequences": ["END"]},
            _C: HELLO[_C] | {"stop": "END"},
        },
        {_A: {"stop_sequences": ["END"]}, _C: {"stop": ["END"]}},
    ),
    Ask(
        "effort",
        {
            _A: HELLO[_A] | {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            _C: HELLO[_C] | {"reasoning_effort": "high"},
            _R: HELLO[_R] | {"reasoning": {"effort": "high"}},
        },
        {
            _A: {"output_config.effort": "high", "thinking.type": "adaptive"},
            _C: {"reasoning_effort": "high"},
            _R: {"reasoning.effort": "high", "include": ["reasoning.encrypted_content"]},
        },
        {_A: "claude-opus-4-8", _C: "gpt-5.5", _R: "gpt-5.5"},
    ),
    Ask(
        "a budget of thinking",
        {
            _A: HELLO[_A]
            | {"thinking": {"type": "enabled", "budget_tokens": 10000}, "max_tokens": 20000}
        },
        {
            _A: {"thinking": {"type": "enabled", "budget_tokens": 10000}},
            _C: {"reasoning_effort": "medium"},
            _R: {"reasoning.effort": "medium"},
        },
        {_A: "claude-sonnet-4-5", _C: "gpt-5.5", _R: "gpt-5.5"},
    ),
    Ask(
        "reasoning asked of a model that has none",
        {
            _A: HELLO[_A]
            | {"thinking": {"type": "enabled", "budget_tokens": 10000}, "max_tokens": 20000},
            _C: HELLO[_C] | {"reasoning_effort": "high"},
            _R: HELLO[_R] | {"reasoning": {"effort": "high"}},
        },
        {
            _A: {"thinking": ABSENT},
            _C: {"reasoning_effort": ABSENT},
            _R: {"reasoning": ABSENT, "include": ABSENT},
        },
        {_A: "claude-3-5-haiku-latest", _C: "gpt-4o", _R: "gpt-4o"},
    ),
    Ask(
        "the user's name",
        {
            _A: HELLO[_A] | {"metadata": {"user_id": "u-1"}},
            _C: HELLO[_C] | {"user": "u-1"},
            _R: HELLO[_R] | {"safety_identifier": "u-1"},
        },
        {_A: {"metadata.user_id": "u-1"}, _C: {"user": "u-1"}, _R: {"user": "u-1"}},
    ),
    Ask(
        "an earlier refusal",
        {
            _C: {
                "messages": [
                    {"role": "user", "content": "?"},
                    {"role": "assistant", "refusal": "No."},
                    {"role": "user", "content": "Why?"},
                ]
            },
            _R: {
                "input": [
                    {"role": "user", "content": "?"},
                    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
                    {"role": "user", "content": "Why?"},
                ]
            },
        },
        {
            _A: {"messages.1.content.0": says("No.")},
            _C: {"messages.1.refusal": "No."},
            _R: {"input.1.content.0": {"type": "refusal", "refusal": "No."}},
        },
    ),
    Ask(
        "freeform tool and its call",
        {
            _C: {
                "messages": [
                    {"role": "user", "content": "?"},
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {
                                "id": "call_1",
                                "type": "custom",
                                "custom": {"name": "patch", "input": "+a"},
                            }
                        ],
                    },
                    {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
                ],
                "tools": [
                    {"type": "custom", "custom": {"name": "patch", "description": "Patches."}}
                ],
            },
            _R: {
                "input": [
                    {"role": "user", "content": "?"},
                    {
                        "type": "custom_tool_call",
                        "call_id": "call_1",
                        "name": "patch",
                        "input": "+a",
                    },
                    {"type": "custom_tool_call_output", "call_id": "call_1", "output": "ok"},
                ],
                "tools": [{"type": "custom", "name": "patch", "description": "Patches."}],
            },
        },
        {
            _A: {
                "tools.0.input_schema.required": ["input"],
                "messages.1.content.0": use("patch", {"input": "+a"}),
                "messages.2.content.0.tool_use_id": "call_1",
            },
            _C: {
                "tools.0.type": "function",
                "messages.1.tool_calls.0": chat_call("patch", '{"input":"+a"}'),
            },
            _R: {
                "tools.0": {"type": "custom", "name": "patch", "description": "Patches."},
                "input.1.input": "+a",
                "input.2.type": "custom_tool_call_output",
            },
        },
    ),
    Ask(
        "own sealed thinking",
        {
            _A: {
                "messages": [
                    user(says("?")),
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
                            says("Ho."),
                        ],
                    },
                    user(says("!")),
                ]
            }
        },
        {
            _A: {
                "messages.1.content.0": {
                    "type": "thinking",
                    "thinking": "Hm.",
                    "signature": "c2ln",
                },
                "messages.1.content.1.data": "ZGF0YQ==",
            },
            _C: {"messages.1": {"role": "assistant", "content": "Ho."}},
            _R: {"input.1.type": "message", "input.1.content.0.text": "Ho."},
        },
    ),
    Ask(
        "sealed thinking that comes home through another dialect",
        {
            _R: {
                "input": [
                    {"role": "user", "content": "?"},
                    {
                        "type": "reasoning",
                        "id": "rs_1",
                        "summary": [{"type": "summary_text", "text": "Hm."}],
                        "encrypted_content": "clawproxy:anthropic::c2ln",
                    },
                    {
                        "type": "reasoning",
                        "id": "rs_2",
                        "summary": [],
                        "encrypted_content": "clawproxy:anthropic:redacted:ZGF0YQ==",
                    },
                    {"role": "assistant", "content": "Ho."},
                    {"role": "user", "content": "!"},
                ]
            }
        },
        {
            _A: {
                "messages.1.content.0": {
                    "type": "thinking",
                    "thinking": "Hm.",
                    "signature": "c2ln",
                },
                "messages.1.content.1": {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            },
            _C: {"messages.1": {"role": "assistant", "content": "Ho."}},
            _R: {"input.1.type": "message"},
        },
    ),
    Ask(
        "encrypted reasoning that comes home through another dialect",
        {
            _A: {
                "messages": [
                    user(says("?")),
                    {
                        "role": "assistant",
                        "content": [
                            {
                                "type": "thinking",
                                "thinking": "Hm.",
                                "signature": "clawproxy:openai_responses:rs_1:ZW5j",
                            },
                            says("Ho."),
                        ],
                    },
                    user(says("!")),
                ]
            }
        },
        {
            _A: {"messages.1.content.0": says("Ho.")},
            _C: {"messages.1": {"role": "assistant", "content": "Ho."}},
            _R: {
                "input.1": {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "Hm."}],
                    "encrypted_content": "ZW5j",
                },
            },
        },
    ),
    Ask(
        "hints that only the caller's vendor knows",
        {
            _A: HELLO[_A] | {"context_management": {"edits": []}, "speed": "fast"},
            _C: HELLO[_C] | {"store": True, "prediction": {"type": "content", "content": "x"}},
            _R: HELLO[_R] | {"client_metadata": {"a": "b"}, "truncation": "auto"},
        },
        {
            _A: {"client_metadata": ABSENT, "store": ABSENT, "prediction": ABSENT},
            _C: {"context_management": ABSENT, "client_metadata": ABSENT},
            _R: {"context_management": ABSENT, "prediction": ABSENT, "speed": ABSENT},
        },
    ),
    Ask(
        "JSON of any shape",
        {
            _C: HELLO[_C] | {"response_format": {"type": "json_object"}},
            _R: HELLO[_R] | {"text": {"format": {"type": "json_object"}}},
        },
        {
            _C: {"response_format": {"type": "json_object"}},
            _R: {"text.format": {"type": "json_object"}},
        },
    ),
    Ask(
        "strange letters",
        {
            _A: {"messages": [user(says("a\u2028\U0001f600\x7f"))]},
            _C: {"messages": [{"role": "user", "content": "a\u2028\U0001f600\x7f"}]},
            _R: {"input": "a\u2028\U0001f600\x7f"},
        },
        {
            _A: {"messages.0.content.0.text": "a\u2028\U0001f600\x7f"},
            _C: {"messages.0.content": "a\u2028\U0001f600\x7f"},
            _R: {"input.0.content.0.text": "a\u2028\U0001f600\x7f"},
        },
    ),
)


@frozen
class Refused:
    """A wish that an upstream cannot be told; the caller learns which field it was.

    :ivar targets: the upstreams that it is refused for.
    """

    name: str
    caller: str
    members: dict[str, Any]
    param: str
    targets: tuple[str, ...]


def refused(
    name: str, caller: str, param: str, targets: tuple[str, ...] = (), **members: Any
) -> Refused:
    """Say hello and something that cannot be passed on, to the two other vendors if not said."""
    others = tuple(dialect for dialect in (_A, _C, _R) if dialect != caller)
    return Refused(name, caller, HELLO[caller] | members, param, targets or others)


SPOKEN = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}

REFUSALS: tuple[Refused, ...] = (
    refused("several answers", _C, "n", n=2),
    refused("log probabilities", _C, "logprobs", logprobs=True),
    refused("speech", _C, "audio", audio={"voice": "alloy", "format": "wav"}),
    refused("modalities", _C, "modalities", modalities=["text", "audio"]),
    refused("penalties", _C, "frequency_penalty", frequency_penalty=0.5),
    refused("bias", _C, "logit_bias", logit_bias={"50256": -100}),
    refused("spoken input in chat", _C, "messages[0].content[0]", messages=[user(SPOKEN)]),
    refused("stop to Responses", _C, "stop", (_R,), stop=["END"]),
    refused(
        "any JSON to Anthropic",
        _C,
        "response_format",
        (_A,),
        response_format={"type": "json_object"},
    ),
    refused("stop sequences to Responses", _A, "stop_sequences", (_R,), stop_sequences=["END"]),
    refused("top_k", _A, "top_k", top_k=5),
    refused("thread", _A, "previous_message_id", previous_message_id="msg_1"),
    refused("thread object", _A, "thread", thread={"type": "create"}),
    refused("servers", _A, "mcp_servers", mcp_servers=[{"type": "url", "url": "https://x"}]),
    refused(
        "web search of Anthropic's",
        _A,
        "tools[0]",
        tools=[{"type": "web_search_20250305", "name": "web_search"}],
    ),
    refused("earlier response", _R, "previous_response_id", previous_response_id="resp_1"),
    refused("conversation", _R, "conversation", conversation="conv_1"),
    refused("template", _R, "prompt", prompt={"id": "pmpt_1"}),
    refused("moderation", _R, "moderation", moderation={"model": "omni"}),
    refused("background", _R, "background", background=True),
    refused("top log probabilities", _R, "top_logprobs", top_logprobs=3),
    refused("more log probabilities", _R, "include", include=["message.output_text.logprobs"]),
    refused("file search", _R, "tools[0].type", tools=[{"type": "file_search"}]),
    refused(
        "remote MCP",
        _R,
        "tools[1].type",
        tools=[*tools("a")[_R]["tools"], {"type": "mcp", "server_label": "s"}],
    ),
    refused(
        "forced hosted tool",
        _R,
        "tool_choice.type",
        tool_choice={"type": "web_search_preview"},
        tools=[{"type": "web_search_preview"}],
    ),
    refused(
        "required hosted tools",
        _R,
        "tool_choice",
        tool_choice="required",
        tools=[{"type": "web_search"}],
    ),
    refused(
        "item reference", _R, "input[0].type", input=[{"type": "item_reference", "id": "msg_1"}]
    ),
    refused("reference without a type", _R, "input[0].id", input=[{"id": "msg_1"}]),
    refused(
        "compaction", _R, "input[0].type", input=[{"type": "compaction", "encrypted_content": ""}]
    ),
    refused("spoken input", _R, "input[0].content[0].type", input=[user(SPOKEN)]),
    refused(
        "file at OpenAI's",
        _R,
        "input[0].content[0].file_id",
        (_A,),
        input=[user({"type": "input_file", "file_id": "file-1"})],
    ),
)
