"""How a connection to a gateway begins: challenge in, ``connect`` out, a :class:`Hello` or a
:class:`~.refusal.Refusal` back.

1. :func:`connect_params` answers the gateway's ``connect.challenge``.
2. :func:`read_hello` reads what the gateway grants; :mod:`.refusal` reads why it does not.

Protocol 3 is spoken by gateways up to 2026.5.7, protocol 4 from 2026.5.12 on; asking for 3 to 4 is
accepted by all of them. The client's id and mode come from closed lists; ``gateway-client`` and
``backend`` need neither an ``Origin`` nor, on loopback, a pairing.
"""

from __future__ import annotations

import sys

from attrs import field, frozen

from clawproxy import __version__
from clawproxy.core.secret import Secret
from clawproxy.upstream.openclaw.frames import (
    JSON,
    count,
    mapping,
    number,
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

SLACK = 2.0
"""Seconds by which two clocks may differ when a gateway's uptime is compared with a time here."""


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
    device_token: Secret | None = field(default=None, repr=False)
    boot_id: str = ""
    uptime: float | None = None
    attachment_limit: int | None = None
    image_limit: int | None = None

    def continues(self, earlier: Hello, age: float) -> bool:
        """Whether the gateway's process is the one that said an earlier hello, and has its runs.

        :param age: of the run that is asked about, in seconds.
        """
        if earlier.boot_id and self.boot_id:
            return earlier.boot_id == self.boot_id
        return self.uptime is not None and self.uptime + SLACK >= age


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
        device_token=Secret(token) if token else None,
        boot_id=text(server, "bootId"),
        uptime=None if uptime is None else uptime / 1000,
        attachment_limit=count(attachments, "maxBytes") or None,
        image_limit=count(attachments, "maxImageBytes") or None,
    )
