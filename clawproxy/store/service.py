"""Recording as one thing to start and stop: the journal, the lock that names its owner, and the
indexer's process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

from attrs import frozen
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from clawproxy.relay.recording import NullRecorder, Recorder
from clawproxy.store import instance as instances
from clawproxy.store.journal import Journal
from clawproxy.store.journal_state import JournalState
from clawproxy.store.opening import URL_VARIABLE
from clawproxy.store.protocol import StoreRefused, StoreUnavailable
from clawproxy.store.sqlite import SQLiteStore
from clawproxy.store.supervisor import Supervisor

STOP_WITHIN = 10.0
"""Seconds that the indexer may take at the end to bring in what is on disk; the rest waits there.
"""


class StorageSettings(Protocol):
    """What recording needs to be told; :class:`clawproxy.config.storage.StorageConfig` says it."""

    @property
    def url(self) -> str:
        """``sqlite:PATH``, ``postgresql://…`` or ``none``."""

    @property
    def retention_days(self) -> float:
        """Age at which records go; 0 keeps all."""

    @property
    def bodies(self) -> Literal["full", "metadata"]:
        """Whether prompts and answers are kept."""

    @property
    def max_bytes(self) -> int:
        """Size at which the oldest records go; 0 is any."""

    @property
    def prices(self) -> str | None:
        """An operator's price table."""

    @property
    def journal_directory(self) -> str:
        """Where segments wait."""

    @property
    def journal_budget(self) -> int:
        """Bytes of them that may."""


@frozen
class RecordingState:
    """How recording fares, for ``/health`` and ``/metrics``.

    :ivar journal: what is in memory and on disk, and what was dropped.
    :ivar indexer: what the indexer last told: ``state``, ``error``, ``stored``, ``rejected``,
        ``behind``.
    :ivar indexer_running: whether it lives.
    :ivar indexer_restarts: how often it had to be started again.
    """

    journal: JournalState
    indexer: dict[str, Any]
    indexer_running: bool
    indexer_restarts: int


class RecordingService:
    """Record exchanges as the configuration says.

    :param settings: the section ``storage``.
    :param reactor: the process's.

    :ivar recorder: what the relay records with; a :class:`~clawproxy.relay.recording.NullRecorder`
        until :meth:`start` and where nothing is to be recorded.
    :ivar instance: this process's name in the journal and in the store.
    """

    _log = Logger()

    def __init__(self, settings: StorageSettings, reactor: Any) -> None:
        self.recorder: Recorder = NullRecorder()
        self.instance = instances.new_instance()
        self._settings = settings
        self._reactor = reactor
        self._journal: Journal | None = None
        self._indexer: Supervisor | None = None
        self._lock: instances.Lock | None = None

    @property
    def enabled(self) -> bool:
        """Whether anything is recorded."""
        return self._settings.url != "none"

    @property
    def state(self) -> RecordingState | None:
        """How it fares; ``None`` where nothing is recorded."""
        if self._journal is None or self._indexer is None:
            return None
        return RecordingState(
            self._journal.state,
            self._indexer.status,
            self._indexer.running,
            self._indexer.restarts,
        )

    async def start(self) -> None:
        """Begin to record.

        :raises StoreRefused: if the journal's directory or the SQLite file cannot be used at all;
            the message says why.
        """
        if not self.enabled:
            return
        directory = Path(self._settings.journal_directory)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = instances.Lock(directory / (self.instance + instances.PROXY_SUFFIX))
            self._lock.acquire()
        except OSError as error:
            raise StoreRefused(f"storage.journal: cannot write in {directory}: {error}") from error
        if self._settings.url.startswith("sqlite:"):
            await self._check(Path(self._settings.url.removeprefix("sqlite:")))
        self._indexer = Supervisor(
            self._reactor,
            "indexer",
            "clawproxy.store.indexer",
            [
                f"--journal={directory}",
                f"--instance={self.instance}",
                f"--retention-days={self._settings.retention_days}",
                f"--max-bytes={self._settings.max_bytes}",
                *([f"--prices={self._settings.prices}"] if self._settings.prices else []),
            ],
            {URL_VARIABLE: self._settings.url},
        )
        self._journal = Journal(
            self._reactor,
            directory,
            self.instance,
            budget=self._settings.journal_budget,
            bodies=self._settings.bodies,
            written=self._written,
        )
        self._journal.start()
        self._indexer.start()
        self.recorder = self._journal

    async def _check(self, path: Path) -> None:
        """Find out now, and not from the indexer's log, that an SQLite file can never be used."""
        if not path.absolute().parent.is_dir():
            raise StoreRefused(f"storage.url: there is no directory {path.absolute().parent}")
        try:
            await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _try, path)
        except StoreUnavailable as error:
            self._log.warn("Records wait in the journal: {error}", error=str(error))

    def _written(self) -> None:
        """Nudge the indexer; called in the journal's thread."""
        assert self._indexer is not None
        self._reactor.callFromThread(self._indexer.send, b".")

    async def stop(self) -> None:
        """Bring everything to disk, and as much of it into the store as can be done in
        :data:`STOP_WITHIN`.

        Call it when all exchanges have ended; what has not is called interrupted.
        """
        if self._journal is None or self._indexer is None or self._lock is None:
            return
        self.recorder = NullRecorder()
        await self._journal.close()
        await self._indexer.stop(b"E", STOP_WITHIN)
        self._lock.release(remove=not instances.segments(self._lock.path.parent, self.instance))


def _try(path: Path) -> None:
    store = SQLiteStore(path)
    try:
        store.open_now()
    finally:
        store.close_now()
