"""Commands that an agent may run only if its user says so: :class:`ApprovalBook`.

1. ``exec.approval.requested`` enters an :class:`Approval`; ``exec.approval.resolved`` and time end
   it.
2. :func:`question` words it as a message in the chat.
3. :func:`read_decision` reads the user's next message: APPROVE, ALWAYS, DENY, or anything else.

Nothing here ever approves: a decision is a person's word, or there is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Literal

from attrs import evolve, field, frozen

from clawproxy.upstream.openclaw.frames import JSON, count, mapping, scrub, sequence, text

Decision = Literal["allow-once", "allow-always", "deny"]
DECISIONS: tuple[Decision, ...] = ("allow-once", "allow-always", "deny")

KEPT = 500
"""Approvals that are remembered after their end, so that a late answer can be told what became of
them."""


class Verdict(Enum):
    """What a user's message says of a pending approval."""

    APPROVE = "allow-once"
    ALWAYS = "allow-always"
    DENY = "deny"
    OTHER = "other"


class Standing(Enum):
    """What became of an approval."""

    PENDING = "pending"
    ALLOWED = "allowed"
    DENIED = "denied"
    EXPIRED = "expired"


@frozen
class Approval:
    """One question of an agent to its user.

    :ivar allowed: the decisions that the gateway would take, in its own order.
    :ivar created: :ivar expires: seconds since the epoch.
    :ivar run_id: the run that waits, where the gateway says so (from 2026.9 on).
    """

    id: str
    command: str
    cwd: str = ""
    host: str = ""
    agent: str = ""
    session_key: str = ""
    run_id: str = ""
    warning: str = ""
    allowed: tuple[Decision, ...] = DECISIONS
    created: float = 0.0
    expires: float = field(default=0.0)
    standing: Standing = Standing.PENDING


def read_approval(payload: JSON, now: float, *, fresh: bool = False) -> Approval | None:
    """Read the payload of ``exec.approval.requested``, or an entry of ``exec.approval.list``.

    :param now: seconds since the epoch.
    :param fresh: it was asked this moment: its life then counts from ``now``, whatever the
        gateway's clock.
    :returns: ``None`` if it names no id.
    """
    request = mapping(payload, "request")
    approval_id = text(payload, "id")
    if not approval_id:
        return None
    session_key = text(request, "sessionKey").lower()
    parts = session_key.split(":")
    agent = text(request, "agentId") or (parts[1] if parts[0] == "agent" and len(parts) > 2 else "")
    listed = sequence(request, "allowedDecisions")
    allowed = tuple(d for d in DECISIONS if d in listed) if listed else DECISIONS
    if not listed and request.get("ask") == "always":
        # Where every command is asked for, gateways take no standing permission.
        allowed = ("allow-once", "deny")
    created, expires = count(payload, "createdAtMs") / 1000, count(payload, "expiresAtMs") / 1000
    if fresh and created and expires:
        created, expires = now, now + expires - created
    return Approval(
        id=approval_id,
        command=scrub(text(request, "command")),
        cwd=scrub(text(request, "cwd")),
        host=scrub(text(request, "host")),
        agent=agent,
        session_key=session_key,
        run_id=text(request, "runId"),
        warning=scrub(text(request, "warningText")),
        allowed=allowed,
        created=created or now,
        expires=expires,
    )


def read_decision(message: str) -> Verdict:
    """Read what a user's message decides; only the bare word counts."""
    word = re.sub(r"[\s.!*_`'\"]+", "", message).upper()
    try:
        return Verdict[word]
    except KeyError:
        return Verdict.OTHER


def _fence(command: str) -> str:
    ticks = "```"
    while ticks in command:
        ticks += "`"
    return f"{ticks}\n{command}\n{ticks}"


def question(approval: Approval, now: float) -> str:
    """Word an approval as a message in the chat."""
    lines = [f"**Approval needed.** The agent `{approval.agent or '?'}` wants to run:", ""]
    lines += [_fence(approval.command), ""]
    if approval.cwd:
        lines.append(f"Folder: `{approval.cwd}`")
    if approval.host:
        lines.append(f"Host: `{approval.host}`")
    if approval.warning:
        lines.append(f"Warning: {approval.warning}")
    words = {"allow-once": "**APPROVE** (once)", "allow-always": "**ALWAYS**", "deny": "**DENY**"}
    offered = ", ".join(words[d] for d in approval.allowed)
    lines += ["", f"Reply {offered}. Anything else denies it."]
    if approval.expires > now:
        minutes, seconds = divmod(round(approval.expires - now), 60)
        left = f"{minutes} min" if minutes and not seconds else f"{minutes * 60 + seconds} s"
        lines.append(f"This question expires in {left}.")
    return "\n".join(lines)


class ApprovalBook:
    """All approvals of a gateway, other clients' too.

    :param clock: gives seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._approvals: dict[str, Approval] = {}

    def get(self, approval_id: str) -> Approval | None:
        """Find one, as it stands now."""
        approval = self._approvals.get(approval_id)
        return None if approval is None else self._aged(approval)

    def _aged(self, approval: Approval) -> Approval:
        if approval.standing is Standing.PENDING and 0 < approval.expires <= self._clock():
            return self._set(approval, Standing.EXPIRED)
        return approval

    def _set(self, approval: Approval, standing: Standing) -> Approval:
        changed = evolve(approval, standing=standing)
        self._approvals[approval.id] = changed
        return changed

    def enter(self, approval: Approval) -> bool:
        """Note a new approval.

        :returns: whether it was new.
        """
        if approval.id in self._approvals:
            return False
        if len(self._approvals) >= KEPT:
            ended = [
                a
                for a in self._approvals.values()
                if self._aged(a).standing is not Standing.PENDING
            ]
            for old in ended[: max(1, len(self._approvals) - KEPT + 1)]:
                del self._approvals[old.id]
        self._approvals[approval.id] = approval
        return True

    def resolved(self, approval_id: str, decision: str) -> Approval | None:
        """Note that an approval was decided, by whomever."""
        approval = self._approvals.get(approval_id)
        if approval is None or approval.standing is not Standing.PENDING:
            return approval
        allowed = decision.startswith("allow")
        return self._set(approval, Standing.ALLOWED if allowed else Standing.DENIED)

    def expired(self, approval_id: str) -> None:
        """Note that the gateway no longer knows a pending approval."""
        approval = self._approvals.get(approval_id)
        if approval is not None and approval.standing is Standing.PENDING:
            self._set(approval, Standing.EXPIRED)

    def pending(self) -> list[Approval]:
        """All that wait, oldest first."""
        aged = [self._aged(a) for a in list(self._approvals.values())]
        waiting = [a for a in aged if a.standing is Standing.PENDING]
        return sorted(waiting, key=lambda a: a.created)
