"""What the responses to the request that started a run say of it: :func:`read_failure` and
:class:`RunResult`.

The last one is the only reliable end. It says what the agent answered, its tokens, or what went
wrong; gateways up to 2026.3 say a failure there as if it were an answer.
"""

from __future__ import annotations

from attrs import frozen

from clawproxy.core.dialects.events import StopReason, TokenUsage
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.faults import aborted, failed, refused
from clawproxy.upstream.openclaw.frames import JSON, Response, mapping, sequence, text, texts
from clawproxy.upstream.openclaw.history import read_usage

_UNDERWAY = frozenset({"accepted", "in_flight", "started"})
"""What a first response says; anything else is a last one."""

_STOP_REASONS: dict[str, StopReason] = {
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "maxTokens": "max_tokens",
    "refusal": "refusal",
}


def read_stop_reason(word: str) -> StopReason:
    """Read a model's own word for why it stopped."""
    return _STOP_REASONS.get(word, "end_turn")


def is_underway(response: Response) -> bool:
    """Whether a response says that the run has begun; a further one ends it."""
    return response.ok and text(response.payload, "status") in _UNDERWAY


def read_failure(response: Response, agent: str, *, accepted: bool) -> ProxyError | None:
    """Read why a run failed.

    :param agent: the agent that was asked.
    :param accepted: it had begun.
    :returns: ``None`` where the response has the run's result.
    """
    if response.error is not None:
        return failed(response.error.message) if accepted else refused(response.error, agent)
    payload = response.payload
    status = text(payload, "status")
    if status in ("timeout", "aborted"):
        if payload.get("summary") == "aborted" or payload.get("stopReason") == "rpc":
            return aborted()
        return ProxyError(Kind.UPSTREAM_TIMEOUT, "the agent's run took too long for the gateway")
    return failed(text(payload, "summary")) if status == "error" else None


@frozen
class RunResult:
    """What a run came to.

    :ivar payloads: the texts of the answer; the whole of it, however much was told before.
    :ivar usage: its tokens; ``None``: not one was counted.
    :ivar stop_reason: the model's own word for why it stopped.
    """

    payloads: tuple[str, ...] = ()
    usage: TokenUsage | None = None
    stop_reason: str = ""

    @classmethod
    def read(cls, payload: JSON) -> RunResult:
        """Read the payload of a last response."""
        result = mapping(payload, "result")
        meta = mapping(result, "meta")
        return cls(
            payloads=tuple(texts(sequence(result, "payloads"))),
            usage=read_usage(mapping(mapping(meta, "agentMeta"), "usage")),
            stop_reason=text(meta, "stopReason"),
        )
