"""From ``storage.url`` to a store."""

from __future__ import annotations

from typing import Any

from clawproxy.store.protocol import Store
from clawproxy.store.sqlite import Run, SQLiteStore, at_once

URL_VARIABLE = "CLAWPROXY_STORE_URL"
"""The environment variable that names the store to child processes: a command line is everybody's
to read, and the URL may hold a password."""


def open_store(url: str, reactor: Any, run: Run = at_once) -> Store:
    """Make the store that a URL names; it is not opened yet.

    :param url: ``sqlite:PATH`` or ``postgresql://…``.
    :param reactor: what a networked store works in.
    :param run: where blocking queries run, see :class:`~clawproxy.store.sqlite.SQLiteStore`.
    :raises ValueError: for any other URL.
    """
    if url.startswith("sqlite:"):
        return SQLiteStore(url.removeprefix("sqlite:"), run)
    if url.startswith(("postgresql://", "postgres://")):
        from clawproxy.store.postgres import PostgresStore

        return PostgresStore(url, reactor)
    raise ValueError("storage.url is neither sqlite:PATH nor postgresql://…")
