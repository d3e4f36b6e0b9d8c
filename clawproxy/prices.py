"""Read price tables: the one that comes with the program, and an operator's own in front of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import yaml

from clawproxy.core.pricing import LongPrompt, Price, PriceTable

_NUMBERS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_search")
_KEYS = frozenset({"match", "tiers", "geo", "long_prompt", *_NUMBERS})


class PriceError(ValueError):
    """A price table that cannot be used; its text says what is wrong, a line for each mistake."""


def load(path: str | None = None) -> PriceTable:
    """Read the table that comes with the program, with an operator's own in front of it.

    :param path: the operator's file; ``~`` is filled in.
    :raises PriceError: the operator's file is wrong; the text names it.
    :raises OSError: it cannot be read.
    """
    entries: list[tuple[str, Price]] = []
    if path is not None:
        entries += parse(Path(path).expanduser().read_bytes(), path)
    built_in = resources.files("clawproxy.data").joinpath("prices.yaml")
    entries += parse(built_in.read_bytes(), "prices.yaml")
    return PriceTable(entries)


def parse(content: bytes, name: str) -> list[tuple[str, Price]]:
    """Read a table's YAML.

    :param name: the file's, for messages.
    :raises PriceError: with all mistakes at once.
    """
    try:
        loaded = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise PriceError(f"{name}: not YAML: {error}") from None
    listed = loaded.get("prices") if isinstance(loaded, dict) else None
    if not isinstance(listed, list):
        raise PriceError(f"{name}: expected a mapping with a list called prices")
    mistakes: list[str] = []
    found: list[tuple[str, Price]] = []
    for index, entry in enumerate(listed):
        try:
            found += _entry(entry)
        except PriceError as error:
            mistakes.append(f"{name}: prices.{index}{error}")
    if mistakes:
        raise PriceError("\n".join(mistakes))
    return found


def _entry(entry: object) -> list[tuple[str, Price]]:
    if not isinstance(entry, dict):
        raise PriceError(": expected a mapping")
    for key in entry:
        if key not in _KEYS:
            raise PriceError(f".{key}: no such key; there are {', '.join(sorted(_KEYS))}")
    match = entry.get("match")
    globs = [match] if isinstance(match, str) else match
    if not isinstance(globs, list) or not globs or not all(isinstance(g, str) for g in globs):
        raise PriceError(".match: expected a glob or a list of them")
    put_in = _number(entry, "input")
    minutes = _number(entry, "cache_write_5m", put_in)
    price = Price(
        input=put_in,
        output=_number(entry, "output"),
        cache_read=_number(entry, "cache_read", put_in),
        cache_write_5m=minutes,
        cache_write_1h=_number(entry, "cache_write_1h", minutes),
        tiers=_factors(entry, "tiers"),
        geo=_factors(entry, "geo"),
        long_prompt=_long_prompt(entry.get("long_prompt")),
        web_search=_number(entry, "web_search", 0.0),
    )
    return [(glob.lower(), price) for glob in globs]


def _number(entry: Mapping[object, object], key: str, default: float | None = None) -> float:
    value = entry.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PriceError(f".{key}: expected a number, found {value!r}")
    if not math.isfinite(value) or value < 0:
        raise PriceError(f".{key}: expected a number of at least 0, found {value!r}")
    return float(value)


def _factors(entry: Mapping[object, object], key: str) -> dict[str, float]:
    value = entry.get(key, {})
    if not isinstance(value, dict):
        raise PriceError(f".{key}: expected a mapping of names to factors, found {value!r}")
    try:
        return {str(name).lower(): _number(value, name) for name in value}
    except PriceError as error:
        raise PriceError(f".{key}{error}") from None


def _long_prompt(value: object) -> LongPrompt | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"above", "input", "output"}:
        raise PriceError(".long_prompt: expected above, input and output")
    try:
        return LongPrompt(
            int(_number(value, "above")), _number(value, "input"), _number(value, "output")
        )
    except PriceError as error:
        raise PriceError(f".long_prompt{error}") from None
