"""A journal that a test writes record by record, and what brings it into a store that fails as told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from clawproxy.store import instance as instances
from clawproxy.store import segment, segment_payload
from clawproxy.store.entry import Prepared
from clawproxy.store.indexing import Indexing
from clawproxy.store.pieces import Side
from clawproxy.store.protocol import Filter, StoreUnavailable
from clawproxy.store.segment_record import Kind
from clawproxy.store.sqlite import SQLiteStore
from tests.store.samples import asking, exchange, message


def framed(kind: Kind, chunks: list[bytes]) -> bytes:
    payload = b"".join(chunks)
    return segment.frame(kind, payload) + payload


def whole(number: int, text: str = "hello", **fields: object) -> bytes:
    request = asking(text)
    return framed(
        Kind.WHOLE,
        segment_payload.whole(
            exchange(number, request_bytes=len(request), **fields),
            request,
            None,
            segment_payload.block([1.0], [message(text)]),
            segment_payload.block([], []),
            False,
        ),
    )


def start(number: int) -> bytes:
    running = exchange(number, outcome="running", finished_at=None)
    return framed(Kind.START, segment_payload.start(running, asking(f"long {number}")))


def pieces(number: int, data: bytes, at: float = 1.0) -> bytes:
    id = exchange(number).id
    return framed(Kind.PIECES, segment_payload.pieces(id, Side.SENT, [at], [data]))


def asked(number: int, data: bytes) -> bytes:
    return framed(
        Kind.UPSTREAM_REQUEST, segment_payload.upstream_request(exchange(number).id, data)
    )


def end(number: int, truncated: bool = False) -> bytes:
    return framed(Kind.END, segment_payload.end(exchange(number), truncated))


SEAL = segment.frame(Kind.SEAL, b"")


class FlakyStore(SQLiteStore):
    """A store that fails as told.

    :ivar failing: at every batch.
    :ivar poison: the exchange that it can never store.
    :ivar away: one of these it does not take alone, the first time.
    """

    failing: Exception | None = None
    poison = ""
    away: Sequence[str] = ()

    async def ingest(self, batch: Sequence[Prepared]) -> int:
        if self.failing is not None:
            raise self.failing
        if any(prepared.entry.exchange.id == self.poison for prepared in batch):
            raise OverflowError("too large for any column")
        if len(batch) == 1 and batch[0].entry.exchange.id in self.away:
            self.away = ()
            raise StoreUnavailable("gone fishing")
        return await super().ingest(batch)


class IndexingCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = Path(self.mktemp())
        self.store = FlakyStore(self.path)
        self.clock = Clock()
        self.indexing = self.made("1-a")
        await self.store.open()
        self.addCleanup(self.store.close)

    def made(self, own: str | None) -> Indexing:
        return Indexing(self.clock, self.store, self.directory, own)

    def write(self, number: int, *records: bytes, instance: str = "1-a") -> Path:
        path = instances.segment_path(self.directory, instance, number)
        if not path.exists():
            path.write_bytes(segment.header(instance))
        with path.open("ab") as file:
            file.write(b"".join(records))
        return path

    async def outcomes(self) -> dict[str, str]:
        page = await self.store.list(Filter(), limit=1000)
        return {item.exchange.id: item.exchange.outcome for item in page.items}
