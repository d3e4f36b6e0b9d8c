"""Token counts of every dialect as one :class:`~clawproxy.core.record.Usage`.

Anthropic counts cached tokens apart from ``input_tokens``; OpenAI's ``prompt_tokens`` and
``input_tokens`` include them, and its completion tokens include the reasoning (both vendors' API
references, "usage"). A record counts as Anthropic does.

Of the servers that imitate Chat Completions, xAI and Gemini leave the reasoning out of the completion tokens and count
it in ``total_tokens`` alone (:func:`left_out`); Moonshot tells its cache beside the details, as DeepSeek does.
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


def left_out(prompt: int, completion: int, total: int, *, cached: int, reasoning: int) -> int:
    """Return the reasoning that a server left out of its completion tokens, so that what is billed is counted.

    What its total holds beside prompt and completion is that, if it is as much as the reasoning it tells of, or if it
    tells of none, and of no cache either, which others leave out of the prompt.
    """
    more = total - prompt - completion
    known = more == reasoning if reasoning else not cached
    return more if prompt and more > 0 and known else 0


def _openai(usage: dict[str, object], prompt: str, completion: str) -> Usage:
    details = f"{prompt}_details"
    cached = (
        _inside(usage, details, "cached_tokens")
        or count(usage.get("prompt_cache_hit_tokens"))
        or count(usage.get("cached_tokens"))
    )
    written = _inside(usage, details, "cache_write_tokens") or _inside(
        usage, details, "cache_creation_tokens"
    )
    whole, output = count(usage.get(prompt)), count(usage.get(completion))
    reasoning = _inside(usage, f"{completion}_details", "reasoning_tokens")
    more = left_out(
        whole,
        output,
        count(usage.get("total_tokens")),
        cached=cached + written,
        reasoning=reasoning,
    )
    return Usage(
        input_tokens=max(0, whole - cached - written),
        output_tokens=output + more,
        cache_read_input_tokens=cached,
        cache_creation_input_tokens=written,
        reasoning_tokens=reasoning or more,
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
