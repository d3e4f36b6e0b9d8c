"""Config files and databases of the two programs that this one descends from, so that their users start with
what they have.

1. :func:`adopt` turns a file that can only be one of theirs into one of ours: the ``config.yaml`` of the recording
   Anthropic proxy (``server.port``, ``server.timeouts``, ``storage.db_path``) or the ``config.json`` of the
   OpenClaw bridge (``httpPort``, ``gatewayUrl``, …). Every other file is left as it is, mistakes included.
2. :func:`spare` keeps the recording proxy's database from being taken for ours.

Their environment names are :mod:`clawproxy.config.environment`'s part.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path as FilePath

from attrs import define, field

from clawproxy.config.tree import Node, Origin, Path, plain, replace

BRIDGE_KEYS = frozenset(
    {
        "httpPort",
        "httpHost",
        "apiKey",
        "gatewayUrl",
        "gatewayToken",
        "defaultModel",
        "verbose",
        "sessionMode",
    }
)
"""The keys of the bridge's ``config.json``; none of them is one of ours."""

_RECORDER_ONLY: tuple[Path, ...] = (
    ("server", "port"),
    ("server", "timeouts"),
    ("storage", "db_path"),
    ("storage", "requests_dir"),
)
"""The keys of the recorder's ``config.yaml`` that are none of ours."""

_SQLITE = "sqlite:"
_COLUMNS = {"id", "timestamp", "method", "endpoint", "headers", "body", "response"}


@define
class _Adoption:
    """A file of ours in the making."""

    tree: Node
    notes: list[str] = field(factory=list)

    def put(self, path: Path, value: Node | object, origin: Origin) -> None:
        node = value if isinstance(value, Node) else plain(value, origin)
        self.tree = replace(self.tree, path, node)


def adopt(written: Node) -> tuple[Node, tuple[str, ...]]:
    """Translate an ancestor's file.

    :param written: the file as it was parsed.
    :returns: the file in our terms, and what its owner should know of it; the file itself and nothing where it is
        none of theirs.
    """
    top = written.value
    if not isinstance(top, dict):
        return written, ()
    if top and set(top) <= BRIDGE_KEYS:
        return _bridge(top, written.origin)
    signs = [path for path in _RECORDER_ONLY if written.find(path) is not None]
    # One of them alone may be a slip in a file of ours, whose writer is better told so.
    return _recorder(written) if len(signs) > 1 else (written, ())


def _bridge(old: dict[str, Node], origin: Origin) -> tuple[Node, tuple[str, ...]]:
    new = _Adoption(Node({}, origin))
    port, host = old.get("httpPort"), old.get("httpHost")
    place = f"tcp:{_text(port, '8080')}:interface={_text(host, '127.0.0.1')}"
    new.put(("server", "listen"), [place.replace(":interface=0.0.0.0", "")], _of(port, origin))
    gateway = ("providers", "openclaw")
    new.put((*gateway, "kind"), "openclaw", origin)
    # What the bridge did where its file said nothing.
    for key, name, default in (
        ("gatewayUrl", "url", "ws://127.0.0.1:19001"),
        ("defaultModel", "default_agent", "dev"),
        ("sessionMode", "session_mode", "passthrough"),
    ):
        new.put((*gateway, name), old.get(key) or default, origin)
    if "gatewayToken" in old:
        new.put((*gateway, "token"), old["gatewayToken"], origin)
    if (key_node := old.get("apiKey")) is not None and key_node.value not in (None, ""):
        new.put(("auth", "api_keys"), Node([key_node], key_node.origin), origin)
    if (verbose := old.get("verbose")) is not None and verbose.value is True:
        new.put(("log", "level"), "debug", verbose.origin)
    routes = [{"match": model, "provider": "openclaw"} for model in ("gpt-4", "gpt-3.5-turbo")]
    new.put(("routes",), routes, origin)
    new.put(("default_provider", "openai"), "openclaw", origin)
    notes = (
        f"{origin.file} is a config.json of the OpenClaw bridge and was understood as such;"
        " `clawproxy check` shows what it amounts to",
    )
    return new.tree, notes


def _recorder(written: Node) -> tuple[Node, tuple[str, ...]]:
    origin = written.origin
    new = _Adoption(_without(written, ("server", "port"), ("server", "timeouts")))
    new.tree = _without(new.tree, ("storage", "db_path"), ("storage", "requests_dir"))
    port = written.find(("server", "port"))
    place = f"tcp:{_text(port, '3001')}:interface=127.0.0.1"
    new.put(("server", "listen"), [place], _of(port, origin))
    idle = written.find(("server", "timeouts", "idle"))
    if idle is not None:
        new.put(("server", "idle_timeout"), idle, origin)
    database = written.find(("storage", "db_path"))
    url = f"{_SQLITE}{_text(database, 'requests.db')}"
    new.put(("storage", "url"), url, _of(database, origin))
    mappings = written.find(("subagents", "mappings"))
    if mappings is not None and mappings.value and written.find(("subagents", "enable")) is None:
        new.put(("subagents", "enable"), True, mappings.origin)
    if written.find(("providers", "anthropic", "max_retries")) is None:
        new.put(("providers", "anthropic", "max_retries"), 3, origin)
    # In their example the section stands there with all its keys commented out; here null is "switched off".
    providers = new.tree.find(("providers",))
    if providers is not None and isinstance(providers.value, dict):
        for name, node in list(providers.value.items()):
            if node.value is None:
                new.tree = _without(new.tree, ("providers", name))
    notes = [
        f"{origin.file} is a config.yaml of claude-code-proxy and was understood as such;"
        " `clawproxy check` shows what it amounts to"
    ]
    notes += [f"{origin.file}: {key} has no effect any more" for key in _unused(written)]
    return new.tree, tuple(notes)


def _unused(written: Node) -> Iterator[str]:
    for path in (
        ("server", "timeouts", "read"),
        ("server", "timeouts", "write"),
        ("storage", "requests_dir"),
    ):
        if written.find(path) is not None:
            yield ".".join(path)


def _text(node: Node | None, default: str) -> str:
    """Give a scalar as it was written."""
    if node is None or node.value in (None, "") or isinstance(node.value, dict | list):
        return default
    return node.text or str(node.value)


def _of(node: Node | None, default: Origin) -> Origin:
    return default if node is None else node.origin


def _without(tree: Node, *paths: Path) -> Node:
    for path in paths:
        *above, name = path
        parent = tree.find(tuple(above))
        if parent is not None and isinstance(parent.value, dict) and name in parent.value:
            kept = {key: node for key, node in parent.value.items() if key != name}
            tree = replace(tree, above, Node(kept, parent.origin))
    return tree


def spare(url: str, cwd: FilePath) -> tuple[str, str | None]:
    """Find a file for our records where ``DB_PATH`` or ``db_path`` names the recording proxy's database.

    :param url: what the operator's setting amounts to.
    :param cwd: the working directory.
    :returns: the URL to use, and what the operator should know.
    """
    if not url.startswith(_SQLITE):
        return url, None
    old = FilePath(url.removeprefix(_SQLITE))
    ours = old.with_name(old.stem + ".clawproxy" + old.suffix)
    if not _is_theirs(cwd / old) and not (cwd / ours).exists():
        return url, None
    return (
        f"{_SQLITE}{ours}",
        f"{old} belongs to claude-code-proxy; records go to {ours}"
        f" (`clawproxy import {old}` brings the old ones in)",
    )


def _is_theirs(file: FilePath) -> bool:
    if not file.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            if database.execute("PRAGMA user_version").fetchone()[0]:
                return False
            columns = database.execute("PRAGMA table_info(requests)").fetchall()
    except sqlite3.Error:
        return False
    return {column[1] for column in columns} >= _COLUMNS
