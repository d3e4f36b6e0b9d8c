"""What can happen to a store while streams run: each a function that does it and, some time later,
undoes it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from answers import Records

from tests.store import server as server

HANG = 5.0
"""Seconds that a hanging PostgreSQL takes for an insert."""


@dataclass
class Place:
    """Where a proxy under test keeps its records.

    :ivar disk: a small disk of its own, which can be filled; ``None`` where none could be mounted.
    :ivar pid: the proxy's process.
    :ivar port: where it listens.
    :ivar lateness: seconds from the end of an answer until ``/api/`` had it as final.
    """

    folder: Path
    disk: Path | None = None
    pid: int = 0
    port: int = 0
    lateness: list[float] = field(default_factory=list)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return (self.disk or self.folder) / "records.db"


Calamity = Callable[[Place, float], None]


def nothing(place: Place, seconds: float) -> None:
    """Recording as it is on a good day: what a fault is to be compared with, too."""
    time.sleep(seconds)


def looked_up(place: Place, seconds: float) -> None:
    """Nothing happens, and somebody asks a short question each half second and looks for its record."""
    records = Records(place.port)
    caller = http.client.HTTPConnection("127.0.0.1", place.port, timeout=60)
    question = (
        b'{"model":"claude-bench","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}'
    )
    headers = {"content-type": "application/json", "authorization": "Bearer sk-bench"}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        caller.request("POST", "/v1/messages", question, headers)
        answer = caller.getresponse()
        answer.read()
        ended = time.monotonic()
        while not records.final(answer.getheader("x-clawproxy-id") or ""):
            if time.monotonic() > ended + 30:
                break
            time.sleep(0.05)
        place.lateness.append(time.monotonic() - ended)
        time.sleep(max(0.0, ended + 0.5 - time.monotonic()))


def locked(place: Place, seconds: float) -> None:
    """Another program holds the database's writing lock all the time."""
    holder = sqlite3.connect(place.database, isolation_level=None, timeout=30)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        holder.execute("COMMIT")
    finally:
        holder.close()


def full(place: Place, seconds: float) -> None:
    """The disk is full, to the last byte, all the time."""
    assert place.disk is not None
    blocker = place.disk / "blocker"
    end = time.monotonic() + seconds
    with blocker.open("wb", buffering=0) as file:
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 12))
            time.sleep(0.05)
    blocker.unlink()


def indexer_killed(place: Place, seconds: float) -> None:
    """The process that fills the store is killed, again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for task in Path(f"/proc/{place.pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                with contextlib.suppress(OSError):
                    if b"clawproxy.store.indexer" in Path(f"/proc/{child}/cmdline").read_bytes():
                        os.kill(child, signal.SIGKILL)
        time.sleep(1)


def killed(place: Place, seconds: float) -> None:
    """The server crashes and is away for all the time."""
    server.kill()
    time.sleep(seconds)
    server.restart()


def restarted(place: Place, seconds: float) -> None:
    """The server is restarted in good order, three times."""
    for _ in range(3):
        server.stop()
        server.restart()
        time.sleep(seconds / 3)


def hanging(place: Place, seconds: float) -> None:
    """Each insert takes five seconds."""
    server.execute(
        "CREATE OR REPLACE FUNCTION clawproxy.slow() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_sleep({HANG}); RETURN NULL; END $$;"
        " CREATE TRIGGER slow BEFORE INSERT ON clawproxy.record"
        " FOR EACH STATEMENT EXECUTE FUNCTION clawproxy.slow()"
    )
    time.sleep(seconds)
    server.execute("DROP TRIGGER slow ON clawproxy.record")


def cut(place: Place, seconds: float) -> None:
    """Every connection that is within a transaction is cut, five times a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " AND (xact_start IS NOT NULL OR random() < 0.1)"
        )
        time.sleep(0.2)


def frozen(place: Place, seconds: float) -> None:
    """The server's processes stand still, and nobody says so: a network that swallows everything."""
    pids = server.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def server_full(place: Place, seconds: float) -> None:
    """The disk of the server is full; where that ends it, somebody starts it again afterwards."""
    full(place, seconds)
    if not server.answers():
        server.restart()


@dataclass(frozen=True)
class Fault:
    """One thing to go through.

    :ivar disk: what lies on a small disk: ``database``, ``both`` (with the journal), ``server``, or
        nothing.
    """

    name: str
    happen: Calamity
    disk: str = ""


FAULTS = {
    "sqlite": (
        Fault("no fault", nothing),
        Fault("each record looked up", looked_up),
        Fault("locked", locked),
        Fault("database's disk full", full, "database"),
        Fault("whole disk full", full, "both"),
        Fault("indexer killed each second", indexer_killed),
    ),
    "postgresql": (
        Fault("no fault", nothing),
        Fault("each record looked up", looked_up),
        Fault("killed", killed),
        Fault("restarted three times", restarted),
        Fault("hanging 5 s an insert", hanging),
        Fault("cut within transactions", cut),
        Fault("frozen", frozen),
        Fault("server's disk full", server_full, "server"),
    ),
}


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Mount a file as a disk (ext4 over a loop device), or one in memory where that cannot be.

    :raises PermissionError: where nobody may mount.
    """
    with tempfile.TemporaryDirectory(prefix="clawproxy-disk-") as folder:
        image, mounted = Path(folder) / "image", Path(folder) / "disk"
        mounted.mkdir()
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        if not run("mkfs.ext4", "-q", "-F", "-m", "0", str(image)):
            made = run("mount", "-o", "loop", str(image), str(mounted))
        else:
            made = "no mkfs.ext4"
        if made:
            made = run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mounted))
        if made:
            raise PermissionError(made)
        mounted.chmod(0o755)
        Path(folder).chmod(0o755)
        try:
            yield mounted
        finally:
            run("umount", "-l", str(mounted))


def run(*command: str) -> str:
    """Run a program and give what it had to complain of."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return str(error)
    return done.stderr.strip() or "it failed" if done.returncode else ""
