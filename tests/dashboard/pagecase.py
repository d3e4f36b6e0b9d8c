"""Pages of recorded exchanges, in memory: :class:`PagesCase` and :class:`Document`."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.dashboard import pages
from clawproxy.dashboard.api_answer import Answer
from clawproxy.dashboard.pages_answer import Visit
from clawproxy.store.entry import Prepared
from clawproxy.store.pool import StorePool
from clawproxy.store.sqlite import SQLiteStore

T = TypeVar("T")
NOW = 1_790_000_000.0
INLINE = frozenset(
    {"a", "b", "span", "code", "mark", "em", "strong", "i", "s", "small", "time", "q"}
)
VOID = frozenset({"meta", "link", "img", "input", "br", "hr", "col", "rect", "line", "use", "path"})


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing."""
    try:
        while True:
            work.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value


class Document(HTMLParser):
    """A page, read as a browser reads it.

    :ivar elements: tags with their attributes, in order.
    :ivar text: all text, without that of elements nobody sees.
    :ivar faults: what no page of ours may have.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.faults: list[str] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        if self._open:
            self.faults.append(f"never closed: {self._open}")
        ids = [found["id"] for _, found in self.elements if "id" in found]
        self.faults += [f"twice: id {id}" for id in sorted({i for i in ids if ids.count(i) > 1})]

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Take an element, and look for what may not be."""
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if tag not in INLINE:
            self._texts.append(" ")
        if tag not in VOID:
            self._open.append(tag)
        for name, value in found.items():
            if name.startswith("on") or name == "style":
                self.faults.append(f"{tag} has {name}={value[:40]}")
            if name in ("href", "src", "action", "formaction", "data", "xlink:href"):
                self._address(tag, name, value)
        if tag in ("iframe", "object", "embed", "base", "style"):
            self.faults.append(f"there is a {tag}")
        if tag == "script" and not found.get("src", "").startswith("/ui/static/"):
            self.faults.append("a script of somebody else's")
        if tag == "img" and "alt" not in found:
            self.faults.append("an image without words")

    def _address(self, tag: str, name: str, value: str) -> None:
        plain = unquote(value).strip().lower()
        ours = plain.startswith(("/ui/", "/api/", "#", "?"))
        away = (
            tag == "a" and name == "href" and plain.startswith(("http://", "https://", "mailto:"))
        )
        if not (ours or away):
            self.faults.append(f"{tag} {name}={value[:60]}")

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Take an element that closes itself, as SVG's do."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Take the end of an element."""
        if tag not in INLINE:
            self._texts.append(" ")
        if tag in VOID:
            return
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self._open[-3:]}")
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Take text."""
        self._texts.append(data)

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join("".join(self._texts).split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Find elements by tag and attributes; ``class_`` asks for one class."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [
            found
            for name, found in self.elements
            if name == tag
            and all(
                value in found.get(key, "").split() if key == "class" else found.get(key) == value
                for key, value in wanted.items()
            )
        ]


class PagesCase(SynchronousTestCase):
    """Pages over a SQLite store of their own."""

    def setUp(self) -> None:
        path = str(Path(self.mktemp()).absolute())
        self.pool = StorePool(lambda: SQLiteStore(path))

    def keep(self, told: Sequence[Prepared]) -> None:
        """Put exchanges into the store."""
        run(self.pool.run(lambda store: store.ingest(told)))

    def get(self, path: str, query: str = "", *, method: str = "GET") -> Answer:
        """Visit a page, by its path below ``/ui/``."""

        async def pause(seconds: float = 0) -> None:
            pass

        visit = Visit(self.pool, method, path, query, NOW, pause)
        return run(pages.answer(visit))

    def rows(self, sql: str) -> list[Any]:
        """Ask the store, for one column."""
        return [row[0] for row in run(self.pool.run(lambda store: store.rows(sql)))]

    def page(self, path: str, query: str = "", status: int = 200) -> Document:
        """Visit a page that is HTML without faults."""
        answer = self.get(path, query)
        self.assertEqual(answer.status, status, path)
        self.assertEqual(answer.kind, "text/html; charset=utf-8")
        document = Document(answer.body.decode())
        self.assertEqual(document.faults, [], path)
        return document
