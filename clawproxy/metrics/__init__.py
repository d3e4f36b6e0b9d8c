"""What the proxy counts, for Prometheus: cheap to count, worded only when somebody asks."""

from __future__ import annotations

from clawproxy.metrics.collector import Collector
from clawproxy.metrics.counts import Counts

__all__ = ["Collector", "Counts"]
