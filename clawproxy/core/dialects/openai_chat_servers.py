"""What single servers want of a Chat Completions conversation, beyond what the API says: :func:`fit` and
:func:`chat_call_id`. Which servers these are is told in :mod:`.traits`.

Each rule is one that a server answers 400 or 422 to; the others do not mind.
"""

from __future__ import annotations

from typing import Any

from clawproxy.core.dialects.naming import MAX_CHAT_CALL_ID, nine_letters, short_call_id
from clawproxy.core.dialects.traits import (
    at_mistral,
    is_gemini,
    is_mistral,
    reads_ids,
    reasons,
    refuses_reasoning_content,
    wants_reasoning,
)

Json = dict[str, Any]

BRIDGE = "(The results are there.)"
"""Stands for the assistant's words between a tool's result and the user's, without which Mistral's servers and the
templates of its models refuse them.
"""

UNKNOWN_REASONING = " "
"""Stands for the reasoning of an answer that another model gave, or that had none: while they think, DeepSeek's and
Moonshot's own servers refuse a conversation in which it is missing.
"""


def fit(messages: list[Json], model: str, server: str) -> list[Json]:
    """Give a conversation as a server takes it.

    :param messages: are changed.
    :param server: its address.
    """
    strict = at_mistral(server)
    if reasons(model) or strict:
        # OpenAI takes no reasoning back in this API, Mistral only as a part.
        for message in messages:
            message.pop("reasoning_content", None)
            message.pop("reasoning", None)
            if strict or "/" not in model:  # OpenRouter has OpenAI's models, too
                message.pop("reasoning_details", None)
    if not reasons(model):
        # Only reasoning models know the role; templates of others raise on it.
        for message in messages:
            if message["role"] == "developer":
                message["role"] = "system"
    if wants_reasoning(model):
        for message in messages:
            if message["role"] == "assistant":
                message.setdefault("reasoning_content", UNKNOWN_REASONING)
    if refuses_reasoning_content(server):
        for message in messages:
            message.pop("reasoning_content", None)
    if is_gemini(model):
        _name_results(messages)
    if strict:
        _without_extras(messages)
    return _alternating(messages) if is_mistral(model) else messages


def chat_call_id(call_id: str, model: str) -> str:
    """Fit a call's id into what the servers of a model take."""
    if is_mistral(model):
        return nine_letters(call_id)
    return call_id if reads_ids(model) else short_call_id(call_id, MAX_CHAT_CALL_ID)


def in_one(content: list[Json]) -> str | list[Json]:
    """Return texts as one string: of an assistant or a tool, many servers (DeepSeek's) take no parts."""
    if all(part["type"] == "text" for part in content):
        return "\n\n".join(part["text"] for part in content)
    return content


def _name_results(messages: list[Json]) -> None:
    """Name the called function in each result; Gemini has it there and has refused empty names."""
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            names[call["id"]] = call["function"]["name"]
        if message["role"] == "tool" and (name := names.get(message["tool_call_id"])):
            message["name"] = name


def _without_extras(messages: list[Json]) -> None:
    """Leave out what Mistral's own servers have no place for, and take any for a mistake."""
    for message in messages:
        if message["role"] != "tool":
            message.pop("name", None)
        if refusal := message.pop("refusal", None):
            message["content"] = message["content"] or refusal


def _alternating(messages: list[Json]) -> list[Json]:
    """Join a user's messages, and put the assistant's word between a result and the user."""
    out: list[Json] = []
    for message in messages:
        last = out[-1]["role"] if out else ""
        if message["role"] == "user" and last == "user":
            out[-1]["content"] = _parts(out[-1]["content"]) + _parts(message["content"])
            continue
        if message["role"] == "user" and last == "tool":
            out.append({"role": "assistant", "content": BRIDGE})
        out.append(message)
    return out


def _parts(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
