"""The counting itself: plain dictionaries, since a client library's counters cost more than parsing a request.

:class:`Counts` is an observer of exchanges. Labels are bounded: a model that is the hundredth and first
counts as ``other``, so that callers cannot fill memory with made-up names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

from attrs import define, field

from clawproxy.core.record import Exchange

MOST_MODELS = 100
"""Distinct model names that get a label of their own."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
"""Upper bounds of the histograms' buckets, seconds."""

GAP_BITS = 20
"""Buckets of the gaps between pieces: powers of two, from under 1 ms to over 262 s."""


@define(eq=False)
class Histogram:
    """How often a value fell into each bucket.

    :ivar counts: one for each bound, and one for all above.
    """

    bounds: Sequence[float]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


def _seconds() -> Histogram:
    return Histogram(SECONDS)


@define(eq=False)
class Counts:
    """What has happened since the process began."""

    watching: bool = False
    exchanges: dict[tuple[str, ...], int] = field(factory=lambda: defaultdict(int))
    tokens: dict[tuple[str, ...], int] = field(factory=lambda: defaultdict(int))
    cost: dict[tuple[str, ...], float] = field(factory=lambda: defaultdict(float))
    retries: dict[str, int] = field(factory=lambda: defaultdict(int))
    fallbacks: dict[str, int] = field(factory=lambda: defaultdict(int))
    sent_bytes: int = 0
    received_bytes: int = 0
    ttft: dict[tuple[str, ...], Histogram] = field(factory=lambda: defaultdict(_seconds))
    duration: dict[tuple[str, ...], Histogram] = field(factory=lambda: defaultdict(_seconds))
    gaps: list[int] = field(factory=lambda: [0] * (GAP_BITS + 1))
    gaps_total: float = 0.0
    lag: Histogram = field(factory=_seconds)
    _models: set[str] = field(factory=set)

    def model(self, name: str | None) -> str:
        """Give the label of a model."""
        if not name:
            return ""
        if name in self._models:
            return name
        if len(self._models) < MOST_MODELS and len(name) <= 128:
            self._models.add(name)
            return name
        return "other"

    def started(self, exchange: Exchange) -> None:
        """Count nothing yet."""

    def progress(self, exchange: Exchange, data: bytes) -> None:
        """Count nothing of it."""

    def finished(self, exchange: Exchange) -> None:
        """Count an exchange."""
        dialect, provider = exchange.dialect or "", exchange.provider or ""
        # A name that no upstream accepted is the caller's invention and gets no label.
        known = exchange.status is not None and exchange.status < 400
        model = self.model(exchange.routed_model) if known else ""
        status = str(exchange.status or "")
        self.exchanges[dialect, provider, model, status, exchange.outcome] += 1
        self.sent_bytes += exchange.response_bytes
        self.received_bytes += exchange.request_bytes
        if exchange.tries > 1:
            self.retries[provider] += exchange.tries - 1
        if exchange.ttft_ms is not None:
            self.ttft[dialect, provider].observe(exchange.ttft_ms / 1000)
        if exchange.duration_ms is not None:
            self.duration[dialect, provider].observe(exchange.duration_ms / 1000)
        usage = exchange.usage
        if usage is not None:
            tokens = self.tokens
            tokens[provider, model, "input"] += usage.input_tokens
            tokens[provider, model, "output"] += usage.output_tokens
            tokens[provider, model, "cache_read"] += usage.cache_read_input_tokens
            tokens[provider, model, "cache_creation"] += usage.cache_creation_input_tokens
            tokens[provider, model, "reasoning"] += usage.reasoning_tokens
        if exchange.cost_usd is not None:
            self.cost[provider, model] += exchange.cost_usd

    def gap(self, milliseconds: float) -> None:
        """Count the time between two pieces of a stream."""
        self.gaps[min(int(milliseconds).bit_length(), GAP_BITS)] += 1
        self.gaps_total += milliseconds
