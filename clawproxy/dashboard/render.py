"""HTML: the templates and what they may call.

Templates escape everything that does not come from :class:`Writer` or from another function of this
package that gives :class:`~markupsafe.Markup`.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clawproxy import __version__
from clawproxy.core.record import FAILED
from clawproxy.core.timestamp import rfc3339
from clawproxy.dashboard import render_numbers
from clawproxy.dashboard.markdown import markdown, remembered
from clawproxy.dashboard.render_code import LONGEST, highlight, language_of
from clawproxy.dashboard.render_text import bare, terminal, visible
from clawproxy.dashboard.view import Call
from clawproxy.dashboard.view_json import pretty, words
from clawproxy.dashboard.view_pane import Shown
from clawproxy.dashboard.view_tools import shown

CLIP = 24_000
"""Characters of one text that a page shows; the rest is a link away."""
BUDGET = 90_000
"""Characters of a page that are read as Markdown or coloured as code, at some 5 µs each; what was read
not long ago costs nothing."""
EDITS = 400_000
"""Characters of edits on a page that are compared; of what is beyond, both sides are shown whole."""
HTML = "text/html; charset=utf-8"


class Writer:
    """What a page's templates write text with, within a budget of time.

    :ivar clip: characters of one text that are shown.
    """

    def __init__(self, budget: int = BUDGET, clip: int = CLIP) -> None:
        self._left = budget
        self._edits = EDITS
        self.clip = clip

    def _afford(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True

    def prose(self, text: str) -> Markup:
        """Write Markdown."""
        text = text[: self.clip]
        found = remembered(text)
        if found is not None:
            return found
        if not self._afford(len(text)):
            return self.plain(text)
        return markdown(text)

    def plain(self, text: str) -> Markup:
        """Write text as it is, with a terminal's colours."""
        return Markup('<pre class="text">{}</pre>').format(terminal(text[: self.clip]))

    def code(self, text: str, language: str = "") -> Markup:
        """Write code."""
        text = text[: self.clip]
        known = language if language and "." not in language else language_of(language)
        if not known or len(text) > LONGEST or not self._afford(len(text)):
            known = ""
        return Markup('<pre class="code"><code>{}</code></pre>').format(highlight(text, known))

    def json(self, value: object) -> Markup:
        """Write JSON on many lines."""
        return self.code(pretty(value), "json")

    def left(self, text: str) -> int:
        """Give how many characters of a text are not shown."""
        return max(0, len(text) - self.clip)

    def shown(self, call: Call) -> Shown:
        """Say what a call does."""
        quick = call.weight > self._edits
        if not quick:
            self._edits -= call.weight
        return shown(call, quick=quick)


def static(name: str) -> str:
    """Give a static file's address: the one by which modules name each other, since a browser runs a module once for
    each of its addresses. Whether it has changed is asked each time."""
    return f"/ui/static/{name}"


def link(*path: str, **query: object) -> str:
    """Give a page's address.

    :param path: what stands between the slashes.
    :param query: parameters; those that are ``None`` or empty are left out, those that are tuples come repeatedly.
    """
    found = "/ui/" + "/".join(quote(each, safe="") for each in path)
    pairs = {name: value for name, value in query.items() if value not in (None, "", ())}
    return f"{found}?{urlencode(pairs, doseq=True)}" if pairs else found


def gist(text: str, most: int = 140) -> str:
    """Give the beginning of a text on one line."""
    line = " ".join(visible(bare(text[: most * 4])).split())
    return line if len(line) <= most else line[: most - 1] + "…"


@cache
def environment() -> Environment:
    """Make the templates' environment; it is made once."""
    made = Environment(
        loader=PackageLoader("clawproxy.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "short", "duration", "usd", "size", "percent", "clock", "day", "agent"):
        made.filters[name] = getattr(render_numbers, name)
    made.filters |= {"gist": gist, "visible": visible, "words": words, "pretty": pretty}
    made.filters["rfc3339"] = rfc3339
    made.globals |= {
        "static": static,
        "link": link,
        "version": __version__,
        "dash": render_numbers.DASH,
        "failed": FAILED,
    }
    return made


def page(template: str, **values: Any) -> bytes:
    """Write a page."""
    return environment().get_template(template).render(values).encode("utf-8", "replace")


def warm() -> None:
    """Compile the templates, which takes longer than writing a page."""
    made = environment()
    for name in made.list_templates(["html"]):
        made.get_template(name)
