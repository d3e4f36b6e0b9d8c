"""OpenClaw Gateways as providers, each of whose agents is a model."""

from __future__ import annotations

import re
from typing import Literal

from attrs import field, frozen

from clawproxy.config import address
from clawproxy.config.collection import ListOf, Nullable
from clawproxy.config.http import KEEPALIVE
from clawproxy.config.number import Duration
from clawproxy.config.section import described
from clawproxy.config.shape import Flag
from clawproxy.config.text import Choice, FileName, SecretText, Text
from clawproxy.core.secret import Secret

DEFAULT_RETRIEVAL_PATTERNS = (
    r"(?s)<context>.*?</context>\s*",
    r"(?s)<source\b[^>]*>.*?</source>\s*",
    r"(?s)### Task:\s*Respond to the user query using the provided context.*?(?=<user_query>|\Z)",
)
"""What Open WebUI puts around retrieved text in its default prompt for it."""


def _check_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(str(error)) from None
    return text


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
        repr=address.mask,
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
            "Answers to openclaw, openclaw/default, and to gpt-4 and gpt-3.5-turbo where a route "
            "leads here.",
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
    tool_progress: Literal["thinking", "text", "hidden"] = field(
        default="thinking",
        metadata=described(
            Choice("thinking", "text", "hidden"),
            "Where the agent's use of its tools shows: as thinking, in the answer, or not at all.",
        ),
    )
    client_tools: Literal["refuse", "ignore"] = field(
        default="refuse",
        metadata=described(
            Choice("refuse", "ignore"),
            "Requests that offer tools of the caller's, which an agent never calls: refuse with 400, or "
            "ignore the tools. Those that Open WebUI offers by itself are ignored in any case.",
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
    keepalive: float = field(default=15.0, metadata=KEEPALIVE)
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
