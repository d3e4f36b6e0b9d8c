"""What a reload may change while connections are open, and what has to wait for a restart.

Each key says so itself (``live`` in its :class:`~clawproxy.config.section.Key`): sockets that are
open, and the store with its processes, stay as they are.
"""

from __future__ import annotations

from typing import TypeVar

import attrs
from attrs import evolve

from clawproxy.config.model import Config
from clawproxy.config.section import Section, keys_of

S = TypeVar("S", bound=attrs.AttrsInstance)


def keep(old: Config, new: Config) -> Config:
    """Give the new configuration with the old values of all keys that need a restart."""
    return _keep(old, new)


def _keep(old: S, new: S) -> S:
    changes: dict[str, object] = {}
    for name, entry in keys_of(type(new)).items():
        if isinstance(entry.shape, Section):
            changes[name] = _keep(getattr(old, name), getattr(new, name))
        elif not entry.live:
            changes[name] = getattr(old, name)
    changed: S = evolve(new, **changes)  # type: ignore[misc]
    return changed


def ignored(old: Config, new: Config) -> list[str]:
    """Say, for the log, which changes take effect only after a restart.

    :returns: a sentence for each key; without secrets.
    """
    return list(_ignored(old, new, ""))


def _ignored(old: attrs.AttrsInstance, new: attrs.AttrsInstance, at: str) -> list[str]:
    found: list[str] = []
    for name, entry in keys_of(type(new)).items():
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(entry.shape, Section):
            found += _ignored(before, after, f"{at}{name}.")
        elif not entry.live and before != after:
            shown, wanted = entry.shape.plain(before), entry.shape.plain(after)
            found.append(
                f"{at}{name} stays {shown!r} until a restart (now {wanted!r} in the config)"
            )
    return found
