"""Who writes which segments: locks have one holder, and whatever an instance left is found."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.store import instance as instances


class LockTests(SynchronousTestCase):
    def test_one_holder(self) -> None:
        path = Path(self.mktemp())
        first, second = instances.Lock(path), instances.Lock(path)
        self.assertTrue(first.acquire())
        self.assertFalse(second.acquire())
        first.release()
        self.assertTrue(second.acquire())
        second.release(remove=True)
        self.assertFalse(path.exists())


class ListingTests(SynchronousTestCase):
    def test_what_lies_in_a_directory(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        segments = ("2-b-00000002.segment", "2-b-00000001.segment")
        for name in (*segments, "1-a.proxy", "1-a.indexer", "3-c.indexer"):
            (directory / name).write_bytes(b"123")
        for name in ("x.txt", "old.segment", "4-d-copy.segment", ".segment"):
            (directory / name).write_bytes(b"nobody's")
        self.assertEqual(
            [(name, number) for name, number, _ in instances.segments(directory)],
            [("2-b", 1), ("2-b", 2)],
        )
        self.assertEqual(instances.segments(directory, "1-a"), [])
        self.assertEqual(instances.instances(directory), ["1-a", "2-b", "3-c"])
        self.assertEqual(instances.journal_bytes(directory), (2, 6))
