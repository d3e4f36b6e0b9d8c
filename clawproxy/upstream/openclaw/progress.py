"""One line of progress for each tool of an agent's own: :func:`called` and :func:`broke`.

A caller sees what its agent is doing, and is not asked to do it: these tools are the gateway's.
"""

from __future__ import annotations

from clawproxy.core.dialects.rawjson import encode
from clawproxy.upstream.openclaw.frames import JSON, mapping, sequence, text, texts

MAX_WORDS = 300
"""Characters of a tool's arguments or error that a line shows."""


def _short(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"


def called(data: JSON) -> str:
    """Word that a tool is called: by its command, where it has one, else by its arguments.

    :param data: what a ``tool`` event tells.
    """
    arguments = data.get("args")
    command = text(arguments, "command") if isinstance(arguments, dict) else ""
    shown = command or (encode(arguments).decode() if arguments else "")
    return f"{_name(data)}: {_short(shown)}" if shown else _name(data)


def broke(data: JSON) -> str:
    """Word that a tool failed.

    :param data: as for :func:`called`.
    """
    said = " ".join(texts(sequence(mapping(data, "result"), "content")))
    return f"{_name(data)} failed: {_short(said)}" if said else f"{_name(data)} failed"


def _name(data: JSON) -> str:
    return text(data, "name", "a tool")
