"""A message to a conversation that has something open: :class:`Settlement` deals with it before the
agent hears anything.

1. An undecided approval is decided by the message: APPROVE, ALWAYS and DENY are words to the proxy,
   anything else denies and goes to the agent.
2. A run that waited goes on, and its answer is this turn's answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from clawproxy.upstream.openclaw.approvals import (
    Approval,
    Standing,
    Verdict,
    question,
    read_decision,
)
from clawproxy.upstream.openclaw.conversation import Conversation
from clawproxy.upstream.openclaw.errand import Errand

if TYPE_CHECKING:
    from clawproxy.upstream.openclaw.call import Call
    from clawproxy.upstream.openclaw.provider import OpenClawProvider

FOLLOW_UP = 10.0
"""Seconds that an approved command gets, on gateways whose runs do not wait, before the agent is
asked to go on with what it has."""

GO_ON = {
    Standing.ALLOWED: "I have approved the command. Please go on with its result.",
    Standing.DENIED: "I have denied the command; it was not run. Please go on without it.",
}


class Settlement:
    """What one message does to what is open.

    :param call: where it is told.
    :param provider: whose agents are asked.
    :param conversation: what has something open.
    :param errand: the message.
    """

    def __init__(
        self, call: Call, provider: OpenClawProvider, conversation: Conversation, errand: Errand
    ) -> None:
        self._call = call
        self._provider = provider
        self._conversation = conversation
        self._errand = errand

    async def settle(self) -> bool:
        """Deal with all of it.

        :returns: whether the message is still to be sent to the agent.
        """
        conversation = self._conversation
        book = self._provider.approvals.book
        verdict = read_decision(self._errand.said)
        waiting = conversation.waiting(book)
        ended = conversation.take_ended(book)
        for approval in ended:
            self._call.note(_became(approval))
        if not waiting:
            parked, conversation.parked = conversation.parked, None
            if parked is not None and not await self._call.follow(parked):
                return False
            return verdict is Verdict.OTHER or not (ended or parked)
        first = waiting[0]
        if verdict is Verdict.OTHER:
            await self._deny_all(waiting)
            return True
        decision = next((d for d in first.allowed if d == verdict.value), None)
        if decision is None or (decision != "deny" and first.id not in conversation.shown):
            # Nobody allows what they have not seen.
            lead = f"{verdict.name} is not offered for this.\n\n" if decision is None else ""
            self._show(first, lead)
            return False
        approval = await self._provider.approvals.decide(first.id, decision, self._call.wire)
        if first.id not in conversation.approvals:
            # The same word came twice at once: whoever was first shows what the run says.
            self._call.note(_became(approval))
            return False
        conversation.approvals.remove(first.id)
        conversation.shown.discard(first.id)
        if approval.standing is Standing.EXPIRED:
            self._call.note(_became(approval))
        if len(waiting) > 1:
            self._show(waiting[1])
            return False
        await self._go_on(approval)
        return False

    def _show(self, approval: Approval, lead: str = "") -> None:
        self._call.note(lead + question(approval, self._provider.now()))
        self._conversation.shown.add(approval.id)

    async def _deny_all(self, waiting: list[Approval]) -> None:
        """The user has spoken of something else: nothing is run, and the agent hears the
        message."""
        conversation = self._conversation
        parked, conversation.parked = conversation.parked, None
        for approval in waiting:
            approval = await self._provider.approvals.decide(approval.id, "deny", self._call.wire)
            self._call.note(_became(approval))
        conversation.approvals.clear()
        conversation.shown.clear()
        if parked is not None:
            # It holds the session: the message would wait until it had spoken to the denial.
            parked.abort()

    async def _go_on(self, approval: Approval) -> None:
        """Show what comes of a decision: the run that waited, or another one."""
        provider, errand, conversation = self._provider, self._errand, self._conversation
        parked, conversation.parked = conversation.parked, None
        hello = provider.hello
        if parked is None and hello is not None and hello.protocol >= 4:
            parked = provider.runs.adopt(errand, approval, hello, self._call.wire)
        if parked is not None:
            await self._call.follow(parked)
            return
        if approval.standing not in GO_ON or hello is None:
            return
        self._call.note(_became(approval))
        session = approval.session_key or errand.session_key
        found = await provider.runs.follow_up(session, errand, hello, FOLLOW_UP, self._call.wire)
        if found is None:
            # These gateways put a command's output before the session's next message.
            go_on = evolve(
                errand,
                session_key=session,
                message=GO_ON[approval.standing],
                attachments=(),
                opening=False,
            )
            found = provider.runs.dispatch(go_on, hello)
            await self._call.follow(found, found.start)
        else:
            await self._call.follow(found)


def _became(approval: Approval) -> str:
    command = " ".join(approval.command.split())
    shown = f"`{command[:200]}`" if "`" not in command else command[:200]
    match approval.standing:
        case Standing.ALLOWED:
            return f"Approved: {shown}"
        case Standing.DENIED:
            return f"Denied: {shown}"
        case Standing.EXPIRED:
            return f"Nobody approved {shown} in time, so it was not run."
        case _:
            return f"Still undecided: {shown}"
