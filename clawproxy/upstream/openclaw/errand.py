"""What an agent is asked: a caller's turn becomes an :class:`Errand`.

1. :func:`refuse` says what no agent can do for a caller, before anything is sent.
2. :func:`plan` puts the rest together: the session (:mod:`.session_key`), the message (the last
   one, or the history), the standing instructions, the images (:mod:`.attachment`), how much to
   think.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from attrs import frozen

from clawproxy.core.dialects.parts import (
    FilePart,
    ImagePart,
    Message,
    Part,
    PlainText,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from clawproxy.core.dialects.turn import Reasoning, Turn, unsupported
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.agents import Agent
from clawproxy.upstream.openclaw.attachment import Attachment, read_images
from clawproxy.upstream.openclaw.session_key import conversation_of, session_key

SessionMode = Literal["stateful", "passthrough"]

_OFFERED_UNASKED = frozenset(
    {
        "calculate_timestamp",
        "get_current_timestamp",
        "list_knowledge_bases",
        "query_knowledge_bases",
        "query_knowledge_files",
        "replace_memory_content",
        "replace_note_content",
        "search_chats",
        "toggle_automation",
        "view_chat",
    }
)
"""Open WebUI's own tools, which it offers to every model with every message: who sees one of them sees Open WebUI."""

_EFFORTS = ("off", "minimal", "low", "medium", "high", "xhigh", "max")


@frozen
class Errand:
    """One thing to ask an agent.

    :ivar conversation: names the chat, whatever session it runs in.
    :ivar said: the user's last message as it was written: it may decide an approval.
    :ivar message: what the agent reads; in passthrough with what was said before.
    :ivar system: the caller's standing instructions.
    :ivar thinking: the gateway's level, ``None`` for the agent's own.
    :ivar opening: this is the conversation's first message.
    """

    agent: str
    conversation: str
    session_key: str
    said: str
    message: str
    system: str = ""
    attachments: tuple[Attachment, ...] = ()
    thinking: str | None = None
    opening: bool = True


def refuse(turn: Turn, *, ignoring: bool = False) -> None:
    """Refuse what an agent cannot do for its caller.

    Hints on how tokens are drawn (``temperature``, ``max_tokens``, …) are left to the agent's own
    settings without a word, as front-ends send them with every request; so are the tools that
    Open WebUI offers with every message.

    :param ignoring: pass over any tools that the agent may call but need not.
    :raises ProxyError: ``UNSUPPORTED_PARAMETER``.
    """
    mode = turn.tool_choice.mode if turn.tool_choice is not None else "auto"
    if turn.tools and mode != "none":
        offered = {getattr(tool, "name", None) for tool in turn.tools}
        if mode != "auto" or not (ignoring or offered & _OFFERED_UNASKED):
            words = "an OpenClaw agent calls its own tools and no others"
            if mode == "auto":
                words += "; where its provider has client_tools: ignore, they are passed over"
            raise unsupported("tools", words)
    if turn.output is not None and turn.output.kind != "text":
        where = "response_format" if turn.dialect == "openai_chat" else "output_format"
        raise unsupported(where, "an OpenClaw agent answers in text only")


def strip(words: str, patterns: Iterable[re.Pattern[str]]) -> str:
    """Take out text that a front-end's retrieval put around a prompt.

    :returns: what is left, or the whole text if nothing would be: an agent must be asked something.
    """
    left = words
    for pattern in patterns:
        left = pattern.sub("", left)
    left = re.sub(r"</?user_query>", "", left).strip() if left != words else left
    return left if left.strip() else words


def _texts(parts: Iterable[Part]) -> str:
    found: list[str] = []
    for part in parts:
        match part:
            case TextPart(text=text) | RefusalPart(text=text):
                found.append(text)
            case FilePart(source=PlainText(text=text), name=name):
                found.append(f"{name or 'document'}:\n{text}")
            case ToolCallPart():
                found.append(f"[called {part.name} with {part.arguments}]")
            case ToolResultPart():
                pictures = any(isinstance(piece, ImagePart) for piece in part.content)
                words = _texts(part.content) or ("(image attached)" if pictures else "")
                found.append(f"[a tool answered: {words}]")
            case _:
                pass
    return "\n".join(found)


def thinking_level(reasoning: Reasoning, offered: Sequence[str]) -> str | None:
    """Give the gateway's word for how much the caller wants an agent to think.

    :param offered: the levels that the agent knows; empty where the gateway does not tell.
    """
    if reasoning.enabled is False or reasoning.effort == "none":
        wanted = "off"
    elif reasoning.effort is not None:
        wanted = reasoning.effort
    elif reasoning.budget_tokens is not None:
        budget = reasoning.budget_tokens
        wanted = "low" if budget <= 2048 else "medium" if budget <= 8192 else "high"
    else:
        return None
    known = [level for level in _EFFORTS if level in offered] or list(_EFFORTS[:5])
    below = [level for level in known if _EFFORTS.index(level) <= _EFFORTS.index(wanted)]
    return below[-1] if below else known[0]


def _transcript(messages: Sequence[Message]) -> str:
    lines = []
    for message in messages:
        words = _texts(message.parts)
        if words and message.role in ("user", "assistant"):
            who = "User" if message.role == "user" else "Assistant"
            lines.append(f"{who}: {words}")
    return "\n\n".join(lines)


def plan(
    turn: Turn,
    headers: Mapping[str, str],
    agent: Agent,
    *,
    mode: SessionMode,
    retrieval: Sequence[re.Pattern[str]],
    stripping: bool,
    once: str,
    caller: str | None = None,
    ignoring_tools: bool = False,
) -> Errand:
    """Make an errand of a turn.

    :param headers: the request's, by lower-case name.
    :param retrieval: what a front-end's retrieval looks like. :param stripping: take it out of what
        the agent reads, too.
    :param once: a name that is used this once, for the session of a passthrough request.
    :param caller: the name of the caller's key, where keys are asked for.
    :param ignoring_tools: take turns with any tools, which the agent never calls.
    :raises ProxyError: ``UNSUPPORTED_PARAMETER`` or ``INVALID_REQUEST``.
    """
    refuse(turn, ignoring=ignoring_tools)
    asked = [i for i, m in enumerate(turn.messages) if m.role == "user"]
    if not asked:
        raise ProxyError(
            Kind.INVALID_REQUEST, "an OpenClaw agent needs a user message", param="messages"
        )
    last, before = turn.messages[asked[-1]], turn.messages[: asked[-1]]
    users = [strip(_texts(turn.messages[i].parts), retrieval) for i in asked]
    said = users[-1] if stripping else _texts(last.parts)
    images = read_images([*before, last] if mode == "passthrough" else [last])
    message = said
    history = _transcript(before) if mode == "passthrough" else ""
    if history:
        message = f"[Earlier in this conversation]\n{history}\n\n[Reply to this]\n{said}"
    if not message.strip():
        if not images:
            raise ProxyError(
                Kind.INVALID_REQUEST, "the last user message is empty", param="messages"
            )
        message = "(image attached)" if len(images) == 1 else "(images attached)"
    standing = [part.text for part in turn.system]
    standing += [_texts(m.parts) for m in turn.messages if m.role in ("system", "developer")]
    conversation = conversation_of(turn, headers, users, caller)
    return Errand(
        agent=agent.id,
        conversation=f"{agent.id}/{conversation}",
        session_key=session_key(agent.id, once if mode == "passthrough" else conversation),
        said=users[-1],
        message=message,
        system="\n\n".join(words for words in standing if words.strip()),
        attachments=images,
        thinking=thinking_level(turn.reasoning, agent.thinking),
        opening=len(asked) == 1,
    )
