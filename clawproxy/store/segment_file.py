"""The segment that grows, so that a disk which fails in the middle of a write leaves no half record in it.

A reader goes by records and not by the file's end: what stands behind the last whole one is either cut off again or
written over by the next try.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

from clawproxy.store.segment import frame, header
from clawproxy.store.segment_record import Kind

_IOV_MAX = min(1024, os.sysconf("SC_IOV_MAX")) if hasattr(os, "sysconf") else 512


class SegmentFile:
    """One segment, from its header to its seal.

    :param path: where; nothing is there yet.
    :param instance: the name of the process that writes it.
    :raises OSError: if it cannot be begun; it holds no record then.

    :ivar size: bytes of its header and of all whole records.
    """

    __slots__ = ("_fd", "size")

    _log = Logger()

    def __init__(self, path: Path, instance: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.size = _write(fd, [header(instance)])
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._fd = fd

    def append(self, chunks: list[bytes]) -> None:
        """Write whole records.

        :raises OSError: if the system refuses; the next call writes in the same place.
        """
        try:
            self.size += _write(self._fd, chunks)
        except OSError:
            # In this order: where what was written of it cannot be cut off, the next try writes the same over it.
            os.lseek(self._fd, self.size, os.SEEK_SET)
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)
            raise

    def sync(self) -> None:
        """Wait until the disk has it.

        :raises OSError: if it has not.
        """
        os.fsync(self._fd)

    def seal(self) -> None:
        """Say that nothing follows, and close it. Call nothing after that: however it is closed, its descriptor is
        gone then, and may be a caller's socket a moment later."""
        try:
            _write(self._fd, [frame(Kind.SEAL, b"")])
        except OSError:
            # Unsealed is no loss: that a higher number exists, or that its writer is gone, says
            # the same.
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)
        try:
            os.close(self._fd)
        except OSError as error:
            self._log.error("A segment of the journal could not be closed: {error}", error=error)


def _write(fd: int, chunks: list[bytes]) -> int:
    """Write all of the chunks, however few bytes the system takes at a time.

    :returns: the bytes written.
    :raises OSError: if the system refuses; part may be written then.
    """
    total = 0
    for first in range(0, len(chunks), _IOV_MAX):
        rest = chunks[first : first + _IOV_MAX]
        wanted = sum(map(len, rest))
        done = os.writev(fd, rest)
        while done < wanted:
            data = memoryview(b"".join(rest))[done:]
            written = os.write(fd, data)
            done += written
        total += wanted
    return total
