"""What the log says of exchanges: one access line each, and one ``forward_error`` line for a failed forward.

Nothing here holds a body, a key or an unmasked query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from twisted.logger import Logger

from clawproxy.core.record import Exchange

if TYPE_CHECKING:
    from clawproxy.relay.books import Books
    from clawproxy.relay.inbound import Inbound

MOST_SHOWN = 512
"""Characters of a model's name or of a path that a line shows: a caller may send megabytes of either."""

_log = Logger(namespace="clawproxy.access")
_forward_log = Logger(namespace="clawproxy.forward")


def access(exchange: Exchange) -> None:
    """Write an exchange's access line through Twisted's log, as an embedded proxy does."""
    _log.info("{line}", line=AccessLine(exchange))


class AccessLine:
    """An access line that is only put together if somebody writes it."""

    __slots__ = ("exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def __str__(self) -> str:
        each = self.exchange
        model = _token(each.model or "-")
        if each.routed_model and each.routed_model != each.model:
            model += f"->{_token(each.routed_model)}"
        usage = each.usage
        tokens = ""
        if usage is not None:
            tokens = (
                f" in={usage.input_tokens} cached={usage.cache_read_input_tokens}"
                f" out={usage.output_tokens}"
            )
        ttft = "-" if each.ttft_ms is None else f"{each.ttft_ms:.1f}ms"
        said = f' error="{_quoted(each.error)}"' if each.error else ""
        return (
            f"{each.id} {each.method} {_token(each.path)} {each.dialect or '-'} {model}"
            f" {each.provider or '-'} {each.status or '-'} {each.outcome}"
            f" ttft={ttft} duration={each.duration_ms or 0:.1f}ms"
            f" sent={each.response_bytes}B got={each.request_bytes}B{tokens}{said}"
        )

    __repr__ = __str__


def forward_error(
    books: Books, phase: Literal["connect", "headers", "body"], error: str, *, gone: bool
) -> None:
    """Write why a forward failed: once for people, once as ``key=value``."""
    exchange, inbound = books.exchange, books.inbound
    elapsed = books.now_ms() / 1000
    _forward_log.warn(
        "{id}: could not forward {path} to {provider}: {error}",
        id=exchange.id,
        path=exchange.path,
        provider=exchange.provider or "-",
        error=error,
    )
    # A list may be spread over several lines (RFC 9110 §5.2), and clients do so.
    beta = b",".join(value for name, value in inbound.headers if name.lower() == b"anthropic-beta")
    _forward_log.warn(
        "forward_error request_id={request_id} provider={provider} model={model}"
        " stream={stream} body_bytes={body_bytes} has_thinking={has_thinking}"
        ' anthropic_beta="{anthropic_beta}" query="{query}" elapsed={elapsed:.3f}s'
        ' phase={phase} client={client} error="{error}"',
        request_id=exchange.request_id,
        provider=exchange.provider or "-",
        model=_token(exchange.model or "-"),
        stream=_flag(exchange.stream),
        body_bytes=len(inbound.body),
        has_thinking=_flag(has_thinking(inbound)),
        anthropic_beta=_quoted(beta.decode("latin-1")),
        query=_quoted(exchange.query),
        elapsed=elapsed,
        phase=phase,
        client="gone" if gone else "connected",
        error=_quoted(error),
    )


def has_thinking(inbound: Inbound) -> bool:
    """Tell whether the request turns thinking on, in any dialect's way of asking."""
    members = inbound.members
    if members is None:
        return False
    thinking = members.get("thinking")
    if isinstance(thinking, dict):
        return thinking.get("type") not in (None, "disabled")
    effort = members.get("reasoning_effort")
    if effort is None:
        reasoning = members.get("reasoning")
        effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    return effort not in (None, "none")


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _token(text: str) -> str:
    if len(text) > MOST_SHOWN:
        text = f"{text[:MOST_SHOWN]}…"
    return text if text.isprintable() and " " not in text else f'"{_quoted(text)}"'


def _quoted(text: str | None) -> str:
    escaped = (text or "").replace("\\", "\\\\").replace('"', '\\"')
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in escaped)
