"""What operators and load balancers ask: ``/health``, ``/livez``, ``/metrics``. None needs a key or counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web import server
from twisted.web.resource import Resource

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.timestamp import rfc3339
from clawproxy.drain import Drain
from clawproxy.metrics.collector import CONTENT_TYPE, Collector
from clawproxy.web.request import ProxyRequest

Report = Callable[[], Mapping[str, object]]
"""Gives what a part of the program has to say of its health, under names of its own."""

_UNCACHED = [(b"Cache-Control", b"no-store")]


def refuse_method(request: ProxyRequest) -> bool:
    """Refuse whatever is neither GET nor HEAD.

    :return: whether it was refused.
    """
    if request.method in (b"GET", b"HEAD"):
        return False
    path = request.path.decode("latin-1")[:200]
    words = f"{path} takes GET and HEAD, not {request.method.decode('latin-1')[:40]}"
    allow = (("Allow", "GET, HEAD"),)
    request.site.refuse(request, ProxyError(Kind.METHOD_NOT_ALLOWED, words, headers=allow))
    return True


class Health(Resource):
    """``/health``: whether new work may be sent here; 503 from the first moment of a drain.

    :param reports: further facts, by name; an empty one is left out, and a fault in one does not make
        the proxy unhealthy.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, drain: Drain, reports: Mapping[str, Report]) -> None:
        super().__init__()
        self._drain = drain
        self._reports = reports

    def render(self, request: ProxyRequest) -> int:
        """Answer GET and HEAD."""
        if refuse_method(request):
            return server.NOT_DONE_YET
        draining = self._drain.draining
        facts: dict[str, object] = {
            "status": "draining" if draining else "ok",
            "in_flight": self._drain.in_flight,
        }
        for name, report in self._reports.items():
            try:
                told = report()
                if told:
                    facts[name] = told
            except Exception as error:  # noqa: BLE001 - whoever cannot tell how it fares is not the proxy
                self._log.failure("bug: {name} cannot tell how it fares", name=name)
                facts[name] = {"state": "unknown", "error": type(error).__name__}
        request.answer_json(503 if draining else 200, facts, _UNCACHED)
        return server.NOT_DONE_YET


class Metrics(Resource):
    """``/metrics``: the counts, in Prometheus' text format."""

    isLeaf = True

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self._collector = collector

    def render(self, request: ProxyRequest) -> int:
        """Answer GET and HEAD."""
        if refuse_method(request):
            return server.NOT_DONE_YET
        body = self._collector.render()
        lines = [(b"Content-Type", CONTENT_TYPE), (b"Content-Length", b"%d" % len(body))]
        request.send_head(200, b"OK", lines + _UNCACHED)
        request.write(body)
        request.finish()
        return server.NOT_DONE_YET


class Livez(Resource):
    """``/livez``: that the process answers at all, and how much it carries; always 200."""

    isLeaf = True

    def __init__(self, drain: Drain, reactor: IReactorTime) -> None:
        super().__init__()
        self._drain = drain
        self._reactor = reactor

    def render(self, request: ProxyRequest) -> int:
        """Answer GET and HEAD."""
        if refuse_method(request):
            return server.NOT_DONE_YET
        draining = self._drain.draining
        facts = {
            "status": "draining" if draining else "ok",
            "in_flight": self._drain.in_flight,
            "draining": draining,
            "timestamp": rfc3339(self._reactor.seconds()),
        }
        request.answer_json(200, facts, _UNCACHED)
        return server.NOT_DONE_YET
