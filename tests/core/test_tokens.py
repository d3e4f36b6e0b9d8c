"""Token estimates: texts, messages, tools, images and documents of every dialect."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects import DialectName
from clawproxy.core.jsonread import JSONError
from clawproxy.core.token_rules import PER_PDF_PAGE, anthropic_image, openai_image, pdf_pages
from clawproxy.core.tokens import (
    MOST_CHARACTERS,
    PER_MESSAGE,
    PER_REPLY,
    PER_TOOL,
    TOOLS_ANTHROPIC,
    estimate,
    preload,
)
from tests.core.test_imagesize import png

AROUND = PER_MESSAGE + PER_REPLY
DIALECTS: tuple[DialectName, ...] = ("anthropic", "openai_chat", "openai_responses")


def count(dialect: DialectName, request: dict[str, Any], model: str = "") -> int:
    """Estimate a request."""
    return estimate(dialect, json.dumps(request).encode(), model)


def asked(content: Any) -> dict[str, Any]:
    """Give a request of one message."""
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}


class EstimateTests(SynchronousTestCase):
    """:func:`estimate`."""

    def test_text(self) -> None:
        """A text has the tokens that its vocabulary gives it, however it is wrapped."""
        # "tiktoken is great!" is the cookbook's example, with 6 tokens in o200k_base.
        text = "tiktoken is great!"
        for dialect in DIALECTS:
            self.assertEqual(count(dialect, asked(text)), 6 + AROUND)
            parts = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
            self.assertEqual(count(dialect, asked(parts)), 6 + AROUND)
            self.assertEqual(count(dialect, {**asked(text), "system": text}), 12 + AROUND)
        item = {"role": "user", "content": [{"type": "input_text", "text": text}]}
        for request in ({"input": text}, {"input": [item]}):
            self.assertEqual(count("openai_responses", request), 6 + AROUND)
        self.assertEqual(
            count("openai_responses", {"input": text, "instructions": text}), 12 + AROUND
        )

    def test_special_tokens_are_text(self) -> None:
        """A text that spells a special token is counted as the text that it is."""
        self.assertGreater(count("openai_chat", asked("<|endoftext|>")), 5 + AROUND)

    def test_tools(self) -> None:
        """Tools count by their JSON; Anthropic's API adds a system prompt."""
        tool = {"name": "get_weather", "description": "Weather", "input_schema": {"type": "object"}}
        plain = count("anthropic", asked("x"))
        with_tool = count("anthropic", {**asked("x"), "tools": [tool]})
        self.assertGreater(with_tool, plain + TOOLS_ANTHROPIC + PER_TOOL + 10)
        self.assertLess(with_tool, plain + TOOLS_ANTHROPIC + PER_TOOL + 40)
        two = count("anthropic", {**asked("x"), "tools": [tool, tool]})
        self.assertEqual(two - with_tool, with_tool - plain - TOOLS_ANTHROPIC)
        cached = {**tool, "cache_control": {"type": "ephemeral"}}
        self.assertEqual(count("anthropic", {**asked("x"), "tools": [cached]}), with_tool)

    def test_calls_and_results(self) -> None:
        """What was called with what, and what came back, counts in every dialect."""
        text = "a long result " * 50
        results: dict[DialectName, list[dict[str, Any]]] = {
            "anthropic": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": text}}
                    ],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": text}],
                },
            ],
            "openai_chat": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "t",
                            "type": "function",
                            "function": {
                                "name": "Bash",
                                "arguments": json.dumps({"command": text}),
                            },
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "t", "content": text},
            ],
            "openai_responses": [
                {
                    "type": "function_call",
                    "call_id": "t",
                    "name": "Bash",
                    "arguments": json.dumps({"command": text}),
                },
                {"type": "function_call_output", "call_id": "t", "output": text},
            ],
        }
        for dialect, messages in results.items():
            name = "input" if dialect == "openai_responses" else "messages"
            found = count(dialect, {name: messages})
            self.assertGreater(found, 300)
            self.assertLess(found, 350)

    def test_thinking_of_former_turns(self) -> None:
        """Only the last turn's thinking counts, and signatures never."""

        def turn(text: str) -> dict[str, Any]:
            block = {"type": "thinking", "thinking": text, "signature": "x" * 3000}
            return {"role": "assistant", "content": [block]}

        thought = "thinking about it " * 100
        old = count("anthropic", {"messages": [turn(thought), turn("")]})
        new = count("anthropic", {"messages": [turn(""), turn(thought)]})
        self.assertEqual(old, 2 * PER_MESSAGE + PER_REPLY)
        self.assertGreater(new, 300)

    def test_images(self) -> None:
        """Images count by their size, read from their first bytes, or as the largest."""
        data = base64.b64encode(png(300, 200) + b"\0" * 9000).decode()
        block = {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": data},
        }
        self.assertEqual(count("anthropic", asked([block])), 80 + AROUND)
        nested = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
        self.assertEqual(count("anthropic", asked([nested])), 80 + AROUND)
        url = {"type": "image", "source": {"type": "url", "url": "https://example.org/x.png"}}
        self.assertEqual(count("anthropic", asked([url])), 1600 + AROUND)
        self.assertEqual(count("anthropic", asked([block]), "gpt-4o"), 85 + 170 + AROUND)
        image = {"url": f"data:image/png;base64,{data}"}
        chat = {"type": "image_url", "image_url": image}
        self.assertEqual(count("openai_chat", asked([chat]), "gpt-4o"), 85 + 170 + AROUND)
        chat["image_url"] = {**image, "detail": "low"}
        self.assertEqual(count("openai_chat", asked([chat]), "gpt-4o"), 85 + AROUND)
        part = {"type": "input_image", "image_url": image["url"]}
        self.assertEqual(count("openai_responses", asked([part]), "gpt-5-mini"), 114 + AROUND)

    def test_image_formulas(self) -> None:
        """The examples of both vendors' documentation."""
        self.assertEqual(anthropic_image((200, 200)), 54)
        self.assertEqual(anthropic_image((1000, 1000)), 1334)
        self.assertEqual(anthropic_image((1092, 1092)), 1590)
        self.assertEqual(anthropic_image((8000, 8000)), 1600)
        self.assertEqual(openai_image("gpt-4o", (1024, 1024)), 765)
        self.assertEqual(openai_image("gpt-4o", (2048, 4096)), 1105)
        self.assertEqual(openai_image("gpt-4o", (4096, 8192), low=True), 85)
        self.assertEqual(openai_image("gpt-4.1-mini", (1024, 1024)), math_ceil(1024 * 1.62))
        self.assertEqual(openai_image("gpt-4.1-mini", (1800, 2400)), math_ceil(1536 * 1.62))

    def test_documents(self) -> None:
        """PDFs count by pages, text documents by their text."""
        pdf = b"%PDF-1.7 <</Type /Pages>> <</Type /Page>> <</Type/Page /X 1>>" + b"\0" * 99_000
        data = base64.b64encode(pdf).decode()
        self.assertEqual(pdf_pages(data), 2)
        self.assertEqual(pdf_pages(base64.b64encode(b"\0" * 99_000).decode()), 2)
        self.assertEqual(pdf_pages("not base64"), 1)
        block = {"type": "document", "source": {"type": "base64", "data": data}}
        self.assertEqual(count("anthropic", asked([block])), 2 * PER_PDF_PAGE + AROUND)
        block["source"] = {"type": "text", "data": "tiktoken is great!"}
        self.assertEqual(count("anthropic", asked([block])), 6 + AROUND)
        part = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{data}"}}
        self.assertEqual(count("openai_chat", asked([part])), 2 * PER_PDF_PAGE + AROUND)

    def test_large(self) -> None:
        """100 KB take some milliseconds; beyond the bound the rest is taken to be alike."""
        preload()
        text = "The quick brown fox jumps over the lazy dog. "
        body = json.dumps(asked(text * 2300)).encode()
        estimate("anthropic", body)
        started = time.perf_counter()
        estimate("anthropic", body)
        self.assertLess(time.perf_counter() - started, 0.2)
        once = text * (MOST_CHARACTERS // len(text))
        one, three = count("anthropic", asked(once)), count("anthropic", asked(once * 3))
        self.assertLess(abs(three / one - 3), 0.01)

    def test_not_json(self) -> None:
        """Only what is not JSON is refused."""
        self.assertRaises(JSONError, estimate, "anthropic", b"x")
        self.assertEqual(estimate("anthropic", b"[]"), 0)
        deep = b'{"messages":[' + b'{"content":[' * 400 + b"]}" * 400 + b"]}"
        self.assertRaises(JSONError, estimate, "anthropic", deep)

    def test_data_url_without_end(self) -> None:
        """One that never gets to its data is read once, and not once for each of its characters."""
        url = "data:" + "a" * 100_000
        part = {"type": "image_url", "image_url": {"url": url}}
        file = {"type": "file", "file": {"file_data": url}}
        body = json.dumps({"messages": [{"role": "user", "content": [part, file]}]}).encode()
        started = time.monotonic()
        estimate("openai_chat", body)
        self.assertLess(time.monotonic() - started, 5)

    JUNK = st.recursive(
        st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=4)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ["type", "content", "source", "image_url", "file", "text", "input", "data"]
                ),
                st.one_of(inner, st.sampled_from(["image", "document", "file", "tool_use"])),
                max_size=3,
            ),
        ),
        max_leaves=8,
    )

    @settings(deadline=None, max_examples=200)
    @given(st.sampled_from(DIALECTS), JUNK, JUNK)
    def test_hostile(self, dialect: DialectName, junk: Any, more: Any) -> None:
        """Requests of any shape give a number."""
        for request in (
            {"messages": junk, "tools": more, "text": junk},
            {"messages": [{"role": "assistant", "content": [junk], "tool_calls": [more]}]},
            {"input": [junk, {"output": more}], "system": junk, "response_format": more},
        ):
            self.assertGreaterEqual(count(dialect, request), 0)

    def test_lazy_and_offline(self) -> None:
        """Importing does not load the tokenizer; loading it opens no socket."""
        script = (
            "import sys, socket\n"
            "from clawproxy.core.tokens import estimate\n"
            "assert 'splintr' not in sys.modules\n"
            "def refuse(*args, **kwargs): raise AssertionError('the network was asked')\n"
            "socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse\n"
            "print(estimate('anthropic', b'{\"system\":\"hello world\"}'))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout.strip(), done.stderr), ("2", ""))


def math_ceil(value: float) -> int:
    """Round up."""
    return -int(-value // 1)
