"""Is a request one that the vendor's SDK could have been typed to send?

:func:`faults` compares JSON with the SDK's ``TypedDict`` parameters, strictly: missing required
members, members that the type does not have, and values of other types are all faults. Pydantic
would read the ``Iterable`` members of these types lazily, which hides what is wrong inside them.
"""

from __future__ import annotations

import collections.abc
import typing
from functools import cache
from typing import Any

import typing_extensions

_SCALARS: dict[type, Any] = {str: str, bool: bool, int: int, float: (int, float)}
_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)


def faults(value: Any, kind: Any, path: str = "$") -> list[str]:
    """Tell what is wrong with a value; nothing is an empty list.

    :param kind: an annotation of the SDK's.
    """
    kind = _bare(kind)
    if kind is Any or kind is object:
        return []
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        known = typing.get_args(kind)
        return [] if value in known else [f"{path}: {_short(value)} is none of {known}"]
    if typing_extensions.is_typeddict(kind):
        return _of_members(value, kind, path)
    if isinstance(kind, type) and kind in _SCALARS:
        right = isinstance(value, _SCALARS[kind]) and (kind is bool or not isinstance(value, bool))
        return [] if right else [f"{path}: {_short(value)} is no {kind.__name__}"]
    if kind is None or kind is type(None):
        return [] if value is None else [f"{path}: {_short(value)} is not null"]
    arguments = typing.get_args(kind)
    if origin in (dict, collections.abc.Mapping):
        if not isinstance(value, dict):
            return [f"{path}: no object"]
        return [f for k, v in value.items() for f in faults(v, arguments[1], f"{path}.{k}")]
    if origin in _LISTS or getattr(origin, "__name__", "") == "SequenceNotStr":
        if not isinstance(value, list):
            return [f"{path}: no array"]
        return [f for i, v in enumerate(value) for f in faults(v, arguments[0], f"{path}[{i}]")]
    if arguments and not isinstance(kind, type):
        return _of_union(value, arguments, path)
    return [f"{path}: {kind} is not one of the types that requests are made of"]


def _bare(kind: Any) -> Any:
    wrappers = (typing.Annotated, typing_extensions.Required, typing_extensions.NotRequired)
    while typing.get_origin(kind) in (*wrappers, typing.Required, typing.NotRequired):
        kind = typing.get_args(kind)[0]
    return kind


@cache
def _members(kind: Any) -> dict[str, Any]:
    return typing_extensions.get_type_hints(kind, include_extras=True)


def _of_members(value: Any, kind: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: no object"]
    members = _members(kind)
    found = [f"{path}: {name} is missing" for name in kind.__required_keys__ - value.keys()]
    for name, each in value.items():
        if name not in members:
            found.append(f"{path}: {kind.__name__} has no {name}")
        else:
            found += faults(each, members[name], f"{path}.{name}")
    return found


def _of_union(value: Any, kinds: tuple[Any, ...], path: str) -> list[str]:
    tried = [faults(value, kind, path) for kind in kinds]
    # Of several kinds, the one that fits at the top tells best what is wrong below.
    return min(tried, key=lambda found: (_own(found, path), len(found)))


def _own(found: list[str], path: str) -> int:
    return sum(fault.startswith((f"{path}:", f"{path}.type:", f"{path}.role:")) for fault in found)


def _short(value: Any) -> str:
    return repr(value)[:60]
