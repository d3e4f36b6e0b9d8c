"""The tries at one target: :func:`obtain` asks it again as long as that may help.

A failure that may be gone at the next try is tried again as :class:`~clawproxy.core.policy.RetryPolicy` says, while
nothing has reached the caller; the provider's circuit hears of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import deferLater
from twisted.logger import Logger

from clawproxy.core.policy import Cause, Failure, Retry, RetryPolicy, falls_back, transient
from clawproxy.relay import accesslog
from clawproxy.relay.pump import discard
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.http import HTTPProvider
from clawproxy.upstream.provider import Ask
from clawproxy.upstream.response import H1Response

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward

_log = Logger()


async def obtain(
    forward: Forward, provider: HTTPProvider, ask: Ask, *, more: bool
) -> H1Response | str:
    """Ask until there is an answer for the caller.

    :return: the answer, or why the next target is to be asked.
    :raise UpstreamFailure: the last try failed and there is no other target.
    """
    exchange = forward.exchange
    policy = RetryPolicy(provider.config.max_retries)
    tries = 0
    while True:
        tries += 1
        exchange.tries += 1
        broken: UpstreamFailure | None = None
        answer: H1Response | None = None
        forward.connected = False
        board = forward.board
        circuit = board.circuit(provider.name)
        try:
            answer = await provider.ask(ask, forward.sent)
        except UpstreamFailure as failure:
            # Without the frames that it came through, which refer to it and would not be freed without a collection.
            broken = failure.with_traceback(None)
            failed = Failure(_cause(failure))
        else:
            if not transient(answer.code):
                circuit.succeeded()
                exchange.connect_ms = (answer.sent_at - forward.started) * 1000
                return answer
            failed = Failure(Cause.STATUS, answer.code, answer.raw_headers)
        circuit.failed(failed, board.reactor.seconds())
        verdict = policy.verdict(tries, failed, board.reactor.seconds(), board.random.random())
        retry = isinstance(verdict, Retry)
        if not retry and not (more and falls_back(failed)):
            if answer is not None:
                exchange.connect_ms = (answer.sent_at - forward.started) * 1000
                return answer
            assert broken is not None
            raise broken
        why = broken.message if broken is not None else f"status {failed.status}"
        if broken is not None and not retry:
            accesslog.forward_error(forward, broken.phase, broken.message, gone=False)
        if answer is not None:
            discard(answer, board.reactor)
        if not isinstance(verdict, Retry):
            return why
        _log.info(
            "{id}: {provider} failed ({why}); asking again in {after:.2f} s",
            id=exchange.id,
            provider=provider.name,
            why=why,
            after=verdict.after,
        )
        await deferLater(board.reactor, verdict.after)


def _cause(failure: UpstreamFailure) -> Cause:
    if failure.phase == "connect":
        return Cause.CONNECT
    return Cause.SILENT if failure.timeout else Cause.LOST
