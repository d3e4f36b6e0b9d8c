"""Which conversation an exchange belongs to, where no session says so: by what it repeats.

A request holds the history of its conversation, and so the messages of an earlier request and the answer to it.
:class:`Threads` remembers the histories seen lately, as chains of digests, and finds the longest one that a request
goes on from:

1. one that ends in an answer (or in the answer's id, where the API keeps the history): there is no doubt;
2. the request itself once more: a retry, if it is the same caller's and soon;
3. its last answer alone, where the beginning of the history was cut off or summed up;
4. one that ends in the question before, of the same caller: the client has rewritten the answer.

Several callers may have the same history: who says hi is greeted in the same words. Each goes on with their own.

An edited message shares the history before it, so it is a branch of the same conversation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from attrs import evolve, frozen

from clawproxy.store.conversation import ROOT, Said, chain, digest, history

REMEMBERED = 100_000
"""Histories, each as often as callers have it."""
RETRY_WITHIN = 600_000
"""Milliseconds within which the same first request of the same caller is a retry."""
RETRIES = 20
"""How often it can be one: a program that asks the same thing all day has no conversation."""
REWRITTEN_WITHIN = 86_400_000
"""Milliseconds within which a question is recognised although its answer is not."""
SHARING = 20
"""Callers whose conversations are told apart that have the same history."""
TELLING = 40
"""Characters of an answer from which on it is recognised by itself."""


@frozen
class Asked:
    """A request's messages, as far as they count.

    :ivar messages: those of the history, the new ones included.
    :ivar caller: what tells callers apart that have no session.
    :ivar scope: callers of different keys never share a conversation.
    :ivar at: milliseconds since the epoch.
    :ivar follows: ids of answers that the request says it goes on from.
    """

    messages: list[Said]
    caller: str
    scope: str
    at: int
    follows: tuple[str, ...] = ()

    def chains(self) -> list[int]:
        """Give the digest of each beginning of the history, the longest last."""
        found, at = [], digest(["scope", self.scope]) if self.scope else ROOT
        for message in self.messages:
            at = chain(at, message.digest)
            found.append(at)
        return found

    @property
    def continues(self) -> bool:
        """Whether somebody has answered before."""
        return any(message.role == "assistant" for message in self.messages)


@frozen
class _Seen:
    conversation: str
    caller: str
    at: int
    times: int = 1
    others: tuple[_Seen, ...] = ()  # earlier ones of other callers


class Threads:
    """Histories and the conversations they are of."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._most = remembered
        self._count = 0
        self._seen: OrderedDict[int, _Seen] = OrderedDict()

    def find(self, asked: Asked) -> str | None:
        """Find the conversation that a request goes on with."""
        for id in asked.follows:
            if seen := self._get(_id_digest(asked.scope, id), asked.caller):
                return seen.conversation
        chains = asked.chains()
        answered = [message.role == "assistant" for message in asked.messages]
        others: _Seen | None = None  # another caller's, up to the same question
        for at in reversed(range(len(chains))):
            seen = self._get(chains[at], asked.caller)
            if seen is None:
                continue
            if any(answered[: at + 1]):
                if seen.caller == asked.caller:
                    return seen.conversation
                others = others or seen
                if answered[at]:
                    break
                continue
            if others is not None:
                break
            retried = at == len(chains) - 1
            within = RETRY_WITHIN if retried else REWRITTEN_WITHIN
            if seen.caller != asked.caller or abs(asked.at - seen.at) > within:
                continue
            if not (retried and seen.times > RETRIES):
                return self._by_answer(asked) or seen.conversation
        return others.conversation if others is not None else self._by_answer(asked)

    def _by_answer(self, asked: Asked) -> str | None:
        for message in reversed(asked.messages):
            if message.role == "assistant" and len(message.text) >= TELLING:
                seen = self._get(_answer_digest(asked.scope, message), asked.caller)
                return seen.conversation if seen else None
        return None

    def _get(self, key: int, caller: str) -> _Seen | None:
        """Give the caller's own, or else the latest."""
        seen = self._seen.get(key)
        if seen is None:
            return None
        self._seen.move_to_end(key)
        return next((each for each in (seen, *seen.others) if each.caller == caller), seen)

    def note(
        self,
        asked: Asked,
        conversation: str,
        answer: Sequence[Said] = (),
        answer_ids: Sequence[str] = (),
    ) -> None:
        """Remember a request of a conversation, and the answer it got.

        :param answer_ids: by which a later request may name it.
        """
        seen = _Seen(conversation, asked.caller, asked.at)
        chains = asked.chains()
        at = chains[-1] if chains else ROOT
        if chains:
            before = self._get(at, asked.caller)
            if before is not None and before.conversation == conversation:
                self._put(at, evolve(before, times=before.times + 1))
            else:
                self._put(at, seen)
        for message in history(answer):
            at = chain(at, message.digest)
            self._put(at, seen)
            if len(message.text) >= TELLING:
                self._put(_answer_digest(asked.scope, message), seen)
        for id in answer_ids:
            self._put(_id_digest(asked.scope, id), seen)

    def _put(self, key: int, seen: _Seen) -> None:
        before = self._seen.pop(key, None)
        if before is not None:
            self._count -= 1 + len(before.others)
            listed = (evolve(before, others=()), *before.others)
            others = [each for each in listed if each.caller != seen.caller]
            seen = evolve(seen, others=tuple(others[: SHARING - 1]))
        self._seen[key] = seen
        self._count += 1 + len(seen.others)
        while self._count > self._most:
            _, gone = self._seen.popitem(last=False)
            self._count -= 1 + len(gone.others)


def _answer_digest(scope: str, message: Said) -> int:
    return digest(["answer", scope, message.digest])


def _id_digest(scope: str, id: str) -> int:
    return digest(["id", scope, id])
