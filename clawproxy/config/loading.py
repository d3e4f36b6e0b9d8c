"""From what an operator wrote to a :class:`~clawproxy.config.model.Config`, or to all that is
wrong with it.

1. Find the file (:func:`find_file`) and parse it; translate one of an ancestor; fill in its ``${…}``.
2. Lay the layers over each other: defaults, file, environment, ``--set``, ``--listen``.
3. Read the sections; then look at what only shows when all are known (:mod:`clawproxy.config.coherence`).

Every step notes its mistakes and goes on as far as it can, so that one start tells of all of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath

from attrs import frozen

from clawproxy.config import ancestor, coherence, document, environment
from clawproxy.config.expansion import expand_tree
from clawproxy.config.mistake import ConfigError, Mistake
from clawproxy.config.model import Config
from clawproxy.config.section import keys_of, read_fields
from clawproxy.config.shape import Reading
from clawproxy.config.tree import Node, NoPlaceError, Origin, merge, plain, replace

DEFAULTS = Origin("defaults")
SYSTEM_FILE = FilePath("/etc/clawproxy/clawproxy.yaml")


@frozen
class Loaded:
    """A configuration and where it came from.

    :ivar config: the configuration.
    :ivar sources: what it was made of, in the order of precedence, lowest first.
    :ivar notes: what an operator should know of these sources.
    :ivar file: the file that was read, if there was one.
    """

    config: Config
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    file: FilePath | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know; nothing of it keeps the proxy from starting."""
        return (*self.notes, *coherence.warnings(self.config))


def load(
    config_path: str | os.PathLike[str] | None = None,
    listen: Sequence[str] = (),
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    cwd: FilePath | None = None,
    home: FilePath | None = None,
    system: FilePath = SYSTEM_FILE,
) -> Loaded:
    """Load the configuration; call it again with the same arguments to reload.

    :param config_path: ``--config``; ``None`` looks in the usual places.
    :param listen: each ``--listen``.
    :param sets: each ``--set``, as ``dotted.key=value``; the value is YAML.
    :param environ: the process's environment unless given.
    :param cwd: the working directory unless given.
    :param home: the home directory unless given.
    :param system: the file that is looked for last.
    :raises ConfigError: with every mistake that there is.
    """
    environ = os.environ if environ is None else environ
    cwd = _cwd() if cwd is None else cwd
    reading = Reading(_home() if home is None else home)
    sources = ["defaults"]
    tree = plain({"providers": {"anthropic": {}, "openai": {}, "demo": {}}}, DEFAULTS)

    notes: tuple[str, ...] = ()
    file = find_file(config_path, environ, cwd, reading.home, system)
    if file is not None:
        try:
            written = document.parse(_read(file), str(file), reading.mistakes)
        except ConfigError as error:
            reading.mistakes += error.mistakes
        else:
            written, notes = ancestor.adopt(written)
            tree = merge(tree, expand_tree(written, environ, reading.mistakes))
        sources.append(str(file))

    layer = environment.layer(tree, environ, reading)
    tree = layer.tree
    if layer.names:
        sources.append(f"environment: {', '.join(layer.names)}")

    for text in sets:
        tree = _set(tree, text, environ, reading)
    if sets:
        sources.append(f"--set: {', '.join(text.partition('=')[0] for text in sets)}")
    if listen:
        tree = replace(tree, ("server", "listen"), plain(list(listen), Origin("--listen")))
        sources.append("--listen")

    theirs = {environment.PREFIX + "DB_PATH", str(file) if notes else None}
    url = tree.find(("storage", "url"))
    if url is not None and url.origin.file in theirs:
        spared, note = ancestor.spare(url.text, cwd)
        tree = replace(tree, ("storage", "url"), plain(spared, url.origin))
        notes += (note,) if note else ()

    tree = coherence.complete(tree, environ)
    values, _ = read_fields(Config, tree, (), reading)
    coherence.check(tree, values, reading)
    if reading.mistakes:
        raise ConfigError(_in_order(reading.mistakes))
    return Loaded(Config(**values), tuple(sources), (*notes, *layer.warnings), file)


def _cwd() -> FilePath:
    try:
        return FilePath.cwd()
    except FileNotFoundError:
        found = "a working directory that has been deleted"
        raise ConfigError([Mistake(".", "", found, "one that is there")]) from None


def _home() -> FilePath:
    try:
        return FilePath.home()
    except RuntimeError:
        # A service user may have none; then nothing is found in it.
        return FilePath("/nonexistent")


def find_file(
    config_path: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
    cwd: FilePath,
    home: FilePath,
    system: FilePath,
) -> FilePath | None:
    """Find the file to read: a named one whether it is there or not, else the first that exists."""
    named = config_path or environ.get("CLAWPROXY_CONFIG")
    if named:
        path = FilePath(named)
        return cwd / (home / str(path)[2:] if str(path).startswith("~/") else path)
    for candidate in (
        cwd / "clawproxy.yaml",
        home / ".config" / "clawproxy" / "clawproxy.yaml",
        system,
    ):
        if os.path.lexists(candidate):
            return candidate
    return None


def _read(file: FilePath) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        found = f"a file that cannot be read ({(error.strerror or 'error').lower()})"
        raise ConfigError([Mistake(str(file), "", found, "a YAML file")]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            [Mistake(str(file), "", "a byte that is not UTF-8", "a YAML file in UTF-8", line=line)]
        ) from None


def _set(tree: Node, text: str, environ: Mapping[str, str], reading: Reading) -> Node:
    """Apply one ``--set``."""
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        # What is not of this form may be anything, a key among it; only the known is repeated.
        known = path[0] in keys_of(Config)
        found = repr(key) if known else "a text of another form"
        reading.mistakes.append(Mistake("--set", "", found, "dotted.key=value"))
        return tree
    try:
        node = _set_value(value)
        return replace(tree, path, expand_tree(node, environ, reading.mistakes, path))
    except ConfigError as error:
        reading.mistakes += [
            Mistake("--set", key, mistake.found, "a value in YAML") for mistake in error.mistakes
        ]
    except NoPlaceError as error:
        expected = "the key of a mapping, the index of an item, or the next one"
        reading.mistakes.append(Mistake("--set", key, str(error), expected))
    return tree


def _set_value(value: str) -> Node:
    # In YAML these begin an alias, a tag and the like; on a command line * is just any.
    if value[:1] in ("*", "&", "!", "%", "@", "`"):
        return Node(value, Origin("--set"), value)
    node = document.parse_value(value, "--set")
    return plain_origin(node)


def plain_origin(node: Node) -> Node:
    """Drop the lines of a value that has only one."""
    origin = Origin(node.origin.file)
    match node.value:
        case dict() as mapping:
            return Node({key: plain_origin(item) for key, item in mapping.items()}, origin)
        case list() as items:
            return Node([plain_origin(item) for item in items], origin)
    return Node(node.value, origin, node.text)


def _in_order(mistakes: list[Mistake]) -> list[Mistake]:
    """Sort by layer and line: the file's first; what has no line keeps its place in its layer."""

    def place(mistake: Mistake) -> tuple[int, int]:
        layers = (environment.PREFIX, "--set", "--listen")
        layer = next((n for n, start in enumerate(layers, 1) if mistake.file.startswith(start)), 0)
        return layer, mistake.line or 0

    return sorted(mistakes, key=place)
