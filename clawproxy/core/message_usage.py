"""Token counts of every dialect as one :class:`~clawproxy.core.record.Usage`.

Anthropic counts cached tokens apart from ``input_tokens``; OpenAI's ``prompt_tokens`` and
``input_tokens`` include them, and its completion tokens include the reasoning (both vendors' API
references, "usage"). A record counts as Anthropic does.
"""

from __future__ import annotations

from clawproxy.core.dialects import DialectName
from clawproxy.core.record import Usage

_MOST = 2**63 - 1  # what databases hold


def count(value: object) -> int:
    """Make a count of what stands where one should: anything else is 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    if not 0 <= value <= _MOST:
        return 0
    return int(value)


def _inside(usage: dict[str, object], name: str, inner: str) -> int:
    details = usage.get(name)
    return count(details.get(inner)) if isinstance(details, dict) else 0


def _anthropic(usage: dict[str, object]) -> Usage:
    return Usage(
        input_tokens=count(usage.get("input_tokens")),
        output_tokens=count(usage.get("output_tokens")),
        cache_read_input_tokens=count(usage.get("cache_read_input_tokens")),
        cache_creation_input_tokens=count(usage.get("cache_creation_input_tokens")),
        reasoning_tokens=_inside(usage, "output_tokens_details", "thinking_tokens"),
    )


def _openai(usage: dict[str, object], prompt: str, completion: str) -> Usage:
    details = f"{prompt}_details"
    cached = _inside(usage, details, "cached_tokens") or count(usage.get("prompt_cache_hit_tokens"))
    written = _inside(usage, details, "cache_write_tokens")
    return Usage(
        input_tokens=max(0, count(usage.get(prompt)) - cached - written),
        output_tokens=count(usage.get(completion)),
        cache_read_input_tokens=cached,
        cache_creation_input_tokens=written,
        reasoning_tokens=_inside(usage, f"{completion}_details", "reasoning_tokens"),
    )


def usage_of(dialect: DialectName, usage: object, *, complete: bool = True) -> Usage | None:
    """Read a ``usage`` object.

    :param usage: the decoded member; what is not an object, or an empty one, gives ``None``.
    :param complete: whether it is the answer's last report.
    """
    if not isinstance(usage, dict) or not usage:
        return None
    if dialect == "anthropic":
        found = _anthropic(usage)
    elif dialect == "openai_chat":
        found = _openai(usage, "prompt_tokens", "completion_tokens")
    else:
        found = _openai(usage, "input_tokens", "output_tokens")
    found.complete = complete
    return found
