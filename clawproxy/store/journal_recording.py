"""One exchange on its way into the journal: :class:`JournalRecording` keeps its pieces until they are framed.

Per piece it costs two list appends. Whether a record is taken is the journal's outbox's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from clawproxy.core.record import Exchange
from clawproxy.store import segment_payload
from clawproxy.store.pieces import Side
from clawproxy.store.segment_record import Kind

if TYPE_CHECKING:
    from clawproxy.store.journal import Journal

BUFFER_LIMIT = 256 << 10
"""Bytes of one stream's pieces kept until the next flush; more are framed at once."""
ANSWER_LIMIT = 64 << 20
"""Bytes of one side of one answer that are recorded; the rest of a longer one is left out and
flagged."""


class JournalRecording:
    """One exchange on its way into the journal; see :class:`~clawproxy.relay.recording.Recording`.

    :param journal: what made it.
    :ivar keeps: whether bytes are kept.
    """

    keeps: ClassVar = True

    __slots__ = (
        "_asked",
        "_exchange",
        "_journal",
        "_kept",
        "_received",
        "_received_at",
        "_request",
        "_sent",
        "_sent_at",
        "_size",
        "_spilled",
        "_started",
        "_superseded",
        "_truncated",
        "_upstream_request",
    )

    def __init__(self, journal: Journal, exchange: Exchange, request_body: bytes) -> None:
        self._journal = journal
        self._exchange = exchange
        self._request = request_body
        self._upstream_request: bytes | None = None
        self._sent: list[bytes] = []
        self._sent_at: list[float] = []
        self._received: list[bytes] = []
        self._received_at: list[float] = []
        self._size = 0
        self._kept = [0, 0]
        self._spilled = 0
        self._superseded = 0
        self._asked = False
        self._started = False
        self._truncated = False

    def upstream_request(self, body: bytes) -> None:
        """Keep the body that was sent upstream; of several tries the last one's stays."""
        self._upstream_request = body

    def sent(self, data: bytes, at_ms: float) -> None:
        """Keep a piece that went to the caller."""
        self._sent.append(data)
        self._sent_at.append(at_ms)
        self._size += len(data)
        if self._size > BUFFER_LIMIT:
            self._spill()

    def received(self, data: bytes, at_ms: float) -> None:
        """Keep a piece that came from the upstream."""
        self._received.append(data)
        self._received_at.append(at_ms)
        self._size += len(data)
        if self._size > BUFFER_LIMIT:
            self._spill()

    def again(self) -> None:
        """Forget the last target's side.

        What is in the journal already cannot be taken back: the final record says how much of it
        to leave out.
        """
        self._size -= sum(map(len, self._received))
        self._received, self._received_at = [], []
        self._superseded = self._spilled
        self._upstream_request = b"" if self._asked else None

    @property
    def id(self) -> str:
        """The exchange's."""
        return self._exchange.id

    def end(self) -> None:
        """Queue the final record. A second call does nothing."""
        journal = self._journal
        if self not in journal._open:
            return
        try:
            kept = self._end()
        except Exception:  # noqa: BLE001 - nothing of a record's may reach the stream
            journal.broken(self)
        else:
            journal.ended(self, kept)

    def _end(self) -> bool:
        if self._started:
            self._spill()
            chunks = segment_payload.end(self._exchange, self._truncated, self._superseded)
            return self._journal.outbox.put(Kind.END, chunks, ends=True)
        chunks = segment_payload.whole(
            self._exchange,
            self._request,
            self._upstream_request,
            segment_payload.block(self._sent_at, self._sent),
            segment_payload.block(self._received_at, self._received),
            self._truncated,
        )
        return self._journal.outbox.put(Kind.WHOLE, chunks, ends=True)

    def flush(self) -> None:
        """Frame what has come since the last flush."""
        if not self._started:
            self._start()
        if self._sent or self._received or self._upstream_request is not None:
            self._spill()

    def _start(self) -> None:
        if self._journal.outbox.put(
            Kind.START, segment_payload.start(self._exchange, self._request)
        ):
            self._started = True
            self._request = b""

    def _spill(self) -> None:
        if not self._started:
            self._start()
        id = self._exchange.id
        if self._upstream_request is not None:
            body, self._upstream_request = self._upstream_request, None
            self._asked = True
            self._keep(Kind.UPSTREAM_REQUEST, segment_payload.upstream_request(id, body), 1)
        if self._sent:
            self._run(Side.SENT, self._sent_at, self._sent)
            self._sent, self._sent_at = [], []
        if self._received:
            self._spilled += len(self._received)
            self._run(Side.RECEIVED, self._received_at, self._received)
            self._received, self._received_at = [], []
        self._size = 0

    def _run(self, side: Side, times: list[float], data: list[bytes]) -> None:
        self._kept[side] += sum(map(len, data))
        if self._kept[side] > ANSWER_LIMIT:
            self._truncated = True
            self._journal.lost_pieces(len(data))
            return
        chunks = segment_payload.pieces(self._exchange.id, side, times, data)
        self._keep(Kind.PIECES, chunks, len(data))

    def _keep(self, kind: Kind, chunks: list[bytes], pieces: int) -> None:
        # A hole in the middle of an answer would look like an answer: once truncated, nothing more
        # is taken.
        if self._truncated or not self._started or not self._journal.outbox.put(kind, chunks):
            self._truncated = True
            self._journal.lost_pieces(pieces)


class MetadataRecording(JournalRecording):
    """An exchange of which no body and no piece is kept."""

    keeps: ClassVar = False

    __slots__ = ()

    def upstream_request(self, body: bytes) -> None:
        """Keep nothing."""

    def again(self) -> None:
        """Forget nothing, as nothing is kept."""

    def sent(self, data: bytes, at_ms: float) -> None:
        """Keep nothing."""

    def received(self, data: bytes, at_ms: float) -> None:
        """Keep nothing."""
