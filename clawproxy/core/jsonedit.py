"""Change members of a JSON object and leave every other byte as the caller wrote it.

Routing has to set ``model``, ``stream`` or ``stream_options.include_usage`` in a request. Decoding
and encoding the whole would lose number spelling, key order, duplicate keys and escapes, on which
prompt caches and signatures depend; :func:`edit` replaces only the bytes of the values concerned.

:func:`peek` and :class:`JSONError` are those of :mod:`clawproxy.core.jsonread`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from clawproxy.core.jsonread import (
    KEY,
    SPACE,
    JSONError,
    Members,
    key_name,
    peek,
    raws,
    scan,
)

__all__ = ["JSONError", "Members", "Path", "edit", "peek"]

Path = tuple[str, ...]
"""A member's place: the keys that lead to it, e.g. ``("stream_options", "include_usage")``."""


class _Member(NamedTuple):
    name: str
    key: int
    start: int
    end: int


def edit(body: bytes, changes: Mapping[Path, bytes | None]) -> bytes:
    """Set, insert or remove members.

    Readers differ in which of two equal keys they take, so every duplicate is changed alike. A
    missing member is inserted behind the last one; on its way down a path, what is missing or not
    an object is made one. A path that names nothing is no error to remove.

    :param body: a JSON object in UTF-8.
    :param changes: for each path the new value as JSON text, or ``None`` to remove the member.
    :raises JSONError: if the body is not JSON, or not an object.
    :raises ValueError: if a path is empty or leads through another.
    """
    if not changes:
        return body
    direct: dict[str, bytes | None] = {}
    below: dict[str, dict[Path, bytes | None]] = {}
    for path, value in changes.items():
        if not path:
            raise ValueError("an empty path names no member")
        if len(path) == 1:
            direct[path[0]] = value
        else:
            below.setdefault(path[0], {})[path[1:]] = value
    if clash := direct.keys() & below.keys():
        raise ValueError(f"one path leads through another: {sorted(clash)}")

    members = _members(body)
    names = {member.name for member in members}
    removed = {name for name, value in direct.items() if value is None}
    last_kept = max(
        (n for n, member in enumerate(members) if member.name not in removed), default=-1
    )
    kept_end = members[last_kept].end if last_kept >= 0 else None
    pieces: list[tuple[int, int, bytes]] = []
    for place, member in enumerate(members[: last_kept + 1]):
        if member.name in removed:
            pieces.append((member.key, members[place + 1].key, b""))
        elif (new := direct.get(member.name)) is not None:
            pieces.append((member.start, member.end, new))
        elif member.name in below:
            old = body[member.start : member.end]
            pieces.append((member.start, member.end, _edit_below(old, below[member.name])))
    if last_kept + 1 < len(members):
        # Nothing is kept behind these: with them goes the comma before them.
        start = members[0].key if kept_end is None else kept_end
        pieces.append((start, members[-1].end, b""))

    added = [
        _quoted(name) + b":" + new
        for name, new in direct.items()
        if new is not None and name not in names
    ]
    added += [
        _quoted(name) + b":" + made
        for name, deeper in below.items()
        if name not in names and (made := _edit_below(b"{}", deeper)) != b"{}"
    ]
    if added:
        text = b",".join(added)
        if kept_end is not None:
            pieces.append((kept_end, kept_end, b"," + text))
        else:
            after_brace = body.index(b"{") + 1
            pieces.append((after_brace, after_brace, text))
    return _replaced(body, pieces)


def _quoted(name: str) -> bytes:
    return msgspec.json.encode(name)


def _edit_below(value: bytes, inner: Mapping[Path, bytes | None]) -> bytes:
    if value.startswith(b"{"):
        return edit(value, inner)
    if all(change is None for change in inner.values()):
        return value
    return edit(b"{}", inner)


def _replaced(body: bytes, pieces: list[tuple[int, int, bytes]]) -> bytes:
    out: list[bytes] = []
    position = 0
    for start, end, text in sorted(pieces, key=lambda piece: piece[:2]):
        out += (body[position:start], text)
        position = end
    out.append(body[position:])
    return b"".join(out)


def _members(body: bytes) -> list[_Member]:
    """Find the members the fast way, or by :func:`scan` where that cannot be trusted."""
    found = raws(body)
    if found is None:
        return [_Member(*member) for member in scan(body)]
    # The decoder gives the values' spelling but not their places. Each is looked for where it must
    # stand if no key is double; values delimit themselves, so one that is there is the one.
    members: list[_Member] = []
    position = body.index(b"{") + 1
    for name, raw in found.items():
        match = KEY.match(body, position)
        if match is None or key_name(match[1]) != name:
            break
        value = bytes(raw)
        start = match.end()
        end = start + len(value)
        if not body.startswith(value, start):
            break
        space = SPACE.match(body, end)
        position = space.end() if space else end
        if body[position] not in b",}":
            break
        members.append(_Member(name, match.start(1), start, end))
        position += 1
    if len(members) == len(found) and (not found or body[position - 1] == 0x7D):
        return members
    return [_Member(*member) for member in scan(body)]
