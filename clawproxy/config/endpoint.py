"""Endpoint strings, looked at before the reactor has to: a wrong one is a mistake, not a traceback.

The syntax is Twisted's (:func:`twisted.internet.endpoints.serverFromString`): a type, then
arguments behind colons, some with names, ``\\\\`` before a colon, an equals sign or a backslash
that is meant literally.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address

from attrs import field, frozen

TAKES: Mapping[str, tuple[str, ...]] = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "ssl": (
        *("port", "privateKey", "certKey", "sslmethod", "interface", "backlog"),
        *("extraCertChain", "dhParameters"),
    ),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "systemd": ("domain", "index", "name"),
}
"""What Twisted's own types take, in the order in which arguments without a name are read."""

EVERYWHERE = ("", "0.0.0.0", "::")
"""Interfaces that mean all of them."""


@frozen
class Endpoint:
    """An endpoint string in its parts.

    :ivar kind: ``tcp``, ``tcp6``, ``unix``, ``ssl``, ``tls``, ``systemd``, or a plugin's.
    :ivar arguments: those without a name, in their order.
    :ivar options: those with a name.
    """

    kind: str
    arguments: tuple[str, ...] = ()
    options: Mapping[str, str] = field(factory=dict)

    def value(self, name: str) -> str | None:
        """Give an argument by its name, whether it was written with it or not."""
        named = dict(zip(TAKES.get(self.kind, ()), self.arguments, strict=False))
        return self.options.get(name, named.get(name))

    @property
    def port(self) -> str | None:
        """The port of a ``tcp`` or ``ssl`` endpoint, as written."""
        return self.value("port")

    @property
    def interface(self) -> str:
        """The address that a network endpoint binds; empty for all."""
        return self.value("interface") or ""

    def reachable_from_elsewhere(self) -> bool:
        """Say whether other machines may reach it, as far as the string tells.

        ``systemd`` and types that plugins bring do not tell; they count as not.
        """
        if self.kind not in ("tcp", "tcp6", "ssl", "tls"):
            return False
        if self.interface.lower() == "localhost":
            return False
        try:
            return not ip_address(self.interface.partition("%")[0]).is_loopback
        except ValueError:
            return True

    def __str__(self) -> str:
        return ":".join(
            [
                self.kind,
                *map(_quote, self.arguments),
                *(f"{key}={_quote(value)}" for key, value in self.options.items()),
            ]
        )


def _quote(text: str) -> str:
    return "".join("\\" + char if char in "\\:=" else char for char in text)


def split(description: str) -> Endpoint:
    """Take an endpoint string apart, without judging its arguments."""
    parts: list[tuple[str | None, str]] = []
    name: str | None = None
    current: list[str] = []
    characters = iter(description)
    for char in characters:
        if char == "\\":
            current.append(next(characters, ""))
        elif char == ":":
            parts.append((name, "".join(current)))
            name, current = None, []
        elif char == "=" and name is None and parts:
            name, current = "".join(current), []
        else:
            current.append(char)
    parts.append((name, "".join(current)))
    return Endpoint(
        parts[0][1],
        tuple(value for key, value in parts[1:] if key is None),
        {key: value for key, value in parts[1:] if key is not None},
    )


def check(description: str) -> str:
    """Check an endpoint string as far as that is possible without opening anything.

    :returns: the string itself.
    :raises ValueError: it cannot work; says why.
    """
    endpoint = split(description)
    _check_arguments(endpoint)
    match endpoint.kind:
        case "tcp" | "tcp6" | "ssl":
            port = endpoint.port or ""
            if not (port.isdecimal() and port.isascii() and int(port) <= 65535):
                raise ValueError(f"{endpoint.kind}: needs a port from 0 to 65535")
            _check_interface(endpoint.interface)
        case "unix":
            if not endpoint.value("address"):
                raise ValueError("unix: needs a path")
            if re.fullmatch("[0-7]{1,4}", endpoint.value("mode") or "0") is None:
                raise ValueError("mode takes an octal number, as in mode=660")
        case "systemd":
            if endpoint.value("domain") not in ("INET", "INET6", "UNIX"):
                raise ValueError("systemd: needs a domain: INET, INET6 or UNIX")
            if (endpoint.value("index") is None) == (endpoint.value("name") is None):
                raise ValueError("systemd: needs an index or a name, and one of them only")
        case "tls":
            if not (endpoint.arguments or endpoint.options):
                raise ValueError("tls: needs a directory of certificates")
        case kind if kind not in _plugin_kinds():
            raise ValueError(
                "it has to begin with a type, as tcp:8080 or unix:/run/clawproxy.sock do"
            )
    return description


def _check_arguments(endpoint: Endpoint) -> None:
    names = TAKES.get(endpoint.kind)
    if names is None:
        return
    unknown = next((name for name in endpoint.options if name not in names), None)
    if unknown is not None:
        raise ValueError(f"{endpoint.kind}: takes {', '.join(names)}, and no {unknown!r}")
    taken = names[: len(endpoint.arguments)]
    if len(endpoint.arguments) > len(names) or set(taken) & set(endpoint.options):
        # As tcp:8080:interface=::1 does, which everybody writes once.
        raise ValueError(r"a colon inside a value is written \:, as in interface=\:\:1")
    if not (endpoint.value("backlog") or "0").isdecimal():
        raise ValueError("backlog takes a whole number")


def _check_interface(interface: str) -> None:
    if interface in EVERYWHERE or interface.lower() == "localhost":
        return
    try:
        ip_address(interface)
    except ValueError:
        raise ValueError(f"interface {interface!r} is not an IP address") from None


def _plugin_kinds() -> set[str]:
    # Imported here: only a rare string needs it, and it searches all of Twisted's plugins.
    from twisted.internet.interfaces import IStreamServerEndpointStringParser
    from twisted.plugin import getPlugins

    return {parser.prefix for parser in getPlugins(IStreamServerEndpointStringParser)}
