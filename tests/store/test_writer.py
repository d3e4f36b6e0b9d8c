"""The journal's thread and a disk that refuses what it is asked, at whatever call."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store import segment, segment_file, segment_payload, writer
from clawproxy.store.inbox import Inbox
from clawproxy.store.segment_record import End, Kind
from clawproxy.store.writer import Batch, Writer
from tests.store.logs import captured
from tests.store.samples import exchange


def batch(*numbers: int) -> Batch:
    """An exchange's end, for each number."""
    framed: list[bytes | tuple[Kind, list[bytes]]] = []
    for number in numbers:
        payload = b"".join(segment_payload.end(exchange(number), False))
        framed += [segment.frame(Kind.END, payload), payload]
    return Batch(framed, 1, len(numbers))


class Disk:
    """The system's calls, some of which fail once."""

    def __init__(self, **failing: Callable[..., Any]) -> None:
        self.failed: list[str] = []
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self._failing:
            return real

        def call(*arguments: Any, **more: Any) -> Any:
            before = self._failing.pop(name, None)
            if before is None:
                return real(*arguments, **more)
            self.failed.append(name)
            before(*arguments, **more)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return call


def nothing(*_: object, **__: object) -> None:
    """Fail before anything was done."""


class WriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.now = 0.0
        self.patch(writer, "RETRY_DELAY", 0.01)
        self.writer = Writer(self.directory, "1-a", clock=lambda: self.now)

    def deliver(self, *numbers: int, **failing: Callable[..., Any]) -> None:
        """Have a batch written by a system that fails so."""
        disk = Disk(**failing)
        self.patch(segment_file, "os", disk)
        with captured():
            self.writer._deliver(batch(*numbers))
        self.assertEqual(disk.failed, list(failing))
        self.patch(segment_file, "os", os)

    def read(self) -> list[str]:
        """The exchanges in all segments, in order, as an indexer reads them once nothing more comes."""
        self.writer._finish()
        found = []
        inbox = Inbox(self.directory, "1-a")
        with captured():
            while True:
                over = inbox.finished(dead=True)
                records = inbox.read()
                found += [each.exchange.id for each in records if isinstance(each, End)]
                if not records:
                    if not over:
                        return found
                    inbox.remove()

    def ids(self, *numbers: int) -> list[str]:
        return [exchange(number).id for number in numbers]

    def test_a_half_written_batch_that_cannot_be_cut_off_is_written_over(self) -> None:
        def half(fd: int, chunks: list[bytes]) -> None:
            if len(chunks) > 1:
                os.write(fd, b"".join(chunks)[: len(chunks[0]) + len(chunks[1]) + 20])

        self.deliver(1)
        self.deliver(2, 3, writev=half, ftruncate=nothing)
        self.deliver(4)
        self.assertEqual(self.read(), self.ids(1, 2, 3, 4))

    def test_a_segment_that_does_not_close_is_left_alone(self) -> None:
        """The descriptor's number is somebody else's as soon as it is closed, well or not."""
        self.deliver(1)
        self.now += writer.SEGMENT_AGE
        self.deliver(2, close=os.close)
        self.assertIsNone(self.writer._file)
        with (self.directory / "other").open("wb") as other:
            self.deliver(3)
            self.assertEqual(os.fstat(other.fileno()).st_size, 0)
        self.assertEqual(self.read(), self.ids(1, 2, 3))

    def test_a_segment_that_cannot_be_sealed_ends_unsealed(self) -> None:
        def first_seal(fd: int, chunks: list[bytes]) -> None:
            os.write(fd, b"".join(chunks)[:4])

        self.deliver(1)
        self.now += writer.SEGMENT_AGE
        file = self.writer._file
        assert file is not None
        disk = Disk(ftruncate=nothing, writev=first_seal)
        self.patch(segment_file, "os", disk)
        with captured():
            self.writer._seal(file)
        self.patch(segment_file, "os", os)
        self.assertEqual(sorted(disk.failed), ["ftruncate", "writev"])
        self.deliver(2)
        self.assertEqual(self.read(), self.ids(1, 2))

    def test_a_segment_that_cannot_be_begun_is_followed_by_the_next(self) -> None:
        self.deliver(1, writev=nothing, close=os.close)
        self.assertEqual(self.read(), self.ids(1))
