"""What a Chat Completions server shows of its reasoning, and the mark with which that finds its way back.

1. The API itself shows none, so each server has a place of its own for it; :func:`read_reasoning` knows them.
2. OpenRouter seals it too, in ``reasoning_details``, and has some models' calls refused that come back without:
   :class:`Details` puts the pieces of a stream together. What it gives stands for a seal; :func:`details_of` reads it
   again.

OpenRouter: https://openrouter.ai/docs/guides/best-practices/reasoning-tokens#preserving-reasoning-blocks.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.events import SignatureDelta
from clawproxy.core.dialects.openai_chat_wire import Delta, content_text
from clawproxy.core.dialects.rawjson import MALFORMED, Array, encode
from clawproxy.core.dialects.seal import UNSEALED, UNSEALED_PARTS, UNSEALED_REASONING

_WORDS = ("text", "summary")
"""Members of a detail that grow in a stream."""


def read_reasoning(delta: Delta) -> tuple[str, str]:
    """Return the reasoning, and the mark that tells where its server has it."""
    if delta.reasoning_content:
        return delta.reasoning_content, UNSEALED
    if delta.reasoning and isinstance(delta.reasoning, str):
        return delta.reasoning, UNSEALED_REASONING
    if delta.content and isinstance(delta.content, list):
        parts = (part.get("thinking") for part in delta.content if isinstance(part, dict))
        return "".join(map(_thought, parts)), UNSEALED_PARTS
    return "", ""


def _thought(thinking: object) -> str:
    if isinstance(thinking, list):
        return content_text(thinking)
    return thinking if isinstance(thinking, str) else ""


class Details:
    """OpenRouter's ``reasoning_details`` of a part of an answer, while their pieces come."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: list[dict[str, Any]] = []

    def add(self, pieces: object) -> int:
        """Take more of them; return how many characters they hold."""
        size = 0
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                flat = {k: v for k, v in piece.items() if not isinstance(v, (dict, list))}
                size += 100 + sum(len(each) for each in flat.values() if isinstance(each, str))
                self._take(flat)
        return size

    def _take(self, piece: dict[str, Any]) -> None:
        last = self._found[-1] if self._found else {}
        same = all(last.get(name) == piece.get(name) for name in ("type", "index"))
        if not same or "data" in piece or "data" in last or not last:
            self._found.append(piece)
            return
        for name, value in piece.items():
            if name in _WORDS and isinstance(last.get(name), str) and isinstance(value, str):
                last[name] += value
            elif value is not None:
                last[name] = value

    def take(self) -> SignatureDelta | None:
        """Give what came as a seal, ``None`` if nothing did; and begin anew."""
        if not self._found:
            return None
        found, self._found = self._found, []
        return SignatureDelta(encode(found).decode(), "openai_chat")


def details_of(signature: str) -> list[msgspec.Raw]:
    """Read a seal that :class:`Details` gave; any other holds none."""
    if not signature.startswith("["):
        return []
    try:
        return Array.decode(signature)
    except MALFORMED:
        return []
