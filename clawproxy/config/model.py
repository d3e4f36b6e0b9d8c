"""What an operator may say, as frozen values: :class:`Config` is what the rest of the program is
given.

``Config()`` is the default configuration. :func:`clawproxy.config.load` makes one from a file, the
environment and the command line. Times are seconds, sizes bytes, secrets
:class:`~clawproxy.core.secret.Secret`; every key's documentation is in its field's metadata
(:mod:`clawproxy.config.section`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import Factory, field, frozen

from clawproxy.config import address, endpoint
from clawproxy.config.provider import (
    DemoProviderConfig,
    HTTPProviderConfig,
    OpenClawProviderConfig,
    Provider,
    ProviderConfig,
    check_name,
)
from clawproxy.config.section import Section, described
from clawproxy.config.shape import (
    Choice,
    Duration,
    FileName,
    Flag,
    ListOf,
    MappingOf,
    Nullable,
    Number,
    Reading,
    SecretText,
    Shape,
    Size,
    Text,
)
from clawproxy.config.tree import Node, Path
from clawproxy.core.secret import Secret

__all__ = [
    "ApiKey",
    "AuthConfig",
    "Config",
    "CorsConfig",
    "DashboardConfig",
    "DefaultProviderConfig",
    "DemoProviderConfig",
    "DrainConfig",
    "HTTPProviderConfig",
    "LogConfig",
    "OpenClawProviderConfig",
    "ProviderConfig",
    "RouteConfig",
    "ServerConfig",
    "StorageConfig",
    "SubagentsConfig",
]


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


@frozen(kw_only=True)
class RouteConfig:
    """Where the models go that a glob matches.

    :ivar fallbacks: models, each routed in its turn.
    """

    match: str = field(
        metadata=described(
            Text("a glob such as claude-*"), "The requested models; * ? and [..] as in a shell."
        )
    )
    provider: str = field(metadata=described(Text("a provider's name"), "Where they go."))
    model: str | None = field(
        default=None,
        metadata=described(
            Nullable(Text("a model"), "as requested"), "The model to ask for there."
        ),
    )
    fallbacks: tuple[str, ...] = field(
        default=(),
        metadata=described(
            ListOf(Text("a model")),
            "Models to try, each by its own route, after a failure that may be retried.",
        ),
    )


@frozen(kw_only=True)
class DefaultProviderConfig:
    """Where a model goes that no route matches, by the caller's dialect."""

    anthropic: str | None = field(
        default="anthropic",
        metadata=described(
            Nullable(Text("a provider's name"), "such a model is answered 404"),
            "For callers of the Anthropic dialect.",
        ),
    )
    openai: str | None = field(
        default="openai",
        metadata=described(
            Nullable(Text("a provider's name"), "such a model is answered 404"),
            "For callers of the OpenAI dialects.",
        ),
    )


@frozen(kw_only=True)
class SubagentsConfig:
    """Models of Claude Code's subagents."""

    enable: bool = field(
        default=False, metadata=described(Flag(), "Route subagents by their names.")
    )
    mappings: Mapping[str, str] = field(
        factory=dict,
        metadata=described(
            MappingOf("a subagent's name", Text("a model")),
            "The model of each subagent.",
        ),
    )
    agents_dirs: tuple[str, ...] = field(
        default=(".claude/agents", "~/.claude/agents"),
        metadata=described(
            ListOf(FileName("a directory")),
            "Where the subagents' definitions are; earlier directories win.",
        ),
    )


@frozen(kw_only=True)
class StorageConfig:
    """Where exchanges are recorded, and for how long.

    :ivar url: ``sqlite:PATH``, ``postgresql://…`` or ``none``; its ``repr`` shows no password.
    """

    url: str = field(
        default="sqlite:clawproxy.db",
        repr=address.mask,
        metadata=described(
            Text("sqlite:PATH, postgresql://… or none", address.storage_url, address.mask),
            "The database of records.",
            live=False,
            formerly=("db_path", "path", "database", "dsn", "requests_dir"),
        ),
    )
    retention_days: float = field(
        default=0.0,
        metadata=described(
            Number("days"), "After which records are deleted; 0 keeps all.", live=False
        ),
    )
    bodies: Literal["full", "metadata"] = field(
        default="full",
        metadata=described(
            Choice("full", "metadata"),
            "What is kept of prompts and answers: all, or nothing.",
            live=False,
        ),
    )
    max_bytes: int = field(
        default=0,
        metadata=described(
            Size(),
            "How large the database may grow before the oldest go; 0 is any size.",
            live=False,
        ),
    )
    journal: str | None = field(
        default=None,
        metadata=described(
            Nullable(FileName("a directory"), "beside the database"),
            "Where records wait for the database.",
            live=False,
        ),
    )
    journal_budget: int = field(
        default=10 * 1024**3,
        metadata=described(
            Size(1),
            "How much may wait there; beyond it records are dropped and counted.",
            live=False,
        ),
    )
    prices: str | None = field(
        default=None,
        metadata=described(
            Nullable(FileName("a file"), "the table that comes with the program"),
            "A price table of your own.",
            live=False,
        ),
    )

    @property
    def kind(self) -> Literal["sqlite", "postgresql", "none"]:
        """Which store the URL names."""
        if self.url == "none":
            return "none"
        return "sqlite" if self.url.startswith("sqlite:") else "postgresql"

    @property
    def path(self) -> str:
        """The SQLite file; empty for other stores."""
        return self.url.removeprefix("sqlite:") if self.kind == "sqlite" else ""

    @property
    def journal_directory(self) -> str:
        """The one given, else beside the SQLite file or in the working directory."""
        return self.journal or f"{self.path or 'clawproxy'}.journal"


@frozen(kw_only=True)
class DashboardConfig:
    """The web pages under ``/ui/`` and the JSON under ``/api/``."""

    enabled: bool = field(
        default=True, metadata=described(Flag(), "Serve /ui/ and /api/.", live=False)
    )
    password: Secret | None = field(
        default=None,
        metadata=described(
            Nullable(
                SecretText("a password or its argon2 hash", header_safe=False),
                "only callers on a loopback address may open it",
            ),
            "Opens the dashboard; `clawproxy keys hash` makes a hash.",
        ),
    )


@frozen(kw_only=True)
class LogConfig:
    """What the log says and how."""

    level: Literal["debug", "info", "warn", "error", "critical"] = field(
        default="info",
        metadata=described(
            Choice("debug", "info", "warn", "error", "critical", synonyms={"warning": "warn"}),
            "The least severe level that is logged.",
        ),
    )
    format: Literal["text", "json"] = field(
        default="text",
        metadata=described(Choice("text", "json"), "Lines of text or of JSON objects.", live=False),
    )


DEFAULT_ROUTES = (
    RouteConfig(match="claude-*", provider="anthropic"),
    RouteConfig(match="gpt-*", provider="openai"),
    RouteConfig(match="o[0-9]*", provider="openai"),
    RouteConfig(match="demo", provider="demo"),
)


def _default_providers() -> Mapping[str, ProviderConfig]:
    return {
        "anthropic": HTTPProviderConfig(name="anthropic", kind="anthropic"),
        "openai": HTTPProviderConfig(name="openai", kind="openai"),
        "demo": DemoProviderConfig(name="demo"),
    }


@frozen(kw_only=True)
class Config:
    """All that an operator may say.

    :ivar providers: by name; those that are switched off (null) are not in it.
    :ivar routes: the first that matches wins; the built-in ones stand behind the operator's.
    """

    server: ServerConfig = field(
        default=ServerConfig(), metadata=described(Section(ServerConfig), "Towards callers.")
    )
    auth: AuthConfig = field(
        default=AuthConfig(), metadata=described(Section(AuthConfig), "Who may use the proxy.")
    )
    providers: Mapping[str, ProviderConfig] = field(
        default=Factory(_default_providers),
        metadata=described(
            MappingOf("a provider's name", Provider(), check_name),
            "Upstreams by name. anthropic, openai and demo are there unless set to null.",
            formerly=("upstreams", "backends"),
        ),
    )
    routes: tuple[RouteConfig, ...] = field(
        default=DEFAULT_ROUTES,
        metadata=described(
            ListOf(Section(RouteConfig)),
            "Which provider a model goes to; the first match wins, the built-in routes come last.",
        ),
    )
    default_provider: DefaultProviderConfig = field(
        default=DefaultProviderConfig(),
        metadata=described(Section(DefaultProviderConfig), "For a model that no route matches."),
    )
    subagents: SubagentsConfig = field(
        default=SubagentsConfig(),
        metadata=described(Section(SubagentsConfig), "Claude Code's subagents."),
    )
    storage: StorageConfig = field(
        default=StorageConfig(), metadata=described(Section(StorageConfig), "Records of exchanges.")
    )
    dashboard: DashboardConfig = field(
        default=DashboardConfig(),
        metadata=described(Section(DashboardConfig), "The pages of the records."),
    )
    log: LogConfig = field(default=LogConfig(), metadata=described(Section(LogConfig), "The log."))
