"""One instance's segments, read from the oldest to the one that still grows."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import Logger

from clawproxy.store import instance as instances
from clawproxy.store import segment
from clawproxy.store.segment import SegmentError
from clawproxy.store.segment_record import Record, Seal, Unreadable

READ_SIZE = 2 << 20
"""Bytes read of a segment at a time; a larger record is read in one piece all the same."""
REJECTED_SUFFIX = ".rejected"
"""What a segment is renamed to that holds what could not be brought in: kept for a person to look
at."""


class Inbox:
    """Read the segments of one instance.

    :param directory: the journal's.
    :param instance: whose segments.

    :ivar spoiled: something in the segment at hand could not be brought in, now or at an earlier look.
    """

    _log = Logger()

    def __init__(self, directory: Path, instance: str) -> None:
        self.instance = instance
        self.spoiled = False
        self._directory = directory
        self._number = 0
        self._path: Path | None = None
        self._offset = 0
        self._sealed = False

    @property
    def number(self) -> int:
        """The number of the segment at hand."""
        return self._number

    @property
    def sealed(self) -> bool:
        """Whether the segment at hand has been read to its seal."""
        return self._path is not None and self._sealed

    def read(self) -> list[Record]:
        """Give the next records of the segment at hand; none if there are none now.

        :raises OSError: if the file cannot be read.
        """
        if not self._select():
            return []
        assert self._path is not None
        size = READ_SIZE
        with self._path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            while True:
                begin = self._offset
                file.seek(begin)
                data = file.read(size)
                found = self._scan(data)
                if found or begin + len(data) >= length or self._sealed:
                    return found
                size *= 4

    def _scan(self, data: bytes) -> list[Record]:
        start = 0
        if self._offset == 0:
            head = segment.read_header(data)
            if head is None:
                return []
            start = head[1]
            self._offset = start
        found: list[Record] = []
        base = self._offset - start
        try:
            for record, end in segment.scan(data, start):
                self._offset = base + end
                if isinstance(record, Seal):
                    self._sealed = True
                elif isinstance(record, Unreadable):
                    self.spoiled = True
                    self._log.error(
                        "Segment {name} has a record that cannot be read: {reason}",
                        name=self._path.name if self._path else "",
                        reason=record.reason,
                    )
                else:
                    found.append(record)
        except SegmentError:
            if not found:
                raise
            # What stands before it is good, and the next look comes to it again.
        return found

    def _select(self) -> bool:
        if self._path is not None:
            return True
        for _, number, path in instances.segments(self._directory, self.instance):
            if number > self._number:
                self._number, self._path = number, path
                self._offset, self._sealed = 0, False
                return True
        return False

    def finished(self, dead: bool) -> bool:
        """Tell whether nothing more will come in the segment at hand. Read on until nothing comes
        after that.

        :param dead: its writer is gone.
        """
        if not self._select():
            return False
        if self._sealed or dead:
            return True
        following = instances.segments(self._directory, self.instance)
        return any(number > self._number for _, number, _ in following)

    def remove(self, rejected: bool = False) -> None:
        """Remove the segment at hand and go to the next.

        :param rejected: keep it under another name: not all of it could be brought in.
        """
        assert self._path is not None
        rest = 0 if self._sealed else max(0, self._path.stat().st_size - self._offset)
        if rest:
            self._log.warn(
                "Segment {name} ends in {rest} bytes that are no whole record",
                name=self._path.name,
                rest=rest,
            )
        if rejected:
            self._path.rename(self._path.with_suffix(REJECTED_SUFFIX))
        else:
            self._path.unlink()
        self._path = None
        self.spoiled = False

    def reject(self, error: SegmentError) -> None:
        """Put aside a segment that cannot be read at all."""
        assert self._path is not None
        self._log.error(
            "Segment {name} is put aside: {error}", name=self._path.name, error=str(error)
        )
        self.remove(rejected=True)
