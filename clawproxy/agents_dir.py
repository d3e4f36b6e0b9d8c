"""Find the definitions of Claude Code's subagents on disk, for :mod:`clawproxy.core.subagents`.

:func:`load` blocks; a service calls it in a thread, at its start and when the config is read again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from clawproxy.core.subagents import Definition, definition

MOST_BYTES = 1 << 20
"""The largest file that is read: a prompt of this size would fill a model's context."""


def load(directories: Iterable[str]) -> tuple[list[Definition], list[str]]:
    """Read all ``*.md`` of the directories, in their order and then by name.

    :param directories: paths; ``~`` is filled in, and one that does not exist holds nothing.
    :return: the definitions, of which the first of a name counts, and a sentence for each file or
        directory that could not be read.
    """
    definitions: list[Definition] = []
    problems: list[str] = []
    for name in directories:
        try:
            directory = Path(name).expanduser()
            files = sorted(entry for entry in directory.iterdir() if entry.suffix == ".md")
        except FileNotFoundError:
            continue
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home to fill in
            problems.append(f"{name} cannot be read: {error}")
            continue
        for file in files:
            try:
                if file.stat().st_size > MOST_BYTES:
                    problems.append(f"{file} is larger than {MOST_BYTES} bytes")
                    continue
                definitions.append(definition(file.read_text("utf-8"), file.stem))
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{file} cannot be read: {error}")
    return definitions, problems
