"""Chat Completions' ``usage``: inclusive counts, unlike the neutral ones.

``prompt_tokens`` holds cache reads and writes, ``completion_tokens`` holds reasoning
(https://platform.openai.com/docs/api-reference/chat/object).
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawproxy.core.dialects.events import TokenUsage
from clawproxy.core.dialects.rawjson import count, is_null, members
from clawproxy.core.message_usage import left_out


def read_usage(raw: msgspec.Raw) -> TokenUsage | None:
    """Read a ``usage`` object, of which servers send any part; ``None`` if it says nothing."""
    if is_null(raw) or not (found := members(raw)):
        return None
    prompt = count(found.get("prompt_tokens"))
    details = found.get("prompt_tokens_details")
    inner = details if isinstance(details, dict) else {}
    # DeepSeek and Moonshot report their caches beside the details.
    read = first(
        inner.get("cached_tokens"),
        found.get("prompt_cache_hit_tokens"),
        found.get("cached_tokens"),
    )
    written = first(inner.get("cache_write_tokens"), inner.get("cache_creation_tokens"))
    details = found.get("completion_tokens_details")
    reasoning = count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    fresh = None if prompt is None else max(0, prompt - (read or 0) - (written or 0))
    completion = count(found.get("completion_tokens"))
    more = left_out(
        prompt or 0,
        completion or 0,
        count(found.get("total_tokens")) or 0,
        cached=(read or 0) + (written or 0),
        reasoning=reasoning or 0,
    )
    if more:
        completion, reasoning = (completion or 0) + more, reasoning or more
    usage = TokenUsage(fresh, completion, read, written, reasoning)
    return None if usage == TokenUsage() else usage


def first(*values: object) -> int | None:
    """Return the first of the values that is a token count."""
    return next((found for value in values if (found := count(value)) is not None), None)


def usage_json(usage: TokenUsage) -> dict[str, Any]:
    """Write a whole ``usage`` object; what was never reported counts 0."""
    prompt = usage.prompt_tokens
    completion = usage.output_tokens or 0
    details: dict[str, int] = {"cached_tokens": usage.cache_read_input_tokens or 0}
    if usage.cache_creation_input_tokens:
        details["cache_write_tokens"] = usage.cache_creation_input_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
    }
