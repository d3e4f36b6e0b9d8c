"""What a tool call says, piece by piece: :class:`Pane` and its kinds, which templates show each in its own way.

:mod:`~clawproxy.dashboard.view_tools` makes them of a call's arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from attrs import field, frozen

from clawproxy.dashboard import diff
from clawproxy.dashboard.diff import Line

MOST_LINES = 2000
"""Lines of one difference that are shown."""


@frozen(kw_only=True)
class Pane:
    """A piece of what a call says.

    :cvar kind: what templates tell panes apart by.
    """

    kind: ClassVar[str] = "pane"

    title: str = ""


@frozen(kw_only=True)
class Difference(Pane):
    """Lines put in and taken out.

    :ivar left_out: lines that are too many to show.
    """

    kind: ClassVar[str] = "diff"

    lines: tuple[Line, ...]
    added: int = 0
    removed: int = 0
    left_out: int = 0


@frozen(kw_only=True)
class Todo(Pane):
    """A list of things to do.

    :ivar entries: each one's state (``done``, ``doing``, ``open``, ``dropped``) and words.
    """

    kind: ClassVar[str] = "todo"

    entries: tuple[tuple[str, str], ...]


@frozen(kw_only=True)
class Code(Pane):
    """Code or a command.

    :ivar language: a name or a file's name to guess it from.
    """

    kind: ClassVar[str] = "code"

    text: str
    language: str = ""


@frozen(kw_only=True)
class Prose(Pane):
    """Markdown."""

    kind: ClassVar[str] = "prose"

    text: str


@frozen(kw_only=True)
class Fields(Pane):
    """Short arguments by name."""

    kind: ClassVar[str] = "fields"

    entries: tuple[tuple[str, str], ...]


@frozen
class Shown:
    """A call.

    :ivar gist: the one argument that says most, for a line.
    """

    gist: str = ""
    panes: tuple[Pane, ...] = field(default=())


def difference(lines: Sequence[Line], title: str = "") -> Difference:
    """Make a difference that is not too long to show."""
    added, removed = diff.counts(lines)
    return Difference(
        title=title,
        lines=tuple(lines[:MOST_LINES]),
        added=added,
        removed=removed,
        left_out=max(0, len(lines) - MOST_LINES),
    )
