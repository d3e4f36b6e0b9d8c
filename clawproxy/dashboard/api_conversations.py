"""``/api/conversations``: what belongs together."""

from __future__ import annotations

from clawproxy.dashboard.api_answer import Answer, Call


async def page(call: Call) -> Answer:
    """Answer ``GET /api/conversations``."""
    raise NotImplementedError


async def detail(call: Call) -> Answer:
    """Answer ``GET /api/conversations/{id}``."""
    raise NotImplementedError
