"""The proxy's own tests of byte identity and of faults once more, with recording on: whatever a caller got is
in the store, byte for byte, and whatever became of the exchange."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import Clock

from clawproxy.core.record import Exchange
from clawproxy.relay.recording import Recording
from clawproxy.service import ClawProxyService
from clawproxy.store.indexing import Indexing
from clawproxy.store.journal import FLUSH_INTERVAL, Journal
from clawproxy.store.protocol import Filter
from clawproxy.store.sqlite import SQLiteStore
from clawproxy.testing import MemoryProxy
from tests.integration import test_byte_identity, test_faults
from tests.integration.live import Caller, LiveCase, reactor
from tests.wire import ASK, Reply

INSTANCE = "1-a"


class ThreadedClock(Clock):
    """A clock for a journal, whose thread calls right back."""

    def callFromThread(self, callable: Callable[[], None]) -> None:
        """Call here and now."""
        callable()


class Piecemeal:
    """Flushes a journal after each piece, as if every stream took its time."""

    def __init__(self, journal: Journal, clock: ThreadedClock) -> None:
        self._journal = journal
        self._clock = clock

    def begin(self, exchange: Exchange, request_body: bytes) -> Recording:
        """Begin a recording that flushes."""
        recording = self._journal.begin(exchange, request_body)
        kept = recording.sent

        def sent(data: bytes, at_ms: float) -> None:
            kept(data, at_ms)
            self._clock.advance(FLUSH_INTERVAL)

        class Flushing:
            upstream_request = recording.upstream_request
            received = recording.received
            end = recording.end

        flushing = Flushing()
        flushing.sent = sent  # type: ignore[attr-defined]
        return cast(Recording, flushing)


class RecordedMemory:
    """Has every exchange of a :class:`~tests.integration.test_byte_identity.MemoryCase` recorded, by turns in one
    piece and piece by piece."""

    def setUp(self) -> None:
        """Put recording proxies in the place of plain ones."""
        case = cast(Any, self)
        self.made: list[tuple[Journal, ThreadedClock, Path]] = []

        def recording(*sets: str) -> MemoryProxy:
            proxy = MemoryProxy(*sets)
            clock = ThreadedClock()
            directory = Path(case.mktemp())
            directory.mkdir()
            journal = Journal(clock, directory, INSTANCE, budget=1 << 30)
            journal.start()
            by_turns = Piecemeal(journal, clock) if len(self.made) % 2 else journal
            proxy.assembly.board.recorder = by_turns
            self.made.append((journal, clock, directory))
            return proxy

        case.patch(test_byte_identity, "MemoryProxy", recording)

    def exchange(
        self,
        wire: Sequence[bytes],
        path: str = "/v1/messages",
        body: bytes = ASK,
        *rest: Any,
        **how: Any,
    ) -> tuple[bytes, Reply]:
        """Have an exchange, and hold its record against it."""
        request, reply = cast(Any, super()).exchange(wire, path, body, *rest, **how)
        case = cast(Any, self)
        journal, _, directory = self.made[-1]
        closed = threading.Event()
        journal.close().addCallback(lambda _: closed.set())
        case.assertTrue(closed.wait(10))
        store = SQLiteStore(directory / "records.db")
        store.open_now()
        try:
            indexing = Indexing(Clock(), store, directory, INSTANCE)
            case.assertTrue(case.successResultOf(ensureDeferred(indexing.own(ended=True))))

            def kept(which: Any) -> bytes | None:
                found: bytes | None = case.successResultOf(
                    ensureDeferred(store.body(reply["x-clawproxy-id"] or "", which))
                )
                return found

            case.assertEqual(kept("response") or b"", reply.body)
            case.assertEqual(kept("request"), body)
            sent = kept("upstream-request")
            case.assertTrue(request.endswith(body if sent is None else sent))
        finally:
            store.close_now()
        return request, reply


class RecordedAnswerTests(RecordedMemory, test_byte_identity.AnswerTests):
    """Answers."""


class RecordedRequestTests(RecordedMemory, test_byte_identity.RequestTests):
    """Requests."""


class Listening(Caller):
    """A caller that remembers what it asked and what it got."""

    def __init__(self, heard: list[tuple[bytes, Reply]]) -> None:
        super().__init__()
        self._heard = heard
        self._asked: list[bytes] = []

    def post(self, path: str, body: bytes = ASK, *headers: str, method: str = "POST") -> None:
        """Send a request."""
        self._asked.append(body)
        super().post(path, body, *headers, method=method)

    async def reply(self) -> Reply:
        """Take the next answer."""
        reply = await super().reply()
        self._heard.append((self._asked.pop(0), reply))
        return reply


class RecordedLive(LiveCase):
    """Has the proxies of a :class:`~tests.integration.live.LiveCase` record, with a real indexer."""

    timeout = 90

    def setUp(self) -> None:
        """Have a place for records."""
        super().setUp()
        self.heard: list[tuple[bytes, Reply]] = []
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    async def proxy(
        self, *sets: str, listen: str = "tcp:0:interface=127.0.0.1"
    ) -> ClawProxyService:
        """Start a proxy that records."""
        return await super().proxy(
            *sets, f"storage.url=sqlite:{self.folder / 'records.db'}", listen=listen
        )

    async def caller(self, endpoint: Any = None) -> Caller:
        """Connect somebody who remembers."""
        address: Any = self.service.addresses[0]
        where = endpoint or TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)
        caller: Caller = await connectProtocol(where, Listening(self.heard))
        self.addCleanup(caller.leave)
        return caller

    def _stop(self, service: ClawProxyService) -> Deferred[None]:
        async def stop() -> None:
            await super(RecordedLive, self)._stop(service)
            await self.compare()

        return Deferred.fromCoroutine(stop())

    async def compare(self) -> None:
        """Hold every record against what was heard."""
        store = SQLiteStore(self.folder / "records.db")
        await store.open()
        try:
            page = await store.list(Filter(), limit=1000)
            outcomes = {item.exchange.id: item.exchange.outcome for item in page.items}
            self.assertEqual(outcomes, {each.id: each.outcome for each in self.exchanges})
            for asked, reply in self.heard:
                id = reply["x-clawproxy-id"] or ""
                self.assertIn(id, outcomes)
                self.assertEqual(await store.body(id, "request"), asked)
                self.assertEqual(await store.body(id, "response") or b"", reply.body)
        finally:
            await store.close()


class RecordedSocketTests(RecordedLive, test_byte_identity.SocketTests):
    """Streams that the kernel cuts."""


class RecordedBeforeTests(RecordedLive, test_faults.BeforeTheAnswerTests):
    """Upstreams that fail at once."""


class RecordedStaleTests(RecordedLive, test_faults.StaleTests):
    """Connections that the upstream has closed."""


class RecordedMiddleTests(RecordedLive, test_faults.MiddleTests):
    """Streams that end in the middle."""


class RecordedLargeTests(RecordedLive, test_faults.LargeTests):
    """Large things."""


class RecordedQueueTests(RecordedLive, test_faults.QueueTests):
    """Waiting in line."""
