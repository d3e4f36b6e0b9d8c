"""The translated way: an upstream of another dialect answers, and the caller reads it in its own.

The request went through the neutral turn (:mod:`.inbound`, :mod:`.outbound`); the answer goes through neutral events,
incrementally.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawproxy.core import headers as heads
from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.events import Event, StreamFailed
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import ProxyError
from clawproxy.core.first_event import FirstEvent, Held
from clawproxy.core.masking import mask_headers
from clawproxy.core.policy import transient
from clawproxy.relay import accesslog
from clawproxy.relay.pump import MOST_KEPT, Decoded, Pump, Whole
from clawproxy.relay.speaker import Speaker, unusable
from clawproxy.upstream.response import H1Response

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward


class Translation:
    """One upstream answer, translated on its way.

    Whether it is a stream is told by its first byte rather than by its content type, which gateways
    and imitators get wrong in both directions.

    :param dialect: the upstream's.
    :param more: another target could answer instead, as long as nothing was sent.
    """

    def __init__(
        self,
        forward: Forward,
        turn: Turn,
        answer: H1Response,
        dialect: DialectName,
        keepalive: float,
        *,
        more: bool,
    ) -> None:
        self._forward = forward
        self._turn = turn
        self._answer = answer
        self._more = more
        self._dialect = DIALECTS[dialect]
        self._speaker = Speaker(forward, turn, keepalive)
        self._decoded = Decoded(heads.value(answer.raw_headers, b"content-encoding"))
        kind = heads.value(answer.raw_headers, b"content-type") or b""
        self._declared = kind.lower().startswith(b"text/event-stream")
        self._streams: bool | None = None  # not known before the first byte
        self._beginning = b""
        self._decoder = self._dialect.stream_decoder()
        self._whole = Whole()
        self._room = MOST_KEPT  # for what a caller without a stream has to wait for
        self._gate = FirstEvent() if more else None
        self._held: list[bytes] = []
        self._failover: ProxyError | None = None
        self._open = False
        forward.exchange.upstream_response_headers = mask_headers(answer.raw_headers)
        self._headers = heads.response_headers(
            answer.raw_headers, changed=True, cors=bool(forward.wiring.cors)
        )

    async def run(self) -> ProxyError | None:
        """Carry the answer to its end.

        :return: the error on which another target is to be asked.
        :raise ProxyError: the upstream answered an error; nothing was sent.
        """
        if self._answer.code >= 400:
            await self._read_error()
        if self._declared and self._gate is None:
            self._begin()
        self._pump = Pump(self._answer, self._take)
        request = self._forward.request
        request.registerProducer(self._answer, True)
        try:
            self._answer.deliverBody(self._pump)
            failure = await self._pump.done
        finally:
            self._speaker.hush()
        if not self._sent:
            request.unregisterProducer()
        if failure is None and self._failover is None:
            self._end()
        if self._failover is not None:
            return self._failover
        if failure is None:
            self._speaker.finish()
            return None
        if self._more and not self._sent:
            accesslog.forward_error(self._forward, "body", failure.message, gone=False)
            return failure.proxy_error(self._forward.exchange.provider or "")
        raise failure

    @property
    def _sent(self) -> bool:
        """Whether the caller has seen anything."""
        return self._open and self._turn.stream

    def _begin(self) -> None:
        if not self._open:
            self._open = True
            self._speaker.open(self._headers)

    def _take(self, data: bytes) -> None:
        forward = self._forward
        forward.recording.received(data, forward.now_ms())  # type: ignore[union-attr]
        for piece in self._decoded.feed(data):
            self._read(piece)

    def _read(self, piece: bytes) -> None:
        if self._streams is None:
            self._beginning += piece
            self._streams = is_stream(self._beginning, declared=self._declared)
            if self._streams is None:
                return
            piece, self._beginning = self._beginning, b""
            if self._streams and self._gate is None:
                self._begin()
        if not self._turn.stream:
            self._room -= len(piece)
            if self._room < 0:  # a document keeps no more by itself
                self._stop(None)
                return
        if not self._streams:
            self._whole.take(piece)
        elif self._gate is None:
            self._speaker.say(self._decoder.feed(piece))
        elif self._failover is None:
            self._hold(piece, self._gate)

    def _hold(self, piece: bytes, gate: FirstEvent) -> None:
        self._held.append(piece)
        verdict = gate.feed(piece)
        if isinstance(verdict, ProxyError):
            self._stop(verdict)
        elif verdict is Held.RELEASE:
            self._release()

    def _stop(self, failover: ProxyError | None) -> None:
        """Read no further."""
        self._failover = failover
        self._answer.stopProducing()
        self._pump.stop()

    def _release(self) -> None:
        self._gate = None
        self._begin()
        held, self._held = self._held, []
        for piece in held:
            self._speaker.say(self._decoder.feed(piece))

    def _end(self) -> None:
        """Word what the whole body adds.

        :raise ProxyError: the answer is an error that nobody else can make good.
        """
        if self._streams is None:
            self._streams = self._declared
        if self._streams:
            if self._gate is not None:
                verdict = self._gate.close()
                if isinstance(verdict, ProxyError):
                    self._failover = verdict
                    return
                self._release()
            self._speaker.say(self._decoder.close() if self._room >= 0 else [_too_large()])
            error = self._speaker.failed
        else:
            events = self._document()
            last = events[-1]
            error = last.error if isinstance(last, StreamFailed) else None
            if error is None:
                self._begin()
            self._speaker.say(events)
        if error is None or self._sent:
            return
        if self._more and transient(error.http_status):
            self._failover = error
        else:
            raise error

    def _document(self) -> list[Event]:
        """Read an answer that is no stream: one JSON document."""
        if self._room < 0 or self._whole.overflow or self._decoded.broken:
            return [_too_large()]
        try:
            return self._dialect.parse_response(self._whole.body)
        except ProxyError as error:
            return [StreamFailed(error)]

    async def _read_error(self) -> None:
        """Read an HTTP error.

        :raise ProxyError: what it says.
        """
        whole = Whole()

        def take(data: bytes) -> None:
            self._forward.recording.received(data, self._forward.now_ms())  # type: ignore[union-attr]
            for piece in self._decoded.feed(data):
                whole.take(piece)

        pump = Pump(self._answer, take)
        self._answer.deliverBody(pump)
        failure = await pump.done
        if failure is not None:
            raise failure
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers
        ]
        self._forward.quoted = True
        raise self._dialect.parse_error(self._answer.code, headers, whole.body)


def _too_large() -> StreamFailed:
    return StreamFailed(unusable("the upstream's answer is too large or cannot be decoded"))


_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_BLANK = b" \t\r\n\xef\xbb\xbf"


def is_stream(beginning: bytes, *, declared: bool) -> bool | None:
    """Tell a stream of events from a JSON document by its beginning, ``None``: not yet known.

    :param declared: its content type says that it is a stream; then only JSON's brace says no.
    """
    text = beginning.lstrip(_BLANK)
    if not text:
        return None
    if declared:
        return not text.startswith(b"{")
    if text.startswith(_FIELDS):
        return True
    return None if any(field.startswith(text) for field in _FIELDS) else False
