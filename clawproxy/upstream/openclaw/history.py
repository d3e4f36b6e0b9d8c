"""What a session's transcript says of its last turn: :func:`read_turn` over ``chat.history``.

The transcript tells what a lost connection did not: the text, its tokens, whether the model failed.
For gateways of protocol 3 it is also the only place where a run of ``chat.send`` tells its tokens
and failures.
"""

from __future__ import annotations

from attrs import frozen

from clawproxy.core.dialects.events import TokenUsage
from clawproxy.upstream.openclaw.frames import JSON, count, mapping, sequence, text

LIMIT = 40
"""Messages that are asked for; a turn with more tool calls is read from its last ones."""

_COUNTS = ("input", "output", "cacheRead", "cacheWrite")


@frozen
class PastTurn:
    """What came after the last user message.

    :ivar answered: an assistant's message is there.
    :ivar texts: the assistant's messages that have text, in order.
    :ivar usage: the tokens of all of them.
    :ivar failure: the last message is a failed attempt; its words.
    """

    answered: bool = False
    texts: tuple[str, ...] = ()
    usage: TokenUsage | None = None
    stop_reason: str = ""
    failure: str | None = None


def content_text(message: JSON) -> str:
    """The visible text of a message as ``chat`` events and ``chat.history`` have it."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = [p for p in content if isinstance(p, dict)] if isinstance(content, list) else []
    return "".join(text(p, "text") for p in parts if p.get("type") == "text")


def read_usage(usage: JSON) -> TokenUsage | None:
    """Read a gateway's token counts; all zero counts as none, as that is what a failure has."""
    counts = [count(usage, name) for name in _COUNTS]
    return TokenUsage(*counts) if any(counts) else None


def read_turn(payload: JSON) -> PastTurn:
    """Read the answer to ``chat.history``."""
    messages = [m for m in sequence(payload, "messages") if isinstance(m, dict)]
    asked = max((i for i, m in enumerate(messages) if m.get("role") == "user"), default=-1)
    said = [m for m in messages[asked + 1 :] if m.get("role") == "assistant"]
    if not said:
        return PastTurn()
    counts = [sum(count(mapping(m, "usage"), name) for m in said) for name in _COUNTS]
    last = said[-1]
    stop_reason = text(last, "stopReason")
    failed = stop_reason == "error" or bool(text(last, "errorMessage"))
    return PastTurn(
        answered=True,
        texts=tuple(words for m in said if (words := content_text(m))),
        usage=TokenUsage(*counts) if any(counts) else None,
        stop_reason=stop_reason,
        failure=text(last, "errorMessage", "no reason given") if failed else None,
    )
