"""The counts in Prometheus' words, made when ``/metrics`` is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import define
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector as PrometheusCollector

from clawproxy import __version__
from clawproxy.metrics.counts import GAP_BITS, Counts, Histogram

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

CIRCUITS = {"closed": 0, "half_open": 1, "open": 2}
"""A circuit's state as the number of ``clawproxy_circuit_state``."""


@define(eq=False)
class Collector(PrometheusCollector):
    """Words :class:`Counts`, and what others can tell when asked.

    :param in_flight: gives the number of requests in flight.
    :param draining: tells whether the process leaves.
    :param circuits: gives each provider's circuit state.
    :param recorder: gives the recorder's numbers by name, none where nothing is recorded.
    """

    counts: Counts
    in_flight: Callable[[], int]
    draining: Callable[[], bool]
    circuits: Callable[[], Mapping[str, str]]
    recorder: Callable[[], Mapping[str, float]]

    def render(self) -> bytes:
        """Give the page."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def describe(self) -> Iterable[Metric]:
        """Describe nothing ahead of the collection."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Give every metric."""
        counts = self.counts
        info = GaugeMetricFamily("clawproxy_info", "The program.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield GaugeMetricFamily("clawproxy_in_flight", "Requests in flight.", self.in_flight())
        yield GaugeMetricFamily("clawproxy_draining", "1 while it leaves.", float(self.draining()))
        yield _counter(
            "clawproxy_exchanges",
            "Exchanges that ended.",
            ["dialect", "provider", "model", "status", "outcome"],
            counts.exchanges,
        )
        yield _counter(
            "clawproxy_tokens",
            "Tokens that upstreams reported, by kind; input counts no cached ones.",
            ["provider", "model", "kind"],
            counts.tokens,
        )
        yield _counter("clawproxy_cost_usd", "What they cost.", ["provider", "model"], counts.cost)
        for name, what, numbers in (
            ("clawproxy_retries", "Further tries after a first.", counts.retries),
            ("clawproxy_fallbacks", "Requests that went on to another target.", counts.fallbacks),
        ):
            yield _counter(
                name, what, ["provider"], {(provider,): n for provider, n in numbers.items()}
            )
        yield CounterMetricFamily(
            "clawproxy_sent_bytes", "Body bytes sent to callers.", counts.sent_bytes
        )
        yield CounterMetricFamily(
            "clawproxy_received_bytes", "Body bytes received from callers.", counts.received_bytes
        )
        labels = ["dialect", "provider"]
        yield _histogram("clawproxy_ttft_seconds", "Time to the first byte.", labels, counts.ttft)
        yield _histogram("clawproxy_duration_seconds", "Whole exchanges.", labels, counts.duration)
        yield self._gaps()
        lag: dict[tuple[str, ...], Histogram] = {(): counts.lag}
        yield _histogram("clawproxy_reactor_lag_seconds", "How late timers are.", [], lag)
        states = GaugeMetricFamily(
            "clawproxy_circuit_state", "0 closed, 1 half open, 2 open.", labels=["provider"]
        )
        for provider, state in self.circuits().items():
            states.add_metric([provider], CIRCUITS.get(state, 0))
        yield states
        for name, number in self.recorder().items():
            yield GaugeMetricFamily(f"clawproxy_recorder_{name}", "The recorder's.", number)

    def _gaps(self) -> Metric:
        family = HistogramMetricFamily(
            "clawproxy_gap_seconds", "Between two pieces of a stream.", labels=[]
        )
        bounds = [(2**bit) / 1000 for bit in range(GAP_BITS)]
        _add(family, [], bounds, self.counts.gaps, self.counts.gaps_total / 1000)
        return family


def _counter(
    name: str,
    what: str,
    labels: list[str],
    numbers: Mapping[tuple[str, ...], float],
) -> Metric:
    family = CounterMetricFamily(name, what, labels=labels)
    for values, number in numbers.items():
        family.add_metric(values, number)
    return family


def _histogram(
    name: str, what: str, labels: list[str], histograms: Mapping[tuple[str, ...], Histogram]
) -> Metric:
    family = HistogramMetricFamily(name, what, labels=labels)
    for values, histogram in histograms.items():
        _add(family, list(values), histogram.bounds, histogram.counts, histogram.total)
    return family


def _add(
    family: HistogramMetricFamily,
    labels: list[str],
    bounds: Iterable[float],
    counts: list[int],
    total: float,
) -> None:
    buckets = []
    below = 0
    for bound, count in zip(bounds, counts, strict=False):
        below += count
        buckets.append((str(bound), below))
    buckets.append(("+Inf", sum(counts)))
    family.add_metric(labels, buckets=buckets, sum_value=total)
