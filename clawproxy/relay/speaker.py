"""The answer in the caller's own dialect, from neutral events: streamed as they come, or put together.

:class:`Speaker` serves both ways on which an answer is not passed on verbatim: an upstream of another
dialect (:mod:`.translation`) and a provider that answers turns itself (:mod:`.turns`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from clawproxy.core.dialects.dialect import DIALECTS, StreamEncoder
from clawproxy.core.dialects.events import (
    Event,
    Stopped,
    StreamFailed,
    TokenUsage,
    UsageReported,
)
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.headers import RawHeaders
from clawproxy.core.record import Usage

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward

_STREAM_HEADERS = [(b"Content-Type", b"text/event-stream; charset=utf-8")]
_CUT_OFF = (Kind.UPSTREAM_UNREACHABLE, Kind.UPSTREAM_TIMEOUT, Kind.UNAVAILABLE, Kind.INTERNAL)
"""What keeps an answer from its end unsaid. With any other error an upstream ends its answer itself, in good order."""

_ID_PREFIXES = {"anthropic": "cpm_", "openai_chat": "chatcmpl-", "openai_responses": "resp_"}


class Speaker:
    """Words events for a caller.

    :param turn: what the caller asked.
    :param keepalive: seconds of the upstream's silence after which the caller gets a ping; 0 for none.
    :ivar failed: why the answer will not be completed, once that has been said.
    """

    def __init__(self, forward: Forward, turn: Turn, keepalive: float) -> None:
        assert forward.dialect is not None
        self._forward = forward
        forward.account = self._account
        forward.told = lambda: self._stopped and self.failed is None
        self._turn = turn
        self._dialect = DIALECTS[forward.dialect]
        self._words = {
            "model": forward.inbound.model,
            "response_id": _ID_PREFIXES[forward.dialect] + forward.exchange.id.removeprefix("cp_"),
            "created": int(forward.started),
        }
        self._headers: RawHeaders = []
        self._encoder: StreamEncoder | None = None
        self._events: list[Event] = []
        self._usage: TokenUsage | None = None
        self.failed: ProxyError | None = None
        self._stopped = False
        self._keepalive = keepalive
        self._last_said = 0.0
        self._clock: IDelayedCall | None = None

    def open(self, headers: RawHeaders) -> None:
        """Begin the answer as soon as it is known that there will be one.

        :param headers: of the upstream's answer, those that are of no body.
        """
        self._headers = headers
        if not self._turn.stream:
            return
        forward = self._forward
        self._encoder = self._dialect.stream_encoder(self._turn, **self._words)  # type: ignore[arg-type]
        forward.word_error = self._encoder.error
        forward.send_head(200, b"OK", headers + _STREAM_HEADERS, stream=True)
        self._encoder.request_id = forward.exchange.request_id
        self._last_said = forward.board.reactor.seconds()
        if self._keepalive:
            self._clock = forward.board.reactor.callLater(self._keepalive, self._ping)

    def say(self, events: Iterable[Event]) -> None:
        """Word the next events, at once where the answer is a stream."""
        encoder = self._encoder
        said = []
        for event in events:
            if isinstance(event, UsageReported):
                usage = event.usage
                self._usage = usage if self._usage is None else self._usage.merged(usage)
            elif isinstance(event, Stopped):
                self._stopped = True
            elif isinstance(event, StreamFailed):
                self.failed = event.error
                self._forward.quoted = True
            if encoder is None:
                self._events.append(event)
            else:
                said.append(encoder.encode(event))
        data = b"".join(said)
        if data:
            self._write(data)

    def _write(self, data: bytes) -> None:
        self._last_said = self._forward.board.reactor.seconds()
        self._forward.write(data)
        if self._forward.board.watched:
            self._forward.watch(data)

    def _ping(self) -> None:
        # One re-arming timer; pings go to the caller only and tell nothing about the upstream's clock.
        self._clock = None
        if self._forward.request.gone or self._encoder is None:
            return
        reactor = self._forward.board.reactor
        left = self._last_said + self._keepalive - reactor.seconds()
        if left <= 0.001:
            data = self._encoder.ping()
            if data:
                self._forward.write(data)
            self._last_said = reactor.seconds()
            left = self._keepalive
        self._clock = reactor.callLater(left, self._ping)

    def hush(self) -> None:
        """Stop the pings: the answer is over, or its caller gone."""
        clock, self._clock = self._clock, None
        if clock is not None and clock.active():
            clock.cancel()

    def finish(self) -> None:
        """End the answer after its last event."""
        self.hush()
        forward = self._forward
        if self._encoder is not None:
            tail = self._encoder.close()
            if tail:
                self._write(tail)
            if self.failed is not None:
                forward.exchange.error = self.failed.message
                forward.end("error", whole=self._ends(self.failed))
            elif not self._stopped:
                forward.exchange.error = "the answer ended before its end"
                forward.end("error", whole=False)
            else:
                forward.end("ok")
            return
        if self.failed is not None:
            forward.fail(self.failed)
            return
        self._finish_whole()

    def _finish_whole(self) -> None:
        forward = self._forward
        try:
            body = self._dialect.build_response(self._events, self._turn, **self._words)  # type: ignore[arg-type]
        except ProxyError as error:
            forward.fail(error)
            return
        headers = [
            *self._headers,
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(body)),
        ]
        forward.send_head(200, b"OK", headers, stream=False)
        self._write(body)
        forward.end("ok")

    def _ends(self, error: ProxyError) -> bool:
        """Tell whether an error is the upstream's own end of its answer, and its event enough for the caller.

        OpenAI's SDKs raise nothing on the Responses API's ``response.failed`` and ``error``.
        """
        return error.kind not in _CUT_OFF and self._forward.dialect != "openai_responses"

    def fail(self, error: ProxyError) -> None:
        """End the answer with an error."""
        self.hush()
        if self._encoder is None or not self._ends(error):
            self._forward.fail(error)
            return
        self._forward.exchange.error = error.message
        self._write(self._encoder.error(error))
        self._forward.end("error")

    def _account(self) -> Usage | None:
        usage = self._usage
        if usage is None:
            return None
        return Usage(
            input_tokens=usage.input_tokens or 0,
            output_tokens=usage.output_tokens or 0,
            cache_read_input_tokens=usage.cache_read_input_tokens or 0,
            cache_creation_input_tokens=usage.cache_creation_input_tokens or 0,
            reasoning_tokens=usage.reasoning_tokens or 0,
            complete=self._stopped,
        )


def unusable(message: str) -> ProxyError:
    """Say that an upstream's answer cannot be worded for the caller."""
    return ProxyError(Kind.UPSTREAM_UNREACHABLE, message)
