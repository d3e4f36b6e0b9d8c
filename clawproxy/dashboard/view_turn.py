"""One turn for people: :func:`read_prompt` and :func:`read_answer` by dialect, and what is new in it.

Two turns of a conversation are compared by what the model reads: :func:`print_of` leaves out what
clients move about from turn to turn without changing the prompt, above all ``cache_control``.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from attrs import frozen

from clawproxy.core.jsonread import JSONError, read
from clawproxy.dashboard import view_anthropic, view_chat, view_responses
from clawproxy.dashboard.view import Answer, Prompt
from clawproxy.dashboard.view_json import compact

_READERS = {
    "anthropic": (view_anthropic.prompt, view_anthropic.answer),
    "openai_chat": (view_chat.prompt, view_chat.answer),
    "openai_responses": (view_responses.prompt, view_responses.answer),
}
_MOVED = frozenset({"cache_control"})
_DEEPEST = 60
"""Levels of JSON within which breakpoints are looked for; no client sets one deeper."""


def json_object(body: bytes | None) -> dict[str, object] | None:
    """Read a body; ``None`` for what is no JSON object."""
    if not body:
        return None
    try:
        value = read(body)
    except JSONError:
        return None
    return value if isinstance(value, dict) else None


def read_prompt(dialect: str | None, body: dict[str, object] | None) -> Prompt:
    """Read a request; one of no known dialect is all settings."""
    if body is None:
        return Prompt()
    reader = _READERS.get(dialect or "")
    if reader is None:
        return Prompt(settings=tuple(body.items()))
    return reader[0](body)


def read_answer(dialect: str | None, body: dict[str, object] | None) -> Answer:
    """Read an answer; one of no known dialect is all extras."""
    if body is None:
        return Answer()
    reader = _READERS.get(dialect or "")
    if reader is None:
        error = body.get("error")
        failed = view_anthropic.failure(error) if isinstance(error, dict | str) else None
        return Answer(error=failed, extras=() if failed else tuple(body.items()))
    return reader[1](body)


def print_of(value: object) -> bytes:
    """Give a fingerprint of what a model reads."""
    return blake2b(compact(_plain(value)).encode("utf-8", "replace"), digest_size=16).digest()


def _plain(value: object, depth: int = 0) -> object:
    if depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        plain = {key: _plain(item, depth + 1) for key, item in value.items() if key not in _MOVED}
        content = plain.get("content")
        # A string and one block of text are the same to the model; clients switch between them
        # when they set a breakpoint.
        if isinstance(content, str) and "role" in plain:
            plain["content"] = [{"type": "text", "text": content}]
        return plain
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    return value


def prints(values: Sequence[object]) -> list[bytes]:
    """Give the fingerprints of a list's items."""
    return [print_of(value) for value in values]


def shared(old: Sequence[object], new: Sequence[object]) -> int:
    """Count the items that two lists have in common from the start."""
    count = 0
    for before, after in zip(old, new, strict=False):
        if before != after:
            break
        count += 1
    return count


@frozen(kw_only=True)
class Novelty:
    """What is new in a turn.

    :ivar old: so many messages of the request's list stood in the turn before.
    :ivar dropped: so many of the turn before are gone or changed.
    :ivar changed: which other parts of the prompt are not as they were: ``model``, ``tools``,
        ``system``, ``history``.
    """

    old: int = 0
    dropped: int = 0
    changed: tuple[str, ...] = ()


def novelty(before: dict[str, object], now: dict[str, object]) -> Novelty:
    """Compare a request with that of the turn before."""
    lists = [_list(before), _list(now)]
    old, new = (prints(each) for each in lists)
    common = shared(old, new)
    changed = [name for name in ("model", "tools", "system") if _differs(before, now, name)]
    if _differs(before, now, "instructions") and "system" not in changed:
        changed.append("system")
    if common < len(old):
        changed.append("history")
    return Novelty(old=common, dropped=len(old) - common, changed=tuple(changed))


def _list(body: dict[str, object]) -> list[object]:
    for name in ("messages", "input"):
        value = body.get(name)
        if isinstance(value, list):
            return value
        if isinstance(value, str):
            return [value]
    return []


def _differs(before: dict[str, object], now: dict[str, object], name: str) -> bool:
    return print_of(before.get(name)) != print_of(now.get(name))
