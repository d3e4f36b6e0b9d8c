"""Why a prompt's beginning did not come from the cache although the turn before had left it there."""

from __future__ import annotations

from datetime import datetime

from clawproxy.core.record import Exchange
from clawproxy.dashboard.render_numbers import duration, short
from clawproxy.dashboard.view_turn import Novelty

ENOUGH = 0.9
"""The part of what the turn before had cached that has to be read for it to count as a hit."""
LEAST = 1024
"""Tokens below which no provider caches."""
_WORDS = {
    "model": "another model was asked",
    "tools": "the tools changed",
    "system": "the system prompt changed",
    "history": "earlier messages changed",
}
FIVE_MINUTES = 300_000.0


def misses(
    before: tuple[Exchange, dict[str, object]] | None,
    request: dict[str, object] | None,
    now: Exchange,
    new: Novelty,
) -> list[str]:
    """Say what was read anew although it was cached, and why that may be."""
    if before is None or request is None or before[0].usage is None or now.usage is None:
        return []
    usage = before[0].usage
    cached = usage.cache_read_input_tokens + usage.cache_creation_input_tokens
    lost = cached - now.usage.cache_read_input_tokens
    if cached < LEAST or now.usage.cache_read_input_tokens >= ENOUGH * cached:
        return []
    reasons = [_WORDS[name] for name in new.changed]
    waited = _between(before[0].started_at, now.started_at)
    if not reasons and waited is not None and waited > FIVE_MINUTES:
        reasons.append(f"{duration(waited)} went by, and a cache lasts five minutes unless told")
    if not reasons:
        reasons.append("nothing in the prompt before it changed, so the provider let it go")
    return [f"{short(lost)} tokens that the turn before had cached: {', '.join(reasons)}."]


def _between(earlier: str, later: str) -> float | None:
    try:
        passed = datetime.fromisoformat(later) - datetime.fromisoformat(earlier)
    except (ValueError, TypeError):
        return None
    return passed.total_seconds() * 1000
