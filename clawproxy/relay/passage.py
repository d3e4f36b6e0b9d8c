"""The verbatim way: what the upstream sends is what the caller gets, and what is counted is read beside it.

A :class:`Passage` writes each piece as it came. Only on a route with a further target does a stream wait
until its first event has shown that it is not an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clawproxy.core import headers as heads
from clawproxy.core.errors import ProxyError
from clawproxy.core.first_event import FirstEvent, Held
from clawproxy.core.tap import BodyTap, StreamTap
from clawproxy.relay import accesslog
from clawproxy.relay.pump import Decoded, Pump
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.response import H1Response

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward


class Passage:
    """One upstream answer on its way through.

    :param more: another target could answer instead, as long as nothing was sent.
    """

    def __init__(self, forward: Forward, answer: H1Response, *, more: bool) -> None:
        self._forward = forward
        self._answer = answer
        first = answer.first
        kind = first.get(b"content-type", b"")
        self._stream = kind.lower().startswith(b"text/event-stream")
        self._decoded = Decoded(first.get(b"content-encoding"))
        if not self._decoded.plain or b"content-length" in first:
            # A coded body, or one whose length was told, can take no further byte.
            forward.word_error = None
        dialect = forward.exchange.upstream_dialect
        self._tap = StreamTap(dialect) if self._stream else BodyTap(dialect)
        forward.account = lambda: self._tap.close().usage
        forward.told = lambda: self._tap.ended
        self._gate = FirstEvent() if more and self._stream and answer.code == 200 else None
        self._held: list[bytes] = []
        self._failover: ProxyError | None = None
        self._pump = Pump(answer, self._take_held if self._gate else self._take)

    async def run(self) -> ProxyError | None:
        """Carry the answer to its end.

        :return: the error of a first event, or of a body that broke before it, on which another target is
            to be asked; ``None`` when the caller has been answered.
        """
        forward = self._forward
        request = forward.request
        request.cork()
        if self._gate is None:
            self._open()
        if not self._answer.whole:
            request.registerProducer(self._answer, True)
        self._answer.turn_over = request.flush
        self._answer.deliverBody(self._pump)
        if not self._answer.in_turn and not self._pump.done.called:
            request.flush()
        failure = await self._pump.done
        if self._gate is not None and self._failover is None:
            self._end_held(failure)
        if self._failover is not None:
            if request.producer is not None:
                request.unregisterProducer()
            request.uncork()
            return self._failover
        if failure is None:
            # The caller has all of it before it is looked into.
            forward.finish()
        self._read_tap()
        if failure is not None:
            forward.broken(failure)
        else:
            forward.close("error" if forward.exchange.error else "ok")
        return None

    def _end_held(self, failure: UpstreamFailure | None) -> None:
        """The body ended, well or not, while nothing of it had been let go."""
        assert self._gate is not None
        if failure is not None:
            accesslog.forward_error(self._forward, "body", failure.message, gone=False)
            self._failover = failure.proxy_error(self._forward.exchange.provider or "")
            return
        verdict = self._gate.close()
        if isinstance(verdict, ProxyError):
            self._failover = verdict
        else:
            self._release()

    def _open(self) -> None:
        forward, answer = self._forward, self._answer
        headers = heads.response_headers(answer.raw_headers, cors=bool(forward.wiring.cors))
        headers = heads.disarm(headers, answer.raw_headers, answer.first)
        forward.send_head(
            answer.code, answer.phrase, headers, stream=self._stream, first=answer.first
        )
        if answer.code >= 400:
            forward.exchange.error = f"the upstream answered {answer.code}"

    def _take(self, data: bytes) -> None:
        self._forward.write(data)
        if self._decoded.plain:
            self._tap.feed(data)
            if self._forward.board.watched:
                self._forward.watch(data)
        else:
            for piece in self._decoded.feed(data):
                self._tap.feed(piece)
                self._forward.watch(piece)

    def _take_held(self, data: bytes) -> None:
        gate = self._gate
        if gate is None:
            self._take(data)
            return
        self._held.append(data)
        readable = (data,) if self._decoded.plain else self._decoded.feed(data)
        for piece in readable:
            verdict = gate.feed(piece)
            if isinstance(verdict, ProxyError):
                self._failover = verdict
                self._answer.stopProducing()
                self._pump.stop()
                return
            if verdict is Held.RELEASE:
                self._release()
                return
        if self._decoded.broken:
            self._release()

    def _release(self) -> None:
        self._gate = None
        self._open()
        held, self._held = self._held, []
        if not self._decoded.plain:
            # What was held has been decoded already and cannot be again: start over on a new copy.
            self._decoded = Decoded(self._answer.first.get(b"content-encoding"))
        for piece in held:
            self._take(piece)

    def _read_tap(self) -> None:
        summary = self._tap.close()
        exchange = self._forward.exchange
        exchange.usage = summary.usage
        if summary.error is not None:
            exchange.error = summary.error
            self._forward.quoted = True
