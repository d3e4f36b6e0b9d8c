"""Reads a Dockerfile: its stages and instructions, in their order."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines joined.

    :ivar flags: ``--name=value`` before the arguments.
    """

    name: str
    arguments: str
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def exec_form(self) -> list[str] | None:
        """The words of the JSON form, ``None`` for the shell's."""
        return json.loads(self.arguments) if self.arguments.startswith("[") else None


@dataclass
class Stage:
    """What follows one ``FROM``."""

    image: str
    name: str | None
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """The instructions of that name."""
        return [each for each in self.instructions if each.name == name]

    def one(self, name: str) -> Instruction:
        """The instruction of that name, which must be there just once."""
        [found] = self.all(name)
        return found


def parse(text: str) -> list[Stage]:
    """Take a Dockerfile apart."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        flags = {}
        while match := re.match(r"--([a-z-]+)=(\S+)\s*", rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        if name == "FROM":
            image, _, alias = rest.partition(" AS ")
            stages.append(Stage(image, alias or None))
        else:
            stages[-1].instructions.append(Instruction(name, rest.strip(), flags))
    return stages
