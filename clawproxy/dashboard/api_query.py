"""What a query string may say: :func:`read_filter` and its like turn parameters into values, or say what is wrong.

A parameter that is not known is refused and not ignored: ``DELETE /api/requests?modle=x`` must not delete everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, get_args
from urllib.parse import parse_qsl

from attrs import evolve, frozen

from clawproxy.core.dialects import DialectName
from clawproxy.core.record import Outcome
from clawproxy.store.protocol import Filter

MOST = 1000
"""Exchanges on one page."""
DEFAULT = 50

SYNONYMS = {
    "session_id": "session",
    "agent_id": "agent",
    "parent_agent_id": "parent_agent",
    "conversation_id": "conversation",
    "text": "q",
}
"""Other names of parameters: a record's fields may be used as they are called there."""

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_LATEST = 2**52  # milliseconds; beyond, an exchange's number leaves 63 bits


@frozen
class BadParameter(ValueError):
    """A parameter that makes no sense.

    :ivar found: what was found.
    :ivar expected: what would be taken.
    """

    name: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.name}: found {self.found!r}, expected {self.expected}"


def parameters(query: str, known: Sequence[str], *, strict: bool = False) -> dict[str, str]:
    """Read a query string.

    :param query: what stands behind the ``?``.
    :param known: the names that may occur, each once.
    :param strict: refuse an empty value too, which otherwise counts as none.
    :raises BadParameter: for any other.
    """
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise BadParameter("the query", query[:100], "at most 100 parameters") from None
    for given, value in pairs:
        name = given if given in known else SYNONYMS.get(given, given)
        if name not in known:
            near = get_close_matches(name, known, 1)
            expected = f"{near[0]}, or another of " if near else "one of "
            raise BadParameter("a parameter's name", name[:100], expected + ", ".join(known))
        if name in found:
            raise BadParameter(name, f"{found[name]} and {value}"[:100], "one value")
        if "\0" in value:
            raise BadParameter(name, value[:100], "text without NUL characters")
        if strict and not value:
            raise BadParameter(name, "", "a value")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def whole(name: str, text: str, least: int, most: int) -> int:
    """Read a whole number."""
    if text.isascii() and text.isdigit() and len(text) < 16 and least <= int(text) <= most:
        return int(text)
    raise BadParameter(name, text[:100], f"a whole number from {least} to {most}")


def moment(name: str, text: str, now: float) -> int:
    """Read a moment as milliseconds since the epoch.

    :param now: seconds since the epoch.
    """
    if match := _AGO.fullmatch(text):
        return max(0, int(now * 1000) - int(match[1]) * _UNITS[match[2]])
    if text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= _LATEST:
        return int(text)
    try:
        # A plus that nobody encoded arrives as a space.
        found = datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text.strip()))
        aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return max(0, round(aware.timestamp() * 1000))
    except (ValueError, OverflowError):
        expected = "RFC 3339, milliseconds since the epoch, or a time ago such as 90m, 24h or 7d"
        raise BadParameter(name, text[:100], expected) from None


def choice(name: str, text: str, among: Sequence[str]) -> str:
    """Read one of several words."""
    if text not in among:
        raise BadParameter(name, text[:100], "one of " + ", ".join(among))
    return text


def _words(name: str, text: str, now: float) -> str:
    if not any(char.isalnum() for char in text):
        raise BadParameter(name, text[:100], 'words, "phrases" or beginnings*')
    return text


_Reader = Callable[[str, str, float], Any]


def _text(name: str, text: str, now: float) -> str:
    return text


_FIELDS: Mapping[str, tuple[str, _Reader]] = {
    "since": ("since", moment),
    "until": ("until", moment),
    "model": ("model", _text),
    "provider": ("provider", _text),
    "outcome": ("outcome", lambda name, text, now: choice(name, text, get_args(Outcome))),
    "status": ("status", lambda name, text, now: whole(name, text, 100, 599)),
    "session": ("session_id", _text),
    "agent": ("agent_id", _text),
    "parent_agent": ("parent_agent_id", _text),
    "conversation": ("conversation_id", _text),
    "dialect": ("dialect", lambda name, text, now: choice(name, text, get_args(DialectName))),
    "tool": ("tool", _text),
    "path": ("path", _text),
    "key": ("key", _text),
    "kind": ("side_call", lambda name, text, now: "" if text == "turn" else text),
    "q": ("text", _words),
}

FILTERS = tuple(_FIELDS)
"""The parameters that narrow a list."""


def read_filter(found: Mapping[str, str], now: float) -> Filter:
    """Make a filter of parameters; those that are none of :data:`FILTERS` are left to others.

    :param now: seconds since the epoch, for ``since=24h``.
    :raises BadParameter: for a value that makes no sense.
    """
    filter = Filter()
    for name, text in found.items():
        if name in _FIELDS:
            field, read = _FIELDS[name]
            filter = evolve(filter, **{field: read(name, text, now)})
    return filter


def write_filter(filter: Filter) -> dict[str, str]:
    """Give a filter's parameters, as a link to the same list needs them."""
    found = {}
    for name, (field, _) in _FIELDS.items():
        value = getattr(filter, field)
        if value is not None:
            found[name] = "turn" if name == "kind" and value == "" else str(value)
    return found
