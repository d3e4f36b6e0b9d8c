"""Where a prompt may be cached at Anthropic's, for callers whose own API caches without being asked.

1. :func:`wants_cache` decides it: a conversation that will go on is worth the surcharge of a first
   write, a single question is not; whoever marks places himself is left alone.
2. :func:`mark` sets the marks in a request: behind the system prompt (and the tools before it), behind
   the user's turn before the last, which the last request's cache reached to, and behind the last.

Marks on blocks are what Claude Code sends, so every server with this API knows them; the newer
``cache_control`` of the whole request is refused by some
(https://platform.claude.com/docs/en/build-with-claude/prompt-caching). Why it is the default:
docs/decisions/dialects.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import evolve

from clawproxy.core.dialects.anthropic_tools import cached
from clawproxy.core.dialects.parts import CacheControl, Part, ToolResultPart
from clawproxy.core.dialects.tools import FunctionTool, ServerTool
from clawproxy.core.dialects.turn import Turn

Json = dict[str, Any]

MOST_MARKS = 4
"""More marks in a request are a 400."""


def with_cache(turn: Turn) -> Turn:
    """Return the turn with :attr:`~.turn.Turn.cache` set, where that serves its caller."""
    return evolve(turn, cache=CacheControl()) if wants_cache(turn) else turn


def wants_cache(turn: Turn) -> bool:
    """Tell whether the proxy shall set the marks that the caller did not.

    Tools, or an answer that was given already, tell a conversation from a single question.
    """
    if turn.dialect == "anthropic" or turn.cache is not None:
        return False
    goes_on = any(not isinstance(tool, ServerTool) for tool in turn.tools) or any(
        message.role == "assistant" for message in turn.messages
    )
    return goes_on and not any(_marks(turn))


def _marks(turn: Turn) -> Iterator[bool]:
    for tool in turn.tools:
        yield isinstance(tool, FunctionTool) and tool.cache is not None
    for message in turn.messages:
        for part in message.parts:
            yield _marked(part)
    yield from map(_marked, turn.system)


def _marked(part: Part) -> bool:
    if isinstance(part, ToolResultPart) and any(map(_marked, part.content)):
        return True
    return getattr(part, "cache", None) is not None


def mark(request: Json, cache: CacheControl) -> None:
    """Set the marks of a whole request's ``cache_control`` on its blocks, beside the caller's own.

    :param request: the body of ``POST /v1/messages``; changed.
    """
    users = [message["content"][-1] for message in request["messages"] if message["role"] == "user"]
    places = [*users[:-3:-1], *request.get("system", ())[-1:]]
    left = MOST_MARKS - _count(request)
    for block in places:
        if left > 0 and "cache_control" not in block:
            cached(block, cache)
            left -= 1


def _count(node: Any) -> int:
    if isinstance(node, list):
        return sum(map(_count, node))
    if isinstance(node, dict):
        below = ("system", "tools", "messages", "content")
        return ("cache_control" in node) + sum(_count(node.get(name)) for name in below)
    return 0
