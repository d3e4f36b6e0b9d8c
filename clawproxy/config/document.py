"""A YAML document as a tree of nodes that know their lines.

Only what :func:`yaml.safe_load` takes is taken, less two traps: a key that stands twice in a
mapping is a mistake (YAML 1.2 section 3.2.1.3; PyYAML lets the last one win), and a scalar keeps
its text, so that a date or a version number can still be read as what was written.
"""

from __future__ import annotations

import re
from typing import cast

import yaml

from clawproxy.config.mistake import ConfigError, Mistake
from clawproxy.config.tree import Node, Origin, Scalar

_PREFIX = "tag:yaml.org,2002:"

_TAGS: dict[type[yaml.Node], frozenset[str]] = {
    yaml.MappingNode: frozenset(_PREFIX + name for name in ("map", "set")),
    yaml.SequenceNode: frozenset(_PREFIX + name for name in ("seq", "omap", "pairs")),
}
"""The tags of collections that :func:`yaml.safe_load` knows."""

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def parse(text: str, file: str, mistakes: list[Mistake] | None = None) -> Node:
    """Read a document; an empty one is an empty mapping.

    :param file: what its mistakes and origins call it.
    :param mistakes: takes those in spite of which the rest can be read, so that all can be told at
        once; without it they are raised.
    :raises ConfigError: it is not YAML, or its top level is no mapping.
    """
    root = parse_value(text, file, mistakes)
    if root.value is None:
        return Node({}, Origin(file))
    if not isinstance(root.value, dict):
        raise ConfigError([Mistake(file, "", root.kind(), "a mapping at the top level", line=1)])
    return root


def parse_value(text: str, file: str, mistakes: list[Mistake] | None = None) -> Node:
    """Read a document of any type.

    :param file: what its mistakes and origins call it.
    :param mistakes: as for :func:`parse`.
    :raises ConfigError: it is not YAML.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            composer = _Composer(file, loader)
            node = composer.node(root) if root is not None else Node(None, Origin(file))
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ConfigError([_syntax(error, file)]) from None
    except RecursionError:
        raise ConfigError([Mistake(file, "", "values nested too deeply", "YAML")]) from None
    if mistakes is not None:
        mistakes += composer.mistakes
    elif composer.mistakes:
        raise ConfigError(composer.mistakes)
    return node


def _syntax(error: yaml.YAMLError, file: str) -> Mistake:
    """Word a syntax error without the lines around it: they may hold a key."""
    line = None
    problem = "something that is not YAML"
    if isinstance(error, yaml.MarkedYAMLError):
        if error.problem_mark is not None:
            line = error.problem_mark.line + 1
        words = ": ".join(part for part in (error.context, error.problem) if part)
        problem = _QUOTED.sub(_without_values, words) or problem
    elif isinstance(error, yaml.reader.ReaderError):
        problem = "a character that YAML does not allow"
    return Mistake(file, "", f"a syntax error ({problem})", "YAML", line=line)


def _without_values(quoted: re.Match[str]) -> str:
    """Leave out what stands in quotes, which may be a value; a character or a token's name cannot be."""
    inside = quoted[0][1:-1]
    return quoted[0] if len(inside) < 2 or inside[0] in "<\\" else "'…'"


class _Composer:
    """Turn PyYAML's nodes into ours."""

    def __init__(self, file: str, loader: yaml.SafeLoader) -> None:
        self.mistakes: list[Mistake] = []
        self._file = file
        self._loader = loader
        self._open: set[int] = set()

    def node(self, node: yaml.Node, line: int | None = None, path: tuple[str, ...] = ()) -> Node:
        """Turn one node, and all in it.

        :param line: where its key stands, which is where people look.
        """
        origin = Origin(self._file, node.start_mark.line + 1 if line is None else line)
        if id(node) in self._open:
            self._note(origin, path, "an alias that contains itself", "a value")
            return Node(None, origin)
        self._open.add(id(node))
        if node.tag not in _TAGS.get(type(node), (node.tag,)):
            self._note(origin, path, "a value with a tag of its own", "a plain value")
        try:
            if isinstance(node, yaml.MappingNode):
                return Node(self._mapping(node, path), origin)
            if isinstance(node, yaml.SequenceNode):
                items = [
                    self.node(item, path=(*path, str(index)))
                    for index, item in enumerate(node.value)
                ]
                return Node(items, origin)
            return self._scalar(cast(yaml.ScalarNode, node), origin, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Node]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _PREFIX + "merge":
                if key.value in seen:
                    origin = Origin(self._file, key.start_mark.line + 1)
                    self._note(origin, (*path, key.value), "the same key a second time", "it once")
                seen.add(key.value)
        self._loader.flatten_mapping(node)
        mapping: dict[str, Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                mapping[key.value] = self.node(value, line, (*path, key.value))
            else:
                self._note(Origin(self._file, line), path, "a key that is no text", "a text")
        return mapping

    def _scalar(self, node: yaml.ScalarNode, origin: Origin, path: tuple[str, ...]) -> Node:
        text: str = node.value
        value: Scalar = text
        match node.tag.removeprefix(_PREFIX):
            case "null":
                value = None
            case "bool":
                value = self._loader.construct_yaml_bool(node)
            case "int" | "float" as kind:
                construct = (
                    self._loader.construct_yaml_int
                    if kind == "int"
                    else self._loader.construct_yaml_float
                )
                try:
                    value = construct(node)
                except ValueError:
                    value = text
            case "str" | "timestamp" | "value":
                pass
            case _:
                self._note(origin, path, "a value with a tag of its own", "a plain value")
        return Node(value, origin, text)

    def _note(self, origin: Origin, path: tuple[str, ...], found: str, expected: str) -> None:
        self.mistakes.append(Mistake(self._file, ".".join(path), found, expected, line=origin.line))
