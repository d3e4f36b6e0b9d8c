"""How a connection to a gateway begins: challenge in, ``connect`` out, a :class:`Hello` or a
:class:`Refusal` back.

1. :func:`connect_params` answers the gateway's ``connect.challenge``.
2. :func:`read_hello` reads what the gateway grants.
3. :func:`read_refusal`, :func:`read_rejection` and :func:`read_close` read why it does not, whether
   trying again can help, and what a person has to do.

Protocol 3 is spoken by gateways up to 2026.5.7, protocol 4 from 2026.5.12 on; asking for 3 to 4 is
accepted by all of them. The client's id and mode come from closed lists; ``gateway-client`` and
``backend`` need neither an ``Origin`` nor, on loopback, a pairing.
"""

from __future__ import annotations

import sys
from enum import Enum

from attrs import field, frozen

from clawproxy import __version__
from clawproxy.core.secret import Secret
from clawproxy.upstream.openclaw.frames import (
    JSON,
    GatewayError,
    count,
    mapping,
    number,
    scrub,
    sequence,
    text,
)
from clawproxy.upstream.openclaw.identity import DeviceIdentity

MIN_PROTOCOL = 3
MAX_PROTOCOL = 4
CLIENT_ID = "gateway-client"
CLIENT_MODE = "backend"
ROLE = "operator"
CAPABILITIES = ("tool-events",)
APPROVAL_CAPABILITIES = (*CAPABILITIES, "exec-approvals", "approvals")
"""Without ``exec-approvals`` or ``approvals`` gateways from 2026.9 deny every command that would
have to be approved; without ``tool-events`` they are silent about tools."""

SCOPES = ("operator.read", "operator.write")
APPROVAL_SCOPES = ("operator.admin", *SCOPES, "operator.approvals")
"""Gateways from 2026.5 leave a run hanging, or deny at once, when the connection that started it
may approve but is not admin."""

DEFAULT_MAX_PAYLOAD = 524288
"""Bytes; what the oldest gateways allow. Taken where a gateway names no limit."""

DEFAULT_TICK = 30.0
"""Seconds between two ticks of a gateway that names no interval."""


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


@frozen
class Hello:
    """What the gateway granted.

    :ivar max_payload: the longest frame in bytes that the gateway takes; a longer one makes it
        close the connection.
    :ivar tick_interval: seconds between its ticks.
    :ivar boot_id: names the gateway's process, from 2026.9 on.
    :ivar uptime: seconds that the gateway has been running, where it says so.
    :ivar attachment_limit: bytes, where it says so. :ivar image_limit: the same for one image.
    """

    protocol: int
    version: str
    max_payload: int = DEFAULT_MAX_PAYLOAD
    tick_interval: float = DEFAULT_TICK
    methods: frozenset[str] = frozenset()
    scopes: tuple[str, ...] | None = None
    device_token: Secret | None = field(default=None, repr=False)
    boot_id: str = ""
    uptime: float | None = None
    attachment_limit: int | None = None
    image_limit: int | None = None
    default_agent: str = ""


@frozen
class Credentials:
    """How this proxy introduces itself.

    :ivar scopes: what it asks for. :ivar capabilities: what it can handle.
    """

    token: Secret | None = None
    password: Secret | None = None
    scopes: tuple[str, ...] = APPROVAL_SCOPES
    capabilities: tuple[str, ...] = APPROVAL_CAPABILITIES

    @classmethod
    def configured(
        cls, token: Secret | None, password: Secret | None, *, approvals: bool
    ) -> Credentials:
        """Ask for no more than is used: without approvals, reading and writing are enough."""
        if approvals:
            return cls(token, password)
        return cls(token, password, SCOPES, CAPABILITIES)


def connect_params(
    challenge: JSON,
    *,
    identity: DeviceIdentity,
    credentials: Credentials,
    device_token: Secret | None,
    now_ms: int,
) -> dict[str, object]:
    """Answer a ``connect.challenge``.

    :param challenge: its payload, with ``nonce`` and ``ts``.
    :param device_token: what the gateway issued earlier; used only where nothing is configured.
    :param now_ms: milliseconds since the epoch, used only where the challenge tells no time.
    """
    auth: dict[str, str] = {}
    if credentials.token:
        auth["token"] = credentials.token.reveal()
    if credentials.password:
        auth["password"] = credentials.password.reveal()
    if not auth and device_token:
        auth["deviceToken"] = device_token.reveal()
    scopes = credentials.scopes
    params: dict[str, object] = {
        "minProtocol": MIN_PROTOCOL,
        "maxProtocol": MAX_PROTOCOL,
        "client": {
            "id": CLIENT_ID,
            "version": __version__,
            "platform": sys.platform,
            "mode": CLIENT_MODE,
        },
        "role": ROLE,
        "scopes": list(scopes),
        "caps": list(credentials.capabilities),
        "device": identity.device_block(
            client_id=CLIENT_ID,
            client_mode=CLIENT_MODE,
            role=ROLE,
            scopes=scopes,
            signed_at=count(challenge, "ts") or now_ms,
            # The signed text holds the token or device token, never the password.
            token=auth.get("token") or auth.get("deviceToken") or "",
            nonce=text(challenge, "nonce"),
        ),
    }
    if auth:
        params["auth"] = auth
    return params


def read_hello(payload: JSON) -> Hello | None:
    """Read the answer to ``connect``; ``None`` if it is not a ``hello-ok``."""
    if payload.get("type") != "hello-ok":
        return None
    server, policy, auth = (mapping(payload, n) for n in ("server", "policy", "auth"))
    snapshot, attachments = mapping(payload, "snapshot"), mapping(policy, "attachments")
    uptime, tick = number(snapshot, "uptimeMs"), number(policy, "tickIntervalMs")
    token = text(auth, "deviceToken")
    return Hello(
        protocol=count(payload, "protocol") or MIN_PROTOCOL,
        version=text(server, "version"),
        max_payload=count(policy, "maxPayload") or DEFAULT_MAX_PAYLOAD,
        tick_interval=tick / 1000 if tick and tick > 0 else DEFAULT_TICK,
        methods=frozenset(
            m for m in sequence(mapping(payload, "features"), "methods") if isinstance(m, str)
        ),
        scopes=tuple(str(s) for s in sequence(auth, "scopes")) if "scopes" in auth else None,
        device_token=Secret(token) if token else None,
        boot_id=text(server, "bootId"),
        uptime=None if uptime is None else uptime / 1000,
        attachment_limit=count(attachments, "maxBytes") or None,
        image_limit=count(attachments, "maxImageBytes") or None,
        default_agent=text(mapping(snapshot, "sessionDefaults"), "defaultAgentId"),
    )


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
