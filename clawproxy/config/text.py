"""Shapes of texts: plain ones, words from a list, secrets, and paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath

from clawproxy.config.mistake import nearest_to
from clawproxy.config.shape import Leaf, Reading, quoted, text_of
from clawproxy.config.tree import Node
from clawproxy.core.secret import MASK, Secret


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
            quoted(self._mask(node.value)) if isinstance(node.value, str) else super().shown(node)
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

    def nearest(self, node: Node) -> str | None:
        return nearest_to(node.value, self.words) if isinstance(node.value, str) else None

    def convert(self, node: Node, reading: Reading) -> str:
        text = text_of(node).strip().lower()
        text = self._synonyms.get(text, text)
        if text not in self.words:
            raise ValueError
        return text


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
        if text == MASK:
            raise ValueError("it is the mask that stands for a secret wherever one is shown")
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

    def settle(self, default: str, reading: Reading) -> str:
        return tilde(default, reading.home)


def tilde(path: str, home: FilePath) -> str:
    """Put the home directory in the place of a leading ``~/``; other users' are left alone."""
    return str(home / path[2:]) if path.startswith("~/") else str(home) if path == "~" else path
