"""Text that nobody can trust: terminals' output, Markdown, code, figures."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from importlib.resources import files

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from clawproxy.dashboard import markdown as markdown_module
from clawproxy.dashboard import render_numbers
from clawproxy.dashboard.markdown import markdown
from clawproxy.dashboard.render import Writer, gist
from clawproxy.dashboard.render_code import LONGEST, highlight, language_of
from clawproxy.dashboard.render_text import terminal, visible
from tests.dashboard.pagecase import Document

EVIL = st.text(alphabet="<>&\"'`[]()!*_#|-~: \n\x1b\x08\x00;mjavscript:/0123456789=", max_size=120)


class TerminalCase(SynchronousTestCase):
    """What a program wrote to a terminal."""

    def test_colours(self) -> None:
        """SGR becomes classes, and ends where it ends."""
        found = terminal("\x1b[1;31mred\x1b[0m plain \x1b[92mgreen\x1b[39m")
        expected = '<span class="a-b a-f1">red</span> plain <span class="a-f10">green</span>'
        self.assertEqual(found, expected)

    def test_other_sequences(self) -> None:
        """Titles, links, movements leave no trace."""
        found = terminal(
            "\x1b]0;title\x07a\x1b[2J\x1b]8;;javascript:x\x1b\\b\x1b]8;;\x07\x1b[38;2;1;2;3mc\x1b(B"
        )
        self.assertEqual(found, "abc")

    def test_controls(self) -> None:
        """What cannot be seen is shown; line ends are one kind."""
        self.assertEqual(visible("a\x00\x07\r\nb\rc\x7f"), "a\u2400\u2407\nb\nc\u2421")
        self.assertEqual(visible("x\u202egpj.exe"), "x\u27e8U+202E\u27e9gpj.exe")

    def test_overstriking(self) -> None:
        """A manual page's bold."""
        self.assertEqual(terminal("N\bNA\bA"), "NA")

    @given(EVIL)
    @settings(deadline=None, max_examples=150)
    def test_safe(self, text: str) -> None:
        """Whatever comes, there is nothing in it but spans."""
        found = Document(f"<pre>{terminal(text)}</pre>")
        self.assertEqual(found.faults, [])
        self.assertLessEqual({tag for tag, _ in found.elements}, {"pre", "span"})

    def test_many_colours(self) -> None:
        """A text of nothing but changes of colour takes no longer than others."""
        began = time.process_time()
        terminal("\x1b[31mx\x1b[32my" * 200_000)
        self.assertLess(time.process_time() - began, 5)


class MarkdownCase(SynchronousTestCase):
    """Markdown of models and people."""

    def test_blocks(self) -> None:
        """Headings are no headings of the page; tables can be scrolled by keyboard."""
        found = markdown("# Title\n\n- a\n- **b**\n\n|x|y|\n|-:|--|\n|1|2|\n")
        self.assertIn('<p class="h h1">Title</p>', found)
        self.assertIn("<strong>b</strong>", found)
        self.assertIn('<div class="wide" tabindex="0"', found)
        self.assertIn('<td class="right">1</td>', found)

    def test_links(self) -> None:
        """Only to the web and to mail; never within this server."""
        safe = markdown("[a](https://example.org/?a=1&b=2) <mailto:a@example.org>")
        self.assertEqual(safe.count("<a "), 2)
        self.assertEqual(safe.count('rel="noopener noreferrer nofollow"'), 2)
        for address in (
            "javascript:x",
            "data:text/html,x",
            "/ui/logout",
            "//x.org",
            "#a",
            "vbscript:x",
            "file:///x",
        ):
            self.assertNotIn("<a ", markdown(f"[a]({address})"), address)

    def test_images(self) -> None:
        """An image is a link: nothing is fetched."""
        found = markdown("![words](http://example.org/x.png)")
        self.assertNotIn("<img", found)
        self.assertIn("image: words", found)

    def test_html(self) -> None:
        """HTML is shown and not passed on."""
        self.assertIn("&lt;script&gt;", markdown("<script>x</script>"))

    def test_many_empty_lines(self) -> None:
        """They are looked at once each."""
        started = time.monotonic()
        markdown("\n" * 39_000)
        self.assertLess(time.monotonic() - started, 3)

    def test_code(self) -> None:
        """Code has its language's colours."""
        found = markdown("```python\ndef f(): pass\n```")
        self.assertIn('<span class="k">def</span>', found)
        self.assertIn('<pre class="code">', found)

    def test_plain_paragraphs(self) -> None:
        """Text without Markdown is paragraphs, just as Markdown would have it."""
        self.assertEqual(markdown("one\ntwo\n\nthree"), "<p>one<br>\ntwo</p>\n<p>three</p>")

    def test_long(self) -> None:
        """What is too long is shown as it is."""
        found = markdown("*a* " * (markdown_module.LONGEST // 4 + 1))
        self.assertTrue(found.startswith('<pre class="text">*a*'))

    def test_hostile_structure(self) -> None:
        """Structures that parsers choke on take no longer than others."""
        began = time.process_time()
        for part in ("[", "*a_ ", "> ", "- ", "`", "![](", "|a", "a\n", "<", "&", "[a](<b"):
            markdown(part * (markdown_module.LONGEST // len(part)))
        self.assertLess(time.process_time() - began, 10)

    def test_memory(self) -> None:
        """What was read once costs nothing, and memory has an end."""
        memory = markdown_module._Memory(100)
        for number in range(40):
            memory.put(f"key {number}", markdown(f"value {number}"))
        self.assertIsNone(memory.get("key 0"))
        self.assertIsNotNone(memory.get("key 39"))
        self.assertLessEqual(memory._size, 100)

    @given(EVIL)
    @settings(deadline=None, max_examples=150)
    def test_safe(self, text: str) -> None:
        """Whatever comes, nothing in it runs, loads, or is left open."""
        self.assertEqual(Document(f"<div>{markdown(text)}</div>").faults, [])


class CodeCase(SynchronousTestCase):
    """Code with colours."""

    def test_unknown(self) -> None:
        """A language nobody knows is text."""
        self.assertEqual(highlight("a < b", "no-such-language"), "a &lt; b")
        self.assertEqual(highlight("a < b", "../../x"), "a &lt; b")

    def test_long(self) -> None:
        """Long code has no colours."""
        self.assertNotIn("<span", highlight("def " * LONGEST, "python"))

    def test_by_name(self) -> None:
        """A file's name tells its language."""
        self.assertEqual(language_of("/a/b.py"), "python")
        self.assertEqual(language_of("Makefile"), "make")
        self.assertEqual(language_of("/no/idea"), "")
        self.assertEqual(language_of(""), "")


class WriterCase(SynchronousTestCase):
    """A page's budget."""

    def test_budget(self) -> None:
        """Beyond its budget a page shows Markdown as it is, unless it is known already."""
        writer = Writer(budget=40)
        self.assertIn("<em>", writer.prose("*the first of these texts*"))
        self.assertIn("<pre", writer.prose("*the second is too much by now*"))
        self.assertIn("<em>", writer.prose("*the first of these texts*"))

    def test_clip(self) -> None:
        """A text's beginning is shown, and how much is left."""
        writer = Writer(clip=10)
        self.assertEqual(writer.plain("x" * 30), f'<pre class="text">{"x" * 10}</pre>')
        self.assertEqual(writer.left("x" * 30), 20)

    def test_gist(self) -> None:
        """A line of a text, without a terminal's colours."""
        self.assertEqual(gist("\x1b[31ma\n\n  b\x1b[0m"), "a b")
        self.assertEqual(len(gist("word " * 100, 50)), 50)


SAMPLES = [
    0,
    0.4,
    1,
    9.9,
    9.95,
    12,
    99.4,
    999.4,
    999.5,
    1000,
    1234,
    9994,
    9995,
    9999,
    12_345,
    59_949,
    59_950,
    99_950,
]
SAMPLES += [
    123_456,
    999_499,
    999_500,
    1_000_000,
    3_599_400,
    3_600_000,
    5_000_000,
    7_261_000,
    1e9,
    2.5e12,
]
COSTS = [0, 0.00001, 0.0001, 0.00456, 0.01, 0.0991, 0.1234, 0.99, 1, 12.345, 999.99, 1000, 12_345.6]
FORMATS = ("number", "short", "duration", "size")


class NumbersCase(SynchronousTestCase):
    """Figures in Python and in the browser."""

    def test_written(self) -> None:
        """A few of them, as people read them."""
        self.assertEqual(render_numbers.duration(200_000), "3m 20s")
        self.assertEqual(render_numbers.duration(7_500_000), "2h 05m")
        self.assertEqual(render_numbers.duration(1234), "1.23 s")
        self.assertEqual(render_numbers.short(34_499), "34k")
        self.assertEqual(render_numbers.usd(0.0123), "$0.012")
        self.assertEqual(render_numbers.size(1200), "1.2 kB")
        self.assertEqual(render_numbers.percent(0.995), "99.5 %")
        self.assertEqual(render_numbers.short(None), render_numbers.DASH)

    def test_browser_says_the_same(self) -> None:
        """``figures.js`` is the same function of the same numbers."""
        node = shutil.which("node")
        if node is None:
            raise SkipTest("node is not installed")
        module = str(files("clawproxy.dashboard") / "static" / "figures.js")
        cases = [(name, value) for name in FORMATS for value in (None, *SAMPLES)]
        cases += [("usd", value) for value in (None, *COSTS)]
        script = (
            f"import * as f from {json.dumps(module)};"
            f"const cases = {json.dumps(cases)};"
            "console.log(JSON.stringify(cases.map(([name, value]) => f[name](value))));"
        )
        command = [node, "--input-type=module", "-e", script]
        ran = subprocess.run(command, capture_output=True, timeout=60, check=True)
        theirs = json.loads(ran.stdout)
        ours = [getattr(render_numbers, name)(value) for name, value in cases]
        for case, left, right in zip(cases, ours, theirs, strict=True):
            self.assertEqual(left, right, case)
