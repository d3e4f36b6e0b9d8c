"""Text that nobody can trust, for a page: control characters made visible, colours of terminals kept.

1. :func:`visible` shows what would otherwise be unseen: controls, and the characters that turn the
   direction of writing round, with which text can be made to look like other text
   (https://trojansource.codes).
2. :func:`terminal` turns what was written for a terminal into HTML: the colours of ECMA-48's SGR are
   classes, every other escape sequence is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

MOST_SPANS = 5000
"""Changes of colour in one text; beyond, all is plain."""

_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
_ESCAPES = re.compile(
    r"\x1b\[([0-9;:?<=>!]*)[ -/]*([@-~])"  # CSI
    r"|\x1b\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)"  # OSC, e.g. titles and links
    r"|\x1b[PX^_][^\x1b]{0,4096}\x1b\\"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"  # all others of two or three bytes
)
_BACKSPACES = re.compile("[^\n\b]\b")
_STYLES = {1: "b", 2: "dim", 3: "i", 4: "u", 7: "rev", 9: "s"}
_ENDS = {22: ("b", "dim"), 23: ("i",), 24: ("u",), 27: ("rev",), 29: ("s",)}


def _shown(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x20:
        return chr(0x2400 + number)
    if number == 0x7F:
        return "\u2421"
    return f"\u27e8U+{number:04X}\u27e9"


def visible(text: str) -> str:
    """Show what cannot be seen. Line ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    return _CONTROLS.sub(_shown, text.replace("\r", "\n"))


def bare(text: str) -> str:
    """Leave a terminal's escape sequences out."""
    return _ESCAPES.sub("", text) if "\x1b" in text else text


def terminal(text: str) -> Markup:
    """Turn what a program wrote to a terminal into HTML."""
    if "\x1b" not in text and "\b" not in text:
        return escape(visible(text))
    if "\b" in text:  # overstriking, as man pages have it
        text = _BACKSPACES.sub("", text)
    return Markup("").join(_spans(text))


def _spans(text: str) -> Iterator[Markup]:
    at, changes = 0, 0
    styles: dict[str, str] = {}
    for match in _ESCAPES.finditer(text):
        yield _span(text[at : match.start()], styles)
        at = match.end()
        if match[2] == "m" and changes < MOST_SPANS:
            changes += 1
            _apply(match[1], styles)
    yield _span(text[at:], styles)


def _span(text: str, styles: dict[str, str]) -> Markup:
    if not text:
        return Markup("")
    if not styles:
        return escape(visible(text))
    names = " ".join(f"a-{name}" for name in styles.values())
    return Markup('<span class="{}">{}</span>').format(names, visible(text))


def _apply(parameters: str, styles: dict[str, str]) -> None:
    numbers = [int(each) for each in re.split("[;:]", parameters) if each.isdigit()][:32] or [0]
    at = 0
    while at < len(numbers):
        number = numbers[at]
        at += 1
        if number == 0:
            styles.clear()
        elif number in _STYLES:
            styles[_STYLES[number]] = _STYLES[number]
        elif number in _ENDS:
            for name in _ENDS[number]:
                styles.pop(name, None)
        elif 30 <= number <= 37:
            styles["fg"] = f"f{number - 30}"
        elif 90 <= number <= 97:
            styles["fg"] = f"f{number - 90 + 8}"
        elif 40 <= number <= 47:
            styles["bg"] = f"g{number - 40}"
        elif 100 <= number <= 107:
            styles["bg"] = f"g{number - 100 + 8}"
        elif number in (39, 49):
            styles.pop("fg" if number == 39 else "bg", None)
        elif number in (38, 48):
            at = _extended(numbers, at, "fg" if number == 38 else "bg", styles)


def _extended(numbers: list[int], at: int, ground: str, styles: dict[str, str]) -> int:
    """Read one of 256 colours; the first 16 have names, the rest is left as it is."""
    kind = numbers[at] if at < len(numbers) else 0
    if kind == 5:
        if at + 1 < len(numbers) and numbers[at + 1] < 16:
            styles[ground] = f"{ground[0]}{numbers[at + 1]}"
        return at + 2
    return at + 4 if kind == 2 else at
