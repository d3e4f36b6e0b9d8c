"""All models of all providers, at once: :class:`Catalogue` keeps their lists and asks for new ones.

1. A list that is younger than :data:`FRESH_FOR` is given as it is.
2. An older one is given as it is too, and a new one is asked for meanwhile.
3. Only for a list that was never there a caller waits, :data:`PATIENCE` at most, for all of them at
   the same time; Claude Code gives up after 3 s (https://code.claude.com/docs/en/llm-gateway-protocol).
4. A provider that failed is left alone for :data:`FAILED_FOR`, or :data:`REFUSED_FOR` where it failed
   at once, and what it last listed still holds.

A provider without a key of its own is asked with the caller's credential, so its list is kept for
that credential alone.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.defer import TimeoutError as DeferTimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawproxy.core.errors import ProxyError
from clawproxy.core.headers import Headers, credentials
from clawproxy.core.models import Model
from clawproxy.upstream.failure import UpstreamFailure

FRESH_FOR = 300.0
"""Seconds for which a list is given without asking again."""

FAILED_FOR = 30.0
"""Seconds after a failure that kept callers waiting before the provider is asked again."""

REFUSED_FOR = 2.0
"""The same after a failure that came at once, and so delays nobody."""

PATIENCE = 2.0
"""Seconds that a caller waits for lists that were never there."""

MOST_WAIT = 20.0
"""Seconds after which an unanswered question is given up."""

MOST_KEPT = 256
"""Lists that are kept; the longest unused goes first (one for each provider and credential)."""


class Source(Protocol):
    """What can list a provider's models."""

    name: str

    def scope(self, headers: Headers) -> str | None:
        """Say whose list it is that a caller gets.

        :return: the same text for the same list; ``""`` for one that is everybody's; ``None``
            where the caller has nothing to ask with.
        """

    def fetch(self, headers: Headers) -> Coroutine[Deferred[Any], Any, Sequence[Model]]:
        """Ask for the list.

        :param headers: the caller's head, for its credential.
        :raise UpstreamFailure: the provider did not answer.
        :raise ProxyError: it must not be asked, or refused.
        :raise ValueError: what it answered is no list.
        """


class FixedSource:
    """Models that are known without asking: aliases of routes, the demo provider.

    :param name: the provider's name, or any other.
    """

    def __init__(self, name: str, models: Sequence[Model]) -> None:
        self.name = name
        self._models = list(models)

    def scope(self, headers: Headers) -> str | None:
        """Give everybody the same."""
        return ""

    async def fetch(self, headers: Headers) -> Sequence[Model]:
        """Give them."""
        return self._models


def credential_scope(headers: Headers) -> str | None:
    """Name a caller's credentials without keeping them; ``None`` where there are none."""
    presented = credentials(headers)
    if not presented:
        return None
    digest = hashlib.sha256()
    for credential in sorted(presented, key=lambda found: (found.name.lower(), found.raw)):
        digest.update(b"%s: %s\n" % (credential.name.lower(), credential.raw))
    return digest.hexdigest()


@define(eq=False)
class _Shelf:
    """One list: what was last answered, and the question under way."""

    models: Sequence[Model] | None = None
    asked_at: float = 0.0
    answered_at: float = 0.0
    failed_at: float | None = None
    rest: float = FAILED_FOR
    asking: Deferred[None] | None = None
    waiters: list[Deferred[None]] = field(factory=list)


class Catalogue:
    """The lists of all sources.

    :param clock: its ``seconds`` are the ages' measure.
    :param sources: in the order in which their models are listed.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, sources: Sequence[Source]) -> None:
        self._clock = clock
        self._sources = list(sources)
        self._shelves: OrderedDict[tuple[str, str], _Shelf] = OrderedDict()

    async def lists(self, headers: Headers, only: str | None = None) -> list[Sequence[Model]]:
        """Give every source's list, as far as it is known in time; never raises for a source.

        :param headers: the caller's head.
        :param only: ask no source but this.
        """
        sources = [each for each in self._sources if only in (None, each.name)]
        shelves = [self._look(source, headers) for source in sources]
        missing = [
            self._waiter(shelf)
            for shelf in shelves
            if shelf is not None and shelf.models is None and shelf.asking is not None
        ]
        if missing:
            await DeferredList(missing)
        return [shelf.models or () for shelf in shelves if shelf is not None]

    def close(self) -> None:
        """Give up every question under way."""
        for shelf in self._shelves.values():
            if shelf.asking is not None:
                shelf.asking.cancel()

    def _look(self, source: Source, headers: Headers) -> _Shelf | None:
        """Find a source's list for a caller, and ask for a new one if it is time."""
        scope = source.scope(headers)
        if scope is None:
            return None
        key = (source.name, scope)
        shelf = self._shelves.setdefault(key, _Shelf())
        self._shelves.move_to_end(key)
        now = self._clock.seconds()
        fresh = shelf.models is not None and now - shelf.answered_at < FRESH_FOR
        resting = shelf.failed_at is not None and now < shelf.failed_at + shelf.rest
        if shelf.asking is None and not fresh and not resting:
            self._ask(source, headers, shelf)
        if len(self._shelves) > MOST_KEPT:
            _, dropped = self._shelves.popitem(last=False)
            if dropped.asking is not None:
                dropped.asking.cancel()
        return shelf

    def _ask(self, source: Source, headers: Headers, shelf: _Shelf) -> None:
        def answered(models: Sequence[Model]) -> None:
            shelf.models = models
            shelf.answered_at = self._clock.seconds()
            shelf.failed_at = None

        def failed(reason: Failure) -> None:
            shelf.failed_at = self._clock.seconds()
            at_once = shelf.failed_at - shelf.asked_at < PATIENCE / 2
            shelf.rest = REFUSED_FOR if at_once else FAILED_FOR
            if reason.check(CancelledError):
                return
            if reason.check(UpstreamFailure, ProxyError, ValueError, DeferTimeoutError):
                self._log.info(
                    "the models of {provider} cannot be listed: {why}",
                    provider=source.name,
                    why=reason.getErrorMessage(),
                )
            else:
                self._log.failure(
                    "listing the models of {provider} failed", reason, provider=source.name
                )

        def over(_: None) -> None:
            shelf.asking = None
            waiters, shelf.waiters = shelf.waiters, []
            for waiter in waiters:
                if not waiter.called:
                    waiter.callback(None)

        shelf.asked_at = self._clock.seconds()
        question: Deferred[Sequence[Model]] = Deferred.fromCoroutine(source.fetch(headers))
        question.addTimeout(MOST_WAIT, self._clock)
        asking = question.addCallbacks(answered, failed)
        shelf.asking = asking
        asking.addCallback(over)

    def _waiter(self, shelf: _Shelf) -> Deferred[None]:
        """Wait for a question's end, but not for long; ends well in any case."""
        left = shelf.asked_at + PATIENCE - self._clock.seconds()
        waiter: Deferred[None] = Deferred()
        if left <= 0:  # whoever asked first has waited for all
            waiter.callback(None)
            return waiter
        shelf.waiters.append(waiter)
        waiter.addTimeout(left, self._clock)
        waiter.addErrback(_in_vain)
        return waiter


def _in_vain(reason: Failure) -> None:
    reason.trap(DeferTimeoutError, CancelledError)
