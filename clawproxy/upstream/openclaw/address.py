"""Where a gateway is, how to get there, and how it is doing."""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS

from clawproxy.upstream.tls import NameChecking


@frozen
class GatewayAddress:
    """Where a gateway listens, taken from its URL.

    :ivar secure: TLS (``wss``). :ivar authority: what ``Host`` says.
    """

    host: str
    port: int
    secure: bool
    authority: str
    target: str

    @classmethod
    def parse(cls, url: str) -> GatewayAddress:
        """Read a ``ws``, ``wss``, ``http`` or ``https`` URL.

        :raises ValueError: it is another kind of URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
            raise ValueError(f"not a ws:// or wss:// URL: {url!r}")
        secure = parts.scheme in ("wss", "https")
        port = parts.port or (443 if secure else 80)
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = name if port == (443 if secure else 80) else f"{name}:{port}"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.hostname, port, secure, authority, target)


def endpoint_for(reactor: object, address: GatewayAddress, timeout: float) -> IStreamClientEndpoint:
    """Give the endpoint of a gateway: happy eyeballs, and TLS where the URL says ``wss``."""
    plain = HostnameEndpoint(reactor, address.host, address.port, timeout)
    if not address.secure:
        return plain
    return wrapClientTLS(NameChecking(optionsForClientTLS(address.host), address.host), plain)


@frozen
class GatewayState:
    """What ``/health`` says of a gateway."""

    connected: bool
    obstacle: str | None = None
    reason: str | None = None
    remedy: str | None = None
    protocol: int | None = None
    version: str | None = None
