"""Tools' names and calls' ids in the letters and lengths that each vendor takes, since a single foreign one has the
whole request refused.

1. A name or an id that fits stays as it is; any other is changed the same way each time, and ends in a hash so
   that no two become one.
2. Names come back: :meth:`~.turn.Turn.original_tool_name` finds the caller's. Ids need not: a call's and its
   result's are changed alike.
3. What an upstream calls its own calls reaches the caller as it is, unless it is a caller of Anthropic's API and the id
   one that Anthropic would refuse: a session that goes on with Claude sends it to the API itself, verbatim. It is
   written in other letters, and read again when it comes back.

OpenAI: platform.openai.com/docs/api-reference/chat (names), ``string_above_max_length`` (ids). Anthropic:
``tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'``. Mistral: ``Tool call id was … but must be
a-z, A-Z, 0-9, with a length of 9``.
"""

from __future__ import annotations

import re
from hashlib import sha256

MAX_TOOL_NAME = 64
"""OpenAI's longest function name; MCP clients of Anthropic use longer ones."""

MAX_CLAUDE_TOOL_NAME = 128
"""Anthropic's longest tool name."""

MAX_CHAT_CALL_ID = 40
"""The longest id of a call in Chat Completions."""

MAX_RESPONSES_CALL_ID = 64
"""The longest ``call_id`` in the Responses API."""

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_ESCAPED = "esc_"
_LETTER = re.compile(rb"-([0-9A-F]{2})")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")


def _digest(text: str, length: int) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:length]


def short_tool_name(name: str, most: int = MAX_TOOL_NAME) -> str:
    """Fit a tool's name into a vendor's letters and length.

    :param most: characters that it may have.
    """
    safe = _FOREIGN.sub("_", name)
    if safe == name and len(name) <= most:
        return name
    return f"{safe[: most - 9]}_{_digest(name, 8)}"


def short_call_id(call_id: str, most: int) -> str:
    """Fit a call's id into a vendor's length.

    :param most: characters that it may have.
    """
    if len(call_id) <= most:
        return call_id
    return f"{call_id[: most - 17]}_{_digest(call_id, 16)}"


def nine_letters(call_id: str) -> str:
    """Fit a call's id into the nine letters and digits that Mistral takes."""
    return call_id if _NINE.fullmatch(call_id) else _digest(call_id, 9)


def claude_call_id(call_id: str) -> str:
    """Fit a call's id into Anthropic's letters; unlike the others, two ids may become one."""
    return _FOREIGN.sub("_", call_id) or "call"


def escaped_call_id(call_id: str) -> str:
    """Write an upstream's id for a caller that may send it to Anthropic; :func:`original_call_id` reads it again."""
    if not _FOREIGN.search(call_id) and not call_id.startswith(_ESCAPED):
        return call_id
    data = call_id.replace("-", "-2D").encode("utf-8", "surrogatepass").decode("latin-1")
    return _ESCAPED + _FOREIGN.sub(lambda found: f"-{ord(found[0]):02X}", data)


def original_call_id(call_id: str) -> str:
    """Read what :func:`escaped_call_id` wrote; any other id stays."""
    if not call_id.startswith(_ESCAPED):
        return call_id
    data = call_id.removeprefix(_ESCAPED).encode("utf-8", "surrogatepass")
    data = _LETTER.sub(lambda found: bytes((int(found[1], 16),)), data)
    try:
        found = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return call_id
    return found if escaped_call_id(found) == call_id else call_id
