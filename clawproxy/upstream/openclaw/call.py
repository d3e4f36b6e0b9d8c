"""One caller's turn: :class:`Call` settles what the conversation has open, then has the agent
answer.

1. An undecided approval is decided by the message: APPROVE, ALWAYS and DENY are words to the proxy,
   anything else denies and goes to the agent.
2. A run that waited goes on, and its answer is this turn's answer.
3. Otherwise the message starts a run. A caller that leaves has its run aborted, unless the config
   lets it go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.dialects.events import (
    BlockStopped,
    Event,
    MessageStarted,
    Stopped,
    TextDelta,
    TextStarted,
    ThinkingDelta,
)
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.approvals import (
    Approval,
    Standing,
    Verdict,
    question,
    read_decision,
)
from clawproxy.upstream.openclaw.conversation import Conversation
from clawproxy.upstream.openclaw.cumulative import SEPARATOR
from clawproxy.upstream.openclaw.errand import Errand
from clawproxy.upstream.openclaw.gateway_run import GatewayRun
from clawproxy.upstream.openclaw.runs import Outcome
from clawproxy.upstream.provider import CallContext, EventSink

if TYPE_CHECKING:
    from clawproxy.upstream.openclaw.provider import OpenClawProvider

MAX_PAUSED = 8 * 1024 * 1024
"""Characters held for a caller that does not read; one more ends its answer."""

FOLLOW_UP = 10.0
"""Seconds that an approved command gets, on gateways whose runs do not wait, before the agent is
asked to go on with what it has."""

GO_ON = {
    Standing.ALLOWED: "I have approved the command. Please go on with its result.",
    Standing.DENIED: "I have denied the command; it was not run. Please go on without it.",
}


class Call:
    """A turn under way: the relay's ``Run``, and the audience of the gateway's runs.

    :param provider: whose agents are asked.
    :ivar wire: keeps what the gateway is asked and says for this call; ``None`` where nobody does.
    """

    log = Logger()

    def __init__(
        self, provider: OpenClawProvider, turn: Turn, context: CallContext, sink: EventSink
    ) -> None:
        self._provider = provider
        self._turn = turn
        self._context = context
        self._sink = sink
        self._run: GatewayRun | None = None
        self._followed: Deferred[bool] | None = None
        self._stopped = Stopped("end_turn")
        self._begun = False
        self._spoke = False
        self._seam = False
        self._paused = False
        self._held: list[Event] = []
        self._held_length = 0
        self._done = False
        self._ending: tuple[ProxyError | None] | None = None
        self._doing: Deferred[None] = Deferred()
        self.wire = provider.masked(context.wire)

    def start(self) -> None:
        """Begin; failures go to the sink."""
        self._doing = Deferred.fromCoroutine(self._answer())
        self._doing.addErrback(self._failed)

    # --- the relay's side

    def cancel(self) -> None:
        """The caller is gone."""
        if self._done:
            return
        self._done = True
        self._held = []
        run, self._run = self._run, None
        self._doing.cancel()
        if run is not None:
            run.detach()
            if self._provider.config.abort_on_disconnect:
                run.abort()
        self._provider.call_ended(self)

    def pause(self) -> None:
        """Hold events back."""
        self._paused = True

    def resume(self) -> None:
        """Go on; what was held is told at once."""
        self._paused = False
        held, self._held, self._held_length = self._held, [], 0
        if held and not self._done:
            self._sink.events(held)
        if self._ending is not None and not self._paused:
            ending, self._ending = self._ending, None
            self._close(ending[0])

    def _emit(self, events: list[Event]) -> None:
        if self._done or not events:
            return
        if not self._paused:
            self._sink.events(events)
            return
        self._held += events
        self._held_length += sum(
            len(e.text) for e in events if isinstance(e, TextDelta | ThinkingDelta)
        )
        if self._held_length > MAX_PAUSED:
            self._sink.ended(ProxyError(Kind.INTERNAL, "the caller reads too slowly"))
            self.cancel()

    def _end(self, error: ProxyError | None) -> None:
        if self._done:
            return
        if error is None:
            self._emit([*self._opening(), self._stopped])
        if self._paused:
            self._ending = (error,)
        else:
            self._close(error)

    def _close(self, error: ProxyError | None) -> None:
        if not self._done:
            self._done = True
            self._sink.ended(error)
            self._provider.call_ended(self)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, CancelledError):
            self._end(ProxyError(Kind.UNAVAILABLE, "the OpenClaw provider was stopped"))
        elif isinstance(error, ProxyError):
            self._end(error)
        else:
            self.log.failure(
                "the call {exchange} broke", failure, exchange=self._context.exchange_id
            )
            self._end(ProxyError(Kind.INTERNAL, "the OpenClaw provider broke"))

    # --- the run's side

    def told(self, events: list[Event]) -> None:
        """Take a run's events: one answer may show several runs, with one beginning and one end."""
        passed: list[Event] = []
        for event in events:
            match event:
                case MessageStarted():
                    if not self._begun:
                        self._begun = True
                        passed.append(event)
                case Stopped():
                    self._stopped = event
                case TextDelta(text) if text:
                    if self._seam:
                        self._seam = False
                        event = evolve(event, text=SEPARATOR + text.lstrip("\n"))
                    self._spoke = True
                    passed.append(event)
                case _:
                    passed.append(event)
        self._emit(passed)

    def parked(self) -> None:
        """The run waits for its user: this answer ends with the question."""
        self._run = None
        if self._followed is not None:
            followed, self._followed = self._followed, None
            followed.callback(False)

    def over(self, outcome: Outcome) -> None:
        """The run is over."""
        self._run = None
        if self._followed is not None:
            followed, self._followed = self._followed, None
            if outcome.error is not None:
                followed.errback(outcome.error)
            else:
                followed.callback(True)

    async def _follow(self, run: GatewayRun, begin: Callable[[], None] | None = None) -> bool:
        """Show a run.

        :param begin: starts it, once this call listens.
        :returns: whether it is over; otherwise it waits for its user.
        """
        self._run = run
        self._seam = self._spoke
        followed: Deferred[bool] = Deferred()
        self._followed = followed
        run.attach(self)
        if begin is not None:
            begin()
        over: bool = await followed
        return over

    def _opening(self) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return [MessageStarted()]

    def _note(self, words: str) -> None:
        """Say something of the proxy's own."""
        lead = SEPARATOR if self._spoke else ""
        self._spoke = True
        self._emit([*self._opening(), TextStarted(), TextDelta(lead + words), BlockStopped()])

    # --- what is done

    async def _answer(self) -> None:
        provider = self._provider
        hello = await provider.ready()
        agent = await provider.agents.find(self._context.model)
        errand = provider.plan(self._turn, self._context, agent)
        conversation = provider.conversations.get(errand.conversation)
        try:
            if conversation.open and not await self._settle(conversation, errand):
                self._end(None)
                return
            run = provider.runs.dispatch(errand, provider.hello or hello)
            await self._follow(run, run.start)
        finally:
            provider.conversations.keep(conversation)
        self._end(None)

    async def _settle(self, conversation: Conversation, errand: Errand) -> bool:
        """Deal with what is open.

        :returns: whether the message is still to be sent to the agent.
        """
        book = self._provider.approvals.book
        verdict = read_decision(errand.said)
        waiting = conversation.waiting(book)
        for approval in conversation.take_ended(book):
            self._note(_became(approval))
        if not waiting:
            told = self._spoke
            parked, conversation.parked = conversation.parked, None
            if parked is not None and not await self._follow(parked):
                return False
            return verdict is Verdict.OTHER or not (told or parked)
        first = waiting[0]
        if verdict is Verdict.OTHER:
            await self._deny_all(conversation, waiting)
            return True
        decision = next((d for d in first.allowed if d == verdict.value), None)
        if decision is None or (decision != "deny" and first.id not in conversation.shown):
            # Nobody allows what they have not seen.
            lead = f"{verdict.name} is not offered for this.\n\n" if decision is None else ""
            self._show(conversation, first, lead)
            return False
        approval = await self._provider.approvals.decide(first.id, decision, self.wire)
        conversation.approvals.remove(first.id)
        conversation.shown.discard(first.id)
        if approval.standing is Standing.EXPIRED:
            self._note(_became(approval))
        if len(waiting) > 1:
            self._show(conversation, waiting[1])
            return False
        await self._go_on(conversation, errand, approval)
        return False

    def _show(self, conversation: Conversation, approval: Approval, lead: str = "") -> None:
        self._note(lead + question(approval, self._provider.now()))
        conversation.shown.add(approval.id)

    async def _deny_all(self, conversation: Conversation, waiting: list[Approval]) -> None:
        """The user has spoken of something else: nothing is run, and the agent hears the
        message."""
        parked, conversation.parked = conversation.parked, None
        for approval in waiting:
            approval = await self._provider.approvals.decide(approval.id, "deny", self.wire)
            self._note(_became(approval))
        conversation.approvals.clear()
        conversation.shown.clear()
        if parked is not None:
            # It holds the session: the message would wait until it had spoken to the denial.
            parked.abort()

    async def _go_on(self, conversation: Conversation, errand: Errand, approval: Approval) -> None:
        """Show what comes of a decision: the run that waited, or another one."""
        provider = self._provider
        parked, conversation.parked = conversation.parked, None
        hello = provider.hello
        if parked is None and hello is not None and hello.protocol >= 4:
            parked = provider.runs.adopt(errand, approval, hello, self.wire)
        if parked is not None:
            await self._follow(parked)
            return
        if approval.standing not in GO_ON or hello is None:
            return
        self._note(_became(approval))
        session = approval.session_key or errand.session_key
        found = await provider.runs.follow_up(session, errand, hello, FOLLOW_UP, self.wire)
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
            await self._follow(found, found.start)
        else:
            await self._follow(found)


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
