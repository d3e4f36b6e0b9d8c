"""The proxy's side of the reader: :class:`ReaderProcess` starts it, watches it, and carries requests to it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint

from clawproxy.core.headers import RawHeaders
from clawproxy.store.opening import URL_VARIABLE
from clawproxy.store.supervisor import Supervisor
from clawproxy.upstream.agent import OutgoingRequest, StreamClient, UpstreamAgent
from clawproxy.upstream.pool import Origin
from clawproxy.upstream.response import H1Response

READY_WITHIN = 10.0
"""Seconds that a request waits for a reader that is being started."""
CONNECT_TIMEOUT = 5.0
ANSWER_WITHIN = 600.0
"""Seconds until an answer's head must be there: deleting much takes long."""
STOP_WITHIN = 2.0
LONGEST_PATH = 100
"""Bytes of a Unix socket's path; Linux takes 107, others 103."""
_ORIGIN = b"http://reader"


class ReaderAway(Exception):
    """The reader's process cannot answer now; the message says why."""


class _UnixAgent(UpstreamAgent):
    """The upstream agent, towards a Unix socket."""

    def __init__(self, reactor: Any, path: str) -> None:
        super().__init__(reactor, CONNECT_TIMEOUT)
        self._unix = UNIXClientEndpoint(reactor, path, CONNECT_TIMEOUT)

    def _endpoint(self, origin: Origin) -> IStreamClientEndpoint:
        return self._unix


class ReaderProcess:
    """The process that answers ``/api/`` and ``/ui/``.

    :param reactor: runs it.
    :param url: ``storage.url``.
    """

    def __init__(self, reactor: Any, url: str) -> None:
        self._reactor = reactor
        self._url = url
        self._folder: Path | None = None
        self._supervisor: Supervisor | None = None
        self._agent: UpstreamAgent | None = None
        self._client: StreamClient | None = None
        self._ready: int | None = None
        self._waiting: list[Deferred[None]] = []
        self._stopped = False

    @property
    def state(self) -> dict[str, object]:
        """How it fares, for ``/api/status``."""
        supervisor = self._supervisor
        return {
            "running": supervisor is not None and supervisor.running,
            "restarts": supervisor.restarts if supervisor is not None else 0,
        }

    async def start(self) -> None:
        """Start the process and do not wait for it: whoever asks first shall not have to."""
        if self._supervisor is None and not self._stopped:
            self._begin()

    async def stop(self) -> None:
        """End the process."""
        self._stopped = True
        if self._agent is not None:
            self._agent.close()
        if self._supervisor is not None:
            await self._supervisor.stop(within=STOP_WITHIN)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self) -> None:
        folder = tempfile.mkdtemp(prefix="clawproxy-")  # only its owner may enter (0700)
        if len(folder) > LONGEST_PATH - len("/reader"):
            Path(folder).rmdir()
            folder = tempfile.mkdtemp(prefix="clawproxy-", dir="/tmp")
        self._folder = Path(folder)
        path = str(self._folder / "reader")
        self._agent = _UnixAgent(self._reactor, path)
        self._client = StreamClient(self._agent)
        self._supervisor = Supervisor(
            self._reactor,
            "reader",
            "clawproxy.store.reader",
            [f"--socket={path}"],
            {URL_VARIABLE: self._url},
            self._said,
        )
        self._supervisor.start()

    def _said(self, line: dict[str, Any]) -> None:
        if "ready" in line:
            self._ready = line["ready"]
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    async def _be_ready(self) -> None:
        if self._stopped:
            raise ReaderAway("the proxy is leaving")
        if self._supervisor is None:
            self._begin()
        assert self._supervisor is not None
        if self._ready is not None and self._ready == self._supervisor.pid:
            return
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        timer: IDelayedCall = self._reactor.callLater(READY_WITHIN, self._late, waiting)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()

    def _late(self, waiting: Deferred[None]) -> None:
        self._waiting.remove(waiting)
        waiting.errback(ReaderAway(f"its process did not start within {READY_WITHIN:g} s"))

    async def ask(
        self, method: bytes, target: bytes, headers: RawHeaders, body: bytes | None
    ) -> H1Response:
        """Send a request; the answer's body is still to be read.

        :param target: path and query.
        :raises ReaderAway: the process is not up.
        :raises UpstreamFailure: it broke off.
        """
        await self._be_ready()
        assert self._client is not None
        outgoing = OutgoingRequest(target, headers, body, ANSWER_WITHIN, 0.0)
        await self._client.request(method.decode("ascii"), _ORIGIN, data=outgoing)
        assert outgoing.response is not None  # the agent sets it before the Deferred fires
        return outgoing.response
