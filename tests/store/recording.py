"""A recording service with a real indexer, to test with."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, evolve, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from clawproxy.core.record import Exchange
from clawproxy.store.service import RecordingService
from clawproxy.store.sqlite import SQLiteStore
from tests.store.samples import asking, exchange

T = TypeVar("T")


@frozen
class Settings:
    """What :class:`~clawproxy.store.service.StorageSettings` asks for."""

    url: str
    journal_directory: str
    retention_days: float = 0
    bodies: Any = "full"
    max_bytes: int = 0
    journal_budget: int = 1 << 30
    prices: str | None = None


def pause(seconds: float) -> Deferred[None]:
    """Wait."""
    return deferLater(reactor, seconds)


async def until(probe: Callable[[], Awaitable[T]], within: float = 10.0) -> T:
    """Ask again and again until the answer is true, and give the last one."""
    end = time.monotonic() + within
    while True:
        found = await probe()
        if found or time.monotonic() > end:
            return found
        await pause(0.05)


class ServiceCase(TestCase):
    """A directory of its own with a database and a journal in it."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        self.path = self.home / "records.db"
        self.journal = self.home / "records.journal"
        self.settings = Settings(f"sqlite:{self.path}", str(self.journal))

    async def started(self, **changes: Any) -> RecordingService:
        """Start recording."""
        service = RecordingService(evolve(self.settings, **changes), reactor)
        await service.start()
        self.addCleanup(service.stop)
        return service

    async def opened(self) -> SQLiteStore:
        """Open the database beside the indexer."""
        store = SQLiteStore(self.path)
        await store.open()
        self.addCleanup(store.close)
        return store


@define
class Streams:
    """Streams that are recorded while something goes wrong.

    :ivar slowest: seconds that the slowest call of the recorder took.
    """

    service: RecordingService
    slowest: float = 0.0
    ended: int = 0

    async def run(self, count: int, seconds: float) -> None:
        """Run streams side by side, a piece each 50 ms."""
        streams = [ensureDeferred(self._stream(n, seconds)) for n in range(count)]
        await DeferredList(streams, fireOnOneErrback=True)

    def _timed(self, call: Callable[..., T], *arguments: Any) -> T:
        begun = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            self.slowest = max(self.slowest, time.perf_counter() - begun)

    async def _stream(self, number: int, seconds: float) -> None:
        record: Exchange = exchange(number, outcome="running", finished_at=None)
        request = asking(f"stream {number} please")
        recording = self._timed(self.service.recorder.begin, record, request)
        for at in range(int(seconds / 0.05)):
            self._timed(recording.sent, piece(number, at), at * 50.0)
            await pause(0.05)
        record.outcome, record.finished_at = "ok", exchange(number).finished_at
        self._timed(recording.end)
        self.ended += 1


def piece(number: int, at: int) -> bytes:
    """Give the piece that a stream has there."""
    return f"data: {number}/{at}\n\n".encode()


def answer(seconds: float, number: int) -> bytes:
    """Give all that a stream sends."""
    return b"".join(piece(number, at) for at in range(int(seconds / 0.05)))
