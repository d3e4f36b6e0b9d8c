"""How a run ended whose end was not told on this connection: :class:`Conclusion`.

1. The response that ends a run goes to the connection that asked for it. After another one was made,
   ``agent.wait`` tells when the run is over.
2. What it said, its tokens and its failure are read from the session's transcript
   (:mod:`.history`). For runs of ``chat.send`` there is no other place that tells the tokens.
3. One way to find out is enough: what begins while another is under way is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.connection import REQUEST_TIMEOUT
from clawproxy.upstream.openclaw.dispatch import Mission
from clawproxy.upstream.openclaw.faults import failed
from clawproxy.upstream.openclaw.frames import JSON, Response, text
from clawproxy.upstream.openclaw.history import LIMIT, PastTurn, read_turn
from clawproxy.upstream.openclaw.result import is_underway

WAIT_STEP = 60.0
"""Seconds that one ``agent.wait`` asks for."""

POLL = 1.0
"""Seconds between two looks at a run of ``chat.send`` whose provider is asked anew."""

Ask = Callable[[str, JSON, float], Deferred[Response]]


class Conclusion:
    """Find out how a run ended.

    :param ask: asks the gateway: method, parameters, seconds until the answer.
    :param mission: what started it.
    :param found: hears what the transcript says of it.
    :param failed: hears that it failed, or why nothing is known of it.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        ask: Ask,
        mission: Mission,
        found: Callable[[PastTurn], None],
        failed: Callable[[ProxyError], None],
    ) -> None:
        self._reactor = reactor
        self._ask = ask
        self._mission = mission
        self._found = found
        self._failed = failed
        self._work: Deferred[None] | None = None

    @property
    def underway(self) -> bool:
        """Whether the end is being found out."""
        return self._work is not None

    def rejoin(self) -> None:
        """Wait for a run whose second response went to a connection that is no more."""
        self._begin(self._rejoined)

    def read(self) -> None:
        """Read the end of the run from its session's transcript."""
        self._begin(self._past)

    def cancel(self) -> None:
        """Stop finding out; nobody hears of it."""
        work, self._work = self._work, None
        if work is not None:
            work.cancel()

    def _begin(self, way: Callable[[], Coroutine[Deferred[Any], Any, PastTurn]]) -> None:
        if self._work is not None:
            return
        work = Deferred.fromCoroutine(self._conclude(way()))
        if not work.called:
            self._work = work
        work.addErrback(self._broken)

    async def _conclude(self, reading: Coroutine[Deferred[Any], Any, PastTurn]) -> None:
        turn = await reading
        self._work = None
        self._found(turn)

    def _broken(self, failure: Failure) -> None:
        self._work = None
        error = failure.value
        if isinstance(error, CancelledError):
            return
        if not isinstance(error, ProxyError):
            self.log.failure("the end of a run could not be read", failure)
            error = ProxyError(Kind.INTERNAL, "the end of the run could not be read")
        self._failed(error)

    async def _rejoined(self) -> PastTurn:
        while True:
            params = {"runId": self._mission.run_id, "timeoutMs": int(WAIT_STEP * 1000)}
            response = await self._ask("agent.wait", params, WAIT_STEP + 10)
            status = text(response.payload, "status")
            if response.error is not None:
                raise failed(response.error.message)
            if status == "error":
                raise failed(text(response.payload, "error"))
            if status != "timeout" or "endedAt" in response.payload:
                break
            if not self._mission.twice and not await self._underway():
                # A command: agent.wait hears of the ends of models' runs alone.
                break
        return await self._past()

    async def _past(self) -> PastTurn:
        pause = POLL / 4
        while True:
            turn = await self._transcript()
            if turn.answered and turn.failure is None:
                return turn
            if not await self._underway():
                return await self._transcript()
            await deferLater(self._reactor, pause)
            pause = POLL

    async def _transcript(self) -> PastTurn:
        params = {"sessionKey": self._mission.session_key, "limit": LIMIT}
        response = await self._ask("chat.history", params, REQUEST_TIMEOUT)
        if response.error is None:
            return read_turn(response.payload)
        if self._mission.twice:
            raise failed(response.error.message)
        # The end has been told; only the tokens stay unknown.
        return PastTurn(answered=True)

    async def _underway(self) -> bool:
        """Whether a run of ``chat.send`` goes on: it may have seemed to end while its provider is
        asked anew.

        Asking once more with the same key starts nothing: the gateway answers what became of the
        first.
        """
        if self._mission.twice:
            return False
        response = await self._ask("chat.send", self._mission.params, REQUEST_TIMEOUT)
        return is_underway(response)
