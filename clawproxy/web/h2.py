"""A caller's HTTP/2 connection, where ``h2`` is installed: Twisted's, made safe for long and broken answers.

Browsers and curl choose it by themselves over TLS. It is imported only if Twisted found ``h2``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from h2.errors import ErrorCodes
from h2.stream import StreamState
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web._http2 import _END_STREAM_SENTINEL, H2Connection

from clawproxy.core.requesthead import forwardable
from clawproxy.sending import unsent
from clawproxy.web.delivery import LAST_WORDS
from clawproxy.web.h2frames import PatientConversation
from clawproxy.web.stall import CallerStalled, Stall, outstanding

if TYPE_CHECKING:
    from clawproxy.web.site import ProxySite


TAKEN_WITHIN = 600.0
"""Seconds that a caller has at most to take the end of a broken answer, where ``server.idle_timeout`` sets no limit."""

MOST_CONTROL = 1_048_576
"""Bytes of frames without a body that may wait for a full transport, before the connection is dropped with all of its
streams. The heads of answers are among them, and in Twisted's 17 KiB those of a dozen or two have room."""


class ProxyH2Connection(H2Connection):
    """A connection that carries many requests at once."""

    site: ProxySite  # type: ignore[assignment]
    transport: Any
    conn: PatientConversation

    def __init__(self, reactor: Any = None) -> None:
        super().__init__(reactor)
        self.conn = PatientConversation(self.conn.config)
        self._maxBufferedControlFrameBytes = MOST_CONTROL

    def connectionMade(self) -> None:
        """Join the site's connections."""
        self._broken: dict[int, IDelayedCall] = {}
        self._starved: set[int] = set()
        self._stall: Stall | None = None
        self._stalled = False
        if self.site.send_timeout:
            self._stall = Stall(
                self.site.reactor, self.site.send_timeout, self._left, self._caller_stalls
            )
        super().connectionMade()
        self.site.channels.add(self)

    def connectionLost(
        self, reason: Failure = connectionDone, _cancelTimeouts: bool = True
    ) -> None:
        """Leave the site's connections and end what was being answered."""
        self.site.channels.discard(self)
        if self._stall is not None:
            self._stall.end()
        if self._stalled:
            reason = Failure(CallerStalled(self.site.send_timeout))
        super().connectionLost(reason, _cancelTimeouts)

    # A caller may stop to read the connection, or to open its streams' windows.

    def pauseProducing(self) -> None:
        """Write no more until the caller has taken what waits, and look whether it takes anything."""
        super().pauseProducing()
        if self._stall is not None:
            self._stall.begin()

    def resumeProducing(self) -> None:
        """Write on."""
        if self._stall is not None:
            self._stall.moved = True
        super().resumeProducing()

    def remainingOutboundWindow(self, streamID: int) -> int:
        """Give how much the caller takes now, and look whether it goes on once that is nothing."""
        room: int = super().remainingOutboundWindow(streamID)
        if room <= 0:
            if self._stall is not None:
                self._stall.begin()
            queue = self._outboundStreamQueues[streamID]
            if (
                queue
                and queue[0] is not _END_STREAM_SENTINEL
                and self.conn.local_flow_control_window(streamID) <= 0
            ):
                self._starved.add(streamID)
                self.priority.block(streamID)
        return room

    def _handleWindowUpdate(self, event: Any) -> None:
        if self._stall is not None:
            self._stall.moved = True
        super()._handleWindowUpdate(event)

    def _left(self) -> int | None:
        if any(self._outboundStreamQueues.values()):
            return outstanding(self.transport)
        return None

    def _caller_stalls(self) -> None:
        self._stalled = True
        self.transport.abortConnection()

    @property
    def unsent(self) -> int:
        """How many answers are finished that still have to be sent."""
        waiting = sum(bool(stream._request.finished) for stream in self.streams.values())
        return waiting or int(not self.streams and unsent(self.transport))

    @property
    def idle(self) -> bool:
        """Whether nothing is being read or answered here."""
        return not self.streams

    def timeoutConnection(self) -> None:
        """Close a connection that is idle, or on which only requests are under way that do not come to their end.

        An answer under way may be silent for as long as it likes.
        """
        if all(self._unfinished(each) for each in self.streams):
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
            self.loseConnection()
        else:
            self.setTimeout(self.timeOut)

    def _unfinished(self, stream_id: int) -> bool:
        return self.conn.streams[stream_id].state_machine.state is StreamState.OPEN

    def loseConnection(self) -> None:
        """Take leave (GOAWAY) and close after what was written."""
        self.conn.close_connection()
        self.transport.write(self.conn.data_to_send())
        # TLS says no goodbye as long as somebody is registered who may write more.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    leave = loseConnection

    def break_off(self, stream_id: int) -> None:
        """Reset a stream once its caller has taken what waits to be sent, the error that tells why among it.

        And has had a moment to read it, as over HTTP/1: who reads by the WHATWG's streams throws away at a reset
        what has come and was not yet read.
        """
        if stream_id in self._broken:
            return
        seconds = self.site.timeOut or TAKEN_WITHIN
        self._broken[stream_id] = self.site.reactor.callLater(seconds, self._reset, stream_id)
        self._look_at_broken()

    def _look_at_broken(self) -> None:
        soon = self.site.reactor.seconds() + LAST_WORDS
        for stream_id, call in self._broken.items():
            if not self._outboundStreamQueues[stream_id] and call.getTime() > soon:
                call.reset(LAST_WORDS)

    def _reset(self, stream_id: int) -> None:
        stream = self.streams[stream_id]
        self.abortRequest(stream_id)
        stream.connectionLost(Failure(ConnectionAborted()))

    def abortRequest(self, streamID: int) -> None:
        """Reset a stream as Go's and nginx's servers do: without an error, clients take it for the answer's end."""
        self.conn.reset_stream(streamID, ErrorCodes.INTERNAL_ERROR)
        if self._tryToWriteControlData():
            self._requestDone(streamID)

    def _sendPrioritisedData(self, *args: Any) -> None:
        super()._sendPrioritisedData(*args)
        if self._broken:
            self._look_at_broken()

    # Twisted's own asks a stream without room again in each turn of the reactor, and takes no note of room by settings.

    def dataReceived(self, data: bytes) -> None:
        """Take what came, and go on with the streams for which there is room again."""
        window = self.conn.remote_settings.initial_window_size
        super().dataReceived(data)
        if self.conn.remote_settings.initial_window_size != window:
            self._room_by_settings()
        if self.conn.parting:
            self._part()
        room = self.conn.local_flow_control_window
        fed = [stream_id for stream_id in self._starved if room(stream_id) > 0]
        for stream_id in fed:
            self._starved.discard(stream_id)
            self.priority.unblock(stream_id)
        waiting = self._sendingDeferred
        if fed and waiting is not None:
            self._sendingDeferred = None
            waiting.callback(None)

    def _room_by_settings(self) -> None:
        """Go by the window that every stream has now; one that has become smaller may be less than nothing."""
        for stream_id, stream in list(self.streams.items()):
            # It lets one without room sleep; to send on it would fail, and end the sending on all.
            self.remainingOutboundWindow(stream_id)
            stream.windowUpdated()

    def endRequest(self, streamID: int) -> None:
        """End a stream after what waits to be sent."""
        if streamID in self._starved:
            self._outboundStreamQueues[streamID].append(_END_STREAM_SENTINEL)
        else:
            super().endRequest(streamID)

    def _requestDone(self, streamID: int) -> None:
        super()._requestDone(streamID)
        self._starved.discard(streamID)
        call = self._broken.pop(streamID, None)
        if call is not None and call.active():
            call.cancel()
        if self.conn.parting or self.site.drain.draining:
            self._part()

    def _part(self) -> None:
        """Close when nothing is under way any more."""
        if self.idle and self._stillProducing:
            self.loseConnection()

    def _requestReceived(self, event: Any) -> None:
        if forwardable(event.headers):
            super()._requestReceived(event)
        else:
            # A malformed request is a stream's error and no connection's (RFC 9113 §8.1.1).
            self.conn.reset_stream(event.stream_id, ErrorCodes.PROTOCOL_ERROR)
            self._tryToWriteControlData()

    # An answer may be complete before its request is: what still comes of that one is not wanted.

    def _requestDataReceived(self, event: Any) -> None:
        if self._streamIsActive(event.stream_id):
            super()._requestDataReceived(event)
        else:
            self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def _requestEnded(self, event: Any) -> None:
        if self._streamIsActive(event.stream_id):
            super()._requestEnded(event)

    def _requestAborted(self, event: Any) -> None:
        if self._streamIsActive(event.stream_id):
            super()._requestAborted(event)
