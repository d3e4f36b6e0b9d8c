"""A caller that speaks HTTP/2 over TLS, made of ``hyper-h2`` as browsers' and curl's are of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


@define
class Stream:
    """What came on one stream.

    :ivar ended: it was ended as it should be; ``reset`` where it was cut.
    """

    headers: dict[str, str] = field(factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: bool = False


class H2Caller(Protocol):
    """A connection to the proxy.

    :param reading: give the caller's window back as bytes come; false makes it a reader that stops.
    """

    def __init__(self, *, reading: bool = True) -> None:
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.streams: dict[int, Stream] = {}
        self.reading = reading
        self.lost = False
        self.goodbye = False
        self.transport: Any = None
        self._waiting: list[tuple[Callable[[], object], Deferred[None]]] = []

    def connectionMade(self) -> None:
        """Say hello."""
        self.connection.initiate_connection()
        self._flush()

    def _flush(self) -> None:
        self.transport.write(self.connection.data_to_send())

    def dataReceived(self, data: bytes) -> None:
        """Take what comes."""
        for event in self.connection.receive_data(data):
            stream = self.streams.get(getattr(event, "stream_id", None) or 0)
            if isinstance(event, h2.events.ConnectionTerminated):
                self.goodbye = True
            elif stream is None:
                continue
            elif isinstance(event, h2.events.ResponseReceived):
                stream.headers = {_text(name): _text(value) for name, value in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                stream.body += event.data
                if self.reading:
                    self.connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
            elif isinstance(event, h2.events.StreamEnded):
                stream.ended = True
            elif isinstance(event, h2.events.StreamReset):
                stream.reset = True
        if not self.goodbye:
            self._flush()
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Remember the end."""
        self.lost = True
        self._look()

    def _look(self) -> None:
        for condition, waiting in self._waiting[:]:
            if condition():
                self._waiting.remove((condition, waiting))
                waiting.callback(None)

    def until(self, condition: Callable[[], object]) -> Deferred[None]:
        """Wait until a condition holds."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((condition, waiting))
        self._look()
        return waiting

    def ask(
        self, method: str, path: str, body: bytes = b"", *headers: tuple[str, str], end: bool = True
    ) -> Stream:
        """Send a request as far as the proxy's window lets it."""
        number = self.connection.get_next_available_stream_id()
        lines = [
            (":method", method),
            (":path", path),
            (":scheme", "https"),
            (":authority", "localhost"),
            *headers,
        ]
        self.connection.send_headers(number, lines, end_stream=not body and end)
        stream = self.streams[number] = Stream()
        most = self.connection.max_outbound_frame_size
        body = body[: self.connection.local_flow_control_window(number)]
        for start in range(0, len(body), most):
            piece = body[start : start + most]
            self.connection.send_data(number, piece, end_stream=end and start + most >= len(body))
        self._flush()
        return stream

    def cancel(self, stream: Stream) -> None:
        """Want no more of a stream."""
        [number] = [key for key, value in self.streams.items() if value is stream]
        self.connection.reset_stream(number, 8)
        self._flush()

    def leave(self) -> None:
        """Go away with a reset."""
        if not self.lost:
            self.transport.abortConnection()


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
