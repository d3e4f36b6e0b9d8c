"""The segment that grows: whole records and nothing else, however little a disk takes at a time."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store import segment, segment_file
from clawproxy.store.segment_file import SegmentFile
from clawproxy.store.segment_record import Kind

HEAD = segment.header("1-a")
SEAL = segment.frame(Kind.SEAL, b"")


class SegmentFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_from_header_to_seal(self) -> None:
        file = SegmentFile(self.path, "1-a")
        file.append([b"one", b"two"])
        self.assertEqual(file.size, len(HEAD) + 6)
        file.sync()
        file.seal()
        self.assertEqual(self.path.read_bytes(), HEAD + b"onetwo" + SEAL)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_nothing_that_is_there_is_written_over(self) -> None:
        self.path.write_bytes(b"somebody else's")
        self.assertRaises(FileExistsError, SegmentFile, self.path, "1-a")
        self.assertEqual(self.path.read_bytes(), b"somebody else's")

    def test_more_chunks_than_the_system_takes_at_once(self) -> None:
        chunks = [b"%d," % number for number in range(3 * segment_file._IOV_MAX + 1)]
        file = SegmentFile(self.path, "1-a")
        file.append(chunks)
        file.seal()
        self.assertEqual(self.path.read_bytes(), HEAD + b"".join(chunks) + SEAL)

    def test_a_system_that_takes_a_few_bytes_at_a_time(self) -> None:
        def writev(fd: int, chunks: list[bytes]) -> int:
            return real_write(fd, b"".join(chunks)[:2])

        real_write = os.write
        self.patch(os, "writev", writev)
        self.patch(os, "write", lambda fd, data: real_write(fd, data[:3]))
        file = SegmentFile(self.path, "1-a")
        file.append([b"abcdefgh", b"ijk"])
        file.seal()
        self.assertEqual(self.path.read_bytes(), HEAD + b"abcdefghijk" + SEAL)

    def test_what_was_written_in_part_is_cut_off(self) -> None:
        file = SegmentFile(self.path, "1-a")

        def half(fd: int, chunks: list[bytes]) -> int:
            os.write(fd, b"".join(chunks)[:2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with patch("os.writev", half):
            self.assertRaises(OSError, file.append, [b"lost"])
            self.assertEqual(self.path.read_bytes(), HEAD)
        file.append([b"kept"])
        with patch("os.writev", half):
            file.seal()
        self.assertEqual(self.path.read_bytes(), HEAD + b"kept")
