"""A recorded request as a command for a shell: :func:`command`."""

from __future__ import annotations

import base64
import textwrap
from shlex import quote

from clawproxy.core.secret import MASK
from clawproxy.store.export_har import url
from clawproxy.store.export_record import Recorded

LONGEST = 100_000
"""Bytes of a body that stand in the command; Linux takes 128 KiB in one argument."""
_LEFT_OUT = frozenset({"host", "content-length", "connection", "transfer-encoding", "expect"})


def command(one: Recorded) -> str:
    """Give the command that sends a request again, byte for byte.

    Where a secret stood, the command names a variable of the shell in its place.
    """
    exchange = one.exchange
    words = ["curl", "--no-buffer", quote(url(exchange))]
    if exchange.method != "POST" or one.request is None:
        words[1:1] = ["--request", quote(exchange.method)]
    for name, value in exchange.request_headers:
        if name.lower() in _LEFT_OUT:
            continue
        if MASK in value:
            words += ["--header", f'"{name}: {_variable(name)}"']
        else:
            # curl sends a header without a value only if a semicolon stands for the colon.
            words += ["--header", quote(f"{name}: {value}" if value else f"{name};")]
    body = one.request
    if body is None or (not body and exchange.method in ("GET", "HEAD")):
        return _lines(words) + "\n"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if len(body) <= LONGEST and "\0" not in text:
        # Not --data-binary: it would send the file that a text with an @ in front names.
        return _lines([*words, "--data-raw", quote(text)]) + "\n"
    lines = "\n".join(textwrap.wrap(base64.b64encode(body).decode(), 120))
    piped = _lines([*words, "--data-binary", "@-"])
    return f"base64 --decode <<'END' | {piped}\n{lines}\nEND\n"


def _variable(name: str) -> str:
    """Name the variable that holds a header's secret."""
    lowered = name.lower()
    if lowered == "authorization":
        return "Bearer $API_KEY"
    if lowered in ("x-api-key", "api-key"):
        return "$API_KEY"
    shouted = "".join(char if char.isalnum() else "_" for char in name.upper())
    return f"${shouted}"


def _lines(words: list[str]) -> str:
    """Put each option on a line of its own."""
    found = words[0]
    at = 1
    while at < len(words):
        if words[at].startswith("--") and words[at] != "--no-buffer":
            found += f" \\\n  {words[at]} {words[at + 1]}"
            at += 2
        else:
            found += f" {words[at]}"
            at += 1
    return found
