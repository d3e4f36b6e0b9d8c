"""What only shows when all of a configuration is known.

:func:`complete` puts in the defaults that depend on other keys, :func:`check` finds what contradicts itself,
:func:`warnings` what works but was hardly meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve

from clawproxy.config import endpoint
from clawproxy.config.mistake import nearest_to
from clawproxy.config.model import (
    DEFAULT_ROUTES,
    AuthConfig,
    Config,
    DashboardConfig,
    HTTPProviderConfig,
    OpenClawProviderConfig,
    ProviderConfig,
)
from clawproxy.config.shape import Reading
from clawproxy.config.tree import Node, Origin, Path, plain, replace
from clawproxy.core.secret import MASK

_DEFAULTS = Origin("defaults")
_DIALECTS = ("anthropic", "openai")


def complete(tree: Node, environ: Mapping[str, str]) -> Node:
    """Put in what depends on other keys.

    * Providers that are null are left out.
    * A default provider that is switched off becomes null, unless the operator named it.
    * The built-in routes stand behind the operator's, less those whose provider is switched off. They stay
      away where the operator wants a closed list: where ``routes`` is empty, or where there are
      routes and a ``default_provider`` is null, which says that what is not routed is answered 404.
    * An OpenClaw identity lies in the state directory where systemd gives one
      (systemd.exec(5), ``StateDirectory=``).
    """
    providers = tree.find(("providers",))
    if providers is None or not isinstance(providers.value, dict):
        return tree
    present = {name: node for name, node in providers.value.items() if node.value is not None}
    state = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        present = {name: _with_device_file(name, node, state) for name, node in present.items()}
    tree = replace(tree, ("providers",), evolve(providers, value=present))

    closed = False
    defaults = tree.find(("default_provider",))
    if defaults is None or defaults.value is None or isinstance(defaults.value, dict):
        for dialect in _DIALECTS:
            given = tree.find(("default_provider", dialect))
            if given is not None:
                closed = closed or given.value in (None, "")
            elif dialect not in present:
                tree = replace(tree, ("default_provider", dialect), plain(None, _DEFAULTS))
    return _with_routes(tree, present, closed)


def _with_device_file(name: str, provider: Node, state: str) -> Node:
    kind = provider.find(("kind",))
    is_gateway = (name if kind is None else kind.value) == "openclaw"
    if not is_gateway or not isinstance(provider.value, dict) or "device_file" in provider.value:
        return provider
    return replace(
        provider, ("device_file",), plain(f"{state}/openclaw-device.json", provider.origin)
    )


def _with_routes(tree: Node, present: Mapping[str, Node], closed: bool) -> Node:
    routes = tree.find(("routes",))
    own: list[Node] = []
    if routes is not None:
        if not isinstance(routes.value, list) or not routes.value or closed:
            return tree
        own = routes.value
    matches = {match.text for route in own if (match := route.find(("match",))) is not None}
    tail = [
        plain({"match": route.match, "provider": route.provider}, _DEFAULTS)
        for route in DEFAULT_ROUTES
        if route.provider in present and route.match not in matches
    ]
    origin = _DEFAULTS if routes is None else routes.origin
    return replace(tree, ("routes",), Node([*own, *tail], origin))


def check(tree: Node, values: Mapping[str, Any], reading: Reading) -> None:
    """Note what contradicts itself.

    :param tree: the whole tree, completed; good and bad parts of it.
    :param values: the sections that could be read.
    """
    providers = tree.find(("providers",))
    names = (
        list(providers.value) if providers is not None and isinstance(providers.value, dict) else []
    )
    for dialect in _DIALECTS:
        _check_provider(tree, ("default_provider", dialect), names, reading)
    routes = tree.find(("routes",))
    for index in range(len(routes.value) if routes and isinstance(routes.value, list) else 0):
        _check_provider(tree, ("routes", str(index), "provider"), names, reading)
    if routes is not None:
        _check_fallbacks(tree, routes, values, reading)
    auth, dashboard = values.get("auth"), values.get("dashboard")
    if isinstance(auth, AuthConfig):
        _check_keys(tree, auth, reading)
    if isinstance(dashboard, DashboardConfig):
        _check_password(tree, dashboard, reading)


def _check_provider(tree: Node, path: Path, names: list[str], reading: Reading) -> None:
    node = tree.find(path)
    if node is None or node.value is None or isinstance(node.value, dict | list | bool):
        return
    # As written: an unquoted number is a name too.
    if not node.text or node.text in names:
        return
    expected = f"the name of a provider ({', '.join(names)})"
    reading.note(node.origin, path, repr(node.text), expected, nearest_to(node.text, names))


def _check_fallbacks(tree: Node, routes: Node, values: Mapping[str, Any], reading: Reading) -> None:
    if "routes" not in values or "default_provider" not in values:
        return
    default = values["default_provider"]
    if default.anthropic is not None or default.openai is not None:
        return
    globs = [route.match for route in values["routes"]]
    for index, route in enumerate(values["routes"]):
        for number, model in enumerate(route.fallbacks):
            if not any(fnmatchcase(model, glob) for glob in globs):
                path = ("routes", str(index), "fallbacks", str(number))
                expected = "a model that a route matches, as there is no default provider"
                reading.note(tree.origin_of(path), path, repr(model), expected)


def _check_keys(tree: Node, auth: AuthConfig, reading: Reading) -> None:
    for index, key in enumerate(auth.api_keys):
        path = ("auth", "api_keys", str(index))
        earlier = auth.api_keys[:index]
        if any(key.key == other.key for other in earlier):
            reading.note(tree.origin_of(path), path, f"{MASK}, a key given before", "a new key")
        elif key.name is not None and any(key.name == other.name for other in earlier):
            named = (*path, "name")
            reading.note(tree.origin_of(named), named, repr(key.name), "a name not used before")


def _check_password(tree: Node, dashboard: DashboardConfig, reading: Reading) -> None:
    if dashboard.password is None or not dashboard.password.reveal().startswith("$argon2"):
        return
    path = ("dashboard", "password")
    if find_spec("argon2") is None:
        expected = "a plain password, as argon2-cffi is not installed (the extra clawproxy[all])"
        reading.note(tree.origin_of(path), path, "an argon2 hash", expected)
        return
    from argon2 import extract_parameters
    from argon2.exceptions import InvalidHashError

    try:
        extract_parameters(dashboard.password.reveal())
    except InvalidHashError:
        expected = "all of the hash that `clawproxy keys hash` prints, in single quotes"
        reading.note(tree.origin_of(path), path, "a broken argon2 hash", expected)


def warnings(config: Config) -> tuple[str, ...]:
    """Say what works but was hardly meant."""
    return (*_warn_of_callers(config), *_warn_of_transport(config.providers.values()))


def _warn_of_callers(config: Config) -> Iterable[str]:
    if config.auth.api_keys:
        return
    keyed = [name for name, provider in config.providers.items() if _has_key(provider)]
    named = f"provider{'s' if len(keyed) > 1 else ''} {', '.join(keyed)}"
    if keyed and "*" in config.server.cors.origins:
        yield (
            f"any web page that is opened in a browser here could spend the key of {named}: "
            "auth.api_keys is empty and server.cors.origins allows *"
        )
    open_to_all = [
        text for text in config.server.listen if endpoint.split(text).reachable_from_elsewhere()
    ]
    if open_to_all:
        what = f"use this proxy, with the key of {named}" if keyed else "use this proxy"
        yield (
            f"anyone who reaches {', '.join(open_to_all)} can {what}: "
            "auth.api_keys is empty and the address is not a loopback one"
        )


def _has_key(provider: ProviderConfig) -> bool:
    match provider:
        case HTTPProviderConfig():
            headers = {name.lower() for name in provider.headers}
            return provider.api_key is not None or bool(
                headers & {"authorization", "x-api-key", "api-key"}
            )
        case OpenClawProviderConfig():
            return provider.token is not None or provider.password is not None
    return False


def _warn_of_transport(providers: Iterable[ProviderConfig]) -> Iterable[str]:
    for provider in providers:
        match provider:
            case HTTPProviderConfig(base_url=url) | OpenClawProviderConfig(url=url):
                parts = urlsplit(url)
                local = _is_local(parts.hostname or "")
                if parts.scheme in ("http", "ws") and _has_key(provider) and not local:
                    name, host = provider.name, parts.hostname
                    yield f"the key of provider {name} travels unencrypted to {host}"


def _is_local(host: str) -> bool:
    """Say whether a host is on this machine or, having no dots, in a container network."""
    if "." not in host and ":" not in host:
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback
