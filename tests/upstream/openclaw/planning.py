"""Turns made into errands in tests."""

from __future__ import annotations

import re

from clawproxy.config.gateway import DEFAULT_RETRIEVAL_PATTERNS
from clawproxy.core.dialects.parts import Message, Part
from clawproxy.core.dialects.turn import Turn
from clawproxy.upstream.openclaw.agents import Agent
from clawproxy.upstream.openclaw.errand import Errand, plan

AGENT = Agent("main", thinking=("off", "low", "high"))
RETRIEVAL = tuple(re.compile(p) for p in DEFAULT_RETRIEVAL_PATTERNS)


def errand(
    asked: Turn,
    headers: dict[str, str] | None = None,
    *,
    passthrough: bool = False,
    stripping: bool = False,
    agent: Agent = AGENT,
    ignoring: bool = False,
) -> Errand:
    """Plan a turn."""
    return plan(
        asked,
        headers or {},
        agent,
        mode="passthrough" if passthrough else "stateful",
        retrieval=RETRIEVAL,
        stripping=stripping,
        once="once-1",
        ignoring_tools=ignoring,
    )


def message(*parts: Part) -> Turn:
    """A turn of one message."""
    return Turn(dialect="openai_chat", model="main", messages=(Message("user", parts),))
