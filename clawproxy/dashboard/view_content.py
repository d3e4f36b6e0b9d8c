"""What a message holds, as people read it, whichever API it is of: :func:`parts_in`. Strings are cut where a client or
a model put something of its own into them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import evolve

from clawproxy.dashboard.view import Aside, Part, Text, Thinking
from clawproxy.dashboard.view_json import other

Read = Callable[[object, str, str], Iterator[Part]]
"""Reads an item of a content: its value, its pointer, who says it."""

_ASIDE = re.compile(
    r"<(system-reminder|ide_opened_file|ide_selection|local-command-stdout|local-command-caveat"
    r"|command-name|command-message|command-args|environment_context|user_instructions"
    r"|permissions instructions|bash-input|bash-stdout|bash-stderr|task-notification)"
    r"[^<>]{0,200}>"
)
_SPACE = re.compile(r"\s*+")
_THINK = re.compile(r"\s*<think(?:ing)?>(.*?)(?:</think(?:ing)?>\s*|\Z)", re.DOTALL)


def parts_in(
    content: object, pointer: str, role: str, read: Read, breakpoint: str = ""
) -> Iterator[Part]:
    """Read what OpenAI's APIs take for a content: a string, or items. What is neither is shown as it is.

    :param breakpoint: of the message, where it is a string.
    """
    if isinstance(content, str):
        if not content:
            return
        if role == "assistant":
            yield from answered_text(content, pointer)
        else:
            yield from texts(content, pointer, breakpoint)
    elif isinstance(content, list):
        for number, each in enumerate(content):
            yield from read(each, f"{pointer}/{number}", role)
    elif content is not None:
        yield other(content, pointer)


def _asides(content: str) -> Iterator[tuple[str, int, int, int, int]]:
    """Find what a client's program put in: its name, its start, its inside's start and end, and its own end.

    A name that is closed nowhere further on is not looked for again: a text full of beginnings would be read
    to its end for each.
    """
    at = 0
    unclosed: set[str] = set()
    while match := _ASIDE.search(content, at):
        name, at = match[1], match.end()
        closed = -1 if name in unclosed else content.find(f"</{name}>", at)
        if closed < 0:
            unclosed.add(name)
            continue
        space = _SPACE.match(content, closed + len(name) + 3)
        end = space.end() if space else len(content)
        yield name, match.start(), at, closed, end
        at = end


def texts(content: str, pointer: str, breakpoint: str = "") -> Iterator[Part]:
    """Cut a user's text where a client's program put words of its own into it.

    The parts' weights add up to the text's; the last one has the breakpoint.
    """
    found: list[Part] = []
    at = 0
    if "<" in content:
        for name, start, inner, inner_end, end in _asides(content):
            before = content[at:start]
            if before.strip():
                found.append(Text(text=before, pointer=pointer, weight=len(before)))
            body = content[inner:inner_end].strip("\n")
            found.append(Aside(name=name, text=body, pointer=pointer, weight=end - start))
            at = end
    rest = content[at:]
    if rest.strip() or not found:
        found.append(Text(text=rest, pointer=pointer, weight=len(rest)))
    yield from found[:-1]
    yield evolve(found[-1], breakpoint=breakpoint) if breakpoint else found[-1]


def answered_text(content: str, pointer: str) -> Iterator[Part]:
    """Cut an answer's text where a model without a place for thoughts wrote ``<think>``."""
    match = _THINK.match(content)
    if match is not None:
        yield Thinking(text=match[1].strip("\n"), pointer=pointer, weight=len(match[0]))
        content = content[match.end() :]
        if not content:
            return
    yield Text(text=content, pointer=pointer, weight=len(content))
