"""An exchange at a glance: a bar of the prompt, coloured by what the cache did, and an outline."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from clawproxy.core.record import Exchange
from clawproxy.dashboard.render import gist
from clawproxy.dashboard.render_numbers import short
from clawproxy.dashboard.view import Call, Message, Part, Prompt
from clawproxy.dashboard.view_cache import CacheMap, Segment
from clawproxy.dashboard.view_thread import Item, Laid
from clawproxy.dashboard.view_tools import about

SHORT = 30
"""Messages up to which earlier ones are listed one by one."""


@frozen(kw_only=True)
class Bar:
    """A segment of the map, in thousandths."""

    x: float
    width: float
    state: str
    role: str
    label: str
    words: str


_STATES = {
    "read": "from the cache",
    "written": "written to the cache",
    "fresh": "not cached",
    "": "unknown",
}


def bars(cache: CacheMap) -> list[Bar]:
    """Draw what the cache did as a bar of the whole prompt."""
    bars, at = [], 0.0
    for each in cache.segments:
        width = each.share * 1000
        bars.append(
            Bar(
                x=round(at, 2),
                width=round(max(width - 0.8, 0.4), 2),
                state=each.state,
                role=each.label.split()[0] if each.label.split() else "other",
                label=_label(each),
                words=f"{_STATES[each.state]}, {short(each.weight)} characters",
            )
        )
        at += width
    return bars


def _label(segment: Segment) -> str:
    place = segment.place
    return segment.label if place in ("tools", "system") else f"{segment.label} {place}"


@frozen(kw_only=True)
class Entry:
    """A line of the outline.

    :ivar exchange: the turn that it stands for, in a conversation.
    """

    anchor: str
    role: str
    who: str
    gist: str
    fresh: bool = False
    exchange: Exchange | None = None


def outline(prompt: Prompt, old: Sequence[Message], fresh: Sequence[Message]) -> list[Entry]:
    """List what a page has, so that one can jump to it.

    :param old: messages that stood in the turn before.
    :param fresh: all others.
    """
    entries = []
    if prompt.tools:
        entries.append(
            Entry(anchor="tools", role="tools", who="tools", gist=f"{len(prompt.tools)} offered")
        )
    if prompt.system:
        words = gist(first_text(prompt.system[-1:]), 60)
        entries.append(Entry(anchor="system", role="system", who="system", gist=words))
    if old:
        words = f"{len(old)} earlier message{'s' if len(old) != 1 else ''}"
        entries.append(Entry(anchor="history", role="history", who="history", gist=words))
    if len(old) <= SHORT:
        entries += [_said(message) for message in old]
    entries += [_said(message, fresh=bool(old)) for message in fresh]
    entries.append(Entry(anchor="answer", role="answer", who="answer", gist=""))
    return entries


def _said(message: Message, *, fresh: bool = False) -> Entry:
    return Entry(
        anchor=f"m{message.number}",
        role=message.role if message.role.isalpha() else "other",
        who=message.role,
        gist=gist(first_text(message.parts), 60),
        fresh=fresh,
    )


def contents(threads: Sequence[Laid]) -> list[Entry]:
    """List what a conversation has: what was asked, what each turn did, who was sent away for it."""
    entries: list[Entry] = []
    for laid in threads:
        said: Item | None = None
        for item in laid.items:
            if item.kind == "thread" and item.thread is not None:
                words = gist(item.thread.title, 60)
                entries.append(
                    Entry(anchor=item.anchor, role="history", who="subagent", gist=words)
                )
            elif item.kind == "turn":
                entries.append(_turn(item, said))
                said = None
            elif item.message is not None and item.message.role == "user":
                entries.append(
                    Entry(
                        anchor=item.anchor,
                        role="user",
                        who="user",
                        gist=gist(first_text(item.message.parts), 60),
                    )
                )
            elif item.message is not None:
                said = item
    return entries


def _turn(turn: Item, said: Item | None) -> Entry:
    """Word a turn by what it called, else by what it said; it leads to where that begins."""
    parts = said.message.parts if said is not None and said.message is not None else ()
    calls = [part for part in parts if isinstance(part, Call)]
    named = ", ".join(dict.fromkeys(call.name for call in calls))
    if len(calls) == 1:
        words = about(calls[0])
        # Of a path the end tells most, and there is little room.
        named += f" {words if ' ' in words else words.rpartition('/')[2]}".rstrip()
    return Entry(
        anchor=(said or turn).anchor,
        role="assistant",
        who="",
        gist=gist(named or first_text(parts), 60) or "asked again",
        exchange=turn.exchange,
    )


def first_text(parts: Sequence[Part]) -> str:
    """Give the first words among parts, or what else they are."""
    for part in parts:
        if part.kind == "text" and getattr(part, "text", "").strip():
            return str(part.text)[:400]  # type: ignore[attr-defined]
    for part in parts:
        if part.kind == "call":
            return str(getattr(part, "name", ""))
        if part.kind == "aside":
            return str(getattr(part, "text", ""))[:400]
    return parts[0].kind if parts else ""
