"""What carries an upstream's body to the caller: one receiver for each way of an answer.

All are fed by :meth:`~clawproxy.upstream.provider.Answer.deliverBody` and tell their end through
:attr:`Pump.done`, which fires with ``None`` for a whole body and with the failure of a broken one, and
which aborts the upstream when it is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from clawproxy.core.coding import CodingError, StreamDecoder
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.provider import Answer

MOST_DECODED = 1_073_741_824
"""Bytes that a coded answer is decoded to for reading along, against decompression bombs."""

MOST_KEPT = 67_108_864
"""Bytes of an answer that is read whole before it goes on (translation of a non-stream)."""


DISCARD_WITHIN = 0.5
"""Seconds for the rest of an answer that is not wanted, but whose connection is."""


class Pump(Protocol):
    """Give every piece to ``take`` in the turn in which it came.

    :param answer: whose body is pumped; aborted when :attr:`done` is cancelled.
    :param take: gets each piece.
    """

    def __init__(self, answer: Answer, take: Callable[[bytes], None]) -> None:
        self.dataReceived = take  # type: ignore[method-assign,assignment]
        self.done: Deferred[UpstreamFailure | None] = Deferred(lambda _: answer.stopProducing())

    def stop(self) -> None:
        """Take no more, whatever still comes, as if this were the end; the answer is aborted by whoever calls."""
        self.dataReceived = _ignore  # type: ignore[method-assign]
        if not self.done.called:
            self.done.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the end."""
        # It has this, and this has it: let go, both are freed without a collection.
        self.dataReceived = _ignore  # type: ignore[method-assign]
        if self.done.called:
            return
        if isinstance(reason.value, ResponseDone):
            self.done.callback(None)
        elif isinstance(reason.value, UpstreamFailure):
            self.done.callback(reason.value)
        else:
            self.done.callback(UpstreamFailure("body", f"its answer broke off: {reason.value}"))


def _ignore(data: bytes) -> None:
    """Nothing comes behind the end."""


class Whole:
    """Keep a whole body, bounded.

    :ivar overflow: more came than may be kept; the rest was dropped.
    """

    def __init__(self, limit: int = MOST_KEPT) -> None:
        self._pieces: list[bytes] = []
        self._left = limit
        self.overflow = False

    def take(self, data: bytes) -> None:
        """Keep a piece."""
        self._left -= len(data)
        if self._left < 0:
            self.overflow = True
        else:
            self._pieces.append(data)

    @property
    def body(self) -> bytes:
        """What was kept."""
        return b"".join(self._pieces)


class Decoded:
    """Undo the content codings of a body piece by piece, for those who read a copy of it.

    What cannot be decoded, or only by holding up all other streams, is read no further: the caller's bytes do
    not depend on it.

    :param coding: the ``Content-Encoding``, ``None`` for none.
    """

    def __init__(self, coding: bytes | None) -> None:
        self._decoder: StreamDecoder | None = None
        self.broken = False
        if coding is not None and coding.strip().lower() not in (b"", b"identity"):
            try:
                self._decoder = StreamDecoder(coding.decode("latin-1"), MOST_DECODED, paced=True)
            except CodingError:
                self.broken = True

    @property
    def plain(self) -> bool:
        """Whether the bytes are readable as they come."""
        return self._decoder is None and not self.broken

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Give what a piece adds to the readable body."""
        if self.broken:
            return ()
        if self._decoder is None:
            return (data,)
        return self._decoded(self._decoder, data)

    def _decoded(self, decoder: StreamDecoder, data: bytes) -> Iterable[bytes]:
        try:
            yield from decoder.feed(data)
        except CodingError:
            self.broken = True


def discard(answer: Answer, reactor: IReactorTime, limit: int = 65_536) -> None:
    """Read an unwanted answer to its end, so that its connection can be used again, or abort a long or slow one."""
    left = limit

    def take(data: bytes) -> None:
        nonlocal left
        left -= len(data)
        if left < 0:
            answer.stopProducing()

    pump = Pump(answer, take)
    answer.deliverBody(pump)
    if not pump.done.called:
        # It may be the only connection that the next try can have.
        late = reactor.callLater(DISCARD_WITHIN, answer.stopProducing)
        pump.done.addBoth(lambda _: late.cancel() if late.active() else None)
