"""The schema as numbered SQL files, so that a database of any age is brought up to date at start
and a newer one is left alone.

A file ``NNN_name.sql`` is applied once, in the order of its number, within the store's own
transaction; the database knows the last number. Files that were released are never changed.
"""

from __future__ import annotations

import re
from importlib import resources

from attrs import frozen

from clawproxy.store.protocol import StoreRefused

_NAME = re.compile(r"(\d{3})_\w+\.sql")


@frozen
class Migration:
    """One step of a schema."""

    number: int
    name: str
    sql: str


def migrations(dialect: str) -> list[Migration]:
    """Give all steps of a database's schema in order.

    :param dialect: the folder's name, ``sqlite`` or ``postgres``.
    """
    found = []
    for file in resources.files("clawproxy.store").joinpath("schema", dialect).iterdir():
        match = _NAME.fullmatch(file.name)
        if match is not None:
            found.append(Migration(int(match[1]), file.name, file.read_text("utf-8")))
    return sorted(found, key=lambda step: step.number)


def pending(dialect: str, version: int, where: str) -> list[Migration]:
    """Give the steps that a database still lacks.

    :param version: the number of the last step that it had.
    :param where: how to name it in a message.
    :raises StoreRefused: if it had steps that this program does not know.
    """
    steps = migrations(dialect)
    newest = steps[-1].number
    if version > newest:
        raise StoreRefused(
            f"{where} has schema version {version}, but this ClawProxy knows up to {newest}."
            " Start the newer ClawProxy that wrote it, or use another database."
        )
    return [step for step in steps if step.number > version]


def statements(sql: str) -> list[str]:
    """Cut a file into statements: at each semicolon that ends a line."""
    lines = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    return [text.strip() for text in re.split(r";\s*(?:\n|$)", "\n".join(lines)) if text.strip()]
