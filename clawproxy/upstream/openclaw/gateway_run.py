"""One run at the gateway, from the request that starts it to its true end: :class:`GatewayRun`.

1. The second response to ``agent`` ends it; a run of ``chat.send`` (:mod:`.dispatch`) says itself
   that it is over, and its end and tokens are read from the transcript (:mod:`.conclusion`).
2. What the run says goes to its :class:`~.audience.Audience`; without one it is held.
3. A connection that is lost and comes back to the same process of the gateway is bridged with
   ``agent.wait``; a restarted gateway has lost the run.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.abort import Abort
from clawproxy.upstream.openclaw.approvals import Approval, question
from clawproxy.upstream.openclaw.audience import Audience, Ear
from clawproxy.upstream.openclaw.conclusion import Conclusion
from clawproxy.upstream.openclaw.connection import REQUEST_TIMEOUT, GatewayConnection
from clawproxy.upstream.openclaw.dispatch import Mission
from clawproxy.upstream.openclaw.faults import aborted
from clawproxy.upstream.openclaw.frames import JSON, Response, text
from clawproxy.upstream.openclaw.frames import Event as GatewayEvent
from clawproxy.upstream.openclaw.handshake import Hello
from clawproxy.upstream.openclaw.history import PastTurn
from clawproxy.upstream.openclaw.result import is_underway
from clawproxy.upstream.openclaw.runs import Outcome, RunTranslator
from clawproxy.upstream.provider import Wire

FIRST_BYTE = 5.0
"""Seconds of silence after which a caller gets the beginning of its answer. Until then a failure
can still be an HTTP status."""

RESUME_LIMIT = 60.0
"""Seconds that a run outlives the loss of its connection before it counts as failed."""

SETTLE_LIMIT = 15.0
"""Seconds between the end of a run's work and the response that should follow it."""


class GatewayRun:
    """A run that this proxy started.

    :param mission: what to send.
    :param hello: the connection that it is started on.
    :param ended: hears once that the run is over.
    :param wire: for whose record the run is begun.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        connection: GatewayConnection,
        mission: Mission,
        hello: Hello,
        translator: RunTranslator,
        ended: Callable[[GatewayRun], None],
        wire: Wire | None = None,
    ) -> None:
        self._reactor = reactor
        self._connection = connection
        self._hello = hello
        self._translator = translator
        self._ended = ended
        sent = mission.sent()
        self._conclusion = Conclusion(reactor, self._request, sent, self._found, self._unknown)
        self._began = reactor.seconds()
        self._ear = Ear(wire)
        self._abort = Abort(self._request, sent)
        self._forget: Callable[[], None] = lambda: None
        self._timer: IDelayedCall | None = None
        self._patience: IDelayedCall | None = None
        self._over = False
        self.mission = mission
        self.orphaned = False

    @property
    def waits(self) -> bool:
        """Whether a gateway of this protocol lets a run wait for an approval."""
        return self._hello.protocol >= 4

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, once it has."""
        return self._translator.outcome

    def _request(
        self, method: str, params: JSON, timeout: float = REQUEST_TIMEOUT
    ) -> Deferred[Response]:
        return self._connection.request(method, params, timeout, self._ear.wire)

    # --- beginning

    def start(self) -> None:
        """Send the request."""
        wire = self._ear.wire
        try:
            self._forget = self._connection.open(
                self.mission.method,
                self.mission.params,
                self._responded,
                self._cut,
                repeats=self._repeats,
                asked=wire.asked if wire is not None else None,
            )
        except ProxyError as error:
            self._fail(error)
            return
        self.mission = self.mission.sent()
        self._timer = self._reactor.callLater(FIRST_BYTE, self._first_byte)

    def _repeats(self, response: Response) -> bool:
        return is_underway(response) and self.mission.twice

    def adopt(self) -> None:
        """Take up a run that an earlier life of this proxy started."""
        self._translator.accepted = True
        self._conclusion.rejoin()

    def _first_byte(self) -> None:
        self._ear.tell(self._translator.begin())

    def _responded(self, response: Response) -> None:
        self._ear.hear(response.raw)
        self._ear.tell(self._translator.respond(response))
        if self._translator.accepted:
            self._abort.send()
        self._check()

    # --- what the gateway tells

    def event(self, event: GatewayEvent) -> None:
        """Take an event with this run's id."""
        if self._over:
            return
        self._ear.hear(event.raw)
        if event.name == "agent":
            self._ear.tell(self._translator.agent_event(event.payload))
        else:
            self._ear.tell(self._translator.chat_event(event.payload))
            self._chat(text(event.payload, "state"))
        if self._translator.settled and self._patience is None and not self.orphaned:
            self._patience = self._reactor.callLater(SETTLE_LIMIT, self._conclusion.read)
        self._check()

    def _chat(self, state: str) -> None:
        if self.mission.twice:
            return
        if state == "aborted":
            self._translator.fail(aborted())
        elif state in ("final", "error"):
            if self._translator.asked or self._conclusion.underway:
                self._conclusion.read()
            else:
                # Without a model there is no turn: the transcript's last one is another run's.
                self._ear.tell(self._translator.conclude(PastTurn()))

    def ask(self, approval: Approval, now: float, raw: str = "") -> bool:
        """Show an approval to the user: at once, as the end of this answer, if the run waits for
        it, else under the answer, which goes on.

        :param raw: the frame that told of it, if one did.
        :returns: whether anybody is there to see it.
        """
        if not self._ear.present:
            return False
        if raw:
            self._ear.hear(raw)
        if not self.waits:
            self._translator.postscripts.append(question(approval, now))
            return True
        self._ear.tell(self._translator.note(question(approval, now)))
        self._ear.tell(self._translator.rest())
        self._translator.resume()
        self._ear.park()
        return True

    # --- the audience

    def attach(self, audience: Audience) -> None:
        """Let someone listen; what was held is told at once."""
        self._ear.attach(audience)
        self._check_audience()

    def detach(self) -> None:
        """Nobody listens any more: what is said from now on is dropped."""
        self._ear.detach()

    # --- ending

    def _found(self, turn: PastTurn) -> None:
        self._ear.tell(self._translator.conclude(turn))
        self._check()

    def _unknown(self, error: ProxyError) -> None:
        # Without a connection lost() decides whether the run can be taken up again.
        if self._connection.hello is not None:
            self._fail(error)

    def _check(self) -> None:
        if self._translator.outcome is None or self._over:
            return
        self._over = True
        self._release()
        self._ended(self)
        self._check_audience()

    def _check_audience(self) -> None:
        outcome = self._translator.outcome
        if self._over and outcome is not None:
            self._ear.end(outcome)

    def _release(self) -> None:
        self._forget()
        for timer in (self._timer, self._patience):
            if timer is not None and timer.active():
                timer.cancel()
        self._conclusion.cancel()

    def _fail(self, error: ProxyError) -> None:
        self._translator.fail(error)
        self._check()

    def abort(self) -> None:
        """Have the gateway stop it: whoever asked is gone."""
        if self._over:
            return
        self._abort.wanted = True
        if self._translator.accepted and not self.orphaned:
            self._abort.send()

    # --- losing and regaining the connection

    def _cut(self, error: ProxyError) -> None:
        """The connection went while the request was pending."""
        if not self._translator.accepted:
            self._fail(error)

    def lost(self, error: ProxyError, *, final: bool) -> None:
        """The connection is gone.

        :param final: the gateway is going away, not only the connection.
        """
        if self._over:
            return
        self._conclusion.cancel()
        if final or not self._translator.accepted:
            self._fail(error)
            return
        self.orphaned = True
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = self._reactor.callLater(RESUME_LIMIT, self._fail, error)

    def regained(self, hello: Hello) -> None:
        """There is a connection again, perhaps to another process of the gateway."""
        if self._over or not self.orphaned:
            return
        self.orphaned = False
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None
        if not hello.continues(self._hello, self._reactor.seconds() - self._began):
            self._fail(
                ProxyError(
                    Kind.UPSTREAM_UNREACHABLE,
                    "the OpenClaw gateway was restarted in the middle of the run",
                )
            )
            return
        self._hello = hello
        self._abort.send()
        self._conclusion.rejoin()
