"""Tests for :mod:`clawproxy.upstream.catalogue`."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.headers import Headers
from clawproxy.core.models import Model
from clawproxy.upstream.catalogue import (
    FAILED_FOR,
    FRESH_FOR,
    MOST_KEPT,
    MOST_WAIT,
    PATIENCE,
    REFUSED_FOR,
    Catalogue,
    FixedSource,
    credential_scope,
)
from clawproxy.upstream.failure import UpstreamFailure

NOBODY: Headers = ()


class Scripted:
    """A source whose answers the test gives."""

    def __init__(self, name: str, personal: bool = False) -> None:
        self.name = name
        self.personal = personal
        self.asked: list[Deferred[Sequence[Model]]] = []
        self.cancelled = 0

    def scope(self, headers: Headers) -> str | None:
        """Give everybody's, or each credential's own list."""
        return credential_scope(headers) if self.personal else ""

    async def fetch(self, headers: Headers) -> Sequence[Model]:
        """Wait for the test."""
        answer: Deferred[Sequence[Model]] = Deferred(self._cancel)
        self.asked.append(answer)
        return await answer

    def _cancel(self, _: Deferred[Sequence[Model]]) -> None:
        self.cancelled += 1

    def answer(self, *ids: str) -> None:
        """Answer the question asked last."""
        self.asked[-1].callback([Model(name, self.name) for name in ids])


class Catalogues(SynchronousTestCase):
    """Lists, their ages, and who waits for them."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.good = Scripted("good")
        self.dead = Scripted("dead")
        self.catalogue = Catalogue(
            self.clock,
            [self.good, self.dead],
        )
        self.addCleanup(self.catalogue.close)

    def ask(self, headers: Headers = NOBODY) -> Deferred[list[str]]:
        """Ask the catalogue for all ids."""
        lists = Deferred.fromCoroutine(self.catalogue.lists(headers))
        return lists.addCallback(lambda found: [model.id for models in found for model in models])

    def test_all_answer_at_once(self) -> None:
        answer = self.ask()
        self.good.answer("a", "b")
        self.assertNoResult(answer)
        self.dead.answer("c")
        self.assertEqual(self.successResultOf(answer), ["a", "b", "c"])

    def test_a_dead_provider_costs_the_first_caller_its_patience_only(self) -> None:
        first = self.ask()
        self.good.answer("a")
        self.clock.advance(PATIENCE - 0.5)
        second = self.ask()
        self.clock.advance(0.5)
        self.assertEqual(self.successResultOf(first), ["a"])
        self.assertEqual(self.successResultOf(second), ["a"])
        self.assertEqual(self.successResultOf(self.ask()), ["a"])
        self.assertEqual(len(self.dead.asked), 1)

    def test_a_late_answer_is_there_for_the_next_caller(self) -> None:
        first = self.ask()
        self.good.answer("a")
        self.clock.advance(PATIENCE)
        self.successResultOf(first)
        self.dead.answer("late")
        self.assertEqual(self.successResultOf(self.ask()), ["a", "late"])

    def test_lists_are_kept_while_fresh(self) -> None:
        self.ask()
        self.good.answer("a")
        self.dead.answer()
        self.clock.advance(FRESH_FOR - 1)
        self.assertEqual(self.successResultOf(self.ask()), ["a"])
        self.assertEqual(len(self.good.asked), 1)

    def test_an_old_list_is_given_while_a_new_one_comes(self) -> None:
        self.ask()
        self.good.answer("a")
        self.dead.answer()
        self.clock.advance(FRESH_FOR)
        self.assertEqual(self.successResultOf(self.ask()), ["a"])
        self.assertEqual(self.successResultOf(self.ask()), ["a"])
        self.assertEqual(len(self.good.asked), 2)
        self.good.answer("b")
        self.assertEqual(self.successResultOf(self.ask()), ["b"])

    def test_a_failed_provider_is_left_alone_and_its_old_list_holds(self) -> None:
        self.ask()
        self.good.answer("a")
        self.dead.answer("old")
        self.clock.advance(FRESH_FOR)
        self.ask()
        self.good.answer("a")
        self.clock.advance(PATIENCE)
        self.dead.asked[-1].errback(UpstreamFailure("headers", "silence", timeout=True))
        self.assertEqual(self.successResultOf(self.ask()), ["a", "old"])
        self.clock.advance(FAILED_FOR - 1)
        self.ask()
        self.assertEqual(len(self.dead.asked), 2)
        self.clock.advance(1)
        self.ask()
        self.assertEqual(len(self.dead.asked), 3)

    def test_a_failure_that_comes_at_once_is_soon_forgotten(self) -> None:
        self.ask()
        self.good.answer("a")
        self.dead.asked[-1].errback(UpstreamFailure("connect", "refused"))
        self.clock.advance(REFUSED_FOR - 0.5)
        self.assertEqual(self.successResultOf(self.ask()), ["a"])
        self.assertEqual(len(self.dead.asked), 1)
        self.clock.advance(0.5)
        answer = self.ask()
        self.dead.answer("back")
        self.assertEqual(self.successResultOf(answer), ["a", "back"])

    def test_every_expected_failure_is_an_empty_list(self) -> None:
        for error in (
            UpstreamFailure("headers", "reset"),
            ProxyError(Kind.AUTHENTICATION, "no key"),
            ValueError("status 500"),
        ):
            self.setUp()
            answer = self.ask()
            self.good.answer("a")
            self.dead.asked[-1].errback(error)
            self.assertEqual(self.successResultOf(answer), ["a"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_bug_in_a_source_is_logged_and_costs_its_list_only(self) -> None:
        answer = self.ask()
        self.good.answer("a")
        self.dead.asked[-1].errback(ZeroDivisionError())
        self.assertEqual(self.successResultOf(answer), ["a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_endless_question_is_given_up(self) -> None:
        self.ask()
        self.clock.advance(MOST_WAIT)
        self.assertEqual(len(self.dead.asked), 1)
        self.assertEqual(self.dead.cancelled, 1)
        self.clock.advance(FAILED_FOR)
        self.ask()
        self.assertEqual(len(self.dead.asked), 2)

    def test_a_caller_that_leaves_takes_nobody_along(self) -> None:
        lists = Deferred.fromCoroutine(self.catalogue.lists(NOBODY))
        other = self.ask()
        lists.addErrback(lambda _: None)
        lists.cancel()
        self.good.answer("a")
        self.dead.answer("b")
        self.assertEqual(self.successResultOf(other), ["a", "b"])

    def test_fixed_lists_take_no_time(self) -> None:
        catalogue = Catalogue(
            self.clock,
            [FixedSource("routes", [Model("fast", "openai")])],
        )
        lists = self.successResultOf(Deferred.fromCoroutine(catalogue.lists(NOBODY)))
        self.assertEqual([model.id for model in lists[0]], ["fast"])


class Personal(SynchronousTestCase):
    """Lists that are for one credential."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.source = Scripted("p", personal=True)
        self.catalogue = Catalogue(self.clock, [self.source])
        self.addCleanup(self.catalogue.close)

    def ask(self, key: bytes | None) -> Deferred[list[Sequence[Model]]]:
        """Ask with a key."""
        headers = () if key is None else ((b"x-api-key", key),)
        return Deferred.fromCoroutine(self.catalogue.lists(headers))

    def test_nobody_sees_anothers_list(self) -> None:
        self.ask(b"one")
        self.source.answer("of-one")
        other = self.ask(b"two")
        self.assertEqual(len(self.source.asked), 2)
        self.source.answer("of-two")
        self.assertEqual([m.id for m in self.successResultOf(other)[0]], ["of-two"])
        again = self.successResultOf(self.ask(b"one"))
        self.assertEqual([m.id for m in again[0]], ["of-one"])

    def test_without_a_credential_there_is_nothing_to_ask_with(self) -> None:
        self.assertEqual(self.successResultOf(self.ask(None)), [])
        self.assertEqual(self.source.asked, [])

    def test_what_is_kept_is_bounded(self) -> None:
        for number in range(MOST_KEPT + 20):
            self.ask(b"%d" % number).addErrback(lambda _: None)
        self.assertEqual(len(self.catalogue._shelves), MOST_KEPT)

    def test_scopes_tell_credentials_apart_and_keep_none(self) -> None:
        one = credential_scope([(b"X-Api-Key", b"k")])
        self.assertEqual(one, credential_scope([(b"a", b"b"), (b"x-api-key", b"k")]))
        self.assertNotEqual(one, credential_scope([(b"api-key", b"k")]))
        self.assertIsNone(credential_scope([(b"a", b"b")]))
        self.assertNotIn("k", str(one).strip("0123456789abcdef"))
