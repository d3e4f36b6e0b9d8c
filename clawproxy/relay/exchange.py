"""One exchange's life: :class:`Forward` takes a caller's request and sees to it that it ends, once.

1. :meth:`Forward.begin` starts the coroutine and listens for the caller's leaving.
2. The request is understood (:mod:`.inbound`), a target chosen, and each target tried
   (:mod:`.attempt`); what goes wrong until then is an HTTP error in the caller's dialect.
3. :meth:`Forward.send_head`, :meth:`Forward.write` carry the answer; every piece goes out in the turn in
   which it came, and beside it to the recording and to whoever watches.
4. Every exit passes through :meth:`Forward.close`, which is idempotent.

States: WAITING (nothing was sent) → STREAMING (the head was) → DONE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core import headers as heads
from clawproxy.core.dialects import DialectName
from clawproxy.core.errors import Kind, ProxyError, render, render_event
from clawproxy.core.masking import mask_headers
from clawproxy.core.record import Outcome
from clawproxy.core.requestid import stamp, upstream_request_id
from clawproxy.core.sse import FrameBoundary
from clawproxy.relay import accesslog
from clawproxy.relay.attempt import Attempt
from clawproxy.relay.books import Books
from clawproxy.relay.inbound import read, size_to_read
from clawproxy.relay.offload import offload
from clawproxy.relay.switchboard import Switchboard
from clawproxy.upstream.failure import Phase, UpstreamFailure
from clawproxy.web.answer import RawHeaders, phrase
from clawproxy.web.request import ProxyRequest
from clawproxy.web.stall import CallerStalled

CLIENT_GONE = 499
"""The status that stands in the record of a caller that went away (nginx's own)."""


class State(Enum):
    """How far an exchange is."""

    WAITING = auto()
    STREAMING = auto()
    DONE = auto()


class Forward(Books):
    """A request on its way, with its books.

    :ivar told: tells whether the stream under way has come to its dialect's own end already.
    :ivar word_error: gives the bytes that tell an error in the stream under way; ``None`` where no
        byte may be added, as in a coded body.
    """

    _log = Logger()

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
        self.connected = False
        self._task: Deferred[None] | None = None
        self._closed = False
        self.told: Callable[[], bool] = bool
        self.word_error: Callable[[ProxyError], bytes] | None = self.event_of

    # Beginning.

    def begin(self) -> None:
        """Start; from here on the exchange ends by itself."""
        self.board.running.add(self)
        self.request.caller_gone = self._caller_gone
        self._task = Deferred.fromCoroutine(self._run())
        self._task.addErrback(self._unexpected)

    def refuse(self, error: ProxyError) -> None:
        """Answer a request that goes no further, in place of :meth:`begin`."""
        self.record()
        self.fail(error)

    async def _run(self) -> None:
        try:
            self.exchange.key = self.wiring.callers.authenticate(self.inbound.headers)
            if self.endpoint is not None:
                limit = self.wiring.config.server.max_body
                size = size_to_read(self.inbound)
                reactor = self.board.reactor
                await offload(reactor, size, read, self.inbound, self.endpoint, limit)
                self.exchange.model = self.inbound.model or None
                self.exchange.stream = self.inbound.stream
            self.record()
            await Attempt(self).run()
        # What was raised and the frames that it came through refer to each other. Without its traceback, they and this
        # are freed at once.
        except ProxyError as error:
            self.record()
            self.fail(error.with_traceback(None))
        except UpstreamFailure as failure:
            self.broken(failure.with_traceback(None))
        except CancelledError:
            if self.state is not State.DONE:
                raise

    def _unexpected(self, failure: Failure) -> None:
        if self.state is State.DONE and failure.check(CancelledError):
            return
        self._log.failure("bug: exchange {id} failed", failure, id=self.exchange.id)
        self.record()
        self.fail(ProxyError(Kind.INTERNAL, "the proxy failed; its log says more"))
        self.close("error")

    # Answering.

    @property
    def dialect(self) -> DialectName | None:
        """The caller's dialect."""
        return self.inbound.dialect

    def sent(self) -> None:
        """Take note that the request is on a connection to an upstream."""
        self.connected = True

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
        exchange.headers_ms = self.now_ms()
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

    # Ending.

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

    def _caller_gone(self, reason: Failure) -> None:
        if self.state is State.DONE:
            return
        waiting = self.state is State.WAITING
        self.state = State.DONE
        if self.is_stream and self.told():
            # Many clients hang up at the dialect's last event, before the upstream has ended its body.
            self._stop()
            self.close("ok")
            return
        self.record()
        self.exchange.error = (
            str(reason.value) if reason.check(CallerStalled) else "the caller went away"
        )
        self.exchange.status = CLIENT_GONE
        if waiting:
            phase: Phase = "headers" if self.connected else "connect"
            accesslog.forward_error(self, phase, "the caller went away", gone=True)
        self._stop()
        self.close("client_gone")

    def cut(self) -> str:
        """End at once because the process leaves; gives words for the log."""
        words = f"{self.exchange.id} {self.exchange.path} {self.exchange.model or '-'}"
        if self.state is State.DONE:
            return words
        error = ProxyError(Kind.UNAVAILABLE, "the proxy is shutting down and could wait no longer")
        self.record()
        self.fail(error, "cut")
        self._stop()
        return words

    def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None and not task.called:
            task.cancel()

    def close(self, outcome: Outcome) -> None:
        """Close the books on an exchange whose answer has ended, well or not; only the first call counts."""
        if self._closed:
            return
        self._closed = True
        self.board.running.discard(self)
        self.settle(outcome)
        # What refers to this in a circle is not freed before the next collection, which stops every stream.
        self.request.caller_gone = self.account = self.word_error = None
        self.told = bool
