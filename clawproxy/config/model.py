"""What an operator may say, as frozen values: :class:`Config` is what the program is given.

``Config()`` is the default configuration. :func:`clawproxy.config.load` makes one from a file, the
environment and the command line. Times are seconds, sizes bytes, secrets
:class:`~clawproxy.core.secret.Secret`; every key's documentation is in its field's metadata
(:mod:`clawproxy.config.section`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import Factory, field, frozen

from clawproxy.config.collection import ListOf, MappingOf, Nullable
from clawproxy.config.gateway import OpenClawProviderConfig
from clawproxy.config.http import HTTPProviderConfig
from clawproxy.config.provider import DemoProviderConfig, Provider, ProviderConfig, check_name
from clawproxy.config.section import Section, described
from clawproxy.config.server import (
    ApiKey,
    AuthConfig,
    CorsConfig,
    DrainConfig,
    ServerConfig,
)
from clawproxy.config.shape import Flag
from clawproxy.config.storage import DashboardConfig, StorageConfig
from clawproxy.config.text import Choice, FileName, Text

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
