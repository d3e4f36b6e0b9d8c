"""Environment names, among them those that both ancestors of this proxy had.

Each name is one row of :data:`VARIABLES`: which key it sets, and how its text is to be read. An
empty variable counts as not set. Some take part in more than one key, or in a provider only where
there is one; :func:`layer` does those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import Factory, define, frozen

from clawproxy.config import endpoint
from clawproxy.config.mistake import Mistake
from clawproxy.config.number import Duration
from clawproxy.config.shape import Reading, Unfit
from clawproxy.config.tree import Node, NoPlaceError, Origin, Path, plain, replace

PREFIX = "environment variable "


@frozen
class Variable:
    """An environment name.

    :ivar name: of the variable.
    :ivar path: the key that it sets; ``*`` stands for the OpenClaw provider's name.
    :ivar doc: what is special about it, if anything.
    :ivar convert: from its text to the key's plain value; raises
        ``ValueError(found, expected)``, with a key below this one if the mistake is there.
    :ivar enables: whether it brings the provider into being.
    """

    name: str
    path: Path
    doc: str = ""
    convert: Callable[[str], object] = str
    enables: bool = False


def _level(text: str) -> object:
    words = {"true", "yes", "on", "1", "t", "y"}
    return "debug" if text.strip().lower() in words else None


def _mappings(text: str) -> object:
    """Read ``a:gpt-4o,b:o3``; only the first colon separates, as models may have some.

    :raise ValueError: what was found in place of a pair, and what was expected.
    """
    mappings = {}
    for pair in filter(str.strip, text.split(",")):
        name, _, model = (part.strip() for part in pair.partition(":"))
        if not (name and model):
            raise ValueError(
                repr(pair.strip()),
                "an agent and its model, as in a:gpt-4o,b:o3",
                *filter(None, [name]),
            )
        mappings[name] = model
    return mappings


VARIABLES: tuple[Variable, ...] = (
    Variable("PORT", ("server", "listen"), "The port to listen on; CLAWPROXY_PORT goes before it."),
    Variable("CLAWPROXY_PORT", ("server", "listen"), "The port to listen on."),
    Variable("CLAWPROXY_HOST", ("server", "listen"), "The address to listen on; 0.0.0.0 for all."),
    Variable("CLAWPROXY_API_KEY", ("auth", "api_keys"), convert=lambda text: [text]),
    Variable("CLAWPROXY_VERBOSE", ("log", "level"), "true: debug.", _level),
    Variable(
        "READ_TIMEOUT",
        (),
        "Has no effect: nothing here limits how long a whole request may take.",
    ),
    Variable(
        "WRITE_TIMEOUT",
        (),
        "Has no effect: nothing here limits how long a whole answer may take.",
    ),
    Variable("IDLE_TIMEOUT", ("server", "idle_timeout")),
    Variable("ANTHROPIC_FORWARD_URL", ("providers", "anthropic", "base_url")),
    Variable("ANTHROPIC_VERSION", ("providers", "anthropic", "version")),
    Variable("ANTHROPIC_MAX_RETRIES", ("providers", "anthropic", "max_retries")),
    Variable(
        "ANTHROPIC_RESPONSE_HEADER_TIMEOUT", ("providers", "anthropic", "response_header_timeout")
    ),
    Variable("ANTHROPIC_DEMOTE_NONSTREAMING", ("providers", "anthropic", "demote_nonstreaming")),
    Variable("ANTHROPIC_API_KEY", ("providers", "anthropic", "api_key")),
    Variable("OPENAI_API_KEY", ("providers", "openai", "api_key")),
    Variable("OPENAI_BASE_URL", ("providers", "openai", "base_url")),
    Variable("OPENCLAW_GATEWAY_TOKEN", ("providers", "*", "token"), enables=True),
    Variable(
        "CLAWPROXY_GATEWAY_TOKEN",
        ("providers", "*", "token"),
        "Goes before OPENCLAW_GATEWAY_TOKEN.",
        enables=True,
    ),
    Variable("CLAWPROXY_GATEWAY_URL", ("providers", "*", "url"), enables=True),
    Variable("CLAWPROXY_DEFAULT_MODEL", ("providers", "*", "default_agent")),
    Variable("CLAWPROXY_SESSION_MODE", ("providers", "*", "session_mode")),
    Variable("DB_PATH", ("storage", "url"), "A SQLite file.", lambda text: f"sqlite:{text}"),
    Variable("DATABASE_URL", ("storage", "url"), "Goes before DB_PATH."),
    Variable("SUBAGENT_MAPPINGS", ("subagents", "mappings"), "As a:gpt-4o,b:o3.", _mappings),
    Variable("DASHBOARD_PASSWORD", ("dashboard", "password")),
)
"""In the order in which they are applied: where two set the same key, the later one wins."""


@define
class Layer:
    """What the environment says.

    :ivar tree: the configuration with it.
    :ivar names: the variables that took part.
    :ivar warnings: those that could not, and why.
    """

    tree: Node
    names: list[str] = Factory(list)
    warnings: list[str] = Factory(list)


def layer(below: Node, environ: Mapping[str, str], reading: Reading) -> Layer:
    """Lay the environment over a tree.

    :param below: defaults and file.
    :param reading: takes the mistakes that only show here.
    """
    result = Layer(below)
    given = {entry.name: environ[entry.name] for entry in VARIABLES if environ.get(entry.name)}
    gateway = _gateway_name(below)
    enabled = any(entry.enables and entry.name in given for entry in VARIABLES)
    for entry in VARIABLES:
        if entry.name not in given:
            continue
        text = given[entry.name]
        origin = Origin(PREFIX + entry.name)
        if entry.name in ("READ_TIMEOUT", "WRITE_TIMEOUT"):
            _unused(entry.name, text, origin, reading, result)
            continue
        if entry.path == ("server", "listen"):
            result.names.append(entry.name)
            continue
        path = tuple(gateway if part == "*" else part for part in entry.path)
        if path[0] == "providers" and not (entry.path[1] == "*" and enabled):
            provider = below.find(path[:2])
            if provider is None or provider.value is None:
                result.warnings.append(f"{entry.name} is set, but there is no provider {path[1]}")
                continue
        result.names.append(entry.name)
        try:
            value = entry.convert(text)
        except ValueError as error:
            found, expected, *inner = error.args
            reading.mistakes.append(
                Mistake(origin.file, ".".join([*path, *inner]), found, expected)
            )
            continue
        if value is None:
            continue
        result.tree = _put(result.tree, path, plain(value, origin))
        if entry.name == "SUBAGENT_MAPPINGS":
            result.tree = _put(result.tree, ("subagents", "enable"), plain(True, origin))
    kind_path = ("providers", gateway, "kind")
    if enabled and result.tree.find(kind_path) is None:
        result.tree = _put(result.tree, kind_path, plain("openclaw", Origin("environment")))
    listen = _listen(below, given, reading)
    if listen is not None:
        result.tree = _put(result.tree, ("server", "listen"), listen)
    return result


def _put(tree: Node, path: Path, node: Node) -> Node:
    try:
        return replace(tree, path, node)
    except NoPlaceError:
        # A list or a scalar stands where a mapping belongs; reading it will say so.
        return tree


def _gateway_name(tree: Node) -> str:
    """Find the provider that is meant: the one called openclaw, or the only one of its kind."""
    providers = tree.find(("providers",))
    if providers is None or not isinstance(providers.value, dict):
        return "openclaw"
    if (named := providers.value.get("openclaw")) is not None and named.value is not None:
        return "openclaw"
    kinds = [
        name
        for name, node in providers.value.items()
        if (kind := node.find(("kind",))) is not None and kind.value == "openclaw"
    ]
    return kinds[0] if len(kinds) == 1 else "openclaw"


def _unused(name: str, text: str, origin: Origin, reading: Reading, result: Layer) -> None:
    try:
        Duration().read(Node(text, origin, text), (), reading)
    except Unfit:
        return
    result.warnings.append(
        f"{name} has no effect: nothing limits how long a whole request or answer may take; "
        "server.idle_timeout and each provider's idle_timeout limit silence"
    )


def _listen(below: Node, given: Mapping[str, str], reading: Reading) -> Node | None:
    """Make the endpoint that the port and the host mean; one of them alone keeps the other."""
    port_name = "CLAWPROXY_PORT" if "CLAWPROXY_PORT" in given else "PORT"
    port, host = given.get(port_name), given.get("CLAWPROXY_HOST")
    if port is None and host is None:
        return None
    now = _single_tcp(below)
    origin = Origin(PREFIX + (port_name if port is not None else "CLAWPROXY_HOST"))
    port = port.strip().removeprefix(":") if port is not None else now.port or "8080"
    if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        reading.mistakes.append(
            Mistake(origin.file, "server.listen", repr(port), "a port from 0 to 65535")
        )
        return None
    interface = host.strip().strip("[]") if host is not None else now.interface
    if host is not None:
        origin = Origin(PREFIX + "CLAWPROXY_HOST")
    options = {"interface": interface} if interface else {}
    return plain([str(endpoint.Endpoint("tcp", (port,), options))], origin)


def _single_tcp(below: Node) -> endpoint.Endpoint:
    """Give the file's endpoint where it is a single TCP one, else the default."""
    listen = below.find(("server", "listen"))
    items = listen.value if listen is not None else None
    texts = [item.value for item in items] if isinstance(items, list) else [items]
    if len(texts) == 1 and isinstance(texts[0], str):
        found = endpoint.split(texts[0])
        if found.kind == "tcp":
            return found
    return endpoint.split("tcp:8080:interface=127.0.0.1")


def describe_variables() -> list[tuple[str, str, str]]:
    """Give each name, the key that it sets, and its documentation, for the manual."""
    return [
        (
            entry.name,
            ".".join("openclaw" if part == "*" else part for part in entry.path),
            entry.doc,
        )
        for entry in VARIABLES
    ]
