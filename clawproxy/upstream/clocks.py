"""The clocks of a connection to an upstream: :class:`TimedConnection` gives up what takes too long.

1. The head of an answer has a limit, and so has silence between two pieces of its body. While nobody reads, that clock
   stands still: such a silence is of our own making.
2. A connection that is closed is dropped if the other side does not agree to it in time.

One timer serves all of that (:class:`~clawproxy.alarm.Alarm`).
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from clawproxy.alarm import Alarm
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.reading import AnswerReader
from clawproxy.upstream.response import H1Response

CLOSE_WITHIN = 5.0
"""Seconds until a connection that is closed is dropped: over TLS the other side has to agree, and one that reads no
further never takes what was still to be sent. It would count as open all that time."""


class TimedConnection(AnswerReader):
    """What of a connection to an upstream goes by the clock, and how it is ended before its time.

    :param reactor: for the clocks.
    :ivar closed: it takes no further request.
    """

    __slots__ = (
        "_alarm",
        "_head_until",
        "_header_timeout",
        "_idle_timeout",
        "_last_byte",
        "_reactor",
        "_response",
        "_throttled",
        "_waiting",
        "closed",
    )

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._waiting: Deferred[H1Response] | None = None
        self._response: H1Response | None = None
        self._header_timeout = 0.0
        self._idle_timeout = 0.0
        self._head_until = 0.0
        self._alarm = Alarm(reactor, self._look_at_clock)
        self._last_byte = 0.0
        self._throttled = False
        self.closed = False

    # Its end.

    def abort(self) -> None:
        """Drop the connection now, whatever it carries, and tell nobody but the pool."""
        self._waiting = None
        self._response = None
        self._alarm.stop()
        self.closed = True
        if self.transport is not None:
            # Not loseConnection: a paused TLS transport would never let go (Twisted #8929).
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def close_idle(self) -> None:
        """Close a connection that carries nothing."""
        self.closed = True
        if self.transport is not None:
            self._alarm.stop()
            self._alarm.within(CLOSE_WITHIN)
            self.transport.loseConnection()

    # Flow control.

    def throttle(self) -> None:
        """Read no further; silence of our own making does not count against the upstream."""
        if not self._throttled and not self.closed:
            self._throttled = True
            self.transport.pauseProducing()  # type: ignore[union-attr]

    def unthrottle(self) -> None:
        """Read on."""
        if self._throttled and not self.closed:
            self._throttled = False
            self._last_byte = self._reactor.seconds()
            self.transport.resumeProducing()  # type: ignore[union-attr]

    # What is late.

    def _look_at_clock(self) -> float | None:
        now = self._reactor.seconds()
        if self.closed:
            self.abort()
            return None
        if self._waiting is not None:
            left = self._head_until - now if self._header_timeout else 0.0
        elif self._response is not None and self._idle_timeout:
            left = self._last_byte + self._idle_timeout - now
            if self._throttled:
                left = self._idle_timeout
        else:
            return None
        if left > 0.001:
            return left
        if self._waiting is None:
            self._body_is_late()
        elif self._header_timeout:
            self._head_is_late()
        return None

    def _head_is_late(self) -> None:
        words = f"it did not begin to answer within {self._header_timeout:g} s"
        waiting, self._waiting = self._waiting, None
        self.abort()
        if waiting is not None:
            waiting.errback(Failure(UpstreamFailure("headers", words, timeout=True)))

    def _body_is_late(self) -> None:
        response, self._response = self._response, None
        self.abort()
        if response is not None:
            words = f"it sent nothing for {self._idle_timeout:g} s in the middle of its answer"
            response.end(Failure(UpstreamFailure("body", words, timeout=True)))
