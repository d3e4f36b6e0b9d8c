"""Which of Claude Code's subagents is asking: :class:`Subagents` finds its name, and so its model.

1. The header ``x-claude-code-agent-id`` says it, where the client sends it and the mapping has it.
2. Else the prompt of one of the definitions (``.claude/agents/*.md``) stands somewhere in the
   request's ``system``: Claude Code puts blocks before it and notes behind it, differently from
   version to version, so only containment is asked for, and whitespace does not count.

:func:`definition` reads one such file; finding the files is :mod:`clawproxy.agents_dir`'s part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import yaml
from attrs import field, frozen

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_NAME_LINE = re.compile(r"^name[ \t]*:[ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)


@frozen
class Definition:
    """A subagent as a file of ``.claude/agents`` defines it.

    :ivar name: what mappings call it.
    :ivar prompt: its system prompt.
    """

    name: str
    prompt: str


@frozen
class Match:
    """A recognised subagent and the model that it is to be answered by."""

    name: str
    model: str


def definition(text: str, stem: str) -> Definition:
    """Read a definition: YAML front matter with ``name:``, then the prompt.

    Front matter that is not quite YAML is common, since descriptions hold colons and the client
    does not mind; the name is then read from its line.

    :param text: the file's content.
    :param stem: the file's name without ``.md``, for a definition that names itself nothing.
    """
    found = _FRONT_MATTER.match(text)
    if found is None:
        return Definition(stem, text)
    matter = found[1] or ""
    name: object = None
    try:
        loaded = yaml.safe_load(matter)
        if isinstance(loaded, dict):
            name = loaded.get("name")
    except (yaml.YAMLError, ValueError):  # ValueError: a date or number that does not exist
        line = _NAME_LINE.search(matter)
        name = line[1].strip("'\"") if line else None
    return Definition(str(name) if name not in (None, "") else stem, text[found.end() :])


def _folded(text: str) -> str:
    return " ".join(text.split())


def system_text(system: object) -> str:
    """Give all text of a request's ``system``, be it a string or blocks, with whitespace folded.

    :param system: the decoded member of the body; anything else in it is passed over.
    """
    if isinstance(system, str):
        return _folded(system)
    if not isinstance(system, list):
        return ""
    texts = []
    for block in system:
        text = block.get("text") if isinstance(block, dict) else block
        if isinstance(text, str):
            texts.append(_folded(text))
    return " ".join(texts)


@frozen
class Subagents:
    """Recognise subagents whose model is mapped.

    :param mappings: a subagent's name and the model for it.
    :param definitions: what the agents' directories hold; of two with one name the first counts.
    """

    mappings: Mapping[str, str]
    definitions: Iterable[Definition] = ()
    _prompts: tuple[tuple[str, str], ...] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        prompts: dict[str, str] = {}
        for known in self.definitions:
            if known.name in self.mappings:
                prompts.setdefault(known.name, _folded(known.prompt))
        # The longest prompt that is contained is the right one: another may be a part of it.
        ordered = sorted(prompts.items(), key=lambda item: -len(item[1]))
        object.__setattr__(self, "_prompts", tuple(item for item in ordered if item[1]))

    def recognise(self, agent_id: str | None, system: object) -> Match | None:
        """Find out which mapped subagent a request comes from, if any.

        :param agent_id: the value of ``x-claude-code-agent-id``.
        :param system: the body's decoded ``system``.
        """
        if agent_id is not None:
            model = self.mappings.get(agent_id.strip())
            if model is not None:
                return Match(agent_id.strip(), model)
        if not self._prompts or not system:
            return None
        text = system_text(system)
        for name, prompt in self._prompts:
            if prompt in text:
                return Match(name, self.mappings[name])
        return None
