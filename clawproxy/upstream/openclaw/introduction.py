"""What a gateway is asked on each new connection, before any caller's turn: :class:`Introduction`.

1. Which agents there are (:mod:`.directory`), and with its ticks again, once the answer is old.
2. Which approvals wait (:mod:`.questions`): the next message of their conversation decides them.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.errors import ProxyError
from clawproxy.upstream.openclaw.directory import AgentDirectory
from clawproxy.upstream.openclaw.handshake import Hello
from clawproxy.upstream.openclaw.questions import Questions


class Introduction:
    """Have a gateway tell what it has.

    :param agents: where its agents are kept.
    :param questions: where the approvals that wait are asked; ``None``: approvals are off.
    """

    log = Logger()

    def __init__(self, agents: AgentDirectory, questions: Questions | None) -> None:
        self._agents = agents
        self._questions = questions
        self._looking: Deferred[None] = succeed(None)

    def begin(self, hello: Hello) -> None:
        """Ask, on a new connection."""
        self._looking = Deferred.fromCoroutine(self._look_around(hello))
        self._looking.addErrback(self._untold, "which approvals wait")

    def ticked(self) -> None:
        """Ask for the agents anew, where the last answer is old; no caller waits for that."""
        if self._agents.stale and self._looking.called:
            self._agents.ask().addErrback(self._untold, "its agents")

    async def over(self) -> None:
        """Wait until what is asked on a new connection is answered, or cannot be."""
        if not self._looking.called:
            seen: Deferred[None] = Deferred()
            self._looking.chainDeferred(seen)
            await seen

    async def _look_around(self, hello: Hello) -> None:
        await self._agents.ask().addErrback(self._untold, "its agents")
        if self._questions is not None:
            await self._questions.catch_up(hello)

    def _untold(self, failure: Failure, what: str) -> None:
        failure.trap(ProxyError)
        self.log.warn(
            "the gateway does not tell {what}: {error}", what=what, error=str(failure.value)
        )
