"""What a query string may say: :func:`read_filter` and its like turn parameters into values, or say what is wrong.

A parameter that is not known is refused and not ignored: ``DELETE /api/requests?modle=x`` must not delete everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
SEVERAL = ("model", "provider", "outcome", "agent")
"""Parameters that may come more than once: any of their values will do. Outcomes, which hold no commas, may be
separated by them, too."""

Given = Mapping[str, Sequence[str]]
"""The values of each filter that was given."""

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_NUMBER = re.compile(r"[0-9]{1,16}(\.[0-9]{1,9})?")
_SECONDS = 10**11
"""Numbers below are seconds since the epoch (until the year 5138), others milliseconds (since 1973)."""
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
    found = collected(_pairs(query, known), (), strict=strict)
    return {name: values[0] for name, values in found.items()}


def filters(
    query: str, taken: Sequence[str], others: Sequence[str] = (), *, strict: bool = False
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Read a query string that narrows a list.

    :param taken: those of :data:`FILTERS` that may occur.
    :param others: other names that may occur, each once.
    :param strict: refuse an empty value too, which otherwise counts as none.
    :returns: the filters, and the others.
    :raises BadParameter: for any other.
    """
    found = collected(_pairs(query, (*taken, *others)), SEVERAL, strict=strict)
    rest = {name: found.pop(name)[0] for name in others if name in found}
    return {name: tuple(values) for name, values in found.items()}, rest


def collected(
    pairs: Iterable[tuple[str, str]], several: Sequence[str], *, strict: bool
) -> dict[str, list[str]]:
    """Bring together what was said of each name.

    :param several: the names that may have more than one value.
    :param strict: refuse an empty value, which otherwise counts as none.
    :raises BadParameter: for a second value of another name.
    """
    found: dict[str, dict[str, None]] = {}
    for name, value in pairs:
        if name in found and name not in several:
            raise BadParameter(name, f"{next(iter(found[name]))} and {value}"[:100], "one value")
        values = value.split(",") if name == "outcome" and name in several else [value]
        if strict and not all(values):
            raise BadParameter(name, value[:100], "a value")
        found.setdefault(name, {}).update(dict.fromkeys(values))
    some = {name: [each for each in values if each] for name, values in found.items()}
    return {name: values for name, values in some.items() if values}


def _pairs(query: str, known: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give names as they are known, and values."""
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
        if "\0" in value:
            raise BadParameter(name, value[:100], "text without NUL characters")
        yield name, value


def whole(name: str, text: str, least: int, most: int) -> int:
    """Read a whole number."""
    if text.isascii() and text.isdigit() and len(text) < 16 and least <= int(text) <= most:
        return int(text)
    raise BadParameter(name, text[:100], f"a whole number from {least} to {most}")


def moment(name: str, text: str, now: float) -> int:
    """Read a moment as milliseconds since the epoch.

    Seconds, which most clocks give, are told from milliseconds by their size: taken for these, a moment of today
    would be one of January 1970, and a ``DELETE`` of what is younger would delete everything.

    :param now: seconds since the epoch.
    """
    if match := _AGO.fullmatch(text):
        return max(0, int(now * 1000) - int(match[1]) * _UNITS[match[2]])
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number < _SECONDS:
            return round(number * 1000)
        if number <= _LATEST:
            return int(number)
    try:
        # A plus that nobody encoded arrives as a space.
        found = datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text.strip()))
        aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return max(0, round(aware.timestamp() * 1000))
    except (ValueError, OverflowError):
        expected = "RFC 3339, seconds or milliseconds since the epoch, or a time ago such as 90m, 24h or 7d"
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


def read_filter(given: Given, now: float) -> Filter:
    """Make a filter of parameters.

    :param given: some of :data:`FILTERS` with their values.
    :param now: seconds since the epoch, for ``since=24h``.
    :raises BadParameter: for a value that makes no sense.
    """
    filter = Filter()
    for name, texts in given.items():
        field, read = _FIELDS[name]
        values = tuple(read(name, text, now) for text in texts)
        value: Any = values if name in SEVERAL else values[0]
        filter = evolve(filter, **{field: value})
    return filter
