"""The page of the manual that lists every key, written from the model.

``python -m clawproxy.config.reference > docs/configuration.rst`` writes it; a test says when that
has been forgotten.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby

from clawproxy.config.environment import describe_variables
from clawproxy.config.show import KeyRow, key_rows

_INTRODUCTION = """\
Configuration
=============

.. Written by ``python -m clawproxy.config.reference``; change the model, not this page.

``twistd -n clawproxy`` starts without any configuration. What is to be different goes into a YAML
file, the environment, or options; ``--set`` and ``--listen`` go before the environment, the
environment before the file, the file before the defaults.

The file is the one that ``--config`` names, else ``$CLAWPROXY_CONFIG``, else the first of
``./clawproxy.yaml``, ``~/.config/clawproxy/clawproxy.yaml`` and
``/etc/clawproxy/clawproxy.yaml``. An example with every key, commented, is ``etc/clawproxy.yaml``
in the source.

``clawproxy check`` shows what is in effect, secrets masked, or every mistake with its file, line
and key. It takes the same options::

    clawproxy check --config clawproxy.yaml --set server.drain.timeout=5m --set routes.0.model=gpt-5

Inside values of the file and of ``--set``, ``${NAME}`` is the environment variable ``NAME``,
which has to be set, and ``${NAME:-default}`` has a default. ``$${`` stands for a literal ``${``.

Times are seconds, or texts such as ``5m``, ``1h30m``, ``250ms``. Sizes are bytes, or texts such
as ``32 MiB``.

SIGHUP reads everything again without dropping a connection; keys marked with a † keep their value
until a restart, which the log then says. A wrong file changes nothing, and the log says why.
"""

_PROVIDERS = """\
Keys of a provider depend on its kind. ``anthropic`` and ``openai`` name the dialect that an
upstream speaks over HTTP, whoever runs it. Providers called ``anthropic``, ``openai`` and
``demo`` are there unless they are set to null; a provider that is called like a kind is of that
kind.
"""

_ROUTES = """\
The first route that matches wins. The built-in routes stand behind one's own; ``routes: []``, or
a ``default_provider`` of null beside routes of one's own, keeps them away. With an OpenClaw
provider, its agents' ids and ``openclaw/<agent>`` come before all routes.
"""

_ENVIRONMENT = """\
Where two variables set the same key, the later row wins. An empty variable counts as not set.
Setting the gateway's token or URL is enough to have the provider ``openclaw``.
"""


def to_rst() -> str:
    """Write the page."""
    parts = [_INTRODUCTION]
    rows = [row for row in key_rows() if row.key != "providers"]
    for section, group in groupby(rows, key=lambda row: row.key.partition(".")[0]):
        parts.append(_title(section))
        if section == "providers":
            parts.append(_PROVIDERS)
            for kinds, of_kind in groupby(_by_class(group), key=_kinds):
                parts.append(_title(f"kind: {kinds}", "~"))
                parts.append(_table(of_kind))
            continue
        if section == "routes":
            parts.append(_ROUTES)
        parts.append(_table(group))
    parts += [_title("Environment"), _ENVIRONMENT, _environment()]
    return "\n".join(parts)


def _by_class(rows: Iterable[KeyRow]) -> Iterable[KeyRow]:
    """Leave out the rows that only say what kind the table is of."""
    return [row for row in rows if not row.key.endswith(".kind")]


def _kinds(row: KeyRow) -> str:
    http = {"anthropic", "openai"}
    return "anthropic, openai" if set(row.kinds) <= http else ", ".join(row.kinds)


def _title(text: str, line: str = "-") -> str:
    return f"{text}\n{line * len(text)}\n"


def _table(rows: Iterable[KeyRow]) -> str:
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 25 20 55",
        "",
        "   * - Key",
        "     - Default",
        "     - What it does",
    ]
    for row in rows:
        only = f" Only {row.kinds[0]}." if row.kinds in (("anthropic",), ("openai",)) else ""
        lines += [
            f"   * - ``{row.key.removeprefix('providers.NAME.')}``{'' if row.live else ' †'}",
            f"     - {_shown(row.default)}",
            f"     - {_escaped(row.doc)}{only} {_sentence(row.expected)}",
        ]
    return "\n".join(lines) + "\n"


def _shown(default: str | None) -> str:
    if default is None:
        return "*required*"
    if default == "by its kind":
        return "by its kind"
    return f"``{default}``" if len(default) <= 50 else "see the example file"


def _sentence(text: str) -> str:
    return f"*{_escaped(text[0].upper() + text[1:])}.*"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("|", "\\|").replace("`", "``")


def _environment() -> str:
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 35 35 30",
        "",
        "   * - Variable",
        "     - Key",
        "     - Remark",
    ]
    for name, key, doc in describe_variables():
        lines += [f"   * - ``{name}``", f"     - ``{key}``" if key else "     -"]
        lines.append(f"     - {_escaped(doc)}".rstrip())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(to_rst())
