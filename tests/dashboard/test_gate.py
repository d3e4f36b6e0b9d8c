"""Passwords, sessions and tries."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from clawproxy.core.headers import SESSION_COOKIE
from clawproxy.core.secret import Secret
from clawproxy.dashboard import session, tries
from clawproxy.dashboard.access import Facts, Refusal
from clawproxy.dashboard.gate import Gate
from clawproxy.dashboard.session import LIFETIME, Sessions, derive, set_cookie, values
from clawproxy.dashboard.tries import Tries

AWAY = Facts("GET", "203.0.113.9", host="proxy.example")


class Threads:
    """Threads that work at once."""

    def callInThreadWithCallback(self, done: Any, function: Any, *arguments: Any) -> None:
        """Work now."""
        try:
            result = function(*arguments)
        except Exception as error:  # noqa: BLE001 - as a thread pool does
            from twisted.python.failure import Failure

            done(False, Failure(error))
        else:
            done(True, result)


class Reactor(Clock):
    """A clock with threads."""

    def getThreadPool(self) -> Threads:
        """The pool."""
        return Threads()

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        """Call now."""
        function(*arguments)


class GateCase(SynchronousTestCase):
    """Has a gate with a password."""

    password: str | None = "open sesame"

    def setUp(self) -> None:
        """Make the gate."""
        self.clock = Reactor()
        self.clock.advance(1_790_000_000)
        self.gate = Gate(
            self.clock, lambda: Secret(self.password) if self.password is not None else None
        )

    def outcome(self, coroutine: Any) -> Any:
        """What a coroutine gives at once, or the refusal that it raises."""
        return self.successResultOf(
            Deferred.fromCoroutine(coroutine).addErrback(lambda f: f.trap(Refusal) and f.value)
        )

    def admit(self, facts: Facts = AWAY, **how: Any) -> int:
        """The status with which a request is let in."""
        refusal = self.outcome(self.gate.admit(facts, **how))
        return 200 if refusal is None else int(refusal.status)

    def bearer(self, token: str) -> int:
        """The status of a request with this password."""
        return self.admit(evolve(AWAY, token=token))


class WithoutPassword(GateCase):
    """Only this machine is let in."""

    password = None

    def test_loopback_only(self) -> None:
        """Nobody else, whatever is presented."""
        self.assertEqual(self.admit(Facts("GET", "127.0.0.1", host="localhost")), 200)
        self.assertEqual(self.admit(), 403)
        self.assertEqual(self.bearer("anything"), 403)
        self.assertEqual(self.admit(public=True), 403)

    def test_no_login(self) -> None:
        """There is nothing to log in to."""
        self.assertEqual(self.outcome(self.gate.sessions()).status, 403)


class WithPassword(GateCase):
    """Everybody who knows it is let in."""

    def test_bearer(self) -> None:
        """Right, wrong and none."""
        self.assertEqual(self.bearer("open sesame"), 200)
        self.assertEqual(self.bearer("open barley"), 401)
        self.assertEqual(self.admit(), 401)
        self.assertEqual(self.admit(public=True), 200)

    def test_loopback_is_no_login(self) -> None:
        """The password is asked of callers on this machine, too."""
        self.assertEqual(self.admit(Facts("GET", "127.0.0.1", host="localhost")), 401)

    def test_foreign_origin(self) -> None:
        """No password lets a page of another origin in."""
        facts = evolve(AWAY, token="open sesame", origin="https://evil.example")
        self.assertEqual(self.admit(facts), 403)

    def test_session(self) -> None:
        """A cookie lets in until it expires, is ended, or the password changes."""
        sessions = self.outcome(self.gate.sessions())
        cookie = f"{SESSION_COOKIE}={sessions.begin(self.clock.seconds())}"
        facts = evolve(AWAY, cookies=f"a=b; {cookie}")
        self.assertEqual(self.admit(facts), 200)
        self.clock.advance(LIFETIME - 1)
        self.assertEqual(self.admit(facts), 200)
        self.clock.advance(2)
        self.assertEqual(self.admit(facts), 401)
        facts = evolve(AWAY, cookies=f"{SESSION_COOKIE}={sessions.begin(self.clock.seconds())}")
        self.assertEqual(self.admit(facts), 200)
        sessions.end(facts.cookies, self.clock.seconds())
        self.assertEqual(self.admit(facts), 401)
        facts = evolve(AWAY, cookies=f"{SESSION_COOKIE}={sessions.begin(self.clock.seconds())}")
        self.password = "another"
        self.assertEqual(self.admit(facts), 401)

    def test_tries_are_limited(self) -> None:
        """After so many wrong ones even the right one waits; others do not."""
        for _ in range(tries.MOST):
            self.assertEqual(self.bearer("wrong"), 401)
        self.assertEqual(self.bearer("wrong"), 429)
        self.assertEqual(self.bearer("open sesame"), 429)
        self.assertEqual(self.admit(evolve(AWAY, token="open sesame", address="203.0.113.10")), 200)
        self.clock.advance(tries.WINDOW + 1)
        self.assertEqual(self.bearer("open sesame"), 200)


class WithHash(GateCase):
    """The configuration may hold an argon2 hash."""

    def setUp(self) -> None:
        """Hash the password cheaply."""
        try:
            from argon2 import PasswordHasher
        except ImportError as error:
            raise SkipTest(f"argon2-cffi is not installed: {error}") from None
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.password = hasher.hash("open sesame")
        super().setUp()

    def test_bearer(self) -> None:
        """The password opens, its hash does not; what opened once need not be compared again."""
        self.assertEqual(self.bearer("open sesame"), 200)
        self.assertEqual(self.bearer("open sesame"), 200)
        assert self.password is not None
        self.assertEqual(self.bearer(self.password), 401)
        self.assertEqual(self.bearer("wrong"), 401)
        self.password = self.password[:-4] + "AAAA"
        self.assertEqual(self.bearer("open sesame"), 401)


class Signatures(SynchronousTestCase):
    """Cookies that somebody made up."""

    def test_forged(self) -> None:
        """None of them is valid."""
        sessions = Sessions(b"k" * 32)
        good = sessions.begin(1000)
        self.assertTrue(sessions.valid(f"{SESSION_COOKIE}={good}", 1001))
        expiry, nonce, signature = good.split(".")
        for value in (
            f"{int(expiry) + 9}.{nonce}.{signature}",
            f"{expiry}.other.{signature}",
            f"{expiry}.{nonce}.{signature[:-1]}{'1' if signature[-1] == '0' else '0'}",
            f"{expiry}.{nonce}",
            "",
            ".",
            "..",
            "é.ü.ö",
            Sessions(b"j" * 32).begin(1000),
        ):
            self.assertFalse(sessions.valid(f"{SESSION_COOKIE}={value}", 1001), value)

    def test_the_key_is_the_passwords(self) -> None:
        """So that another process knows the cookie."""
        first, again = derive(Secret("a")), derive(Secret("a"))
        self.assertEqual(first, again)
        self.assertNotEqual(first, derive(Secret("b")))

    def test_cookie(self) -> None:
        """Its attributes keep it from scripts and other sites."""
        self.assertEqual(
            set_cookie("v", secure=False),
            f"{SESSION_COOKIE}=v; Path=/; Max-Age={session.LIFETIME}; HttpOnly; SameSite=Strict",
        )
        self.assertTrue(
            set_cookie("", secure=True).endswith("Max-Age=0; HttpOnly; SameSite=Strict; Secure")
        )
        self.assertEqual(
            values(f'x=1;{SESSION_COOKIE}=a; {SESSION_COOKIE}="b"; {SESSION_COOKIE}x=c'), ["a", "b"]
        )


class Counting(SynchronousTestCase):
    """Tries by themselves."""

    def test_all_callers_together(self) -> None:
        """Many addresses are no way around the limit."""
        counted = Tries()
        for number in range(tries.MOST_IN_ALL):
            self.assertEqual(counted.wait(str(number), 0.0), 0)
            counted.begin(str(number), 0.0)
        self.assertEqual(counted.wait("new", 0.0), tries.WINDOW)
        self.assertEqual(counted.wait("new", tries.WINDOW), 0)

    def test_success_does_not_count(self) -> None:
        """Whoever knows the password may come as often as they like."""
        counted = Tries()
        for _ in range(tries.MOST_IN_ALL * 2):
            self.assertEqual(counted.wait("me", 0.0), 0)
            counted.begin("me", 0.0)
            counted.passed("me")
