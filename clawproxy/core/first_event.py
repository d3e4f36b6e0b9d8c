"""A stream's first event, so that an upstream which says only there that it is overloaded is failed over, too.

On a route that has a next target, :class:`FirstEvent` holds a stream back until its first event shows that it is not an
error that another target may not have.
"""

from __future__ import annotations

from enum import Enum, auto

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.jsonread import JSONError, read
from clawproxy.core.policy import transient
from clawproxy.core.sse import SSEDecoder, SSEEvent

MOST_HELD = 65536
"""Bytes: a stream that has sent this much without a whole event is let go as it is."""


class Held(Enum):
    """What :class:`FirstEvent` says of a stream that is not failing over."""

    HOLD = auto()
    """Not known yet: keep the bytes back."""
    RELEASE = auto()
    """Pass on what was held and all that follows."""


class FirstEvent:
    """Look at a stream until its first event is known, and tell an error from an answer.

    Comments and pings decide nothing and are held with the rest: once a ping had reached the
    caller, no other target could answer. Every other event decides, so ``message_start`` and
    ``response.created`` release the stream, and an error that comes later goes to the caller.

    A compressed stream is fed decoded, from a copy.
    """

    def __init__(self) -> None:
        self._decoder = SSEDecoder(MOST_HELD)
        self._seen = 0

    def feed(self, data: bytes) -> Held | ProxyError:
        """Take the stream's next bytes.

        :return: :attr:`Held.HOLD`, :attr:`Held.RELEASE`, or the error with which the next target
            is asked instead.
        """
        self._seen += len(data)
        for event in self._decoder.feed(data):
            verdict = _judge(event)
            if verdict is not Held.HOLD:
                return verdict
        return Held.RELEASE if self._seen >= MOST_HELD else Held.HOLD

    def close(self) -> Held | ProxyError:
        """Say that the stream has ended, cleanly, before its first event was known."""
        for event in self._decoder.close():
            verdict = _judge(event)
            if verdict is not Held.HOLD:
                return verdict
        return Held.RELEASE


def _judge(event: SSEEvent) -> Held | ProxyError:
    if event.event == "ping" or not event.data:
        return Held.HOLD
    # Only an error is worth reading, and nearly every first event is none.
    if event.event != "error" and b'"error"' not in event.data and b"failed" not in event.data:
        return Held.HOLD if b'"ping"' in event.data[:40] else Held.RELEASE
    try:
        content = read(event.data)
    except JSONError:
        return Held.RELEASE
    if not isinstance(content, dict):
        return Held.RELEASE
    return _failure(content) or Held.RELEASE


def _failure(content: dict[str, object]) -> ProxyError | None:
    """Find the error in a first event, in the shape of any dialect, if it is a transient one."""
    error: object = content.get("error")
    if content.get("type") == "response.failed":
        response = content.get("response")
        error = response.get("error") if isinstance(response, dict) else None
    elif error is None and content.get("type") == "error":
        error = content  # the Responses API's error event has no inner object
    if not error:
        return None
    if not isinstance(error, dict):
        return ProxyError(Kind.API, str(error)[:1000])
    message = error.get("message")
    kind = _kind(error)
    if kind is None:
        return None
    return ProxyError(kind, message if isinstance(message, str) else "the upstream failed")


# What vendors and their imitators write as type or code, in part: matched as a piece of the word.
_TRANSIENT_WORDS: tuple[tuple[str, Kind], ...] = (
    ("overload", Kind.OVERLOADED),
    ("capacity", Kind.OVERLOADED),
    ("rate_limit", Kind.RATE_LIMIT),
    ("ratelimit", Kind.RATE_LIMIT),
    ("quota", Kind.RATE_LIMIT),
    ("too_many", Kind.RATE_LIMIT),
    ("api_error", Kind.API),
    ("server_error", Kind.API),
    ("servererror", Kind.API),
    ("internal", Kind.API),
    ("unavailable", Kind.API),
    ("timeout", Kind.API),
    ("bad_gateway", Kind.API),
)


def _kind(error: dict[str, object]) -> Kind | None:
    """Name a transient error's kind; ``None`` for one that another target would give as well."""
    words = []
    for name in ("code", "type", "status"):
        said = error.get(name)
        if isinstance(said, str) and said.isascii() and said.isdigit() and len(said) == 3:
            said = int(said)
        if isinstance(said, int) and not isinstance(said, bool):
            if not transient(said):
                return None
            return {429: Kind.RATE_LIMIT, 529: Kind.OVERLOADED}.get(said, Kind.API)
        if isinstance(said, str) and said != "error":
            words.append(said.lower())
    for said in words:
        for piece, kind in _TRANSIENT_WORDS:
            if piece in said:
                return kind
    return None if words else Kind.API
