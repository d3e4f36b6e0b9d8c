"""Thinking that another vendor's model had, taken out of a request that is passed on verbatim.

A conversation may move between vendors: a fallback answers one turn, or its user picks another model. Answers that
were translated have then left thinking in it whose seal only the other vendor can read, marked as
:mod:`~.seal` does. The caller's own vendor refuses such a block (``Invalid signature in thinking block``), and with it
every further turn of that conversation. The proxy put the mark there, so it takes the block out again: only what bears
the mark goes, and every other byte stays.

That is done for the vendors' own APIs only: a gateway may be another ClawProxy, whose mark it is and who wants it back.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.rawjson import MALFORMED, Array
from clawproxy.core.dialects.seal import MARK
from clawproxy.core.jsonedit import edit
from clawproxy.core.jsonread import SPACE, JSONError, peek

_MARK = MARK.encode()


def without_foreign(body: bytes, dialect: DialectName | None) -> bytes:
    """Give a request without the thinking that only another vendor can read; mostly the very same object.

    :param body: a JSON object, content codings undone.
    :param dialect: in which it is written.
    """
    if _MARK not in body:
        return body
    try:
        if dialect == "anthropic":
            return _array(body, "messages", _message)
        if dialect == "openai_responses":
            return _array(body, "input", _item)
    except (*MALFORMED, JSONError):
        # What is no array of objects is for the upstream to judge.
        return body
    return body


Change = Callable[[bytes], bytes]
"""Gives an element as it is to be, empty for not at all."""


def _array(body: bytes, name: str, change: Change) -> bytes:
    """Change an object's member that is an array, element by element."""
    old = peek(body).raw(name)
    if old is None or not old.startswith(b"["):
        return body
    new = _elements(old, change)
    return body if new == old else edit(body, {(name,): new})


def _elements(array: bytes, change: Change) -> bytes:
    kept: list[bytes] = []
    opening = b""
    end = 0
    for raw in Array.decode(array):
        element = bytes(raw)
        start = _space(array, _space(array, end) + 1)
        if not array.startswith(element, start):
            raise ValueError("an element is not where it must be")
        before = array[end:start]
        opening = opening or before
        end = start + len(element)
        changed = change(element) if _MARK in element else element
        if changed:
            kept += (before if kept else opening, changed)
    return b"".join(kept or (opening,)) + array[end:]


def _space(text: bytes, position: int) -> int:
    found = SPACE.match(text, position)
    return found.end() if found else position


class _Block(msgspec.Struct):
    type: str = ""
    signature: str | None = None
    encrypted_content: str | None = None


_block = msgspec.json.Decoder(_Block)


def _message(message: bytes) -> bytes:
    changed = _array(message, "content", _thinking)
    if changed == message:
        return message
    # A message that said nothing else goes as a whole: one without content would be refused.
    return changed if Array.decode(peek(changed).raw("content") or b"[]") else b""


def _thinking(block: bytes) -> bytes:
    found = _block.decode(block)
    foreign = found.type == "thinking" and (found.signature or "").startswith(MARK)
    return b"" if foreign else block


def _item(item: bytes) -> bytes:
    found = _block.decode(item)
    foreign = found.type == "reasoning" and (found.encrypted_content or "").startswith(MARK)
    return b"" if foreign else item
