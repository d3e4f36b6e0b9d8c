"""Thinking and tools, shown as the config says."""

from __future__ import annotations

from typing import Any

from clawproxy.core.dialects.events import (
    UsageReported,
)
from tests.upstream.openclaw.providing import ProviderTestCase


class Thinking(ProviderTestCase):
    """Thinking and tools, shown as the config says."""

    def answer(self, **config: Any) -> tuple[str, str]:
        sink = self.begin(None, **config).ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.tell(request, "thinking", text="Hmm", delta="Hmm")
        self.gateway.tell(request, "thinking", text="Hmm.", delta=".")
        self.gateway.says(request, "Let me.", item="a")
        self.gateway.tell(request, "tool", phase="start", name="exec", args={"command": "ls"})
        result = {"content": [{"type": "text", "text": "no such\nfile"}]}
        self.gateway.tell(request, "tool", phase="result", name="exec", isError=True, result=result)
        self.gateway.says(request, "Done.", item="b")
        self.gateway.finished(request, "Done.")
        self.assertTrue(sink.done)
        return sink.text, sink.thinking

    def test_auto(self) -> None:
        self.assertEqual(
            self.answer(),
            ("Let me.\n\nDone.", "Hmm.exec: ls\n\nexec failed: no such file\n"),
        )

    def test_hidden(self) -> None:
        self.assertEqual(self.answer(thinking="hidden"), ("Let me.\n\nDone.", ""))

    def test_tags(self) -> None:
        text, thinking = self.answer(thinking="think_tags", tool_progress="hidden")
        self.assertEqual(text, "<think>\nHmm.\n</think>\n\nLet me.\n\nDone.")
        self.assertEqual(thinking, "")

    def test_tools_in_the_text(self) -> None:
        text, thinking = self.answer(tool_progress="text")
        self.assertEqual(text, "Let me.\n\n> exec: ls\n\n> exec failed: no such file\n\nDone.")
        self.assertEqual(thinking, "Hmm.")

    def test_tools_hidden(self) -> None:
        self.assertEqual(self.answer(tool_progress="hidden"), ("Let me.\n\nDone.", "Hmm."))

    def test_long_arguments(self) -> None:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.tell(request, "tool", phase="start", name="write", args={"x": "y" * 5000})
        self.gateway.play(request, "ok")
        self.assertLess(len(sink.thinking), 400)

    def test_tokens_while_it_runs(self) -> None:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.says(request, "x")
        self.gateway.tell(request, "usage", outputTokens=3)
        self.gateway.tell(request, "usage", outputTokens=2)
        reports = [e.usage.output_tokens for e in sink.got if isinstance(e, UsageReported)]
        self.assertEqual(reports, [3])
