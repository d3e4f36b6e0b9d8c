"""What the tests of the manual share: its pages, and what stands in their code blocks."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.rst"))
ADDRESS = "http://127.0.0.1:8080"


def blocks(language: str, pages: list[Path] = PAGES) -> Iterator[tuple[str, str]]:
    """Give each code block of a language with its page's name."""
    pattern = re.compile(rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", re.M)
    for page in pages:
        for block in pattern.findall(page.read_text()):
            yield page.name, textwrap.dedent(block).strip()


def commands(program: str, pages: list[Path] = PAGES) -> Iterator[tuple[str, list[str]]]:
    """Give what stands behind a prompt and calls a program, as its words, with its page's name."""
    for page, block in blocks("console", pages):
        for command in re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.M):
            words = shlex.split(command.replace("\\\n", " "))
            while words and "=" in words[0]:
                del words[0]
            if "|" in words:
                words = words[words.index("|") + 1 :]
            if words and Path(words[0]).name == program:
                yield page, words[1:]
