"""What an agent is asked: a caller's turn becomes an :class:`Errand`.

1. :func:`refuse` says what no agent can do for a caller, before anything is sent.
2. :func:`conversation_of` finds which conversation a request belongs to: the ``user`` field, a
   front-end's chat id, or a hash of how the conversation begins.
3. :func:`plan` puts the rest together: the message (the last one, or the history), the standing
   instructions, the images, how much to think.

A session key is always ``agent:<agent>:clawproxy-…``: the gateway resolves a bare key to its
default agent, and without a name of its own a caller called ``main`` or ``telegram:42`` would speak
in the owner's own sessions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from attrs import field, frozen

from clawproxy.core.dialects.parts import (
    FilePart,
    ImagePart,
    InlineData,
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

SessionMode = Literal["stateful", "passthrough"]

CHAT_HEADERS = (
    "x-openwebui-chat-id",
    "x-session-id",
    "x-claude-code-session-id",
    "session-id",
)
"""Request headers that name a chat: Open WebUI's, a common one, Claude Code's and Codex's."""

_SIDE_TASK = re.compile(r"\s*### Task:\s*(?!Respond to the user query)")
"""How Open WebUI begins what it asks beside the chat (titles, tags, follow-ups); its retrieval
prompt, which is part of the chat, begins alike."""

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

_UNSAFE = re.compile(r"[^a-z0-9._-]+")
_MAX_NAME = 64
_EFFORTS = ("off", "minimal", "low", "medium", "high", "xhigh", "max")


@frozen
class Attachment:
    """An image as the gateway takes it.

    :ivar content: standard base64.
    """

    mime_type: str
    name: str
    content: str = field(repr=False)

    @property
    def size(self) -> int:
        """Its bytes, decoded."""
        return len(self.content) * 3 // 4 - self.content.count("=", -2)

    def params(self) -> dict[str, str]:
        """The attachment as it travels."""
        return {
            "type": "image",
            "mimeType": self.mime_type,
            "fileName": self.name,
            "content": self.content,
        }


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
                found.append(f"[a tool answered: {_texts(part.content)}]")
            case _:
                pass
    return "\n".join(found)


def _images(messages: Iterable[Message]) -> tuple[Attachment, ...]:
    found: list[Attachment] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, FilePart) and not isinstance(part.source, PlainText):
                raise unsupported(
                    part.where or "messages", "an OpenClaw agent takes images and text, no files"
                )
            if not isinstance(part, ImagePart):
                continue
            source, where = part.source, part.where or "messages"
            if not isinstance(source, InlineData):
                raise unsupported(
                    where, "an OpenClaw agent takes images as data only; send a data: URL"
                )
            if not source.media_type.startswith("image/"):
                raise unsupported(where, f"{source.media_type} is not an image")
            kind = source.media_type.removeprefix("image/").partition("+")[0]
            name = f"image-{len(found) + 1}.{kind}"
            found.append(Attachment(source.media_type, name, source.data))
    return tuple(found)


def _digest(*parts: str) -> str:
    data = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.sha256(data).hexdigest()


def _name(kind: str, value: str) -> str:
    """Make a session key's part that is safe in it and stays different for different values."""
    safe = _UNSAFE.sub("-", value.lower()).strip("-.")
    if safe == value and len(safe) <= _MAX_NAME:
        return f"{kind}-{safe}"
    return f"{kind}-{safe[: _MAX_NAME - 17]}-{_digest(value)[:16]}"


def conversation_of(
    turn: Turn, headers: Mapping[str, str], users: Sequence[str], caller: str | None = None
) -> str:
    """Name the conversation that a request belongs to.

    :param headers: by lower-case name.
    :param users: the texts of the user's messages, without retrieved text: front-ends put that
        around the last message only, so the first one would differ on the second request.
    :param caller: the name of the caller's key. Callers with different keys are never in one
        conversation, whatever they call it: it has a memory, and approvals.
    """
    name = _conversation(turn, headers, users)
    return f"{name}-{_digest(caller)[:8]}" if caller else name


def _conversation(turn: Turn, headers: Mapping[str, str], users: Sequence[str]) -> str:
    if len(users) == 1 and _SIDE_TASK.match(users[0]):
        # A title asked for beside the chat must not stand in the agent's memory of the chat.
        return f"task-{_digest(users[0])[:24]}"
    if turn.user:
        return _name("user", turn.user)
    for header in CHAT_HEADERS:
        value = headers.get(header)
        if value:
            return _name("chat", value)
    return f"hash-{_digest(users[0])[:24]}"


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
    images = _images([*before, last] if mode == "passthrough" else [last])
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
    conversation = f"{agent.id}/{conversation_of(turn, headers, users, caller)}"
    rest = once if mode == "passthrough" else conversation.partition("/")[2]
    return Errand(
        agent=agent.id,
        conversation=conversation,
        session_key=f"agent:{agent.id}:clawproxy-{rest}".lower(),
        said=users[-1],
        message=message,
        system="\n\n".join(words for words in standing if words.strip()),
        attachments=images,
        thinking=thinking_level(turn.reasoning, agent.thinking),
        opening=len(asked) == 1,
    )
