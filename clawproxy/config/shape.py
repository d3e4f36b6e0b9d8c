"""Shapes of single values: how each is read from what was written, and shown again.

A shape says in ``expected`` what it takes; that one sentence is the error message, the
documentation and the comment in the example file.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Generic, TypeVar

from attrs import Factory, define

from clawproxy.config import quantity
from clawproxy.config.mistake import Mistake
from clawproxy.config.tree import Node, Origin, Path
from clawproxy.core.secret import MASK, Secret

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
        """Note a mistake, and give the exception for whoever cannot go on without the value."""
        self.mistakes.append(
            Mistake(origin.file, ".".join(at), found, expected, nearest, origin.line)
        )
        return Unfit(".".join(at))


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
                raise reading.note(node.origin, at, found, self.expected + why) from None
        raise reading.note(node.origin, at, found, self.expected)

    @abstractmethod
    def convert(self, node: Node, reading: Reading) -> T:
        """Turn a scalar into the value.

        :raises ValueError: it is wrong; its text, if any, says why.
        """

    def shown(self, node: Node) -> str:
        """Word what stands there."""
        if node.value is None:
            return "null"
        if isinstance(node.value, str):
            return _quoted(node.value)
        return node.text


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "…")


def text_of(node: Node) -> str:
    """Give a scalar's text as written, which for an unquoted date or number is what was meant.

    :raises ValueError: it is null or a truth value.
    """
    if node.value is None or isinstance(node.value, bool):
        raise ValueError
    return node.text


class Text(Leaf[str]):
    """A text that is not empty.

    :param expected: in words.
    :param check: gives the text in its normal form, or raises :exc:`ValueError` with the reason.
    :param mask: makes it fit for showing, where it may hold a secret.
    """

    def __init__(
        self,
        expected: str = "text",
        check: Callable[[str], str] | None = None,
        mask: Callable[[str], str] = str,
    ) -> None:
        self.expected = expected
        self._check = check
        self._mask = mask

    def convert(self, node: Node, reading: Reading) -> str:
        text = text_of(node)
        if not text.strip():
            raise ValueError
        return text if self._check is None else self._check(text)

    def shown(self, node: Node) -> str:
        return (
            _quoted(self._mask(node.value)) if isinstance(node.value, str) else super().shown(node)
        )

    def plain(self, value: str) -> object:
        return self._mask(value)


class Choice(Leaf[str]):
    """One of a few words.

    :param words: the words.
    :param synonyms: further spellings and the word each stands for.
    """

    def __init__(self, *words: str, synonyms: Mapping[str, str] | None = None) -> None:
        self.words = words
        self.expected = f"one of {', '.join(words)}"
        self._synonyms = synonyms or {}

    def convert(self, node: Node, reading: Reading) -> str:
        text = text_of(node).strip().lower()
        text = self._synonyms.get(text, text)
        if text not in self.words:
            raise ValueError
        return text


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
                number = _silently(self._parse, node.text)
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
        number = _silently(self._parse if isinstance(node.value, str) else float, node.text)
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


def _silently(parse: Callable[[str], T], text: str) -> T:
    """Parse a text; that it is no number is all there is to say."""
    try:
        return parse(text)
    except ValueError:
        raise ValueError from None


class SecretText(Leaf[Secret]):
    """A key, token or password: never shown, in no message.

    :param header_safe: it travels in a header, so that only printable ASCII is possible; spaces
        around it, as a file's last newline, are dropped.
    """

    def __init__(self, expected: str, *, header_safe: bool = True) -> None:
        self.expected = expected
        self._header_safe = header_safe

    def convert(self, node: Node, reading: Reading) -> Secret:
        text = text_of(node)
        if self._header_safe:
            text = text.strip()
            if re.search(r"[^\x20-\x7e]", text):
                raise ValueError("only printable ASCII can be sent in a header")
        if not text:
            raise ValueError("it is empty")
        return Secret(text)

    def shown(self, node: Node) -> str:
        return "null" if node.value is None else MASK

    def plain(self, value: Secret) -> object:
        return MASK


class FileName(Leaf[str]):
    """A path, in which ``~`` is the home directory.

    :param what: what lies there.
    """

    def __init__(self, what: str) -> None:
        self.expected = f"the path of {what}"

    def convert(self, node: Node, reading: Reading) -> str:
        text = text_of(node)
        if not text.strip() or "\0" in text:
            raise ValueError
        return tilde(text, reading.home)


def tilde(path: str, home: FilePath) -> str:
    """Put the home directory in the place of a leading ``~/``; other users' are left alone."""
    return str(home / path[2:]) if path.startswith("~/") else str(home) if path == "~" else path


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
                reading.note(item.origin, (*at, key), _quoted(key), f"{self.key} ({error})")
            except Unfit:
                continue
        if len(values) < len(node.value):
            raise Unfit(".".join(at))
        return values

    def plain(self, value: Mapping[str, T]) -> object:
        return {key: self.shape.plain(item) for key, item in value.items()}
