"""Providers: what may be said of an upstream, by its kind.

``anthropic`` and ``openai`` name the dialect that the upstream speaks over HTTP, whoever runs it;
``openclaw`` is an OpenClaw Gateway, whose agents become models; ``demo`` answers by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeAlias

from attrs import AttrsInstance, field, frozen

from clawproxy.config.gateway import OpenClawProviderConfig
from clawproxy.config.http import KEEPALIVE, HTTPProviderConfig
from clawproxy.config.mistake import nearest_to
from clawproxy.config.number import Number
from clawproxy.config.section import described, keys_of, plain_fields, read_fields
from clawproxy.config.shape import Reading, Shape, Unfit
from clawproxy.config.text import Choice
from clawproxy.config.tree import Node, Path

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


def check_name(name: str) -> None:
    """Check that a provider's name can be a path segment and is not one of the proxy's own.

    :raises ValueError: it cannot be.
    """
    if name in RESERVED_NAMES:
        raise ValueError(f"/{name} is a path of the proxy itself")
    if not _NAME.fullmatch(name):
        raise ValueError("letters, digits, dots, dashes and underscores")


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
    keepalive: float = field(default=15.0, metadata=KEEPALIVE)


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
        if not isinstance(node.value, dict):
            raise reading.note(node.origin, at, node.kind(), self.expected)
        name = at[-1]
        try:
            kind = self._kind(node, at, reading)
        except Unfit:
            _read_of_any_kind(node.value, at, reading)
            raise
        given = Node({**node.value, "kind": Node(kind, node.origin, kind)}, node.origin)
        values, good = read_fields(KINDS[kind], given, at, reading, kind)
        if not good:
            raise Unfit(".".join(at))
        made: Any = KINDS[kind]
        provider: ProviderConfig = made(name=name, **values)
        return provider

    def _kind(self, node: Node, at: Path, reading: Reading) -> str:
        name = at[-1]
        kind_node = node.find(("kind",))
        if kind_node is not None:
            return Choice(*KINDS).read(kind_node, (*at, "kind"), reading)
        if name in KINDS:
            return name
        raise reading.note(
            node.origin,
            (*at, "kind"),
            "nothing",
            f"one of {', '.join(KINDS)}",
            nearest_to(name, list(KINDS)),
        )

    def plain(self, value: ProviderConfig) -> object:
        return plain_fields(value, value.kind)


def _read_of_any_kind(mapping: Mapping[str, Node], at: Path, reading: Reading) -> None:
    """Note what no kind of provider could have: an unknown kind must not hide the mistakes beside it."""
    sections: Iterable[type[AttrsInstance]] = KINDS.values()
    known = {name: key for section in sections for name, key in keys_of(section).items()}
    for name, item in mapping.items():
        if name == "kind":
            continue
        if name in known:
            with suppress(Unfit):
                known[name].shape.read(item, (*at, name), reading)
            continue
        found = f"an unknown key {name!r}"
        nearest = nearest_to(name, list(known))
        expected = f"one of {', '.join(known)}"
        reading.note(
            item.origin,
            (*at, name),
            found,
            expected,
            None if nearest is None else ".".join((*at, nearest)),
        )
