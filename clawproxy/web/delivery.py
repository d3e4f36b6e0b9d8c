"""A caller's HTTP/1 connection as far as it is written to: :class:`Delivery` is Twisted's, with the clocks that end it.

1. It keeps what is written while corked, so that what one turn brings leaves as one packet.
2. It notices a caller that takes nothing any more, and closes only when what was written has been taken.
3. It closes itself when nothing has come for a while.

On it stands :class:`~clawproxy.web.readahead.ReadAhead`, and on that :class:`~clawproxy.web.channel.ProxyChannel`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http

from clawproxy.alarm import Alarm
from clawproxy.sending import hang_up, send, unsent
from clawproxy.web.stall import CallerStalled, Stall, outstanding

if TYPE_CHECKING:
    from clawproxy.web.site import ProxySite

CLOSE_WITHIN = 1.0
"""Seconds that a caller has to agree to the end of TLS once all has been sent; many never do."""

LAST_WORDS = 0.1
"""Seconds between the last bytes of a broken answer and the end of its connection: HTTP clients that learn of both at
once tell their program of the end alone, and the error event is lost."""


class Delivery(http.HTTPChannel):
    """What of a caller's connection leads to the caller.

    :ivar corked: what is written waits for :meth:`flush`.
    """

    # Beside what Twisted puts into the instance's dictionary, which takes three times the room from its 31st name on.
    __slots__ = (
        "_close_until",
        "_closing",
        "_idle_alarm",
        "_idle_until",
        "_out",
        "_stall",
        "_stalled",
        "corked",
    )

    site: ProxySite
    transport: Any

    def connectionMade(self) -> None:
        """Begin with nothing written."""
        self._closing: IDelayedCall | None = None
        self._idle_alarm = Alarm(self.site.reactor, self._look_at_idle_clock)
        self._idle_until = 0.0
        self._stall: Stall | None = None
        self._stalled = False
        self._out: list[bytes] = []
        self.corked = False
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stop the clocks and end what was being answered."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        self.stop_idle_clock()
        if self._stall is not None:
            self._stall.end()
        if self._stalled:
            reason = Failure(CallerStalled(self.site.send_timeout))
        super().connectionLost(reason)

    # Writing.

    def write(self, data: bytes) -> None:
        """Send at once, or with what else belongs to this turn while corked."""
        if self.corked:
            self._out.append(data)
        else:
            send(self.transport, data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send at once, or with what else belongs to this turn while corked."""
        self._out.extend(iovec)
        if not self.corked:
            self.flush()

    def flush(self) -> None:
        """Send what was kept while corked, in one piece."""
        out = self._out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            self._out = []
            send(self.transport, data)

    # Flow control.

    def pauseProducing(self) -> None:
        """Write no more until the caller has taken what waits, and look whether it takes anything."""
        super().pauseProducing()
        self._look_for_stall()

    def _look_for_stall(self) -> None:
        if self._stall is None:
            if not self.site.send_timeout:
                return
            self._stall = Stall(
                self.site.reactor, self.site.send_timeout, self._left, self._caller_stalls
            )
        self._stall.begin()

    def resumeProducing(self) -> None:
        """Write on."""
        super().resumeProducing()
        if self._stall is not None:
            # Not at a pause: a transport that is full asks for one again with each ping that is written.
            self._stall.moved = True

    def _left(self) -> int | None:
        return outstanding(self.transport) if self._untaken else None

    @property
    def _untaken(self) -> bool:
        return self._waitingForTransport or unsent(self.transport)

    def _caller_stalls(self) -> None:
        self._stalled = True
        self.transport.abortConnection()

    # Ending.

    def loseConnection(self) -> None:
        """Close after what was written."""
        self.flush()
        super().loseConnection()
        if self._closing is None and self in self.site.channels:
            reactor = self.site.reactor
            # What was written is sent first, and a caller who reads no more would hold it here for ever.
            self._close_until = reactor.seconds() + (self.site.timeOut or float("inf"))
            self._closing = reactor.callLater(CLOSE_WITHIN, self._look_at_closing)

    def _look_at_closing(self) -> None:
        if not unsent(self.transport):
            hang_up(self.transport)
        if self.site.reactor.seconds() >= self._close_until:
            self._closing = None
            self.transport.abortConnection()
            return
        self._closing = self.site.reactor.callLater(CLOSE_WITHIN, self._look_at_closing)

    def break_off(self) -> None:
        """Send what was written, and close when the caller has had a moment to read it."""
        self.corked = False
        self.flush()
        if self._closing is None:
            self._closing = self.site.reactor.callLater(LAST_WORDS, self._end_broken)

    def _end_broken(self) -> None:
        self._closing = None
        self.loseConnection()

    @property
    def unsent(self) -> int:
        """Whether answers that are finished still have to be sent, and nothing else is under way here."""
        return int(not self.answering and unsent(self.transport))

    @property
    def answering(self) -> bool:
        """Whether a request is being read or answered here; a whole answer may still have to be sent."""
        return bool(self.requests)

    # The idle clock.

    def setTimeout(self, period: float | None) -> float | None:
        """Close the connection when nothing has come for ``period`` seconds; never, where it is ``None``.

        :return: the period that was in force.
        """
        before: float | None = self.timeOut
        self.timeOut = period  # type: ignore[assignment]
        if period:
            self._idle_until = self.site.reactor.seconds() + period
            self._idle_alarm.within(period)
        return before

    def _look_at_idle_clock(self) -> float | None:
        if not self.timeOut:
            return None
        left = self._idle_until - self.site.reactor.seconds()
        if left > 0.001:
            return left
        if self._untaken:
            # However slowly an answer is taken, it is waited for, and so are the requests behind it.
            self._look_for_stall()
            self.setTimeout(self.timeOut)
        else:
            self.timeoutConnection()
        return None

    def stop_idle_clock(self) -> None:
        """Let go of the timer, as a connection does that ends here or becomes another protocol's."""
        self._idle_alarm.stop()
