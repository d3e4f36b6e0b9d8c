"""How a run ended whose end was not told on this connection: :class:`Conclusion`.

1. The response that ends a run goes to the connection that asked for it. After another one was made,
   ``agent.wait`` tells when the run is over.
2. What it said, its tokens and its failure are read from the session's transcript
   (:mod:`.history`). For runs of ``chat.send`` there is no other place that tells the tokens.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from clawproxy.upstream.openclaw.connection import REQUEST_TIMEOUT
from clawproxy.upstream.openclaw.dispatch import Mission
from clawproxy.upstream.openclaw.faults import failed
from clawproxy.upstream.openclaw.frames import JSON, Response, text
from clawproxy.upstream.openclaw.history import LIMIT, PastTurn, read_turn
from clawproxy.upstream.openclaw.runs import UNDERWAY

WAIT_STEP = 60.0
"""Seconds that one ``agent.wait`` asks for."""

POLL = 1.0
"""Seconds between two looks at a run of ``chat.send`` whose provider is asked anew."""


Ask = Callable[[str, JSON, float], Deferred[Response]]


class Conclusion:
    """Find out how a run ended.

    :param ask: asks the gateway: method, parameters, seconds until the answer.
    :param mission: what started it.
    """

    def __init__(self, reactor: IReactorTime, ask: Ask, mission: Mission) -> None:
        self._reactor = reactor
        self._ask = ask
        self._mission = mission

    async def rejoin(self) -> PastTurn:
        """Wait for a run whose second response went to a connection that is no more.

        :raises ProxyError: it failed, or the gateway does not tell.
        """
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
        return await self.read()

    async def read(self) -> PastTurn:
        """Read the end of the run from its session's transcript.

        :raises ProxyError: the gateway does not tell.
        """
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
        return response.ok and text(response.payload, "status") in UNDERWAY
