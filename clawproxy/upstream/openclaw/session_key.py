"""In which session of the gateway a caller speaks: :func:`session_key`.

1. :func:`conversation_of` finds which conversation a request belongs to: the ``user`` field, a
   front-end's chat id, or a hash of how the conversation begins.
2. A key is always ``agent:<agent>:clawproxy-…``: the gateway resolves a bare key to its default
   agent, and without a name of its own a caller called ``main`` or ``telegram:42`` would speak in
   the owner's own sessions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from clawproxy.core.dialects.turn import Turn

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

_UNSAFE = re.compile(r"[^a-z0-9._-]+")
_MAX_NAME = 64


def session_key(agent: str, name: str) -> str:
    """Give the key of an agent's session; gateways keep keys in lower case.

    :param name: the conversation's, or one that is used this once.
    """
    return f"agent:{agent}:clawproxy-{name}".lower()


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


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
