"""The configuration shown: as the YAML that is in effect, and as the table of all keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import yaml
from attrs import NOTHING, frozen

from clawproxy.config.collection import ListOf, MappingOf, Nullable
from clawproxy.config.model import Config
from clawproxy.config.provider import KINDS, Provider
from clawproxy.config.section import Key, Section, keys_of, plain_fields
from clawproxy.config.shape import Shape


def to_yaml(config: Config) -> str:
    """Give the whole configuration as YAML; every secret in it is masked."""
    return yaml.safe_dump(plain_fields(config), sort_keys=False, allow_unicode=True, width=100)


@frozen
class KeyRow:
    """A key, for the manual.

    :ivar key: dotted; ``NAME`` stands for a name that the operator chooses, ``N`` for an index.
    :ivar expected: what it takes.
    :ivar default: as it would be written in YAML; ``None`` where the key is required.
    :ivar doc: what it does.
    :ivar live: whether SIGHUP is enough after a change.
    :ivar kinds: the kinds of provider that have it; empty where that does not matter.
    """

    key: str
    expected: str
    default: str | None
    doc: str
    live: bool
    kinds: tuple[str, ...] = ()


def key_rows() -> list[KeyRow]:
    """Give all keys in the order of the model."""
    return list(_rows(Config, (), ()))


def _rows(
    section: type[attrs.AttrsInstance], at: tuple[str, ...], kinds: tuple[str, ...]
) -> Iterator[KeyRow]:
    for name, entry in keys_of(section).items():
        path = (*at, name)
        inner = _sections_in(entry.shape)
        if not isinstance(entry.shape, Section):
            default = _default(section, name, entry)
            yield KeyRow(
                ".".join(path),
                entry.shape.expected,
                default,
                entry.doc,
                entry.live,
                entry.kinds or kinds,
            )
        for steps, within, within_kinds in inner:
            yield from _rows(within, (*path, *steps), within_kinds)


def _sections_in(
    shape: Shape[Any],
) -> list[tuple[tuple[str, ...], type[attrs.AttrsInstance], tuple[str, ...]]]:
    """Find the sections below a key, with the path steps to them."""
    match shape:
        case Section():
            return [((), shape.section, ())]
        case ListOf():
            section = getattr(shape.shape, "section", None)
            return [] if section is None else [(("N",), section, ())]
        case MappingOf() if isinstance(shape.shape, Provider):
            classes: dict[Any, tuple[str, ...]] = {}
            for kind, made in KINDS.items():
                classes[made] = (*classes.get(made, ()), kind)
            return [(("NAME",), made, kinds) for made, kinds in classes.items()]
        case Nullable():
            return _sections_in(shape.shape)
    return []


def _default(section: type[attrs.AttrsInstance], name: str, entry: Key) -> str | None:
    default = attrs.fields_dict(section)[name].default
    if default is NOTHING:
        return None
    factory = getattr(default, "factory", None)
    if factory is not None:
        if getattr(default, "takes_self", False):
            return "by its kind"
        default = factory()
    if isinstance(entry.shape, MappingOf) and default:
        return ", ".join(default)
    text = yaml.safe_dump(entry.shape.plain(default), default_flow_style=True, width=10_000)
    return text.removesuffix("\n...\n").strip()
