"""What of a head may be kept and shown: every secret in it is replaced before it reaches a record or
a log.

A secret is known by the name it stands under, or by what it looks like. No hint of it is left,
neither its length nor its first letters: a record may outlive a key's rotation, and which key a
caller used is recorded by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote_plus

from clawproxy.core.secret import MASK

# "anthropic-ratelimit-tokens-limit" and "max_tokens" count tokens; "token" and "x-auth-token" are.
_SECRET_NAME = re.compile(
    r"cookie|secret|passw(?:or)?d|passphrase|pwd$|credential|signature|^sig$|authori[sz]ation"
    r"|bearer|^(?:x[-_])?authentication$|^(?:x[-_])?access$|^code$|[-_]access[-_]code$"
    r"|(?:^|[-_.])(?:o?auth|jwt|otp|oidc|dpop|hmac|license|pass|pat|pin)(?:$|[-_.])"
    r"|keys?(?:$|[-_.\[])|(?:^|[-_.]|access|api)key"
    r"|token(?:$|[-_.\[])",
    re.IGNORECASE,
)

# What only a secret looks like, whatever name it stands under: another scheme's credential, the
# keys of most vendors, a JSON web token, a password in a URL.
_SECRET_VALUE = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?<=://)[^/?#\s@\"<>]+(?=@)"
    r"|(?:(?i:bearer|basic) +[A-Za-z0-9+/_=.~-]{8,})"
    r"|(?:sk|pk)-[A-Za-z0-9_-]{8,}"
    # (Not behind a character of its own kind either: else a run of them is gone over from each place in it.)
    r"|(?<![_-])eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]*"
    r")"
)
_PARAMETER = re.compile(r"(?<=[?&;#])([^=?&;#\s\"<>]+)=[^&;#\s\"<>]+")
# Some of these stands in every text in which mask_text finds something.
_MARKS = ("?", "#", "://", "k-", "eyJ", "earer ", "asic ", "EARER ", "ASIC ")

_MOST_REMEMBERED = 256
"""Bytes of a name whose treatment is remembered: an upstream may send thousands of long ones."""


def _treated(name: bytes) -> tuple[str, bool]:
    text = name.decode("latin-1")
    return text, _SECRET_NAME.search(text) is not None


_shown = lru_cache(maxsize=2048)(_treated)


def mask_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Give a head as it may be kept and shown: the values of secrets are replaced by ``***``."""
    shown = []
    for line in headers:
        known = len(line[0]) <= _MOST_REMEMBERED
        name, secret = _shown(line[0]) if known else _treated(line[0])
        shown.append((name, MASK if secret else line[1].decode("latin-1")))
    # Heads are long and nearly always harmless: all values are looked through at once.
    together = "\n".join([text for _, text in shown])
    for mark in _MARKS:
        if mark in together:
            shown = [(name, mask_text(text) if mark in text else text) for name, text in shown]
    return shown


def mask_query(query: str) -> str:
    """Replace the values of keys in a query string by ``***``; every other byte stays as it is.

    :param query: what stands behind the ``?``, still percent-encoded; a ``?`` in front is left out.
    """
    query = query.removeprefix("?")
    if not query:
        return ""
    parts = re.split("([&;])", query)
    for index in range(0, len(parts), 2):
        name, equals, _ = parts[index].partition("=")
        if equals and _SECRET_NAME.search(unquote_plus(name)):
            parts[index] = f"{name}={MASK}"
    return mask_text("".join(parts))


def mask_text(text: str) -> str:
    """Replace what looks like a secret inside a text by ``***``.

    That is: the value of a parameter of a telling name in any URL, a password in one, and keys and
    tokens of the usual shapes.
    """
    if not any(mark in text for mark in _MARKS):
        return text
    if "?" in text or "#" in text:
        text = _PARAMETER.sub(_masked_parameter, text)
    return _SECRET_VALUE.sub(MASK, text)


def _masked_parameter(match: re.Match[str]) -> str:
    name = match[1]
    return f"{name}={MASK}" if _SECRET_NAME.search(unquote_plus(name)) else match[0]
