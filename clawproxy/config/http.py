"""HTTP providers: upstreams that speak the Anthropic or the OpenAI dialect, whoever runs them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import attrs
from attrs import field, frozen

from clawproxy.config import address
from clawproxy.config.collection import MappingOf, Nullable
from clawproxy.config.number import Duration, Whole
from clawproxy.config.section import described
from clawproxy.config.shape import Flag
from clawproxy.config.text import Choice, SecretText, Text
from clawproxy.core.secret import Secret

BASE_URLS: Mapping[str, str] = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com",
}
"""Where an HTTP provider of a kind goes that names no ``base_url``."""

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING_HEADERS = frozenset(("host", "content-length", "transfer-encoding", "connection"))

KEEPALIVE = described(
    Duration(),
    "Between pings on translated streams while the upstream is silent; 0 sends none.",
)
"""How often translated streams are kept alive, for every kind of provider."""


def _check_header(name: str) -> None:
    if not _HEADER.fullmatch(name):
        raise ValueError("RFC 9110 allows letters, digits and a few signs")
    if name.lower() in _FRAMING_HEADERS:
        raise ValueError("the proxy itself has to set this one")


def _check_version(version: str) -> str:
    version = version.strip()
    if not (version.isascii() and version.isprintable()):
        raise ValueError("only printable ASCII can be sent in a header")
    return version


def _check_base_url(url: str) -> str:
    address.base_url(url)
    return url.strip()


@frozen(kw_only=True)
class HTTPProviderConfig:
    """An upstream that speaks a dialect over HTTP.

    :ivar name: as the operator calls it; ``/{name}/v1/…`` passes through to it.
    :ivar kind: the dialect family it speaks.
    :ivar base_url: as it was written, with or without ``/v1``; :attr:`root` is for use.
    :ivar headers: values are secrets, as an ``Authorization`` may be among them.
    """

    name: str
    kind: Literal["anthropic", "openai"] = field(
        metadata=described(Choice("anthropic", "openai"), "What the upstream speaks.")
    )
    base_url: str = field(
        default=attrs.Factory(lambda self: BASE_URLS[self.kind], takes_self=True),
        metadata=described(
            Text("an http:// or https:// URL", _check_base_url, address.mask),
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
            Text("a date such as 2023-06-01", _check_version),
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
    keepalive: float = field(default=15.0, metadata=KEEPALIVE)
    api: Literal["chat", "responses"] | None = field(
        default=None,
        metadata=described(
            Nullable(
                Choice("chat", "responses"),
                "both exist; translated requests use chat, or responses for OpenAI's own reasoning models",
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
    cache_prompts: bool | None = field(
        default=None,
        metadata=described(
            Nullable(Flag(), "at Anthropic itself they are set, elsewhere not"),
            "Mark where Anthropic may cache the conversations of callers of OpenAI's APIs, which cache by "
            "themselves there.",
            kinds=("anthropic",),
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

    @property
    def root(self) -> str:
        """Where the API is, without a trailing slash or ``/v1``: append ``/v1/…``."""
        return address.base_url(self.base_url)
