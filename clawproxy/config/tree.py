"""Values with their origins: every layer of the configuration is such a tree until it is checked.

A mistake can then name the file and line, the environment variable or the option that it came from,
however many layers lie on top of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from attrs import evolve, frozen

Path: TypeAlias = tuple[str, ...]
Scalar: TypeAlias = str | int | float | bool | None


@frozen
class Origin:
    """Where a value was written.

    :ivar file: a path, or ``environment variable NAME``, ``--set``, ``--listen``, ``defaults``.
    :ivar line: from 1, where the source has lines.
    """

    file: str
    line: int | None = None


@frozen
class Node:
    """A value of a configuration, not yet checked.

    :ivar value: a scalar, or a mapping or list of further nodes.
    :ivar text: a scalar as it was written, so that ``2023-06-01`` or ``0123`` stays what it was.
    """

    value: dict[str, Node] | list[Node] | Scalar
    origin: Origin
    text: str = ""

    def kind(self) -> str:
        """Name the type of value in words that a mistake can use without showing the value."""
        match self.value:
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case None:
                return "null"
            case bool() as truth:
                return "true" if truth else "false"
            case int() | float():
                return "a number"
            case _:
                return "text"

    def find(self, path: Path) -> Node | None:
        """Give the node at a path, or ``None`` where nothing was written there."""
        node: Node | None = self
        for part in path:
            match node.value if node is not None else None:
                case dict() as mapping:
                    node = mapping.get(part)
                case list() as items:
                    node = items[int(part)] if _is_index(part, len(items) - 1) else None
                case _:
                    return None
        return node

    def origin_of(self, path: Path) -> Origin:
        """Give the origin of what is at a path, or of the nearest thing around it."""
        for length in range(len(path), 0, -1):
            node = self.find(path[:length])
            if node is not None:
                return node.origin
        return self.origin


def plain(value: object, origin: Origin) -> Node:
    """Make a tree of plain Python values that all have one origin."""
    match value:
        case dict():
            return Node({str(key): plain(item, origin) for key, item in value.items()}, origin)
        case list() | tuple():
            return Node([plain(item, origin) for item in value], origin)
        case None | str() | int() | float():
            return Node(value, origin, "" if value is None else str(value))
    raise TypeError(f"a configuration holds no {type(value).__name__}")


def merge(lower: Node, upper: Node, path: Path = ()) -> Node:
    """Lay one layer over another: mappings key by key, everything else replaced as a whole.

    A section that is there but empty (``server:`` with all its keys commented out) changes nothing.
    A provider that is null is switched off.
    """
    if isinstance(lower.value, dict):
        if isinstance(upper.value, dict):
            merged = dict(lower.value)
            for key, node in upper.value.items():
                below = merged.get(key)
                merged[key] = node if below is None else merge(below, node, (*path, key))
            return evolve(upper, value=merged)
        if upper.value is None and not (len(path) == 2 and path[0] == "providers"):
            return lower
    return upper


class NoPlaceError(LookupError):
    """A path leads to where nothing can be put; the text says what is in the way."""


def replace(root: Node, path: Sequence[str], node: Node) -> Node:
    """Give a tree that has a node at a path, with the mappings and list items on the way to it.

    :raises NoPlaceError: something on the way has no such place.
    """
    if not path:
        return node
    head, rest = path[0], path[1:]
    empty = Node(None, node.origin)
    if isinstance(root.value, list) or (root.value is None and head == "0"):
        items = list(root.value or [])
        if not _is_index(head, len(items)):
            raise NoPlaceError(f"no item {head!r} in a list of {len(items)}")
        index = int(head)
        below = items[index] if index < len(items) else empty
        items[index : index + 1] = [replace(below, rest, node)]
        return Node(items, root.origin)
    if root.value is not None and not isinstance(root.value, dict):
        raise NoPlaceError(f"{root.kind()} around it, which has no keys")
    mapping = dict(root.value or {})
    mapping[head] = replace(mapping.get(head, empty), rest, node)
    return Node(mapping, root.origin)


def _is_index(part: str, last: int) -> bool:
    return part.isascii() and part.isdecimal() and len(part) < 7 and int(part) <= last
