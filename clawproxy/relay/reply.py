"""What the caller of an exchange gets: :class:`Reply` is one answer or one error, and one end.

1. :meth:`Reply.send_head` and :meth:`Reply.write` carry an answer; every piece goes out in the turn in which it came,
   and beside it into the books (:mod:`.books`).
2. :meth:`Reply.fail` tells an error: as an HTTP status as long as nothing was sent, else in band.
3. :meth:`Reply.end` lets the caller have the end and closes the books, once.

States: WAITING (nothing was sent) → STREAMING (the head was) → DONE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto

from clawproxy.core import headers as heads
from clawproxy.core.dialects import DialectName
from clawproxy.core.errors import ProxyError, render, render_event
from clawproxy.core.headers import RawHeaders
from clawproxy.core.masking import mask_headers
from clawproxy.core.record import Outcome
from clawproxy.core.requestid import stamp, upstream_request_id
from clawproxy.core.sse import FrameBoundary
from clawproxy.relay import accesslog
from clawproxy.relay.books import Books
from clawproxy.relay.switchboard import Switchboard
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.web.answer import phrase
from clawproxy.web.request import ProxyRequest


class State(Enum):
    """How far a caller's answer is."""

    WAITING = auto()
    STREAMING = auto()
    DONE = auto()


class Reply(Books):
    """A request's answer, with the books of its exchange.

    :ivar told: tells whether the stream under way has come to its dialect's own end already.
    :ivar word_error: gives the bytes that tell an error in the stream under way; ``None`` where no
        byte may be added, as in a coded body.
    """

    def __init__(
        self,
        board: Switchboard,
        request: ProxyRequest,
        target: bytes,
        pinned: str | None = None,
        parent_id: str | None = None,
    ) -> None:
        super().__init__(board, request, target, pinned, parent_id)
        self.request = request
        self.state = State.WAITING
        self.origin = self.inbound.first.get(b"origin")
        self.boundary = FrameBoundary()
        self.is_stream = False
        self._last_ms = 0.0
        self.told: Callable[[], bool] = bool
        self.word_error: Callable[[ProxyError], bytes] | None = self.event_of

    @property
    def dialect(self) -> DialectName | None:
        """The caller's dialect."""
        return self.inbound.dialect

    def send_head(
        self,
        status: int,
        reason: bytes,
        headers: RawHeaders,
        *,
        stream: bool,
        upstream: bool = True,
        first: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Write status and headers; from here on an error can only be told in band.

        :param headers: end-to-end headers of the answer.
        :param upstream: they are an upstream's, whose request id becomes the answer's.
        :param first: each one's first value by its name in lower case, where that is known.
        """
        exchange = self.exchange
        if upstream:
            exchange.upstream_request_id = upstream_request_id(first or heads.firsts(headers))
        exchange.request_id = (
            exchange.upstream_request_id or exchange.client_request_id or exchange.id
        )
        exchange.status = status
        exchange.headers_ms = (self.board.reactor.seconds() - self.started) * 1000
        lines = stamp(headers, own_id=exchange.id, request_id=exchange.request_id, stream=stream)
        if self.wiring.cors:
            lines += self.wiring.cors.answer(self.origin)
        exchange.response_headers = mask_headers(lines)
        self.is_stream = stream
        self.state = State.STREAMING
        self.request.send_head(status, reason or phrase(status), lines, stamped=True)

    def write(self, data: bytes) -> None:
        """Send a piece of the body, now."""
        now = (self.board.reactor.seconds() - self.started) * 1000
        exchange = self.exchange
        if exchange.ttft_ms is None:
            exchange.ttft_ms = now
        elif self.is_stream:
            self.board.counts.gap(now - self._last_ms)
        self._last_ms = now
        exchange.response_bytes += len(data)
        self.request.write(data)
        self.recording.sent(data, now)  # type: ignore[union-attr]
        if self.is_stream:
            self.boundary.feed(data)

    def fail(self, error: ProxyError, outcome: Outcome = "error") -> None:
        """Answer with an error: as an HTTP status as long as nothing was sent, else in band."""
        if self.state is State.DONE:
            return
        self.exchange.error = error.message
        if self.state is State.STREAMING:
            self._fail_in_band(error, outcome)
            return
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers
        ]
        exchange = self.exchange
        upstream_id = upstream_request_id(heads.firsts(headers))
        request_id = upstream_id or exchange.client_request_id or exchange.id
        body = render(error, self.dialect, request_id)
        headers.append((b"Content-Type", b"application/json"))
        headers.append((b"Content-Length", b"%d" % len(body)))
        self.send_head(error.http_status, b"", headers, stream=False)
        self.write(body)
        self.end(outcome)

    def _fail_in_band(self, error: ProxyError, outcome: Outcome) -> None:
        if self.is_stream and self.word_error is not None:
            self.write(self.word_error(error))
        self.end(outcome, whole=False)

    def event_of(self, error: ProxyError) -> bytes:
        """Word an error for a stream that is passed on as it comes, wherever a piece of it was cut."""
        event = render_event(error, self.dialect, self.exchange.request_id)
        return self.boundary.ending() + event

    def broken(self, failure: UpstreamFailure) -> None:
        """Answer for an upstream that failed, and log it."""
        if self.state is State.DONE:
            return
        accesslog.forward_error(self, failure.phase, failure.message, gone=False)
        self.quoted = False
        self.fail(failure.proxy_error(self.exchange.provider or ""))

    def end(self, outcome: Outcome, *, whole: bool = True) -> None:
        """End the answer.

        :param whole: finish it; else close so that nobody takes it for complete.
        """
        if self.state is State.DONE:
            return
        self.finish(whole=whole)
        self.close(outcome)

    def finish(self, *, whole: bool = True) -> None:
        """Let the caller have the end of the answer; :meth:`close` has to follow in the same turn."""
        self.state = State.DONE
        request = self.request
        if not request.gone:
            if request.producer is not None:
                request.unregisterProducer()
            if whole:
                request.finish()
            else:
                request.break_off()
