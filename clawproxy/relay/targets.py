"""A request's targets: :func:`targets_of` tells who may answer it, in which order.

1. The router decides by the caller's dialect and the model, which may be that of the subagent that calls.
2. A model that nobody knows may be looked for once more, among the agents that the gateways have by now
   (:func:`told_anew`).
3. A fallback that could not be asked for want of a key is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from clawproxy.core.decision import Target
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.routing import Router
from clawproxy.relay.outbound import head, is_verbatim
from clawproxy.upstream.http import HTTPProvider

if TYPE_CHECKING:
    from clawproxy.relay.books import Books

_log = Logger()


def targets_of(books: Books, router: Router) -> list[Target]:
    """Give a request's targets, the one that is asked first in front.

    :raise ProxyError: nobody answers the model.
    """
    inbound = books.inbound
    if inbound.operation == "passthrough" or inbound.opaque:
        decision = router.passthrough(inbound.dialect, inbound.pinned)
    else:
        decision = router.route(inbound.dialect, _model(books), inbound.pinned)
    targets = [*decision.targets]
    return _usable(books, targets) if len(targets) > 1 else targets


async def told_anew(books: Books, error: ProxyError) -> Router:
    """Give a router that knows more agents, once the gateways have told theirs anew.

    :param error: what was wrong with the request's model.
    :raise ProxyError: the same, where there is no more to know.
    """
    if error.kind is not Kind.MODEL_NOT_FOUND or books.inbound.pinned is not None:
        raise error
    router = books.wiring.router
    later = router.with_agents(await books.board.look_again())
    if later.agents == router.agents:
        raise error
    return later


def _model(books: Books) -> str:
    """Give the model to route: the caller's, or that of the subagent which calls."""
    inbound, subagents = books.inbound, books.wiring.subagents
    if subagents is None or inbound.dialect != "anthropic" or inbound.members is None:
        return inbound.model
    found = subagents.recognise(books.exchange.agent_id, inbound.members.get("system"))
    if found is None:
        return inbound.model
    _log.info(
        "{id}: subagent {name} goes to {model}",
        id=books.exchange.id,
        name=found.name,
        model=found.model,
    )
    return found.model


def _usable(books: Books, targets: list[Target]) -> list[Target]:
    """Leave out fallbacks that have no key; a first target without one is told to the caller."""
    usable = []
    for index, target in enumerate(targets):
        provider = books.wiring.providers[target.provider]
        if index and isinstance(provider, HTTPProvider):
            try:
                head(books, provider, translated=not is_verbatim(books.inbound, provider))
            except ProxyError as error:
                _log.warn(
                    "the fallback {provider} cannot be used: {error}",
                    provider=target.provider,
                    error=error.message,
                )
                continue
        usable.append(target)
    return usable
