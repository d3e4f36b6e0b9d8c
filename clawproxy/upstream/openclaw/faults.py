"""What a gateway says went wrong, in terms that a caller understands.

1. :func:`refused` reads the error of a request that was not accepted: the caller's fault or the
   gateway's.
2. :func:`failed` reads the words with which a run failed: what its model's provider said, mostly.
3. :func:`unreachable` words why there is no connection.

A provider's 401 inside the gateway is not the caller's: clients would ask their user for another
key. Only what a client can act on keeps its status (429, 529, and a prompt that is too long).
"""

from __future__ import annotations

import re

from clawproxy.core.errors import Kind, ProxyError, Reported
from clawproxy.upstream.openclaw.frames import GatewayError, scrub
from clawproxy.upstream.openclaw.refusal import Refusal

_STATUS = re.compile(r"\bHTTP (\d{3})\b")
_UNKNOWN_AGENT = re.compile(
    r"unknown agent id|does not match session key agent|session key belongs to", re.IGNORECASE
)
_TOO_LONG = re.compile(
    r"context (window|length)|prompt is too long|context overflow", re.IGNORECASE
)
_ERROR_TEXT = re.compile(r"HTTP \d{3}\b|terminated$|LLM request |Request timed out|⚠️")
MAX_WORDS = 2000
"""Characters of a gateway's words that are passed on."""


def _words(message: str) -> str:
    return scrub(message.removeprefix("FailoverError: ")).strip()[:MAX_WORDS] or "no reason given"


def refused(error: GatewayError, agent: str) -> ProxyError:
    """Read why the gateway did not accept a run.

    :param agent: the agent that was asked.
    """
    message = _words(error.message)
    if _UNKNOWN_AGENT.search(error.message):
        return Reported(
            Kind.MODEL_NOT_FOUND, f"the gateway has no agent {agent!r}: {message}", param="model"
        )
    if "UnsupportedAttachment" in error.message or "image input" in error.message:
        return Reported(
            Kind.UNSUPPORTED_PARAMETER,
            f"the agent {agent!r} does not take this attachment: {message}",
            param="messages",
        )
    if error.code == "UNAVAILABLE":
        headers: tuple[tuple[str, str], ...] = ()
        if error.retry_after is not None:
            headers = (("retry-after", str(max(1, round(error.retry_after)))),)
        return Reported(
            Kind.UNAVAILABLE, f"the OpenClaw gateway is not available: {message}", headers=headers
        )
    if error.code == "INVALID_REQUEST" and "unknown method" not in error.message:
        return Reported(Kind.INVALID_REQUEST, f"the OpenClaw gateway says: {message}")
    return Reported(Kind.API, f"the OpenClaw gateway says: {error.code}: {message}", status=502)


def failed(message: str) -> ProxyError:
    """Read why a run failed.

    :param message: the gateway's words, which quote the provider's.
    """
    words = _words(message)
    match = _STATUS.search(words)
    status = int(match[1]) if match else 0
    lower = words.lower()
    if status == 429 or "rate limit" in lower:
        kind, http = Kind.RATE_LIMIT, 0
    elif status == 529 or "overloaded" in lower:
        kind, http = Kind.OVERLOADED, 0
    elif status == 413 or _TOO_LONG.search(words):
        kind, http = Kind.INVALID_REQUEST, 0
    elif "timed out" in lower:
        kind, http = Kind.UPSTREAM_TIMEOUT, 0
    else:
        kind, http = Kind.API, 502
    return Reported(kind, f"the agent's run failed: {words}", status=http)


def aborted() -> ProxyError:
    """Word that somebody at the gateway stopped the run."""
    return ProxyError(Kind.API, "the run was aborted at the gateway", status=502)


def looks_like_error(text: str) -> bool:
    """Whether a payload is how a gateway before 2026.5 words a provider's failure as an answer."""
    return _ERROR_TEXT.match(text.strip()) is not None


def unreachable(refusal: Refusal | None) -> ProxyError:
    """Word a missing connection for a caller."""
    why = f": {refusal}" if refusal is not None else ""
    kind = Kind.UPSTREAM_UNREACHABLE
    if refusal is not None and refusal.keyless:
        # As with any other provider that has no key.
        kind = Kind.AUTHENTICATION
    return ProxyError(kind, f"the OpenClaw gateway is not connected{why}")
