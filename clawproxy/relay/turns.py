"""The way of providers that answer turns themselves: the demo, and the agents of an OpenClaw gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from clawproxy.core import headers as heads
from clawproxy.core.dialects.events import Event
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import Kind, ProxyError, Reported
from clawproxy.relay import accesslog
from clawproxy.relay.speaker import Speaker
from clawproxy.relay.wire import WireRecord
from clawproxy.upstream.failure import Phase
from clawproxy.upstream.provider import CallContext, Run, TurnProvider

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward

_HIDDEN = heads.CREDENTIAL_HEADERS | {b"cookie", b"proxy-authorization"}


@implementer(IPushProducer)
class TurnAnswer:
    """One turn's answer: the provider's sink on one side, the caller's producer on the other."""

    def __init__(self, forward: Forward, turn: Turn, keepalive: float) -> None:
        self._forward = forward
        self._turn = turn
        self._speaker = Speaker(forward, turn, keepalive)
        self._run: Run | None = None
        self._begun = False
        self._over = False
        self._done: Deferred[ProxyError | None] = Deferred(lambda _: self._cancel())

    async def run(self, provider: TurnProvider, model: str) -> ProxyError | None:
        """Have the turn answered.

        :return: an error that came before the first event, so that another target may be asked.
        """
        forward = self._forward
        assert forward.dialect is not None
        shown = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in forward.inbound.headers
            if name.lower() not in _HIDDEN
        }
        caller = forward.exchange.key
        assert forward.recording is not None
        wire = WireRecord(forward) if forward.recording.keeps else None
        context = CallContext(forward.exchange.id, forward.dialect, model, shown, caller, wire)
        forward.connected = True
        forward.exchange.tries += 1
        forward.request.registerProducer(self, True)
        self._run = provider.start(self._turn, context, self)
        try:
            error = await self._done
        finally:
            self._speaker.hush()
            if wire is not None:
                wire.close()
        if error is not None:
            forward.quoted = forward.quoted or isinstance(error, Reported)
            self._log(error)
        if error is not None and not self._begun:
            forward.request.unregisterProducer()
            return error
        if error is not None:
            self._speaker.fail(error)
        else:
            self._speaker.finish()
        return None

    def _log(self, error: ProxyError) -> None:
        """Log what kept the provider from answering; what it has to say of the request is an answer."""
        if error.kind in (Kind.UPSTREAM_UNREACHABLE, Kind.UPSTREAM_TIMEOUT):
            before: Phase = "connect" if error.kind is Kind.UPSTREAM_UNREACHABLE else "headers"
            phase = "body" if self._begun else before
            accesslog.forward_error(self._forward, phase, error.message, gone=False)

    # What the provider calls.

    def events(self, events: list[Event]) -> None:
        """Word the next events."""
        if self._over or not events:
            return
        try:
            if not self._begun:
                self._begun = True
                self._speaker.open([])
            self._speaker.say(events)
        except Exception:  # noqa: BLE001 - whoever tells the events serves other exchanges too
            bug = Failure()
            self._cancel()
            self._done.errback(bug)

    def ended(self, error: ProxyError | None) -> None:
        """Take the end."""
        if not self._over:
            self._over = True
            self._run = None
            self._done.callback(error)

    # What the caller's side calls.

    def _cancel(self) -> None:
        self._over = True
        run, self._run = self._run, None
        if run is not None:
            run.cancel()

    def pauseProducing(self) -> None:
        """The caller reads slowly."""
        if self._run is not None:
            self._run.pause()

    def resumeProducing(self) -> None:
        """The caller reads again."""
        if self._run is not None:
            self._run.resume()

    def stopProducing(self) -> None:
        """The caller's connection is gone; the exchange hears of it too and cancels."""
