"""The dashboard as one thing to put into a proxy: :class:`Dashboard` makes its parts and joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.web.resource import IResource

from clawproxy.config.model import Config
from clawproxy.core.record import Exchange
from clawproxy.dashboard.backstage import Backstage, Local
from clawproxy.dashboard.gate import Gate
from clawproxy.dashboard.live import Live
from clawproxy.dashboard.login import Login
from clawproxy.dashboard.process import ReaderProcess
from clawproxy.dashboard.status import ApprovalCalls, Approvals, Report, Status


class Dashboard:
    """``/api/`` and ``/ui/``.

    :param reactor: the proxy's.
    :param config: gives the configuration in use; only the password may change while it runs.
    :param running: gives the exchanges under way.
    :param reports: what ``/api/status`` shows, by member.
    :param desks: gives those who have approvals.
    :param send: answers ``/api/send``, if anything can be sent again.
    :ivar live: an observer of all exchanges.
    :ivar pages: resources by first path segment.
    :ivar parts: what has to be started and stopped.
    """

    def __init__(
        self,
        reactor: Any,
        config: Callable[[], Config],
        running: Callable[[], Sequence[Exchange]],
        reports: Mapping[str, Report],
        desks: Callable[[], Sequence[Approvals]] = list,
        send: Callable[[ReaderProcess | None], Local] | None = None,
    ) -> None:
        url = config().storage.url
        self.reader = None if url == "none" else ReaderProcess(reactor, url)
        self.live = Live(reactor, running)
        gate = Gate(reactor, lambda: config().dashboard.password)
        status = Status({**reports, "dashboard": self._state})
        local: dict[str, Local] = {
            "/api/live": self.live.answer,
            "/api/status": status.answer,
            "/api/approvals": ApprovalCalls(desks).answer,
        }
        if send is not None:
            local["/api/send"] = send(self.reader)
        backstage = Backstage(gate, Login(gate, reactor), self.reader, local)
        self.pages: dict[bytes, IResource] = {b"api": backstage, b"ui": backstage}
        self.parts: list[Live | ReaderProcess] = [self.live]
        if self.reader is not None:
            self.parts.append(self.reader)

    def _state(self) -> dict[str, object]:
        reader = None if self.reader is None else self.reader.state
        return {"watchers": self.live.watchers, "reader": reader}
