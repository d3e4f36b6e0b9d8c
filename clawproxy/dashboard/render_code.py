"""Code with colours: :func:`highlight` and :func:`language_of`.

Pygments gives the tokens; each becomes a ``span`` with a class. Colours are the style sheet's.
"""

from __future__ import annotations

import re
from functools import lru_cache

from markupsafe import Markup, escape
from pygments import lex
from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class_by_name, find_lexer_class_for_filename
from pygments.token import STANDARD_TYPES, Token, _TokenType
from pygments.util import ClassNotFound

from clawproxy.dashboard.render_text import visible

LONGEST = 20_000
"""Characters from which on code has no colours: a lexer takes 1 to 3 µs for each."""
_LONGEST_LINE = 2_000
_NAME = re.compile(r"[\w+#.-]{1,30}")

_PLAIN = frozenset({"text", "txt", "plain", "plaintext", "console", "output", "log", ""})


@lru_cache(maxsize=256)
def _lexer(language: str) -> Lexer | None:
    if language in _PLAIN or not _NAME.fullmatch(language):
        return None
    try:
        return find_lexer_class_by_name(language)(stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@lru_cache(maxsize=1024)
def language_of(path: str) -> str:
    """Guess a language from a file's name; ``""`` where it says nothing."""
    name = path.rpartition("/")[2][-60:]
    found = find_lexer_class_for_filename(name) if name else None
    return found.aliases[0] if found is not None and found.aliases else ""


@lru_cache(maxsize=512)
def _class(token: _TokenType) -> str:
    while token is not Token and token not in STANDARD_TYPES:
        token = token.parent or Token
    return STANDARD_TYPES.get(token, "")


def highlight(code: str, language: str) -> Markup:
    """Give code as HTML, coloured where its language is known and it is not too long."""
    text = visible(code)
    lexer = _lexer(language.lower())
    if lexer is None or len(text) > LONGEST or _long_lines(text):
        return escape(text)
    pieces: list[str] = []
    for token, value in lex(text, lexer):
        name = _class(token)
        safe = str(escape(value))
        pieces.append(f'<span class="{name}">{safe}</span>' if name and name != "w" else safe)
    return Markup("".join(pieces))


def _long_lines(text: str) -> bool:
    if len(text) <= _LONGEST_LINE:
        return False
    return max(map(len, text.split("\n"))) > _LONGEST_LINE
