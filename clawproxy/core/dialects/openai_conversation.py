"""What both of OpenAI's APIs say alike of a conversation that was held with another vendor."""

from __future__ import annotations

from clawproxy.core.dialects.parts import FilePart, OpaquePart, PlainText, TextPart
from clawproxy.core.dialects.rawjson import members
from clawproxy.core.dialects.turn import unsupported

_ERROR_MARK = "Error: "

_MACHINERY = frozenset({"fallback", "tool_search_tool_result"})
"""Anthropic's blocks that tell of its own machinery and say nothing to another model."""


def failed(words: str) -> str:
    """Return a failed tool's words marked as such: the APIs have no flag for it, so the text has to say so."""
    words = words or "The tool failed."
    return words if words.startswith("Error") else _ERROR_MARK + words


def document_text(part: FilePart, source: PlainText) -> str:
    """Return a document that is text as words, under what is said about it."""
    head = "\n".join(said for said in (part.name, part.context) if said)
    return f"{head}\n\n{source.text}" if head else source.text


def foreign_block(part: OpaquePart, api: str) -> TextPart | None:
    """Return what a block that only another dialect knows says to a model, ``None`` if it says nothing.

    :param api: the target's name, for the refusal.
    :raises ProxyError: ``UNSUPPORTED_PARAMETER``: without it the conversation would be another.
    """
    if part.kind in _MACHINERY:
        return None
    block = members(part.raw)
    if part.kind == "server_tool_use" and str(block.get("name")).startswith("tool_search_tool"):
        return None
    if part.kind == "compaction" and isinstance(block.get("content"), str):
        return TextPart(block["content"])
    raise unsupported(part.where, f"{part.kind} cannot be expressed {api}.")
