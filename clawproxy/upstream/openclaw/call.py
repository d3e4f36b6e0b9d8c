"""One caller's turn: :class:`Call` has the agent answer.

1. What the conversation has open is settled first (:mod:`.settlement`).
2. Where that does not answer the message, it starts a run. A caller that leaves has its run
   aborted, unless the config lets it go on.
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
from clawproxy.upstream.openclaw.cumulative import SEPARATOR
from clawproxy.upstream.openclaw.gateway_run import GatewayRun
from clawproxy.upstream.openclaw.runs import Outcome
from clawproxy.upstream.openclaw.settlement import Settlement
from clawproxy.upstream.provider import CallContext, EventSink

if TYPE_CHECKING:
    from clawproxy.upstream.openclaw.provider import OpenClawProvider

MAX_PAUSED = 8 * 1024 * 1024
"""Characters held for a caller that does not read; one more ends its answer."""


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

    async def follow(self, run: GatewayRun, begin: Callable[[], None] | None = None) -> bool:
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

    def note(self, words: str) -> None:
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
            if conversation.open:
                settlement = Settlement(self, provider, conversation, errand)
                if not await settlement.settle():
                    self._end(None)
                    return
            run = provider.runs.dispatch(errand, provider.hello or hello)
            await self.follow(run, run.start)
        finally:
            provider.conversations.keep(conversation)
        self._end(None)
