"""Tools in one line each."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.upstream.openclaw.progress import MAX_WORDS, broke, called


class Lines(SynchronousTestCase):
    """What an agent's tools do."""

    def test_called(self) -> None:
        for data, line in (
            ({"name": "exec", "args": {"command": "ls\n  -l"}}, "exec: ls -l"),
            ({"name": "read", "args": {"path": "x"}}, 'read: {"path":"x"}'),
            ({"name": "exec", "args": {"command": 3}}, 'exec: {"command":3}'),
            ({"name": "clock", "args": {}}, "clock"),
            ({}, "a tool"),
        ):
            self.assertEqual(called(data), line)

    def test_broke(self) -> None:
        content = [{"type": "text", "text": "no such"}, {"type": "image"}, {"text": "file"}, 3]
        result = {"content": content}
        self.assertEqual(broke({"name": "read", "result": result}), "read failed: no such file")
        self.assertEqual(broke({"name": "read", "result": "?"}), "read failed")

    def test_length(self) -> None:
        line = called({"name": "write", "args": {"command": "x" * 5000}})
        self.assertEqual(line, "write: " + "x" * (MAX_WORDS - 1) + "…")

    def test_half_a_character(self) -> None:
        called({"name": "exec", "args": "\ud83d"}).encode()
