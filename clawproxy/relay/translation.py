"""The translated way: an upstream of another dialect answers, and the caller reads it in its own.

The request goes through the neutral turn, the answer through neutral events, incrementally; what the
target cannot express is refused before anything is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawproxy.core import headers as heads
from clawproxy.core.dialects import DialectName
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import ProxyError
from clawproxy.core.policy import FirstEvent, Held
from clawproxy.relay import accesslog
from clawproxy.relay.pump import Decoded, Pump, Whole
from clawproxy.relay.speaker import Speaker, unusable
from clawproxy.upstream.h1 import H1Response

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward


def turn_of(forward: Forward) -> Turn:
    """Read the caller's request as a neutral turn.

    :raise ProxyError: 400, with the field that cannot be translated.
    """
    inbound = forward.inbound
    assert inbound.dialect is not None
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in inbound.headers]
    return DIALECTS[inbound.dialect].parse_request(inbound.decoded, headers)


class Translation:
    """One upstream answer, translated on its way.

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
        self._answer = answer
        self._dialect = DIALECTS[dialect]
        self._speaker = Speaker(forward, turn, keepalive)
        self._decoded = Decoded(heads.value(answer.raw_headers, b"content-encoding"))
        kind = heads.value(answer.raw_headers, b"content-type") or b""
        self._streams = kind.lower().startswith(b"text/event-stream")
        self._decoder = self._dialect.stream_decoder() if self._streams else None
        self._gate = FirstEvent() if more and self._streams else None
        self._held: list[bytes] = []
        self._failover: ProxyError | None = None
        self._headers = heads.response_headers(
            answer.raw_headers, changed=True, cors=bool(forward.wiring.cors)
        )

    async def run(self) -> ProxyError | None:
        """Carry the answer to its end.

        :return: the error of a first event, on which another target is to be asked.
        :raise ProxyError: the upstream answered an error; nothing was sent.
        """
        if self._answer.code >= 400 or self._decoder is None:
            await self._read_whole()
            return None
        if self._gate is None:
            self._speaker.open(self._headers)
        pump = Pump(self._answer, self._take)
        self._pump = pump
        request = self._forward.request
        request.registerProducer(self._answer, True)
        try:
            self._answer.deliverBody(pump)
            failure = await pump.done
        finally:
            self._speaker.hush()
        if self._failover is not None:
            request.unregisterProducer()
            return self._failover
        if failure is not None:
            if self._gate is not None:
                request.unregisterProducer()
                accesslog.forward_error(self._forward, "body", failure.message, gone=False)
                return failure.proxy_error(self._forward.exchange.provider or "")
            self._forward.broken(failure)
            return None
        if self._gate is not None:
            self._release()
        self._speaker.say(self._decoder.close())
        self._speaker.finish(whole=False)
        return None

    def _take(self, data: bytes) -> None:
        forward = self._forward
        forward.recording.received(data, forward.now_ms())  # type: ignore[union-attr]
        if self._gate is not None:
            self._take_held(data, self._gate)
        else:
            self._translate(data)

    def _translate(self, data: bytes) -> None:
        assert self._decoder is not None
        for piece in self._decoded.feed(data):
            self._speaker.say(self._decoder.feed(piece))

    def _take_held(self, data: bytes, gate: FirstEvent) -> None:
        for piece in self._decoded.feed(data):
            self._held.append(piece)
            verdict = gate.feed(piece)
            if isinstance(verdict, ProxyError):
                self._failover = verdict
                self._answer.stopProducing()
                self._pump.done.callback(None)
                return
            if verdict is Held.RELEASE:
                self._release()

    def _release(self) -> None:
        if self._gate is None:
            return
        assert self._decoder is not None
        self._gate = None
        self._speaker.open(self._headers)
        held, self._held = self._held, []
        for piece in held:
            self._speaker.say(self._decoder.feed(piece))

    async def _read_whole(self) -> None:
        """Read an answer that is no stream: an error, or one JSON document."""
        forward, answer = self._forward, self._answer
        whole = Whole()

        def take(data: bytes) -> None:
            forward.recording.received(data, forward.now_ms())  # type: ignore[union-attr]
            for piece in self._decoded.feed(data):
                whole.take(piece)

        pump = Pump(answer, take)
        answer.deliverBody(pump)
        failure = await pump.done
        if failure is not None:
            raise failure
        if answer.code >= 400:
            headers = [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers
            ]
            raise self._dialect.parse_error(answer.code, headers, whole.body)
        if whole.overflow or self._decoded.broken:
            raise unusable("the upstream's answer is too large or cannot be decoded")
        events = self._dialect.parse_response(whole.body)
        self._speaker.open(self._headers)
        self._speaker.say(events)
        self._speaker.finish()
