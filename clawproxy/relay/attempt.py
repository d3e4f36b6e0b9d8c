"""Who is asked, in which order, and how often: :class:`Attempt` goes through a decision's targets.

1. Each target is asked in its own way: verbatim (:mod:`.passage`), demoted or translated
   (:mod:`.translation`), or as a turn (:mod:`.turns`).
2. A failure that may be gone at the next try is tried again as :class:`~clawproxy.core.policy.RetryPolicy`
   says; then the next target, if there is one; all only while nothing has reached the caller.
3. What is not tried again goes to the caller as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from twisted.internet.task import deferLater
from twisted.logger import Logger

from clawproxy.core.decision import Decision, Target
from clawproxy.core.dialects.dialect import DIALECTS
from clawproxy.core.dialects.foreign import without_foreign
from clawproxy.core.dialects.turn import Turn
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.jsonedit import edit
from clawproxy.core.keys import upstream_headers
from clawproxy.core.policy import Cause, Failure, Retry, RetryPolicy, falls_back, transient
from clawproxy.core.routing import Family, Router, family
from clawproxy.relay import accesslog
from clawproxy.relay.demotion import Demotion
from clawproxy.relay.inbound import Inbound
from clawproxy.relay.offload import TRANSLATED, offload
from clawproxy.relay.passage import Passage
from clawproxy.relay.pump import discard
from clawproxy.relay.tokens import count_tokens
from clawproxy.relay.translation import Translation, turn_of, written
from clawproxy.relay.turns import TurnAnswer
from clawproxy.upstream.failure import UpstreamFailure
from clawproxy.upstream.http import HTTPProvider
from clawproxy.upstream.provider import Ask, RawHeaders
from clawproxy.upstream.response import H1Response

if TYPE_CHECKING:
    from clawproxy.relay.exchange import Forward


class Attempt:
    """All tries of one exchange."""

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
            decision = self._decide(self.wiring.router)
        except ProxyError as error:
            decision = await self._decide_again(error)
        targets = [*decision.targets]
        if len(targets) > 1:
            targets = self._usable(targets)
        alone = len(targets) == 1
        first: ProxyError | None = None
        for index, target in enumerate(targets):
            more = index + 1 < len(targets)
            admitted = not alone and more
            if admitted and not self._admitted(target):
                continue
            try:
                failed = await self._ask_target(target, more=more)
            except ProxyError as error:
                # A fallback that cannot express the request says nothing about why it was needed.
                if not index or error.http_status != Kind.UNSUPPORTED_PARAMETER.status:
                    raise
                failed = error.message
            finally:
                if admitted:
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

    def _decide(self, router: Router) -> Decision:
        inbound = self.inbound
        if inbound.operation == "passthrough" or inbound.opaque:
            return router.passthrough(inbound.dialect, inbound.pinned)
        return router.route(inbound.dialect, self._model(), inbound.pinned)

    async def _decide_again(self, error: ProxyError) -> Decision:
        """Decide about a model that nobody knows, once the gateways have told their agents anew.

        :raise ProxyError: still nobody knows it.
        """
        if error.kind is not Kind.MODEL_NOT_FOUND or self.inbound.pinned is not None:
            raise error
        router = self.wiring.router
        later = router.with_agents(await self.forward.board.look_again())
        if later.agents == router.agents:
            raise error
        return self._decide(later)

    def _model(self) -> str:
        """Give the model to route: the caller's, or that of the subagent which calls."""
        inbound, subagents = self.inbound, self.wiring.subagents
        if subagents is None or inbound.dialect != "anthropic" or inbound.members is None:
            return inbound.model
        found = subagents.recognise(self.forward.exchange.agent_id, inbound.members.get("system"))
        if found is None:
            return inbound.model
        self._log.info(
            "{id}: subagent {name} goes to {model}",
            id=self.forward.exchange.id,
            name=found.name,
            model=found.model,
        )
        return found.model

    def _usable(self, targets: list[Target]) -> list[Target]:
        """Leave out fallbacks that have no key; a first target without one is told to the caller."""
        usable = []
        for index, target in enumerate(targets):
            provider = self.wiring.providers[target.provider]
            if index and isinstance(provider, HTTPProvider):
                try:
                    self.headers(provider, translated=not self._verbatim(provider))
                except ProxyError as error:
                    self._log.warn(
                        "the fallback {provider} cannot be used: {error}",
                        provider=target.provider,
                        error=error.message,
                    )
                    continue
            usable.append(target)
        return usable

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
        if isinstance(provider, HTTPProvider) and self._verbatim(provider):
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
        turn = await offload(self.forward.board.reactor, size, turn_of, self.forward)
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

    def _said(self, error: ProxyError) -> str:
        """Give the words of an error that somebody else may make good: most likely the upstream's."""
        self.forward.quoted = True
        return error.message

    def _keepalive(self, target: Target) -> float:
        return float(getattr(self.wiring.config.providers[target.provider], "keepalive", 0.0))

    # The translated way.

    async def _translate(
        self, provider: HTTPProvider, target: Target, turn: Turn, *, more: bool
    ) -> str | None:
        name = provider.dialect(target.model)
        dialect = DIALECTS[name]
        self.forward.exchange.upstream_dialect = name
        version = self.wiring.accounts[provider.name].version
        demoted = self._demoted(provider)
        marks = provider.kind == "anthropic" and provider.config.cache_prompts
        body = await offload(
            self.forward.board.reactor,
            TRANSLATED * len(self.inbound.decoded),
            written,
            dialect,
            turn,
            cached=provider.is_vendor if marks is None else bool(marks),
            model=target.model,
            stream=turn.stream or demoted,
            api_version=version,
        )
        ask = Ask("POST", dialect.path.encode(), self.headers(provider, translated=True), body)
        self._record(provider, ask.headers, body)
        answer = await self.obtain(provider, ask, more=more)
        if isinstance(answer, str):
            return answer
        self.forward.exchange.demoted = demoted and answer.code == 200
        keepalive = provider.config.keepalive
        try:
            error = await Translation(self.forward, turn, answer, name, keepalive, more=more).run()
        finally:
            answer.stopProducing()
        return None if error is None else self._said(error)

    def _verbatim(self, provider: HTTPProvider) -> bool:
        inbound = self.inbound
        if inbound.operation == "passthrough" and inbound.pinned is not None:
            return True
        return provider.serves(inbound.dialect)

    # The verbatim way, and the demoted one.

    def _demoted(self, provider: HTTPProvider) -> bool:
        inbound = self.inbound
        return (
            provider.kind == "anthropic"
            and provider.config.demote_nonstreaming
            and inbound.operation == "generate"
            and not inbound.stream
            and not inbound.opaque
        )

    async def _pass(self, provider: HTTPProvider, target: Target, *, more: bool) -> str | None:
        demoted = self._demoted(provider)
        ask = await self._verbatim_ask(provider, target, demoted=demoted)
        answer = await self.obtain(provider, ask, more=more)
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

    async def _verbatim_ask(
        self, provider: HTTPProvider, target: Target, *, demoted: bool = False
    ) -> Ask:
        inbound = self.inbound
        headers = self.headers(provider, translated=False)
        body: bytes | None = inbound.body
        reactor = self.forward.board.reactor
        plain = inbound.decoded
        if provider.is_vendor and inbound.understood:
            plain = await offload(reactor, len(plain), without_foreign, plain, inbound.dialect)
        changes: dict[tuple[str, ...], bytes | None] = {}
        if inbound.understood and target.model and target.model != inbound.model:
            changes["model",] = msgspec.json.encode(target.model)
        if demoted:
            changes["stream",] = b"true"
            headers = [line for line in headers if line[0].lower() != b"accept-encoding"]
            headers.append((b"accept-encoding", b"identity"))
        if changes or plain is not inbound.decoded:
            body = await offload(reactor, len(plain), edit, plain, changes)
            headers = [line for line in headers if line[0].lower() != b"content-encoding"]
            self._record(provider, headers, body)
        if not body and inbound.method in ("GET", "HEAD", "DELETE", "OPTIONS"):
            body = None
        return Ask(inbound.method, inbound.target, headers, body)

    def _record(self, provider: HTTPProvider, headers: RawHeaders, body: bytes) -> None:
        """Keep what goes upstream in place of the caller's own request."""
        account = self.wiring.accounts[provider.name]
        self.forward.exchange.upstream_request_headers = account.mask(headers)
        self.forward.recording.upstream_request(body)  # type: ignore[union-attr]

    def headers(self, provider: HTTPProvider, *, translated: bool) -> RawHeaders:
        """Give the head for a provider: what travels, and the right key.

        :raise ProxyError: 401, where none is known.
        """
        caller: Family | None = family(self.inbound.dialect)
        if self.inbound.dialect is None and self.inbound.pinned is not None:
            caller = None
        return upstream_headers(
            self.inbound.headers,
            self.wiring.accounts[provider.name],
            caller,
            self.wiring.callers,
            translated=translated,
        )

    # Tries.

    async def obtain(self, provider: HTTPProvider, ask: Ask, *, more: bool) -> H1Response | str:
        """Ask until there is an answer for the caller.

        :return: the answer, or why the next target is to be asked.
        :raise UpstreamFailure: the last try failed and there is no other target.
        """
        forward = self.forward
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
                broken = failure
                failed = Failure(_cause(failure))
            else:
                if not transient(answer.code):
                    circuit.succeeded()
                    self._timed(answer)
                    return answer
                failed = Failure(Cause.STATUS, answer.code, answer.raw_headers)
            circuit.failed(failed, board.reactor.seconds())
            verdict = policy.verdict(tries, failed, board.reactor.seconds(), board.random.random())
            retry = isinstance(verdict, Retry)
            if not retry and not (more and falls_back(failed)):
                if answer is not None:
                    self._timed(answer)
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
            self._log.info(
                "{id}: {provider} failed ({why}); asking again in {after:.2f} s",
                id=exchange.id,
                provider=provider.name,
                why=why,
                after=verdict.after,
            )
            await deferLater(board.reactor, verdict.after)

    def _timed(self, answer: H1Response) -> None:
        self.forward.exchange.connect_ms = (answer.sent_at - self.forward.started) * 1000


def _cause(failure: UpstreamFailure) -> Cause:
    if failure.phase == "connect":
        return Cause.CONNECT
    return Cause.SILENT if failure.timeout else Cause.LOST
