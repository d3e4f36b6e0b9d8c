"""Environment variables inside values: ``${NAME}`` and ``${NAME:-default}``, as in a shell.

They are filled in after the YAML is parsed, so what a variable holds can never change the
structure of the file. ``$${`` stands for a literal ``${``; a ``$`` that no ``{`` follows is just
a dollar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import evolve

from clawproxy.config.mistake import Mistake
from clawproxy.config.tree import Node, Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ExpansionError(ValueError):
    """A ``${…}`` cannot be filled in.

    :ivar found: what is wrong with it.
    :ivar expected: what would have been right.
    """

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Fill in the variables of one text.

    As with the shell's ``:-``, the default also stands in for a variable that is set but empty,
    and it may hold variables itself. What a variable holds is taken literally.

    :raises ExpansionError: a variable without a default is not set, or a ``${`` is not closed or
        not a name.
    """
    filled, end = _fill(text, 0, environ, nested=False)
    assert end == len(text)
    return filled


def _fill(
    text: str, start: int, environ: Mapping[str, str], *, nested: bool, live: bool = True
) -> tuple[str, int]:
    """Fill in from ``start`` to the end, or when nested to the ``}`` that closes a default.

    :param live: false inside a default that is not used, where an unset variable is no mistake.
    """
    out: list[str] = []
    at = start
    while at < len(text):
        if text.startswith("$${", at):
            out.append("${")
            at += 3
        elif text.startswith("${", at):
            value, at = _variable(text, at, environ, live)
            out.append(value)
        elif nested and text[at] == "}":
            return "".join(out), at
        else:
            out.append(text[at])
            at += 1
    if nested:
        raise ExpansionError("a ${ that is not closed", "${NAME}, ${NAME:-default}, or $${ for ${")
    return "".join(out), at


def _variable(text: str, at: int, environ: Mapping[str, str], live: bool) -> tuple[str, int]:
    name = _NAME.match(text, at + 2)
    if name is not None and text.startswith("}", name.end()):
        value = environ.get(name.group())
        if value is None and live:
            raise ExpansionError(
                f"${{{name.group()}}}, which is not set",
                f"a variable that is set, or a default: ${{{name.group()}:-…}}",
            )
        return value or "", name.end() + 1
    if name is not None and text.startswith(":-", name.end()):
        value = environ.get(name.group())
        default, end = _fill(text, name.end() + 2, environ, nested=True, live=live and not value)
        return value or default, end + 1
    raise ExpansionError("a ${ that no name follows", "${NAME}, ${NAME:-default}, or $${ for ${")


def expand_tree(
    node: Node, environ: Mapping[str, str], mistakes: list[Mistake], path: Path = ()
) -> Node:
    """Fill in the variables of every text in a tree, noting what cannot be filled in."""
    match node.value:
        case dict() as mapping:
            filled = {
                key: expand_tree(item, environ, mistakes, (*path, key))
                for key, item in mapping.items()
            }
            return evolve(node, value=filled)
        case list() as items:
            return evolve(
                node,
                value=[
                    expand_tree(item, environ, mistakes, (*path, str(index)))
                    for index, item in enumerate(items)
                ],
            )
        case str() as text if "${" in text:
            try:
                value = expand(text, environ)
            except ExpansionError as error:
                mistakes.append(
                    Mistake(
                        node.origin.file,
                        ".".join(path),
                        error.found,
                        error.expected,
                        line=node.origin.line,
                    )
                )
                return node
            return evolve(node, value=value, text=value)
    return node
