"""What a request itself says of its place: :func:`session_of`, and :func:`kind_of` for calls that are no turns.

Where the rules come from: Claude Code's headers and ``metadata.user_id`` from its gateway documentation
(https://code.claude.com/docs/en/llm-gateway-protocol) and what it sends, Codex's and Open WebUI's headers from their
sources; titles, token counts and searches from what these programs send.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
from attrs import frozen

_SESSION = (
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-session-id",
    "x-openwebui-chat-id",
    "x-conversation-id",
    "conversation-id",
    "conversation_id",
    "x-openclaw-session-key",
    "thread-id",
    "thread_id",
    "x-thread-id",
)
_THREAD = ("thread-id", "thread_id")
# Older versions of Claude Code: user_HASH_account_UUID_session_UUID.
_OLD_USER_ID = re.compile(r"_session_([0-9a-f-]{36})\Z")
_TURNS = ("/v1/messages", "/v1/chat/completions", "/v1/responses")
DEPTH = 20
"""Lists and objects within each other in which text is looked for."""
LONGEST = 200
"""Characters of a name that is taken for a session's."""

# Open WebUI's own prompts. The one that it puts around text which it has retrieved is a turn all the same.
_TASK = re.compile(r"\s*### Task:\s*\n(?!\s*Respond to the user query)")
_TASK_END = re.compile(r"<chat_history>|### Chat History")
_TASK_KINDS = (
    ("autocomplete", re.compile(r"autocompletion", re.IGNORECASE)),
    ("title", re.compile(r"\btitle\b", re.IGNORECASE)),
    ("tags", re.compile(r"\btags\b", re.IGNORECASE)),
    ("follow_ups", re.compile(r"follow[-_ ]?up", re.IGNORECASE)),
    ("query", re.compile(r"search quer|queries", re.IGNORECASE)),
)
_TITLE_SYSTEM = re.compile(
    r"new conversation topic|generate a (?:concise|short)[^.]{0,60} title|write a 5-10 word title",
    re.IGNORECASE,
)
_TITLE_USER = re.compile(
    r"(?:please )?(?:write a 5-10 word title|generate (?:a|an)[^.\n]{0,60}\btitle\b)", re.IGNORECASE
)

# What Codex says for its user before the first question: where it runs, and what the folder's files ask for.
_CONTEXT = re.compile(r"<(?:environment_context|user_instructions)>|# AGENTS\.md instructions")


def is_context(text: str) -> bool:
    """Tell whether a user's message is a client's account of its surroundings, and no question."""
    return _CONTEXT.match(text) is not None


@frozen
class Session:
    """Whom a request is of.

    :ivar agent_id: a subagent of the session.
    """

    session_id: str
    agent_id: str | None = None


def session_of(headers: Sequence[tuple[str, str]], body: Mapping[str, object]) -> Session | None:
    """Find the session that a request names.

    :param headers: the caller's.
    :param body: its JSON, or nothing.
    """
    first = {name.lower(): value for name, value in reversed(headers)}
    session = next((found for name in _SESSION if (found := _name(first.get(name)))), None)
    thread = next((found for name in _THREAD if (found := _name(first.get(name)))), None)
    if session is not None:
        return Session(session, thread if thread != session else None)
    named = _metadata(body.get("metadata")) or _conversation(body.get("conversation"))
    return Session(named) if named else None


def _name(value: object) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= LONGEST and value.isprintable():
        return value
    return None


def _metadata(metadata: object) -> str | None:
    if not isinstance(metadata, dict):
        return None
    user = metadata.get("user_id")
    if isinstance(user, str):
        if user.startswith("{"):
            try:
                told = msgspec.json.decode(user)
            except (msgspec.MsgspecError, UnicodeEncodeError):
                return None
            return _name(told.get("session_id")) if isinstance(told, dict) else None
        if match := _OLD_USER_ID.search(user):
            return match[1]
    for name in ("session_id", "chat_id", "conversation_id", "thread_id"):
        if found := _name(metadata.get(name)):
            return found
    return None


def _conversation(value: object) -> str | None:
    """Read the Responses API's ``conversation``."""
    return _name(value.get("id") if isinstance(value, dict) else value)


def is_claude_code(headers: Sequence[tuple[str, str]]) -> bool:
    """Tell whether Claude Code calls, whose side calls are known."""
    return any(name.lower() == "x-claude-code-session-id" for name, _ in headers)


def kind_of(
    path: str, method: str, body: Mapping[str, object], *, claude_code: bool = False
) -> str | None:
    """Tell what kind of side call a request is; ``None`` for a turn of a conversation.

    :param path: as it was asked for.
    :param claude_code: it is Claude Code that asks: structured output without tools is its titles.
    """
    name = path.rstrip("/")
    if name.endswith(("/count_tokens", "/input_tokens")):
        return "count_tokens"
    if not body and method == "POST" and name.endswith(_TURNS):
        return None  # nothing of it was kept
    listed = body.get("messages", body.get("input"))
    if method != "POST" or not isinstance(listed, (list, str)) or "/batches" in name:
        return "other"
    tools = body.get("tools")
    count = len(tools) if isinstance(tools, list) else 0
    if not count:
        return _without_tools(body, listed, claude_code)
    if count == 1 and _chosen(body.get("tool_choice")) and isinstance(tools, list):
        tool = tools[0] if isinstance(tools[0], dict) else {}
        for named in (tool.get("type"), tool.get("name")):
            if isinstance(named, str) and named.startswith(("web_search", "web_fetch")):
                return "web_search" if named.startswith("web_search") else "web_fetch"
    return None


def _chosen(choice: object) -> bool:
    """Tell whether the caller leaves no choice of tools."""
    if isinstance(choice, dict):
        return choice.get("type") in ("tool", "any", "function", "web_search")
    return choice in ("required", "any")


def _without_tools(
    body: Mapping[str, object], listed: list[object] | str, claude_code: bool
) -> str | None:
    if body.get("max_tokens") == 1:
        return "probe"
    system = _words(body.get("system")) + _words(body.get("instructions"))
    last = listed[-1] if isinstance(listed, list) and listed else listed
    words = last if isinstance(last, str) else _words(last)
    if _TASK.match(words):
        # What was said in the chat may speak of anything.
        head = _TASK_END.split(words[:4000], maxsplit=1)[0]
        return next((kind for kind, pattern in _TASK_KINDS if pattern.search(head)), "task")
    if _TITLE_SYSTEM.search(system[:20_000]) or _TITLE_USER.match(words.strip()[:500]):
        return "title"
    output = body.get("output_config")
    wanted = output.get("format") if isinstance(output, dict) else None
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        schema = wanted.get("schema")
        members = schema.get("properties") if isinstance(schema, dict) else None
        if claude_code or (isinstance(members, dict) and "title" in members):
            return "title"
    return None


def _words(value: object, depth: int = DEPTH) -> str:
    """Give the text of a system prompt or a message."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        text = value.get("text")
        if isinstance(text, str):
            return text
        return _words(value.get("content"), depth - 1) if depth else ""
    if isinstance(value, list) and depth:
        return "\n".join(_words(item, depth - 1) for item in value)
    return ""
