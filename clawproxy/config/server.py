"""Towards callers: where the proxy listens, who may call it, how it leaves."""

from __future__ import annotations

from attrs import field, frozen

from clawproxy.config import address, endpoint
from clawproxy.config.collection import ListOf, Nullable
from clawproxy.config.number import Duration, Size
from clawproxy.config.section import Section, described
from clawproxy.config.shape import Reading, Shape
from clawproxy.config.text import SecretText, Text
from clawproxy.config.tree import Node, Path
from clawproxy.core.secret import Secret


@frozen(kw_only=True)
class CorsConfig:
    """Which web pages may call the proxy from a browser."""

    origins: tuple[str, ...] = field(
        default=("*",),
        metadata=described(
            ListOf(Text("an origin such as https://app.example.com, or *", address.web_origin)),
            "Origins that browsers may call from; * is any, [] turns CORS off.",
        ),
    )


@frozen(kw_only=True)
class DrainConfig:
    """How the proxy leaves: it waits for what is in flight."""

    timeout: float = field(
        default=1920.0,
        metadata=described(
            Duration(), "How long to wait for streams in flight before they are cut."
        ),
    )
    settle: float = field(
        default=0.0,
        metadata=described(
            Duration(), "How long to go on serving in any case, until balancers have noticed."
        ),
    )
    log_every: float = field(
        default=10.0,
        metadata=described(Duration(above=0), "Between two log lines about what is left."),
    )


@frozen(kw_only=True)
class ServerConfig:
    """Where the proxy listens, and its limits towards callers."""

    listen: tuple[str, ...] = field(
        default=("tcp:8080:interface=127.0.0.1",),
        metadata=described(
            ListOf(Text("a Twisted endpoint such as tcp:8080", endpoint.check), least=1),
            "Twisted endpoint strings; --listen replaces them.",
            live=False,
            formerly=("port", "host", "address", "bind"),
        ),
    )
    max_body: int = field(
        default=33554432,
        metadata=described(
            Size(1), "The largest request body, as sent and decoded; larger ones get a 413."
        ),
    )
    max_bodies: int = field(
        default=2147483648,
        metadata=described(
            Size(1),
            "What the bodies of all requests under way may hold together; what comes beyond gets a 503.",
        ),
    )
    cors: CorsConfig = field(
        default=CorsConfig(), metadata=described(Section(CorsConfig), "Calls from web pages.")
    )
    idle_timeout: float = field(
        default=600.0,
        metadata=described(
            Duration(above=0),
            "How long a keep-alive connection may stay without a request.",
            formerly=("timeouts", "keepalive_timeout"),
        ),
    )
    send_timeout: float = field(
        default=600.0,
        metadata=described(
            Duration(),
            "How long a caller may take nothing of what waits for it until it counts as gone; 0 is for ever.",
        ),
    )
    drain: DrainConfig = field(
        default=DrainConfig(), metadata=described(Section(DrainConfig), "Leaving after SIGTERM.")
    )


@frozen(kw_only=True)
class ApiKey:
    """A key that callers may present.

    :ivar name: what records call its holder; ``None`` for a key given as plain text.
    """

    key: Secret = field(
        metadata=described(SecretText("a key"), "What the caller presents."),
    )
    name: str | None = field(
        default=None,
        metadata=described(
            Nullable(Text("a name"), "it has none"), "What records call the key's holder."
        ),
    )


class _ApiKeyShape(Shape[ApiKey]):
    """A key as plain text, or with the name of its holder."""

    expected = "a key, or {name: …, key: …}"
    section = ApiKey

    def read(self, node: Node, at: Path, reading: Reading) -> ApiKey:
        if isinstance(node.value, dict):
            return Section(ApiKey).read(node, at, reading)
        return ApiKey(key=SecretText(self.expected).read(node, at, reading))

    def plain(self, value: ApiKey) -> object:
        return Section(ApiKey).plain(value)


class _ApiKeys(ListOf[ApiKey]):
    """A list of keys, or a single one."""

    def read(self, node: Node, at: Path, reading: Reading) -> tuple[ApiKey, ...]:
        if isinstance(node.value, str) and node.value:
            return (self.shape.read(node, at, reading),)
        return super().read(node, at, reading)


@frozen(kw_only=True)
class AuthConfig:
    """Who may use the proxy."""

    api_keys: tuple[ApiKey, ...] = field(
        default=(),
        metadata=described(
            _ApiKeys(_ApiKeyShape()),
            "If there are any, callers must present one (Authorization: Bearer, x-api-key, "
            "or api-key).",
            formerly=("keys", "api_key", "tokens"),
        ),
    )
