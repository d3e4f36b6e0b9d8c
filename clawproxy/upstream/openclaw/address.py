"""Where a gateway is, and how it is doing: two values that the connection and the pages share."""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import frozen


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


@frozen
class GatewayState:
    """What ``/health`` says of a gateway.

    :ivar since: seconds since the epoch of the last change between connected and not.
    """

    connected: bool
    since: float
    obstacle: str | None = None
    reason: str | None = None
    remedy: str | None = None
    protocol: int | None = None
    version: str | None = None
    attempts: int = 0
