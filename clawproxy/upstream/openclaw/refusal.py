"""Why a gateway is not connected: what it says, whether trying again can help, and what a person
has to do.

1. :func:`read_refusal` reads the error that ``connect`` is answered with.
2. :func:`read_rejection` reads what came in place of a WebSocket.
3. :func:`read_close` reads the end of a connection.
"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from clawproxy.upstream.openclaw.frames import GatewayError, scrub, sequence, text
from clawproxy.upstream.openclaw.handshake import MAX_PROTOCOL, MIN_PROTOCOL


class Obstacle(Enum):
    """Why a gateway is not connected."""

    UNREACHABLE = "unreachable"
    STARTING = "starting"
    AUTHENTICATION = "authentication"
    PAIRING = "pairing"
    PROTOCOL = "protocol"
    REJECTED = "rejected"
    LOST = "lost"


TERMINAL = frozenset({Obstacle.AUTHENTICATION, Obstacle.PROTOCOL, Obstacle.REJECTED})
"""Trying again cannot help until the configuration changes."""

_TOKEN_REMEDY = (
    "Set the provider's token (or OPENCLAW_GATEWAY_TOKEN) to the gateway's gateway.auth.token"
)
_AUTH_WORDS = ("unauthorized", "token", "device signature", "device nonce", "device identity")
"""What gateways before 2026.3 say in place of a code."""

_AUTH_REMEDIES = {
    "AUTH_TOKEN_NOT_CONFIGURED": "The gateway has no token: set gateway.auth.token there",
    "DEVICE_AUTH_SIGNATURE_EXPIRED": "Set the clocks of this machine and of the gateway's right",
    "DEVICE_IDENTITY_REQUIRED": "Let the proxy write its identity_file",
}


@frozen
class Refusal:
    """Why there is no connection, in words for a person.

    :ivar message: what happened.
    :ivar remedy: what to do about it; empty where waiting is all.
    :ivar retry_after: seconds that the gateway asks to wait.
    :ivar going: the gateway's process ends, and its runs with it.
    :ivar keyless: it asks for a token, and none is configured.
    """

    obstacle: Obstacle
    message: str
    remedy: str = ""
    retry_after: float | None = None
    going: bool = False
    keyless: bool = False

    @property
    def terminal(self) -> bool:
        """Whether only a change of the configuration can help."""
        return self.obstacle in TERMINAL

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


def read_refusal(error: GatewayError) -> Refusal:
    """Read why a gateway answered ``connect`` with an error.

    Gateways before 2026.3 tell it by their words alone, so those are looked at where there is no
    ``details.code``.
    """
    code, words = error.detail_code, error.message.lower()
    if error.code == "UNAVAILABLE" or code == "AUTH_RATE_LIMITED":
        return Refusal(
            Obstacle.STARTING, f"The gateway says: {error.message}", "", error.retry_after
        )
    if (
        code == "PROTOCOL_MISMATCH"
        or "expectedProtocol" in error.details
        or "protocol mismatch" in words
    ):
        expected = error.details.get("expectedProtocol", "another one")
        return Refusal(
            Obstacle.PROTOCOL,
            f"The gateway speaks protocol {expected}, this proxy {MIN_PROTOCOL} to {MAX_PROTOCOL}",
            "Upgrade the older one of the two",
        )
    if code == "PAIRING_REQUIRED" or (error.code == "NOT_PAIRED" and "identity" not in words):
        return _pairing(error)
    worded = any(sign in words for sign in _AUTH_WORDS)
    if code.startswith(("AUTH_", "DEVICE_")) or error.code == "NOT_PAIRED" or worded:
        return Refusal(
            Obstacle.AUTHENTICATION,
            f"The gateway refuses this proxy: {error.message}",
            _AUTH_REMEDIES.get(code, _TOKEN_REMEDY),
            keyless=code == "AUTH_TOKEN_MISSING" or "token missing" in words,
        )
    return Refusal(
        Obstacle.REJECTED,
        f"The gateway refuses this proxy: {error.code}: {error.message}",
        "Compare the provider's settings with the gateway's",
    )


def _pairing(error: GatewayError) -> Refusal:
    request_id = text(error.details, "requestId")
    asked = ", ".join(str(s) for s in sequence(error.details, "requestedScopes"))
    command = f"openclaw devices approve {request_id}" if request_id else "openclaw devices list"
    return Refusal(
        Obstacle.PAIRING,
        f"The gateway wants this device paired: {error.message}"
        + (f" (it asks for {asked})" if asked else ""),
        f"On the gateway's machine run: {command}",
    )


def read_rejection(status: int, body: str) -> Refusal:
    """Read why the gateway refused the WebSocket upgrade itself.

    :param status: the HTTP status that came instead of 101.
    :param body: the beginning of the answer's body.
    """
    words = scrub(" ".join(body.split()))[:200]
    message = f"The gateway answered the WebSocket upgrade with HTTP {status}" + (
        f": {words}" if words else ""
    )
    if status in (408, 425, 429) or status >= 500:
        return Refusal(Obstacle.STARTING, message)
    if status == 403:
        return Refusal(
            Obstacle.REJECTED,
            message,
            "If a reverse proxy stands before the gateway, connect without it or name it in "
            "gateway.trustedProxies",
        )
    return Refusal(Obstacle.REJECTED, message, "Check the provider's url")


def read_close(code: int | None, reason: str, *, connected: bool) -> Refusal:
    """Read what a closed connection means.

    :param code: the WebSocket close code, ``None`` where the connection just broke.
    :param connected: whether the handshake had been completed.
    """
    told = f" (code {code}{': ' + scrub(reason) if reason else ''})" if code is not None else ""
    if connected:
        # 1012: service restart, 1001: going away (RFC 6455, 7.4.1, and the IANA registry).
        return Refusal(
            Obstacle.LOST,
            f"The gateway closed the connection{told}",
            going=code in (1001, 1012),
        )
    if code == 1002:
        return Refusal(
            Obstacle.PROTOCOL,
            f"The gateway refused the protocol{told}",
            "Upgrade the older one of the two",
        )
    if code == 1008:
        return Refusal(
            Obstacle.AUTHENTICATION, f"The gateway refuses this proxy{told}", _TOKEN_REMEDY
        )
    return Refusal(Obstacle.UNREACHABLE, f"The gateway closed the connection unasked{told}")
