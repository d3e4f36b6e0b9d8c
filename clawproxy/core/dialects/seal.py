"""Sealed thinking that comes home: vendors sign or encrypt their models' thinking, and want it back
unchanged in a tool loop.

A caller of another dialect has one field for a foreign seal too: Anthropic's ``signature``, the
Responses API's ``encrypted_content``. A decoder's :class:`~.events.SignatureDelta` says whose seal
it is; the caller's encoder puts it into its own field with :func:`wrap`, and when the caller sends
it back :func:`unwrap` tells whom it belongs to. A seal goes only to the vendor that made it.

A caller's own vendor never sees a wrapped seal: on a translated route it is unwrapped or left out, on a
verbatim one to the vendor's own API :mod:`~.foreign` takes the block out, since vendors refuse a block
with another's seal.
"""

from __future__ import annotations

from typing import cast

from clawproxy.core.dialects import DialectName

UNSEALED = "unsealed"
"""Stands for a seal under thinking that a server does not seal but wants back in a tool loop, as
DeepSeek's and Moonshot's do with ``reasoning_content``."""

UNSEALED_REASONING = "unsealed:reasoning"
"""The same, of a server that calls it ``reasoning``: Groq's refuses the other name."""

UNSEALED_PARTS = "unsealed:thinking"
"""The same, of one that has it among the parts of ``content``: Mistral's refuses both names."""

MARK = "clawproxy:"
"""With what every wrapped seal begins."""


def wrap(origin: DialectName, signature: str, item: str = "") -> str:
    """Mark a seal with its vendor.

    :param item: the vendor's id of the sealed item, where it wants that back too.
    """
    return f"{MARK}{origin}:{item}:{signature}"


def unwrap(text: str, own: DialectName) -> tuple[DialectName, str, str]:
    """Return the vendor's dialect, the seal and the item's id; an unmarked seal is ``own``'s."""
    if text.startswith(MARK):
        parts = text.split(":", 3)
        if len(parts) == 4 and parts[1] in ("anthropic", "openai_chat", "openai_responses"):
            return cast(DialectName, parts[1]), parts[3], parts[2]
    return own, text, ""
