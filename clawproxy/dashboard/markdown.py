"""Markdown that nobody can trust, as HTML: :func:`markdown`.

Three things stand between a prompt and a page: markdown-it does not pass HTML on but shows it, links
lead to nothing but web and mail addresses, and nh3 takes out of the result whatever is not listed
here. Images are shown as links: nothing is fetched from anywhere because somebody opened a record.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from clawproxy.dashboard.render_code import highlight
from clawproxy.dashboard.render_text import visible

LONGEST = 40_000
"""Characters from which on text is shown as it is; markdown-it takes about 5 µs for each."""
REMEMBERED = 24 << 20
"""Characters of HTML that are remembered: the turns of a conversation have most of it in common."""

_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li"),
    *("table", "thead", "tbody", "tr", "th", "td", "a", "span", "div"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "ol": {"start"},
    "span": {"class"},
    "p": {"class"},
    "code": {"class"},
    "pre": {"class"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "th": {"class"},
    "td": {"class"},
}
_SCHEMES = {"http", "https", "mailto"}
_MARKS = re.compile(r"[\\*_`#\[\]<>|~&!-]|^[ \t]*+\d+[.)]|^ {4}|^\t|^=|^\+", re.MULTILINE)
"""What Markdown is made of; text without any of it is just paragraphs."""


class _Renderer(RendererHTML):
    """Headings are paragraphs: a page's outline is the page's own."""

    def heading_open(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        return f'<p class="h {tokens[index].tag}">'

    def heading_close(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        return "</p>\n"

    def image(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[index]
        address = str(token.attrs.get("src", ""))
        label = escape(f"image: {token.content or address}")
        return f'<a href="{escape(address)}">{label}</a>'

    def table_open(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        return '<div class="wide" tabindex="0" role="group" aria-label="table"><table>\n'

    def table_close(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        return "</table></div>\n"

    def th_open(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        return self._cell(tokens[index])

    td_open = th_open

    def _cell(self, token: Token) -> str:
        # The alignment comes as a style attribute, which no page of ours may have.
        side = str(token.attrs.get("style", "")).removeprefix("text-align:")
        name = f' class="{side}"' if side in ("left", "right", "center") else ""
        return f"<{token.tag}{name}>"

    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[index]
        language = token.info.strip().split(" ", 1)[0]
        return f'<pre class="code"><code>{highlight(token.content, language)}</code></pre>\n'

    def code_block(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        return f'<pre class="code"><code>{escape(tokens[idx].content)}</code></pre>\n'


def _valid_link(url: str) -> bool:
    address = url.strip().lower()
    scheme, colon, _ = address.partition(":")
    if not colon or "/" in scheme or "?" in scheme or "#" in scheme:
        # A path or an anchor would lead somewhere on this server, which the text knows nothing of.
        return False
    return scheme in _SCHEMES


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer)
    parser.enable(["table", "strikethrough"])
    parser.validateLink = _valid_link  # type: ignore[method-assign]
    return parser


class _Memory:
    """HTML by its source, up to a number of characters; the one unused longest goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._known: OrderedDict[str, Markup] = OrderedDict()

    def get(self, source: str) -> Markup | None:
        found = self._known.get(source)
        if found is not None:
            self._known.move_to_end(source)
        return found

    def put(self, source: str, html: Markup) -> None:
        self._known[source] = html
        self._size += len(source) + len(html)
        while self._size > self._limit and self._known:
            old, gone = self._known.popitem(last=False)
            self._size -= len(old) + len(gone)


_markdown = _parser()
_memory = _Memory(REMEMBERED)


def markdown(source: str) -> Markup:
    """Give Markdown as HTML that may stand in a page.

    Text that is too long is given as it is, in one ``pre``.
    """
    found = _memory.get(source)
    if found is not None:
        return found
    html = _rendered(source)
    _memory.put(source, html)
    return html


def remembered(source: str) -> Markup | None:
    """Give the HTML of Markdown that was asked for not long ago, at no cost."""
    return _memory.get(source)


def _rendered(source: str) -> Markup:
    text = visible(source)
    if len(text) > LONGEST:
        return Markup('<pre class="text">{}</pre>').format(text)
    if not _MARKS.search(text):
        return _paragraphs(text)
    try:
        html = str(_markdown.render(text))
    except RecursionError:
        return Markup('<pre class="text">{}</pre>').format(text)
    options: dict[str, Any] = {
        "tags": _TAGS,
        "attributes": _ATTRIBUTES,
        "url_schemes": _SCHEMES,
        "link_rel": "noopener noreferrer nofollow",
    }
    return Markup(nh3.clean(html, **options))


def _paragraphs(text: str) -> Markup:
    found = (part.strip() for part in re.split(r"\n[ \t]*\n", text))
    return Markup("\n").join(
        Markup("<p>{}</p>").format(Markup("<br>\n").join(part.split("\n")))
        for part in found
        if part
    )
