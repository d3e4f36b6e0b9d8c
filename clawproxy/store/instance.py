"""Who writes which segments, so that several proxies, and a restart beside a draining one, share a
journal directory.

Each proxy process has an *instance*: a name that all its segments carry. The process holds
``NAME.proxy`` locked while it lives; whoever indexes the instance's segments holds
``NAME.indexer``. A lock ends with its process, also by ``kill -9``, so an instance whose ``.proxy``
can be locked is dead and its segments are anybody's to take over.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import Self

SEGMENT_SUFFIX = ".segment"
PROXY_SUFFIX = ".proxy"
INDEXER_SUFFIX = ".indexer"


def new_instance() -> str:
    """Give a name no other process has; names sort by the time they were made."""
    return f"{int(time.time() * 1000):012x}-{secrets.token_hex(4)}"


def segment_path(directory: Path, instance: str, number: int) -> Path:
    """Say where an instance's segment lies."""
    return directory / f"{instance}-{number:08d}{SEGMENT_SUFFIX}"


def segments(directory: Path, instance: str | None = None) -> list[tuple[str, int, Path]]:
    """List segments as ``(instance, number, path)``, oldest first.

    :param instance: only this one's.
    """
    found = []
    for entry in os.scandir(directory):
        name, number = _segment(entry.name)
        if name and (instance is None or name == instance):
            found.append((name, number, Path(entry.path)))
    return sorted(found)


def _segment(name: str) -> tuple[str, int]:
    """Read a file's name: whose segment it is, and which; nobody's if it is none."""
    if not name.endswith(SEGMENT_SUFFIX):
        return "", 0
    instance, _, number = name.removesuffix(SEGMENT_SUFFIX).rpartition("-")
    return (instance, int(number)) if number.isdecimal() else ("", 0)


def instances(directory: Path) -> list[str]:
    """List the instances that left anything in the directory, oldest first.

    An indexer's lock counts, too: one that was killed last of all may have left rows that say "running".
    """
    found = set()
    for entry in os.scandir(directory):
        found.add(_segment(entry.name)[0])
        for suffix in (PROXY_SUFFIX, INDEXER_SUFFIX):
            if entry.name.endswith(suffix):
                found.add(entry.name.removesuffix(suffix))
    return sorted(found - {""})


def journal_bytes(directory: Path) -> tuple[int, int]:
    """Measure all segments in a directory.

    :returns: how many there are, and their bytes.
    """
    count = size = 0
    for entry in os.scandir(directory):
        if _segment(entry.name)[0]:
            try:
                size += entry.stat().st_size
            except FileNotFoundError:  # the indexer took it in just now
                continue
            count += 1
    return count, size


class Lock:
    """A lock file held by one process, given up by the kernel when that process ends in whatever
    way.

    :param path: the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def acquire(self) -> bool:
        """Take the lock without waiting.

        :returns: false where another process (or another object of this one) has it.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed the file between our open and our lock.
            if os.fstat(fd).st_ino != self.path.stat().st_ino:
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            os.close(fd)
            return False
        os.truncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd
        return True

    def release(self, remove: bool = False) -> None:
        """Give the lock up.

        :param remove: the file too: nothing is left that it stood for.
        """
        if self._fd < 0:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()
