"""Shapes of numbers, each with its unit and its range."""

from __future__ import annotations

from collections.abc import Callable

from clawproxy.config import quantity
from clawproxy.config.shape import Leaf, Reading, silently
from clawproxy.config.tree import Node


class Whole(Leaf[int]):
    """A whole number in a range.

    :param what: what it counts.
    :param least: the smallest that is allowed.
    :param parse: reads a text.
    """

    def __init__(self, what: str, least: int = 0, parse: Callable[[str], int] = int) -> None:
        self.expected = f"{what}: a whole number, {least} or more"
        self._least = least
        self._parse = parse

    def convert(self, node: Node, reading: Reading) -> int:
        match node.value:
            case bool() | None:
                raise ValueError
            case int() as number:
                pass
            case float() as fraction:
                if not fraction.is_integer():
                    raise ValueError
                number = int(fraction)
            case _:
                number = silently(self._parse, node.text)
        if number < self._least:
            raise ValueError
        return number


class Size(Whole):
    """A number of bytes, or a text such as ``32 MiB``.

    :param least: the smallest that is allowed.
    """

    def __init__(self, least: int = 0) -> None:
        super().__init__("bytes", least, quantity.size)
        self.expected = f"bytes: a whole number, {least} or more, or a text such as 32 MiB"


class Number(Leaf[float]):
    """A number in a range, which need not be whole.

    :param what: what it counts.
    :param above: what it has to exceed; ``None`` for 0 or more.
    :param parse: reads a text.
    """

    def __init__(
        self, what: str, above: float | None = None, parse: Callable[[str], float] = float
    ) -> None:
        bound = "0 or more" if above is None else f"more than {above:g}"
        self.expected = f"{what}: a number, {bound}"
        self._above = above
        self._parse = parse

    def convert(self, node: Node, reading: Reading) -> float:
        if node.value is None or isinstance(node.value, bool):
            raise ValueError
        # A number is read from its text too: a YAML integer may be too large for a float.
        number = silently(self._parse if isinstance(node.value, str) else float, node.text)
        bounded = number >= 0 if self._above is None else number > self._above
        if not bounded or number == float("inf"):
            raise ValueError
        return number

    def plain(self, value: float) -> object:
        return int(value) if value.is_integer() else value


class Duration(Number):
    """Seconds, or a text such as ``5m``.

    :param above: what it has to exceed; ``None`` for 0 or more.
    """

    def __init__(self, above: float | None = None) -> None:
        super().__init__("seconds", above, quantity.seconds)
        self.expected += ", or a text such as 5m"
