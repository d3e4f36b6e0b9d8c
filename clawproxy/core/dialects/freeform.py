"""A call's arguments that are no JSON object, since most dialects know no others.

1. :func:`object_arguments` keeps the text of a call that a limit cut.
2. A custom tool (Codex's ``apply_patch``) is offered there as a function with one string ``input``.
   :func:`custom_arguments` wraps a text as that function's arguments, :func:`custom_input` takes it out again, and
   :class:`FreeformText` does so piece by piece while the JSON still streams in.
"""

from __future__ import annotations

import re

import msgspec

from clawproxy.core.dialects.rawjson import MALFORMED, clean, encode, is_object, says_nothing

RAW_ARGUMENTS = "raw_arguments"
"""The member under which arguments that are no JSON object (a cut answer's) are kept as text."""

_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_LONGEST_HEAD = 256
_PLAIN = re.compile(r'[^"\\]+')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def object_arguments(arguments: str) -> str:
    """Return a call's arguments as a JSON object, as they were spelled if they are one: Anthropic demands it, and the
    templates of many chat models raise on anything else.
    """
    if says_nothing(arguments):
        return "{}"
    if is_object(arguments):
        return arguments
    return encode({RAW_ARGUMENTS: arguments}).decode()


def custom_arguments(text: str) -> str:
    """Wrap a custom tool's free text as the JSON arguments of its stand-in function
    (:meth:`~.tools.CustomTool.as_function`).
    """
    return msgspec.json.encode({"input": text}).decode()


def custom_input(arguments: str) -> str:
    """Take a custom tool's free text out of its stand-in's arguments, as far as a cut answer has it;
    arguments of another shape are given back as they are.
    """
    reader = FreeformText()
    return reader.feed(arguments) + reader.close()


def _inside(arguments: str) -> str:
    try:
        value = msgspec.json.decode(arguments)
    except MALFORMED:
        return arguments
    if isinstance(value, dict) and isinstance(value.get("input"), str):
        return str(value["input"])
    return arguments


class FreeformText:
    """Read ``{"input": "…"}`` as it grows and give the text inside as early as it is certain.

    A freeform tool is offered to other dialects as a function with one string; its caller waits for
    the bare text. Whatever else the model writes is given whole, by :meth:`close`: nothing is lost.
    """

    __slots__ = ("_buffer", "_other", "_state")

    def __init__(self) -> None:
        self._buffer = ""
        self._state = "head"
        self._other: list[str] = []  # JSON of another shape, which is given whole

    def feed(self, piece: str) -> str:
        """Take more of the JSON and give the text that it adds."""
        if self._state == "tail":
            return ""
        if self._state == "other":
            self._other.append(piece)
            return ""
        self._buffer += piece
        if self._state == "head":
            match = _HEAD.match(self._buffer)
            if match is None:
                if len(self._buffer) > _LONGEST_HEAD:
                    self._state = "other"
                    self._other, self._buffer = [self._buffer], ""
                return ""
            self._state = "body"
            self._buffer = self._buffer[match.end() :]
        return self._body()

    def close(self) -> str:
        """Give what is left: nothing after well-formed JSON, all that came where it was not."""
        buffer = "".join((*self._other, self._buffer))
        self._buffer, self._other = "", []
        if self._state not in ("head", "other"):
            return ""  # at most half an escape is left, which is no text
        return "" if buffer.strip() in ("", "{}", "null") else clean(_inside(buffer))

    def _body(self) -> str:
        text: list[str] = []
        buffer = self._buffer
        position = 0
        while position < len(buffer):
            plain = _PLAIN.match(buffer, position)
            if plain is not None:
                text.append(plain.group())
                position = plain.end()
            elif buffer[position] == '"':
                self._state = "tail"
                position = len(buffer)
            else:
                escape = _unescape(buffer, position)
                if escape is None:
                    break
                character, position = escape
                text.append(character)
        self._buffer = buffer[position:]
        return "".join(text)


def _unescape(text: str, at: int) -> tuple[str, int] | None:
    """Read the escape at ``at``; ``None`` when more text is needed to know it."""
    kind = text[at + 1 : at + 2]
    if not kind:
        return None
    if kind != "u":
        return _ESCAPES.get(kind, kind), at + 2
    if len(text) < at + 6:
        return None
    unit = _unit(text, at)
    if unit is None:
        return _REPLACEMENT, at + 2
    if not 0xD800 <= unit < 0xE000:
        return chr(unit), at + 6
    if unit >= 0xDC00:
        return _REPLACEMENT, at + 6
    if not "\\u".startswith(text[at + 6 : at + 8]):
        return _REPLACEMENT, at + 6
    if len(text) < at + 12:
        return None
    low = _unit(text, at + 6)
    if low is None or not 0xDC00 <= low < 0xE000:
        return _REPLACEMENT, at + 6
    return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)), at + 12


def _unit(text: str, at: int) -> int | None:
    digits = text[at + 2 : at + 6]
    return int(digits, 16) if re.fullmatch(r"[0-9A-Fa-f]{4}", digits) else None
