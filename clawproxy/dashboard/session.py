"""Logins that outlive a page and a restart: :class:`Sessions` signs and reads the cookie.

A cookie is ``expiry.nonce.signature``; nothing about it is kept but the nonces of those who logged out. The
signing key is derived from the configured password, so that a restarted proxy, or another one behind the same
load balancer, knows the cookie, and a changed password ends every session. The derivation is slow (scrypt), so
that a stolen cookie is no short way to guess the password.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from secrets import token_urlsafe

from clawproxy.core.headers import SESSION_COOKIE
from clawproxy.core.secret import Secret

LIFETIME = 7 * 86_400
"""Seconds that a login lasts."""
REVOKED_KEPT = 10_000
"""Logouts that are remembered."""

_SALT = b"clawproxy dashboard session 1"
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}  # 16 MB and about 50 ms


def derive(password: Secret) -> bytes:
    """Derive the signing key of a configured password. Takes tens of milliseconds: call it in a thread."""
    return hashlib.scrypt(password.reveal().encode(), salt=_SALT, dklen=32, **_SCRYPT)


class Sessions:
    """Sign and read session cookies. Time is an argument, seconds since the epoch.

    :param key: what :func:`derive` gave.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._revoked: OrderedDict[str, float] = OrderedDict()

    def begin(self, now: float) -> str:
        """Give the value of a new session's cookie."""
        body = f"{int(now) + LIFETIME}.{token_urlsafe(12)}"
        return f"{body}.{self._sign(body)}"

    def _sign(self, body: str) -> str:
        return hmac.new(self._key, body.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def valid(self, cookies: str, now: float) -> bool:
        """Tell whether a ``Cookie`` header holds a session that lasts."""
        return any(self._lasts(value, now) for value in values(cookies))

    def _lasts(self, value: str, now: float) -> bool:
        body, _, signature = value.rpartition(".")
        expected = self._sign(body)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            return False
        expires, _, nonce = body.partition(".")
        return int(expires) > now and nonce not in self._revoked

    def end(self, cookies: str, now: float) -> None:
        """Log out the sessions of a ``Cookie`` header: their cookies are worth nothing from now on."""
        for value in values(cookies):
            if self._lasts(value, now):
                expires, nonce, _ = value.split(".", 2)
                self._revoked[nonce] = float(expires)
        while self._revoked and (
            len(self._revoked) > REVOKED_KEPT or next(iter(self._revoked.values())) <= now
        ):
            self._revoked.popitem(last=False)


def values(cookies: str) -> list[str]:
    """Find the values of the session's cookie in a ``Cookie`` header."""
    found = []
    for pair in cookies.split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals and name == SESSION_COOKIE:
            found.append(value.strip('"'))
    return found


def set_cookie(value: str, *, secure: bool) -> str:
    """Give the ``Set-Cookie`` header of a session (RFC 6265bis).

    :param value: the session's; empty deletes the cookie.
    :param secure: the caller came by TLS, so the cookie shall travel by nothing else.
    """
    age = LIFETIME if value else 0
    parts = [f"{SESSION_COOKIE}={value}", "Path=/", f"Max-Age={age}", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*parts, "Secure"] if secure else parts)
