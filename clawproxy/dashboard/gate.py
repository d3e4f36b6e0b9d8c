"""The door of the dashboard: :class:`Gate` lets a request in or says why not.

It holds what outlives a request: the configured password in its forms, the sessions, the failed tries.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from secrets import token_bytes
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from clawproxy.core.secret import Secret
from clawproxy.dashboard.access import Facts, Refusal, cross_site, from_loopback
from clawproxy.dashboard.session import Sessions, derive, values
from clawproxy.dashboard.tries import Tries


class Gate:
    """Let requests in.

    :param reactor: gives the time, and threads for what is slow on purpose.
    :param password: gives the configured password, or its argon2 hash; asked each time, because a reload may
        change it.
    """

    _log = Logger()

    def __init__(self, reactor: Any, password: Callable[[], Secret | None]) -> None:
        self._reactor = reactor
        self._password = password
        self._tries = Tries()
        self._known: Secret | None = None
        self._sessions: Deferred[Sessions] | None = None
        self._salt = token_bytes(32)
        self._seen: set[bytes] = set()
        self._comparing: dict[bytes, Deferred[bool]] = {}

    @property
    def guarded(self) -> bool:
        """Whether there is a password."""
        return self._password() is not None

    async def admit(self, facts: Facts, *, page: bool = False, public: bool = False) -> None:
        """Let a request in.

        :param page: it asks for a page, which other sites may link to.
        :param public: it asks for something without secrets, such as the login page: no password is needed.
        :raises Refusal: 403 for a caller who may not be here at all, 401 without login, 429 after too many
            wrong passwords.
        """
        refusal = cross_site(facts, page=page)
        password = self._password()
        if refusal is None and password is None:
            refusal = from_loopback(facts)
        if refusal is not None:
            raise refusal
        if password is None or public:
            return
        if facts.cookies:
            sessions = await self.sessions()
            if sessions.valid(facts.cookies, self._reactor.seconds()):
                return
        if facts.token is None:
            raise Refusal(401, "expected a login, or Authorization: Bearer with dashboard.password")
        if not await self.verify(facts.token, facts):
            raise Refusal(401, "the password presented is not dashboard.password")

    def expects(self, facts: Facts) -> bool:
        """Tell by a call's head whether the rest is worth reading; :meth:`admit` has its say once that is there.

        Comparing a password may take a thread and counts as a try, so here it only has to be presented.
        """
        if cross_site(facts) is not None:
            return False
        if self._password() is None:
            return from_loopback(facts) is None
        return facts.token is not None or bool(values(facts.cookies))

    async def verify(self, candidate: str, facts: Facts) -> bool:
        """Compare a password with the configured one, in constant time.

        :raises Refusal: 429 after too many wrong ones; 503 if it cannot be compared.
        """
        password = self._current()
        if password is None:
            return False
        hashed = password.reveal().startswith("$argon2")
        # A hash takes tens of milliseconds to compare, and a page makes many calls: what matched is remembered,
        # as a digest that is worth nothing outside this process.
        digest = hmac.new(self._salt, candidate.encode("utf-8", "replace"), sha256).digest()
        if digest in self._comparing and await _shared(self._comparing[digest]):
            return True
        if digest in self._seen:
            return True
        caller = facts.address or "unix"
        wait = self._tries.wait(caller, self._reactor.seconds())
        if wait:
            raise Refusal(429, f"too many wrong passwords; try again in {wait} s", wait)
        self._tries.begin(caller, self._reactor.seconds())
        if not hashed:
            matched = password.matches(candidate)
        else:
            matched = await self._compare(password, candidate, digest)
        if matched:
            self._tries.passed(caller)
        else:
            self._log.warn("a wrong dashboard password from {caller}", caller=caller)
        return matched

    async def _compare(self, password: Secret, candidate: str, digest: bytes) -> bool:
        if find_spec("argon2") is None:
            self._log.error("dashboard.password is an argon2 hash; install argon2-cffi to use it")
            raise Refusal(503, "this installation cannot compare argon2 hashes; its log says more")
        comparing = self._comparing[digest] = self._in_thread(_argon2, password, candidate)
        try:
            matched: bool = await _shared(comparing)
        finally:
            self._comparing.pop(digest, None)
        if matched and self._known is password:
            self._seen.add(digest)
        return matched

    async def sessions(self) -> Sessions:
        """Give the sessions of the configured password.

        :raises Refusal: 403 where there is none, and so nothing to log in to.
        """
        password = self._current()
        if password is None:
            raise Refusal(403, "there is no password to log in with: dashboard.password is not set")
        if self._sessions is None:
            self._sessions = self._in_thread(derive, password).addCallback(Sessions)
        sessions: Sessions = await _shared(self._sessions)
        return sessions

    def _current(self) -> Secret | None:
        password = self._password()
        if password != self._known:
            self._known, self._sessions = password, None
            self._seen.clear()
        return self._known

    def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, function, *arguments)


def _shared(deferred: Deferred[Any]) -> Deferred[Any]:
    """Wait for a Deferred that others wait for, too."""
    waiting: Deferred[Any] = Deferred()

    def pass_on(result: Any) -> Any:
        waiting.callback(result)
        return result

    deferred.addBoth(pass_on)
    return waiting


def _argon2(password: Secret, candidate: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import VerificationError

    try:
        return PasswordHasher().verify(password.reveal(), candidate)
    except (VerificationError, ValueError):
        return False
