"""Sections: mappings with known keys, read into frozen attrs classes.

Each field of such a class carries a :class:`Key` in its metadata. This one table drives the
reading, the error messages, ``clawproxy check``, the reload and the documentation, so that none
can disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import attrs
from attrs import NOTHING, frozen

from clawproxy.config.mistake import nearest_to
from clawproxy.config.shape import Reading, Shape, Unfit
from clawproxy.config.tree import Node, Path

S = TypeVar("S", bound=attrs.AttrsInstance)

_METADATA = "clawproxy.config.key"


@frozen
class Key:
    """What is known of a key.

    :ivar shape: what it may hold.
    :ivar doc: what it does, in one or two sentences.
    :ivar live: whether a change takes effect on SIGHUP; otherwise it needs a restart.
    :ivar kinds: the kinds of provider that have it; empty for all.
    :ivar formerly: what other programs call it; someone who writes that is told the name here.
    """

    shape: Shape[Any]
    doc: str
    live: bool = True
    kinds: tuple[str, ...] = ()
    formerly: tuple[str, ...] = ()


def described(
    shape: Shape[Any],
    doc: str,
    *,
    live: bool = True,
    kinds: tuple[str, ...] = (),
    formerly: tuple[str, ...] = (),
) -> dict[str, Key]:
    """Give the metadata of a field: ``field(default=1, metadata=described(Whole("…"), "…"))``."""
    return {_METADATA: Key(shape, doc, live, kinds, formerly)}


@cache
def keys_of(section: type[attrs.AttrsInstance], kind: str = "") -> Mapping[str, Key]:
    """Give the keys of a section in their order.

    :param kind: leave out those that a provider of this kind does not have.
    """
    found: dict[str, Key] = {}
    for name, field in attrs.fields_dict(section).items():
        entry = field.metadata.get(_METADATA)
        if isinstance(entry, Key) and (not kind or not entry.kinds or kind in entry.kinds):
            found[name] = entry
    return found


def read_fields(
    section: type[attrs.AttrsInstance], node: Node, at: Path, reading: Reading, kind: str = ""
) -> tuple[dict[str, Any], bool]:
    """Read the keys of a section that are there.

    :returns: the good values and settled defaults, and whether all was good.
    """
    keys = keys_of(section, kind)
    mapping = node.value if isinstance(node.value, dict) else {}
    values: dict[str, Any] = {}
    good = True
    if not isinstance(node.value, dict) and node.value is not None:
        reading.note(node.origin, at, node.kind(), f"a mapping with {', '.join(keys)}")
        return values, False
    for name, item in mapping.items():
        if name not in keys:
            _note_unknown(section, name, item, at, reading, kind)
            good = False
            continue
        try:
            values[name] = keys[name].shape.read(item, (*at, name), reading)
        except Unfit:
            good = False
    for name, entry in keys.items():
        if name in mapping:
            continue
        default = attrs.fields_dict(section)[name].default
        if default is NOTHING:
            reading.note(node.origin, (*at, name), "nothing", entry.shape.expected)
            good = False
        elif not hasattr(default, "factory"):
            values[name] = entry.shape.settle(default, reading)
    return values, good


def _note_unknown(
    section: type[attrs.AttrsInstance],
    name: str,
    item: Node,
    at: Path,
    reading: Reading,
    kind: str,
) -> None:
    keys = keys_of(section, kind)
    meant = next((known for known, entry in keys.items() if name in entry.formerly), None)
    meant = meant or nearest_to(name, list(keys))
    expected = f"one of {', '.join(keys)}"
    elsewhere = keys_of(section).get(name)
    if elsewhere is not None:
        expected = f"it only in a provider of kind {' or '.join(elsewhere.kinds)}"
    found = f"an unknown key {name!r}" if elsewhere is None else f"a key that kind {kind} has not"
    reading.note(
        item.origin, (*at, name), found, expected, None if meant is None else ".".join((*at, meant))
    )


class Section(Shape[S]):
    """A mapping with known keys; where it is missing or empty, everything has its default.

    :param section: the class.
    """

    def __init__(self, section: type[S]) -> None:
        self.section = section

    @property
    def expected(self) -> str:  # type: ignore[override]
        """The keys, as they are only known when the class is complete."""
        return f"a mapping with {', '.join(keys_of(self.section))}"

    def read(self, node: Node, at: Path, reading: Reading) -> S:
        values, good = read_fields(self.section, node, at, reading)
        if not good:
            raise Unfit(".".join(at))
        return self.section(**values)

    def plain(self, value: S) -> object:
        return plain_fields(value)

    def settle(self, default: S, reading: Reading) -> S:
        settled: S = attrs.evolve(  # type: ignore[misc]
            default,
            **{
                name: entry.shape.settle(getattr(default, name), reading)
                for name, entry in keys_of(self.section).items()
            },
        )
        return settled


def plain_fields(value: attrs.AttrsInstance, kind: str = "") -> dict[str, object]:
    """Give a section back as a plain mapping without its secrets."""
    return {
        name: entry.shape.plain(getattr(value, name))
        for name, entry in keys_of(type(value), kind).items()
    }
