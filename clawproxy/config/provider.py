"""Providers: what may be said of an upstream, by its kind.

``anthropic`` and ``openai`` name the dialect that the upstream speaks over HTTP, whoever runs it;
``openclaw`` is an OpenClaw Gateway, whose agents become models; ``demo`` answers by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs
from attrs import field, frozen

from clawproxy.config import address
from clawproxy.config.mistake import nearest_to
from clawproxy.config.section import described, plain_fields, read_fields
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
    Text,
    Unfit,
    Whole,
)
from clawproxy.config.tree import Node, Path
from clawproxy.core.secret import Secret

BASE_URLS: Mapping[str, str] = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com",
}
"""Where an HTTP provider of a kind goes that names no ``base_url``."""

RESERVED_NAMES = frozenset(
    (
        "v1",
        "api",
        "ui",
        "health",
        "livez",
        "metrics",
        "openapi.json",
        "openapi.yaml",
        "favicon.ico",
        "robots.txt",
    )
)
"""First segments of the proxy's own paths: no provider can have ``/{name}/v1/…`` there."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING_HEADERS = frozenset(("host", "content-length", "transfer-encoding", "connection"))

_KEEPALIVE = described(
    Duration(),
    "Between pings on translated streams while the upstream is silent; 0 sends none.",
)


def check_name(name: str) -> None:
    """Check that a provider's name can be a path segment and is not one of the proxy's own.

    :raises ValueError: it cannot be.
    """
    if name in RESERVED_NAMES:
        raise ValueError(f"/{name} is a path of the proxy itself")
    if not _NAME.fullmatch(name):
        raise ValueError("letters, digits, dots, dashes and underscores")


def _check_header(name: str) -> None:
    if not _HEADER.fullmatch(name):
        raise ValueError("RFC 9110 allows letters, digits and a few signs")
    if name.lower() in _FRAMING_HEADERS:
        raise ValueError("the proxy itself has to set this one")


def _check_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(str(error)) from None
    return text


@frozen(kw_only=True)
class HTTPProviderConfig:
    """An upstream that speaks a dialect over HTTP.

    :ivar name: as the operator calls it; ``/{name}/v1/…`` passes through to it.
    :ivar kind: the dialect family it speaks.
    :ivar base_url: without a trailing slash or ``/v1``; append ``/v1/…``.
    :ivar headers: values are secrets, as an ``Authorization`` may be among them.
    """

    name: str
    kind: Literal["anthropic", "openai"] = field(
        metadata=described(Choice("anthropic", "openai"), "What the upstream speaks.")
    )
    base_url: str = field(
        default=attrs.Factory(lambda self: BASE_URLS[self.kind], takes_self=True),
        metadata=described(
            Text("an http:// or https:// URL", address.base_url, address.mask),
            "Where the API is; with or without /v1 at its end.",
            formerly=("url", "api_base", "endpoint", "forward_url"),
        ),
    )
    api_key: Secret | None = field(
        default=None,
        metadata=described(
            Nullable(SecretText("a key"), "the caller's own credential goes through"),
            "Replaces whatever credential the caller sent.",
            formerly=("key", "token"),
        ),
    )
    version: str = field(
        default="2023-06-01",
        metadata=described(
            Text("a date such as 2023-06-01"),
            "The anthropic-version of requests that come without one.",
            kinds=("anthropic",),
        ),
    )
    connect_timeout: float = field(
        default=10.0,
        metadata=described(Duration(above=0), "Until the upstream has accepted a connection."),
    )
    response_header_timeout: float = field(
        default=300.0,
        metadata=described(
            Duration(above=0),
            "Until the answer's headers; on calls without streaming that is all of the thinking.",
            formerly=("timeout",),
        ),
    )
    idle_timeout: float = field(
        default=300.0,
        metadata=described(Duration(above=0), "Silence between two pieces of the answer's body."),
    )
    max_retries: int = field(
        default=0,
        metadata=described(
            Whole("tries after the first"),
            "After connect failures, 408, 409, 429 and 500 and above, while no byte has reached "
            "the caller.",
            formerly=("retries",),
        ),
    )
    max_connections: int = field(
        default=1000,
        metadata=described(Whole("connections", 1), "Open to this upstream at the same time."),
    )
    keepalive: float = field(default=15.0, metadata=_KEEPALIVE)
    api: Literal["chat", "responses"] | None = field(
        default=None,
        metadata=described(
            Nullable(
                Choice("chat", "responses"),
                "both exist, and translated requests use chat",
            ),
            "Which of OpenAI's two APIs the upstream has.",
            kinds=("openai",),
        ),
    )
    headers: Mapping[str, Secret] = field(
        factory=dict,
        metadata=described(
            MappingOf("a header's name", SecretText("a header's value"), _check_header),
            "Sent with every request, in place of the caller's of these names. Shown masked.",
        ),
    )
    demote_nonstreaming: bool = field(
        default=False,
        metadata=described(
            Flag(),
            "Fetch calls without streaming as streams and put the answer together again, so "
            "that silence between bytes is what is timed, not minutes of thinking.",
            kinds=("anthropic",),
        ),
    )


DEFAULT_RETRIEVAL_PATTERNS = (
    r"(?s)<context>.*?</context>\s*",
    r"(?s)<source\b[^>]*>.*?</source>\s*",
    r"(?s)### Task:\s*Respond to the user query using the provided context.*?(?=<user_query>|\Z)",
)
"""What Open WebUI puts around retrieved text in its default prompt for it."""


@frozen(kw_only=True)
class OpenClawProviderConfig:
    """An OpenClaw Gateway: each of its agents is a model.

    :ivar name: as the operator calls it.
    :ivar url: ``ws://`` or ``wss://``.
    :ivar device_file: the ed25519 identity that the gateway pairs with, made on the first start
        (mode 0600); ``~`` has been filled in.
    :ivar thinking: how thinking reaches callers; ``auto`` is what each dialect has for it.
    """

    name: str
    kind: Literal["openclaw"] = field(
        default="openclaw", metadata=described(Choice("openclaw"), "An OpenClaw Gateway.")
    )
    url: str = field(
        default="ws://127.0.0.1:18789",
        metadata=described(
            Text("a ws:// or wss:// URL", address.gateway_url, address.mask),
            "Where the gateway listens.",
            formerly=("base_url", "gateway_url"),
        ),
    )
    token: Secret | None = field(
        default=None,
        metadata=described(
            Nullable(SecretText("a token"), "none is sent"),
            "The gateway's token (gateway.auth.token there).",
            formerly=("api_key", "gateway_token"),
        ),
    )
    password: Secret | None = field(
        default=None,
        metadata=described(
            Nullable(SecretText("a password", header_safe=False), "none is sent"),
            "The gateway's password, where it uses one in place of a token.",
        ),
    )
    default_agent: str = field(
        default="main",
        metadata=described(
            Text("an agent's id"),
            "Answers where a route leads here and the model names no agent of the gateway.",
            formerly=("default_model", "agent"),
        ),
    )
    session_mode: Literal["stateful", "passthrough"] = field(
        default="stateful",
        metadata=described(
            Choice("stateful", "passthrough"),
            "stateful sends the last user message, as the agent remembers; passthrough sends "
            "the history.",
        ),
    )
    device_file: str = field(
        default="~/.config/clawproxy/openclaw-device.json",
        metadata=described(
            FileName("a file"),
            "This proxy's identity towards the gateway, made when missing. Where systemd gives a "
            "StateDirectory, the default lies there.",
        ),
    )
    thinking: Literal["auto", "reasoning_content", "think_tags", "hidden"] = field(
        default="auto",
        metadata=described(
            Choice("auto", "reasoning_content", "think_tags", "hidden"),
            "How thinking is shown; auto is what the caller's dialect has for it.",
        ),
    )
    abort_on_disconnect: bool = field(
        default=True,
        metadata=described(Flag(), "Abort the run when the caller goes away; false lets it go on."),
    )
    approvals: bool = field(
        default=True,
        metadata=described(
            Flag(),
            "Ask in the chat when a run needs an approval; false takes no part in approvals.",
        ),
    )
    connect_timeout: float = field(
        default=10.0,
        metadata=described(
            Duration(above=0),
            "Until the gateway has accepted the connection, and how long a caller waits for one.",
        ),
    )
    keepalive: float = field(default=15.0, metadata=_KEEPALIVE)
    strip_retrieval: bool = field(
        default=False,
        metadata=described(
            Flag(), "Take text that a front-end's retrieval put into prompts out of them."
        ),
    )
    retrieval_patterns: tuple[str, ...] = field(
        default=DEFAULT_RETRIEVAL_PATTERNS,
        metadata=described(
            ListOf(Text("a Python regular expression", _check_pattern)),
            "What strip_retrieval takes out.",
        ),
    )


@frozen(kw_only=True)
class DemoProviderConfig:
    """A provider that answers by itself: a first run and a load test need no account."""

    name: str
    kind: Literal["demo"] = field(
        default="demo", metadata=described(Choice("demo"), "Answers by itself, streaming.")
    )
    tokens_per_second: float = field(
        default=50.0,
        metadata=described(
            Number("tokens a second"), "The pace of its answers; 0 is as fast as the caller reads."
        ),
    )
    keepalive: float = field(default=15.0, metadata=_KEEPALIVE)


ProviderConfig: TypeAlias = HTTPProviderConfig | OpenClawProviderConfig | DemoProviderConfig

KINDS: Mapping[str, type[ProviderConfig]] = {
    "anthropic": HTTPProviderConfig,
    "openai": HTTPProviderConfig,
    "openclaw": OpenClawProviderConfig,
    "demo": DemoProviderConfig,
}


class Provider(Shape[ProviderConfig]):
    """One provider, of its kind's class; one that is called like a kind is of that kind."""

    expected = "a mapping with kind and what that kind takes"

    def read(self, node: Node, at: Path, reading: Reading) -> ProviderConfig:
        name = at[-1]
        if not isinstance(node.value, dict):
            raise reading.note(node.origin, at, node.kind(), self.expected)
        kind_node = node.value.get("kind")
        if kind_node is None:
            if name not in KINDS:
                raise reading.note(
                    node.origin,
                    (*at, "kind"),
                    "nothing",
                    f"one of {', '.join(KINDS)}",
                    nearest_to(name, list(KINDS)),
                )
            kind = name
        else:
            kind = Choice(*KINDS).read(kind_node, (*at, "kind"), reading)
        given = Node({**node.value, "kind": Node(kind, node.origin, kind)}, node.origin)
        values, good = read_fields(KINDS[kind], given, at, reading, kind)
        if not good:
            raise Unfit(".".join(at))
        made: Any = KINDS[kind]
        provider: ProviderConfig = made(name=name, **values)
        return provider

    def plain(self, value: ProviderConfig) -> object:
        return plain_fields(value, value.kind)
