"""Differences between two texts, line by line and word by word, bounded in what they may cost.

:func:`compare` is for two texts at hand, :func:`read_patch` for a difference that somebody else has
written down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal

from attrs import frozen

Sign = Literal[" ", "+", "-", "~", "@"]
"""Equal, added, removed; ``~``: equal lines that were left out; ``@``: a place or a file."""

MOST_LINES = 3000
"""Changed lines on either side up to which the shortest difference is looked for."""
MOST_WORDS = 400
"""Characters of a line within which changed words are looked for."""
CONTEXT = 3
"""Equal lines shown around a change."""
MOST_WORDS_COMPARED = 40
"""Words between the first and the last changed one up to which single ones are marked."""
ALIKE = 0.4
"""The part of the longer line that has to be the same for words to be marked."""
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


@frozen
class Line:
    """A line of a difference.

    :ivar spans: its text, cut where changed words begin and end; true for changed.
    :ivar old: its number in the old text, 0 if it is not there.
    :ivar new: its number in the new text.
    """

    sign: Sign
    spans: tuple[tuple[str, bool], ...]
    old: int = 0
    new: int = 0

    @property
    def text(self) -> str:
        """The line without marks."""
        return "".join(text for text, _ in self.spans)


def compare(old: str, new: str, context: int = CONTEXT) -> list[Line]:
    """Compare two texts.

    :param context: equal lines to show around changes; a longer run of them is one ``~`` line.
    """
    before, after = old.splitlines(), new.splitlines()
    return _folded(list(_lines(before, after)), context)


def replaced(old: str, new: str) -> list[Line]:
    """Show one text as taken out and another one as put in, at no cost."""
    gone = [Line("-", ((line, False),), number) for number, line in enumerate(old.splitlines(), 1)]
    return [*gone, *all_added(new)]


def counts(lines: Sequence[Line]) -> tuple[int, int]:
    """Count added and removed lines."""
    return sum(line.sign == "+" for line in lines), sum(line.sign == "-" for line in lines)


def opcodes(
    before: Sequence[object], after: Sequence[object], most: int = MOST_LINES
) -> Iterator[tuple[str, int, int, int, int]]:
    """Compare two sequences of hashable things as :meth:`difflib.SequenceMatcher.get_opcodes` does,
    within bounds: beyond ``most`` changed items all between the first and the last change counts as
    replaced."""
    start = 0
    shortest = min(len(before), len(after))
    while start < shortest and before[start] == after[start]:
        start += 1
    end = 0
    while end < shortest - start and before[len(before) - 1 - end] == after[len(after) - 1 - end]:
        end += 1
    if start:
        yield "equal", 0, start, 0, start
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if len(old) > most or len(new) > most:
        yield "replace", start, start + len(old), start, start + len(new)
    elif old or new:
        # With many lines, those that occur all over (blank ones) are not worth looking at each.
        popular = len(old) * len(new) > most * 200
        matcher = SequenceMatcher(None, old, new, autojunk=popular)
        for tag, a, b, c, d in matcher.get_opcodes():
            yield tag, a + start, b + start, c + start, d + start
    if end:
        yield "equal", len(before) - end, len(before), len(after) - end, len(after)


def _lines(before: Sequence[str], after: Sequence[str]) -> Iterator[Line]:
    for tag, a, b, c, d in opcodes(before, after):
        if tag == "equal":
            for offset in range(b - a):
                yield Line(" ", ((before[a + offset], False),), a + offset + 1, c + offset + 1)
            continue
        paired = _words(before[a:b], after[c:d]) if b - a == d - c <= 60 else None
        for offset in range(b - a):
            spans = paired[offset][0] if paired else ((before[a + offset], False),)
            yield Line("-", spans, a + offset + 1)
        for offset in range(d - c):
            spans = paired[offset][1] if paired else ((after[c + offset], False),)
            yield Line("+", spans, 0, c + offset + 1)


_Spans = tuple[tuple[str, bool], ...]


def _words(before: Sequence[str], after: Sequence[str]) -> list[tuple[_Spans, _Spans]]:
    return [words(old, new) for old, new in zip(before, after, strict=True)]


def words(old: str, new: str) -> tuple[_Spans, _Spans]:
    """Mark the words in which two lines differ, if they have something in common."""
    plain = ((old, False),), ((new, False),)
    if len(old) > MOST_WORDS or len(new) > MOST_WORDS:
        return plain
    a, b = _WORD.findall(old), _WORD.findall(new)
    left: list[tuple[str, bool]] = []
    right: list[tuple[str, bool]] = []
    same = 0
    for tag, i, j, k, m in opcodes(a, b, MOST_WORDS_COMPARED):
        changed = tag != "equal"
        if not changed:
            same += sum(map(len, a[i:j]))
        if j > i:
            left.append(("".join(a[i:j]), changed))
        if m > k:
            right.append(("".join(b[k:m]), changed))
    if same < ALIKE * max(len(old), len(new)):
        return plain
    return tuple(left) or plain[0], tuple(right) or plain[1]


def _folded(lines: list[Line], context: int) -> list[Line]:
    near = bytearray(len(lines))
    for number, line in enumerate(lines):
        if line.sign != " ":
            near[max(0, number - context) : number + context + 1] = b"\1" * (
                min(len(lines), number + context + 1) - max(0, number - context)
            )
    found: list[Line] = []
    at = 0
    while at < len(lines):
        if near[at]:
            found.append(lines[at])
            at += 1
            continue
        end = at
        while end < len(lines) and not near[end]:
            end += 1
        if end - at <= 2:
            found.extend(lines[at:end])
        else:
            found.append(Line("~", ((f"{end - at:,} equal lines", False),)))
        at = end
    return found


def all_added(text: str) -> list[Line]:
    """Show a text as one that was not there before."""
    return [
        Line("+", ((line, False),), 0, number + 1) for number, line in enumerate(text.splitlines())
    ]


_FILE = re.compile(r"\*\*\* (Add|Update|Delete) File: (.*)|\*\*\* Move to: (.*)")


def read_patch(patch: str) -> list[Line]:
    """Read a patch: unified, or in the form of OpenAI's ``apply_patch``."""
    found: list[Line] = []
    for line in patch.splitlines():
        match = _FILE.match(line)
        if match:
            name = match[2] or match[3] or ""
            found.append(Line("@", ((f"{(match[1] or 'move to').lower()} {name}", False),)))
        elif line.startswith(("*** ", "diff --git", "index ", "--- ", "+++ ")):
            if line.startswith("+++ "):
                found.append(Line("@", ((line[4:], False),)))
        elif line.startswith("@@"):
            found.append(Line("@", ((line, False),)))
        else:
            sign: Sign = "+" if line[:1] == "+" else "-" if line[:1] == "-" else " "
            body = line[1:] if line[:1] in ("+", "-", " ") else line
            found.append(Line(sign, ((body, False),)))
    return _with_words(found)


def _with_words(lines: list[Line]) -> list[Line]:
    """Mark changed words where as many lines were put in as were taken out."""
    at = 0
    while at < len(lines):
        if lines[at].sign != "-":
            at += 1
            continue
        middle = at
        while middle < len(lines) and lines[middle].sign == "-":
            middle += 1
        end = middle
        while end < len(lines) and lines[end].sign == "+":
            end += 1
        if middle - at == end - middle <= 60:
            for offset in range(middle - at):
                left, right = words(lines[at + offset].text, lines[middle + offset].text)
                lines[at + offset] = Line("-", left)
                lines[middle + offset] = Line("+", right)
        at = end
    return lines
