"""Answers to browsers that ask whether a page of another origin may call (CORS).

https://fetch.spec.whatwg.org/#http-cors-protocol; the private-network preflight is
https://wicg.github.io/private-network-access/.
"""

from __future__ import annotations

from attrs import frozen

from clawproxy.core.headers import RawHeaders

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_AGE = b"86400"
"""Seconds that a browser may remember a preflight; browsers cap it themselves."""

EXPOSED = b"*"
_EXPOSED_WITH_CREDENTIALS = (
    b"x-clawproxy-id, x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, "
    b"anthropic-organization-id, x-clawproxy-estimated"
)


@frozen
class Cors:
    """Which origins may read answers.

    :ivar origins: exact origins, or ``*`` for any; none turns CORS off.
    """

    origins: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.origins)

    def allowed(self, origin: bytes | None) -> bytes | None:
        """Give the value of ``Access-Control-Allow-Origin``, or ``None`` where there is none to give."""
        if origin is None or not self.origins:
            return None
        if "*" in self.origins:
            return b"*"
        return origin if origin.decode("latin-1") in self.origins else None

    def answer(self, origin: bytes | None) -> RawHeaders:
        """Give the headers of an ordinary answer to a page of ``origin``."""
        allowed = self.allowed(origin)
        if allowed is None:
            return [(b"Vary", b"Origin")] if self.origins and "*" not in self.origins else []
        lines = [
            (b"Access-Control-Allow-Origin", allowed),
            (b"Access-Control-Expose-Headers", EXPOSED + b", " + _EXPOSED_WITH_CREDENTIALS),
        ]
        if allowed != b"*":
            lines.append((b"Vary", b"Origin"))
        return lines

    def preflight(
        self, origin: bytes | None, headers: bytes | None, *, private_network: bool
    ) -> RawHeaders:
        """Give the headers that answer a preflight.

        :param headers: what the browser asks to send (``Access-Control-Request-Headers``); it may.
        :param private_network: it asked whether a public page may call this private address.
        """
        allowed = self.allowed(origin)
        vary = (
            b"Vary",
            b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        )
        if allowed is None:
            return [vary]
        lines = [
            (b"Access-Control-Allow-Origin", allowed),
            (b"Access-Control-Allow-Methods", METHODS),
            (b"Access-Control-Allow-Headers", headers or b"*, authorization"),
            (b"Access-Control-Max-Age", MAX_AGE),
            vary,
        ]
        if private_network:
            lines.append((b"Access-Control-Allow-Private-Network", b"true"))
        return lines
