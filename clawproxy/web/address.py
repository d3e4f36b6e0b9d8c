"""What an operator can open: an address that the proxy listens on, as a URL."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

_TLS = ("ssl:", "tls:", "txacme:", "le:", "lets:")
"""How endpoints begin that speak TLS."""
_ALL = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def url(endpoint: str, host: object) -> str:
    """Give where callers find an endpoint.

    :param endpoint: as the configuration has it.
    :param host: where it is bound.
    """
    if isinstance(host, IPv4Address | IPv6Address):
        name = f"[{host.host}]" if ":" in host.host else host.host
        scheme = "https" if endpoint.startswith(_TLS) else "http"
        return f"{scheme}://{name}:{host.port}/"
    if isinstance(host, UNIXAddress) and host.name:
        name = host.name.decode("utf-8", "backslashreplace")
        return f"unix:{name}"
    return endpoint


def dashboard_url(endpoint: str, host: object) -> str | None:
    """Give where a browser on this machine finds the dashboard; ``None`` if it cannot."""
    if not isinstance(host, IPv4Address | IPv6Address):
        return None
    here = url(endpoint, host)
    for every, local in _ALL.items():
        name = f"[{every}]" if ":" in every else every
        here = here.replace(f"//{name}:", f"//{local}:")
    return f"{here}ui/"
