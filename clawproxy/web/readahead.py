"""What a caller sends while an answer is under way: :class:`ReadAhead` keeps it for later, within bounds.

1. It notices a caller's disconnect even behind pipelined bytes.
2. It takes up no further request as long as its caller does not take the answers that there are, and only a little of
   what waits in one turn.
"""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http

from clawproxy.web.delivery import Delivery

MAX_PIPELINED = 1_048_576
"""Bytes of further requests that are read ahead in any case while one is answered, so that a disconnect shows."""

MAX_PIECES = 256
"""Pieces in which read-ahead bytes are kept; more are joined, or counting them would take ever longer."""

AT_ONCE = 65_536
"""Bytes of what was read ahead that are taken up in one turn, as one read brings them: each request in it copies
what stands behind it, and a caller may send thousands."""


class ReadAhead(Delivery):
    """What of a caller's connection is read before it is its turn.

    :ivar refused: what still comes is dropped.
    """

    __slots__ = ("_ahead", "_later", "_partial", "_watch", "refused")

    def connectionMade(self) -> None:
        """Begin with nothing read."""
        self._watch: IDelayedCall | None = None
        self._later: IDelayedCall | None = None
        self._partial = 0
        self._ahead = 0
        # A whole further request: a FIN that waits on the caller's side behind a part of one is seen by nobody.
        self._optimisticEagerReadSize = max(MAX_PIPELINED, self.site.max_body + self.MAX_LENGTH)
        self.refused = False
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of what was read and will not be answered."""
        self._let_go()
        for call in (self._watch, self._later):
            if call is not None and call.active():
                call.cancel()
        super().connectionLost(reason)

    def resumeProducing(self) -> None:
        """Write on, and go on with what waits for that."""
        super().resumeProducing()
        if self.paused:
            self._take_up()

    def requestDone(self, request: http.Request) -> None:
        """An answer is complete: let it go, and take up the next request."""
        self.corked = False
        self.flush()
        much = self._ahead > AT_ONCE
        if self.site.drain.draining and not any(self._dataBuffer):
            self.persistent = 0
        if (much or self._waitingForTransport) and self.persistent:
            # Hundreds of requests fit into one read, and their answers would all wait here for a caller who takes none.
            self.paused = True
            super().requestDone(request)
            self._networkProducer.pauseProducing()
            if much:
                self._take_up()
            return
        if self._ahead:
            self._let_go()
        super().requestDone(request)

    def _take_up(self) -> None:
        """Go on with what waits, a little of it in each turn, as long as the caller takes the answers."""
        if self._waitingForTransport or not self.paused or self.refused:
            return
        if self._later is not None and self._later.active():
            self._later.cancel()
        self._later = None
        self.paused = False
        self._networkProducer.resumeProducing()  # first: what is taken up may be too much again, or the last
        self._let_go()
        waiting, self._buffer = self._buffer, b""
        # A line that is longer than this is not begun with again and again.
        end = self._partial + AT_ONCE
        self.dataReceived(waiting[:end])
        rest = waiting[end:]
        if self._handlingRequest:
            # Nothing is wanted that stands behind a last request.
            if rest and self.persistent:
                self.rawDataReceived(rest)
        elif rest and not self.refused:
            self._partial = 0 if self.paused else len(self._buffer)
            self._buffer += rest
            self._ahead = len(self._buffer)
            self.site.held += self._ahead
            self.paused = True
            self._networkProducer.pauseProducing()
            if not self._waitingForTransport:
                self._later = self.site.reactor.callLater(0, self._take_up)

    def _let_go(self) -> None:
        """What was read ahead is taken up now, or never."""
        self.site.held -= self._ahead
        self._ahead = 0

    def rawDataReceived(self, data: bytes) -> None:
        """Read body bytes, or keep pipelined ones for later and go on noticing a disconnect."""
        if not self._handlingRequest:
            super().rawDataReceived(data)
            return
        # Twisted's own goes on reading, without a bound, as long as the caller takes nothing of a stream.
        self._dataBuffer.append(data)
        self._ahead += len(data)
        self.site.held += len(data)
        if len(self._dataBuffer) > MAX_PIECES:
            self._dataBuffer = [b"".join(self._dataBuffer)]
        if self.site.held > self.site.max_bodies or self._ahead > self._optimisticEagerReadSize:
            self._networkProducer.pauseProducing()
            if self._watch is None:
                # A FIN would go unseen now (Twisted's own note 2 at notifyFinish).
                self._look_for_fin()

    def _look_for_fin(self) -> None:
        self._watch = None
        if not self._handlingRequest:
            return
        if _peer_is_gone(self.transport):
            self.transport.abortConnection()
            return
        self._watch = self.site.reactor.callLater(0.5, self._look_for_fin)


def _peer_is_gone(transport: Any) -> bool:
    """Ask the kernel whether the other side has closed, without reading what it sent before."""
    hung_up = getattr(select, "POLLRDHUP", None)
    while not isinstance(handle := getattr(transport, "socket", None), socket.socket):
        transport = getattr(transport, "transport", None)  # below TLS
        if transport is None:
            return False
    if hung_up is None or handle.fileno() < 0:
        return False
    looking = select.poll()
    looking.register(handle, hung_up)  # errors and a whole hang-up are told unasked
    return bool(looking.poll(0))
