"""Tests for :mod:`clawproxy.agents_dir`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.agents_dir import MOST_BYTES, load
from clawproxy.core.subagents import Definition


class Loading(SynchronousTestCase):
    """Definitions on disk."""

    def setUp(self) -> None:
        self.near = Path(self.mktemp())
        self.far = Path(self.mktemp())
        self.near.mkdir()
        self.far.mkdir()

    def test_directories_keep_their_order(self) -> None:
        (self.near / "b.md").write_text("near b")
        (self.near / "a.md").write_text("---\nname: first\n---\nnear a")
        (self.near / "c.txt").write_text("no definition")
        (self.far / "b.md").write_text("far b")
        found, problems = load([str(self.near), "/nowhere/at/all", str(self.far)])
        self.assertEqual(
            found,
            [Definition("first", "near a"), Definition("b", "near b"), Definition("b", "far b")],
        )
        self.assertEqual(problems, [])

    def test_what_cannot_be_read_is_told(self) -> None:
        (self.near / "a.md").write_bytes(b"\xff\xfe")
        (self.near / "b.md").mkdir()
        (self.near / "c.md").write_bytes(b"x" * (MOST_BYTES + 1))
        (self.near / "d.md").write_text("good")
        file = self.far / "file"
        file.write_text("")
        found, problems = load([str(self.near), str(file)])
        self.assertEqual(found, [Definition("d", "good")])
        self.assertEqual(len(problems), 4)
        for name, problem in zip(("a.md", "b.md", "c.md", "file"), problems, strict=True):
            self.assertIn(name, problem)
