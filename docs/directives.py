"""Tables that are made from the program, so that the manual cannot say anything else than what it does.

``errors``, ``paths``, ``metrics`` and ``usage`` are directives for Sphinx; each writes reST of the program's own
tables, which is then read like any other.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import attrs
from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.nodes import nested_parse_with_titles

from clawproxy import cli
from clawproxy.assembly import _recorder_numbers
from clawproxy.core.errors import Kind
from clawproxy.metrics import Collector, Counts
from clawproxy.store.journal_state import JournalState
from clawproxy.web.openapi_document import document
from clawproxy.web.openapi_fault import REASONS

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row], widths: str) -> Iterator[str]:
    """Write a table in reST."""
    yield from (".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", "")
    for row in (head, *rows):
        for index, cell in enumerate(row):
            yield f"   {'* -' if index == 0 else '  -'} {cell}".rstrip()
    yield ""


def literal(text: str) -> str:
    """Write text as code."""
    return f"``{text}``" if text else ""


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop; names of fields become code."""
    words = " ".join(
        literal(word) if "_" in word.strip(",.;()") and word == word.strip(",.;()") else word
        for word in text.replace("*", r"\*").split(" ")
    )
    return f"{words[:1].upper()}{words[1:]}."


class Generated(Directive):
    """Reads what :meth:`lines` writes."""

    option_spec: ClassVar[dict[str, Any]] = {}

    def lines(self) -> Iterator[str]:
        """Write reST."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Give what was written as nodes."""
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList(list(self.lines()), source=self.name), node)
        return node.children


class Errors(Generated):
    """Every kind of error: those of the proxy, or with ``:relayed:`` those that only upstreams tell."""

    option_spec: ClassVar[dict[str, Any]] = {"relayed": directives.flag}

    def lines(self) -> Iterator[str]:
        """Write the table."""
        relayed = "relayed" in self.options
        rows = [
            (
                sentence(REASONS[kind].when),
                str(kind.status),
                literal(kind.anthropic_type),
                literal(kind.openai_code or ""),
            )
            for kind in Kind
            if REASONS[kind].relayed == relayed
        ]
        return table(
            ("What happened", "Status", "Anthropic's type", "OpenAI's code"), rows, "46 8 23 23"
        )


class Paths(Generated):
    """The paths with a tag of the API's description."""

    required_arguments = 1
    final_argument_whitespace = True

    def lines(self) -> Iterator[str]:
        """Write the table."""
        tags = set(self.arguments[0].split())
        rows = []
        for path, item in document()["paths"].items():
            told = [
                (method.upper(), operation["summary"])
                for method, operation in item.items()
                if method not in ("parameters", "head") and tags & set(operation["tags"])
            ]
            for summary, group in groupby(told, key=lambda each: each[1]):
                methods = ", ".join(method for method, _ in group)
                rows.append((literal(f"{methods} {path}"), f"{summary}."))
        return table(("Path", "What it does"), rows, "45 55")


class Metrics(Generated):
    """Every metric of ``/metrics``."""

    def lines(self) -> Iterator[str]:
        """Write the table."""
        zeros: Any = dict.fromkeys((each.name for each in attrs.fields(JournalState)), 0)
        journal = JournalState(**zeros)
        state = SimpleNamespace(journal=journal, indexer_running=True, indexer_restarts=0)
        recording = cast(Any, SimpleNamespace(state=state))
        collector = Collector(
            Counts(), lambda: 0, lambda: False, dict, lambda: _recorder_numbers(recording)
        )
        rows = []
        for family in collector.collect():
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(literal(label) for label in getattr(family, "_labelnames", ()))
            rows.append((literal(name), family.type, labels, family.documentation))
        return table(("Metric", "Type", "Labels", "What it counts"), rows, "36 12 24 28")


class Usage(Generated):
    """What ``clawproxy COMMAND --help`` prints."""

    def lines(self) -> Iterator[str]:
        """Write the help of all commands."""
        root = cli.parser()
        root.prog = "clawproxy"
        for parser in _all(root):
            if parser is not root and parser._subparsers is None:
                yield from (".. code-block:: text", "")
                yield from (f"   {line}".rstrip() for line in parser.format_help().splitlines())
                yield ""


def _all(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _all(child)


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the directives."""
    for name, directive in (
        ("errors", Errors),
        ("paths", Paths),
        ("metrics", Metrics),
        ("usage", Usage),
    ):
        app.add_directive(name, directive)
    return {"parallel_read_safe": True}
