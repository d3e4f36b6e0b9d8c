"""Shapes around other shapes: what may be null, lists, and mappings with free keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from clawproxy.config.shape import Leaf, Reading, Shape, T, Unfit, quoted
from clawproxy.config.tree import Node, Path


class Nullable(Shape[T | None]):
    """A value that may be null; a variable that was empty counts as null too.

    :param shape: of the value.
    :param meaning: what null means, in words.
    """

    def __init__(self, shape: Shape[T], meaning: str) -> None:
        self.shape = shape
        self.expected = f"{shape.expected}, or null: {meaning}"

    def read(self, node: Node, at: Path, reading: Reading) -> T | None:
        if node.value is None or node.value == "":
            return None
        return self.shape.read(node, at, reading)

    def plain(self, value: T | None) -> object:
        return None if value is None else self.shape.plain(value)

    def settle(self, default: T | None, reading: Reading) -> T | None:
        return None if default is None else self.shape.settle(default, reading)


class ListOf(Shape[tuple[T, ...]]):
    """A list; a single text stands for a list of one.

    :param shape: of each item.
    :param least: how many items it needs.
    """

    def __init__(self, shape: Shape[T], least: int = 0) -> None:
        self.shape = shape
        self._least = least
        some = "a list of one or more" if least else "a list"
        self.expected = f"{some}, each {shape.expected}"

    def read(self, node: Node, at: Path, reading: Reading) -> tuple[T, ...]:
        items: Sequence[Node]
        match node.value:
            case list() as items:
                pass
            case str() if node.value and isinstance(self.shape, Leaf):
                return (self.shape.read(node, at, reading),)
            case _:
                raise reading.note(node.origin, at, node.kind(), self.expected)
        if len(items) < self._least:
            raise reading.note(node.origin, at, "an empty list", self.expected)
        values: list[T] = []
        for index, item in enumerate(items):
            try:
                values.append(self.shape.read(item, (*at, str(index)), reading))
            except Unfit:
                continue
        if len(values) < len(items):
            raise Unfit(".".join(at))
        return tuple(values)

    def plain(self, value: tuple[T, ...]) -> object:
        return [self.shape.plain(item) for item in value]

    def settle(self, default: tuple[T, ...], reading: Reading) -> tuple[T, ...]:
        return tuple(self.shape.settle(item, reading) for item in default)


class MappingOf(Shape[Mapping[str, T]]):
    """A mapping whose keys the operator chooses.

    :param key: what the keys are, in words.
    :param shape: of each value.
    :param check: raises :exc:`ValueError` with the reason where a key cannot be.
    """

    def __init__(
        self, key: str, shape: Shape[T], check: Callable[[str], object] | None = None
    ) -> None:
        self.key = key
        self.shape = shape
        self.check = check
        self.expected = f"a mapping from {key} to {shape.expected}"

    def read(self, node: Node, at: Path, reading: Reading) -> Mapping[str, T]:
        if node.value is None:
            return {}
        if not isinstance(node.value, dict):
            raise reading.note(node.origin, at, node.kind(), self.expected)
        values: dict[str, T] = {}
        for key, item in node.value.items():
            try:
                if self.check is not None:
                    self.check(key)
                values[key] = self.shape.read(item, (*at, key), reading)
            except ValueError as error:
                reading.note(item.origin, (*at, key), quoted(key), f"{self.key} ({error})")
            except Unfit:
                continue
        if len(values) < len(node.value):
            raise Unfit(".".join(at))
        return values

    def plain(self, value: Mapping[str, T]) -> object:
        return {key: self.shape.plain(item) for key, item in value.items()}
