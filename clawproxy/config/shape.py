"""The seam between what was written and what is meant: each key has a shape that reads its value.

A shape says in ``expected`` what it takes; that one sentence is the error message, the
documentation and the comment in the example file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Generic, TypeVar

from attrs import Factory, define

from clawproxy.config.mistake import Mistake
from clawproxy.config.tree import Node, Origin, Path

T = TypeVar("T")


class Unfit(Exception):
    """A value was wrong and its mistake is noted; who needs the value gives up as well."""


@define
class Reading:
    """What is noted while a tree is read.

    :ivar home: stands for ``~`` in paths.
    :ivar mistakes: all so far.
    """

    home: FilePath
    mistakes: list[Mistake] = Factory(list)

    def note(
        self, origin: Origin, at: Path, found: str, expected: str, nearest: str | None = None
    ) -> Unfit:
        """Note a mistake, and give the exception for whoever cannot go on without the value.

        What is already known to be wrong, as a variable that is not set, is not noted again.
        """
        key = ".".join(at)
        mistake = Mistake(origin.file, key, found, expected, nearest, origin.line)
        place = (mistake.file, mistake.key, mistake.line)
        if place not in {(other.file, other.key, other.line) for other in self.mistakes}:
            self.mistakes.append(mistake)
        return Unfit(key)


class Shape(ABC, Generic[T]):
    """What a key may hold.

    :ivar expected: what it takes, in words that follow "expected".
    """

    expected: str

    @abstractmethod
    def read(self, node: Node, at: Path, reading: Reading) -> T:
        """Read a value.

        :raises Unfit: it is wrong, and every mistake in it is noted.
        """

    def plain(self, value: T) -> object:
        """Give a value back as YAML could hold it, without its secrets."""
        return value

    def settle(self, default: T, reading: Reading) -> T:
        """Make a default fit this machine, as reading does with what is written."""
        return default


class Leaf(Shape[T]):
    """A shape of one scalar. Where a list or a mapping stands instead, only that is said of it."""

    def read(self, node: Node, at: Path, reading: Reading) -> T:
        found = node.kind()
        if not isinstance(node.value, dict | list):
            try:
                return self.convert(node, reading)
            except ValueError as error:
                found = self.shown(node)
                why = f" ({error})" if error.args and str(error) else ""
                expected, nearest = self.expected + why, self.nearest(node)
                raise reading.note(node.origin, at, found, expected, nearest) from None
        raise reading.note(node.origin, at, found, self.expected)

    @abstractmethod
    def convert(self, node: Node, reading: Reading) -> T:
        """Turn a scalar into the value.

        :raises ValueError: it is wrong; its text, if any, says why.
        """

    def nearest(self, node: Node) -> str | None:
        """Give what was probably meant, where that can be told."""
        return None

    def shown(self, node: Node) -> str:
        """Word what stands there."""
        if node.value is None:
            return "null"
        if isinstance(node.value, str):
            return quoted(node.value)
        return node.text


def quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "…")


def text_of(node: Node) -> str:
    """Give a scalar's text as written, which for an unquoted date or number is what was meant.

    :raises ValueError: it is null or a truth value.
    """
    if node.value is None or isinstance(node.value, bool):
        raise ValueError
    return node.text


class Flag(Leaf[bool]):
    """True or false; in a text, such as an environment variable, also ``1``, ``yes``, ``on``."""

    expected = "true or false"
    _words: Mapping[str, bool] = {
        **dict.fromkeys(("true", "yes", "on", "1", "t", "y"), True),
        **dict.fromkeys(("false", "no", "off", "0", "f", "n"), False),
    }

    def convert(self, node: Node, reading: Reading) -> bool:
        if isinstance(node.value, bool):
            return node.value
        if not isinstance(node.value, str) or node.value.strip().lower() not in self._words:
            raise ValueError
        return self._words[node.value.strip().lower()]


def silently(parse: Callable[[str], T], text: str) -> T:
    """Parse a text; that it is no number is all there is to say."""
    try:
        return parse(text)
    except ValueError:
        raise ValueError from None
