"""Who is asked, one after the other: :class:`Attempt` goes through a request's targets.

1. Each target (:mod:`.targets`) is asked in its own way: verbatim (:mod:`.passage`), demoted (:mod:`.demotion`),
   translated (:mod:`.translation`), or as a turn (:mod:`.turns`).
2. What goes to an HTTP provider is made in :mod:`.outbound`, and sent as often as may help (:mod:`.tries`).
3. A failure that somebody else may make good leads to the next target, as long as nothing has reached the caller; any
   other goes to the caller as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from clawproxy.core.decision import Target
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.policy import transient
from clawproxy.relay.demotion import Demotion
from clawproxy.relay.inbound import Inbound, turn_of
from clawproxy.relay.offload import TRANSLATED, offload
from clawproxy.relay.outbound import is_demoted, is_verbatim, passed_on, translated
from clawproxy.relay.passage import Passage
from clawproxy.relay.targets import targets_of, told_anew
from clawproxy.relay.tokens import count_tokens
from clawproxy.relay.translation import Translation
from clawproxy.relay.tries import obtain
from clawproxy.relay.turns import TurnAnswer
from clawproxy.upstream.http import HTTPProvider

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward


class Attempt:
    """One exchange's way through its targets."""

    _log = Logger()

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.inbound: Inbound = forward.inbound
        self.wiring = forward.wiring

    async def run(self) -> None:
        """Answer the caller, from whichever target can.

        :raise ProxyError: nobody could, and nothing was sent.
        :raise UpstreamFailure: the last target failed, and nothing was sent.
        """
        try:
            targets = targets_of(self.forward, self.wiring.router)
        except ProxyError as error:
            targets = targets_of(self.forward, await told_anew(self.forward, error))
        first: ProxyError | None = None
        for index, target in enumerate(targets):
            more = index + 1 < len(targets)
            if more and not self._admitted(target):
                continue
            try:
                failed = await self._ask_target(target, more=more)
            except ProxyError as error:
                # A fallback that cannot express the request says nothing about why it was needed; an upstream's 400
                # is an answer like any other.
                inexpressible = error.http_status == Kind.UNSUPPORTED_PARAMETER.status
                if not index or not inexpressible or self.forward.quoted:
                    raise
                failed = error.message
            finally:
                if more:
                    # It may have ended before its target was asked, and then somebody else has to be the probe.
                    self.forward.board.circuit(target.provider).undecided()
            if failed is None:
                return
            first = first or ProxyError(Kind.UPSTREAM_UNREACHABLE, f"{target.provider}: {failed}")
            self.forward.recording.again()  # type: ignore[union-attr]
            self.forward.board.counts.fallbacks[target.provider] += 1
            self._log.info(
                "{id}: {provider} failed ({why}); trying the next target",
                id=self.forward.exchange.id,
                provider=target.provider,
                why=self.forward.fit_to_keep(failed),
            )
        if first is not None:
            self.forward.quoted = True
            raise first

    def _admitted(self, target: Target) -> bool:
        """Tell whether a target with others behind it is worth asking now; the last one always is."""
        board = self.forward.board
        if board.circuit(target.provider).admit(board.reactor.seconds()):
            return True
        self._log.info("{provider} keeps failing and is left out", provider=target.provider)
        return False

    async def _ask_target(self, target: Target, *, more: bool) -> str | None:
        """Ask one target; gives why another is to be asked, or ``None`` when the caller is answered."""
        exchange, inbound = self.forward.exchange, self.inbound
        provider = self.wiring.providers[target.provider]
        exchange.provider = target.provider
        exchange.routed_model = target.model or None
        exchange.upstream_dialect = exchange.usage = self.forward.account = None
        exchange.upstream_request_headers = exchange.upstream_response_headers = []
        exchange.demoted = False
        self.forward.quoted, self.forward.told = False, bool
        self.forward.word_error = self.forward.event_of
        if isinstance(provider, HTTPProvider) and is_verbatim(inbound, provider):
            exchange.upstream_dialect = inbound.dialect
            return await self._pass(provider, target, more=more)
        if inbound.operation == "passthrough":
            words = f"{inbound.path} is no path of the provider {target.provider!r}"
            raise ProxyError(Kind.NOT_FOUND, words)
        if inbound.opaque or inbound.dialect is None:
            raise ProxyError(
                Kind.UNSUPPORTED_PARAMETER,
                f"{inbound.path} cannot be answered by the provider {target.provider!r}, which"
                " speaks another dialect",
            )
        if inbound.operation == "count_tokens":
            await count_tokens(self.forward)
            return None
        size = TRANSLATED * len(inbound.decoded)
        turn = await offload(self.forward.board.reactor, size, turn_of, inbound)
        if isinstance(provider, HTTPProvider):
            return await self._translate(provider, target, turn, more=more)
        error = await TurnAnswer(self.forward, turn, self._keepalive(target)).run(
            provider, target.model
        )
        if error is None:
            return None
        if more and transient(error.http_status):
            return self._said(error)
        raise error

    def _keepalive(self, target: Target) -> float:
        return float(getattr(self.wiring.config.providers[target.provider], "keepalive", 0.0))

    async def _pass(self, provider: HTTPProvider, target: Target, *, more: bool) -> str | None:
        demoted = is_demoted(self.inbound, provider)
        ask = await passed_on(self.forward, provider, target.model, demoted=demoted)
        answer = await obtain(self.forward, provider, ask, more=more)
        if isinstance(answer, str):
            return answer
        try:
            if demoted and answer.code == 200:
                self.forward.exchange.demoted = True
                error = await Demotion(self.forward, answer).run(more=more)
            else:
                error = await Passage(self.forward, answer, more=more).run()
        finally:
            # Read to its end this does nothing; any other way out must not leave its connection open.
            answer.stopProducing()
        return None if error is None else self._said(error)

    async def _translate(
        self, provider: HTTPProvider, target: Target, turn: Turn, *, more: bool
    ) -> str | None:
        name = provider.dialect(target.model)
        self.forward.exchange.upstream_dialect = name
        demoted = is_demoted(self.inbound, provider)
        ask = await translated(self.forward, provider, target.model, turn, demoted=demoted)
        answer = await obtain(self.forward, provider, ask, more=more)
        if isinstance(answer, str):
            return answer
        self.forward.exchange.demoted = demoted and answer.code == 200
        keepalive = provider.config.keepalive
        try:
            error = await Translation(self.forward, turn, answer, name, keepalive, more=more).run()
        finally:
            answer.stopProducing()
        return None if error is None else self._said(error)

    def _said(self, error: ProxyError) -> str:
        """Give the words of an error that somebody else may make good: most likely the upstream's."""
        self.forward.quoted = True
        return error.message
