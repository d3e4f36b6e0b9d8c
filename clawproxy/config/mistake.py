"""What is wrong with a configuration, so that an operator mends all of it in one go."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from attrs import frozen


@frozen
class Mistake:
    """One thing that an operator has to change, with everything needed to find and mend it.

    :ivar file: where it stands: a file's path, ``environment variable NAME``, ``--set``,
        ``--listen``.
    :ivar key: the dotted key; list items by their index (``routes.0.provider``); empty for a
        whole file.
    :ivar found: what stands there; never a secret.
    :ivar expected: what may stand there.
    :ivar nearest: the known key or name that was probably meant.
    :ivar line: the line in the file, from 1.
    """

    file: str
    key: str
    found: str
    expected: str
    nearest: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [where, self.key] if self.key else [where]
        text = f"{': '.join(parts)}: found {self.found}, expected {self.expected}"
        if self.nearest is not None:
            text += f"; did you mean {self.nearest}?"
        return " ".join(text.splitlines())


class ConfigError(Exception):
    """Say every mistake of a configuration at once: ``str()`` gives one line for each.

    :ivar mistakes: all that was found, in the order of the file.
    """

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes: list[Mistake] = list(mistakes)
        super().__init__(self.mistakes)

    def __str__(self) -> str:
        return "\n".join(str(mistake) for mistake in self.mistakes)


def nearest_to(word: str, known: Sequence[str]) -> str | None:
    """Find the known word that was probably meant, or ``None`` where none is anything like it.

    :param word: as it was written.
    :param known: the words that would have been right.
    """
    folded = {name.lower().replace("-", "_"): name for name in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), list(folded), n=1, cutoff=0.5)
    return folded[close[0]] if close else None
