"""The dialects that clients and upstreams speak, each translated to and from one neutral turn."""

from __future__ import annotations

from typing import Literal

DialectName = Literal["anthropic", "openai_chat", "openai_responses"]
"""The dialects' names as they stand in records, metrics and configuration."""
