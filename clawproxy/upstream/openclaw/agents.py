"""The gateway's agents and their skills, as models and tools.

1. :func:`read_agents` reads ``agents.list``.
2. :meth:`Roster.find` finds the agent that a model name means.
3. :func:`read_tools` words an agent's skills as OpenAI tools.
"""

from __future__ import annotations

import re

from attrs import frozen

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.frames import JSON, scrub, sequence, text

DEFAULT_NAMES = frozenset({"", "default", "openclaw", "gpt-4", "gpt-3.5-turbo"})
"""Model names that mean the default agent. The last two are a habit of earlier bridges: clients
that insist on a name they know."""

_BARS = ("disabled", "blockedByAllowlist", "blockedByAgentFilter")
"""Any of them keeps an agent from a skill."""

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")


@frozen
class Agent:
    """One agent.

    :ivar thinking: the levels of thinking that it knows; empty where the gateway does not tell.
    """

    id: str
    name: str = ""
    thinking: tuple[str, ...] = ()


@frozen
class Roster:
    """All agents of a gateway.

    :ivar default: the id of the gateway's own default agent.
    """

    agents: tuple[Agent, ...] = ()
    default: str = ""

    def find(self, model: str, preferred: str) -> Agent:
        """Find the agent that a model name means, whatever its case.

        :param model: ``<agent>``, ``openclaw/<agent>``, ``openclaw:<agent>`` or one of
            :data:`DEFAULT_NAMES`.
        :param preferred: the configured default agent, which goes before the gateway's own.
        :raises ProxyError: ``MODEL_NOT_FOUND``.
        """
        name = model
        for prefix in ("openclaw/", "openclaw:"):
            name = name.removeprefix(prefix)
        by_id = {agent.id.lower(): agent for agent in self.agents}
        found = by_id.get(name.lower())
        if found is None and name.lower() in DEFAULT_NAMES:
            found = by_id.get(preferred.lower()) or by_id.get(self.default.lower())
            if found is None and self.agents:
                found = self.agents[0]
        if found is None:
            known = ", ".join(agent.id for agent in self.agents) or "none"
            raise ProxyError(
                Kind.MODEL_NOT_FOUND,
                f"the OpenClaw gateway has no agent {name[:100]!r}; its agents: {known}",
                param="model",
            )
        return found


def read_agents(payload: JSON) -> Roster:
    """Read the answer to ``agents.list``; entries without an id are passed over."""
    agents = []
    for entry in sequence(payload, "agents"):
        if not isinstance(entry, dict) or not text(entry, "id"):
            continue
        levels = tuple(str(level) for level in sequence(entry, "thinkingOptions"))
        agents.append(Agent(entry["id"], scrub(text(entry, "name", entry["id"])), levels))
    return Roster(tuple(agents), text(payload, "defaultId"))


def read_tools(payload: JSON) -> list[dict[str, object]]:
    """Read the answer to ``skills.status`` as OpenAI function tools.

    Only skills that the agent can use as things are: eligible, enabled and allowed. Skills take no
    arguments of their own, so neither do the tools.
    """
    tools: list[dict[str, object]] = []
    for skill in sequence(payload, "skills"):
        if not isinstance(skill, dict) or skill.get("eligible") is not True:
            continue
        if any(skill.get(bar) is True for bar in _BARS):
            continue
        name = _UNFIT.sub("_", text(skill, "name") or text(skill, "skillKey")).strip("_")[:64]
        if name:
            function = {
                "name": name,
                "description": scrub(text(skill, "description")),
                "parameters": {"type": "object", "properties": {}},
            }
            tools.append({"type": "function", "function": function})
    return tools
