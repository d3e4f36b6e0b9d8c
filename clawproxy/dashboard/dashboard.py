"""The dashboard as one thing to put into a proxy: :class:`Dashboard` makes its parts and joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.web.resource import IResource

from clawproxy import __version__
from clawproxy.dashboard.access import facts_of
from clawproxy.dashboard.backstage import Backstage, Local
from clawproxy.dashboard.gate import Gate
from clawproxy.dashboard.live import Live
from clawproxy.dashboard.login import Login
from clawproxy.dashboard.process import ReaderProcess
from clawproxy.dashboard.remote import Remote
from clawproxy.dashboard.send import Sender
from clawproxy.dashboard.status import ApprovalCalls, Approvals, Report, Status
from clawproxy.relay.switchboard import Switchboard


class Dashboard:
    """``/api/`` and ``/ui/``.

    :param reactor: the proxy's.
    :param board: the relay's; its configuration is asked anew each time, because a reload may change it.
    :param desks: gives those who have approvals.
    :param reports: further members of ``/api/status``.
    :param instance: this proxy's name in the store, where it records.
    :ivar live: an observer of all exchanges; it has to be told of them.
    :ivar pages: resources by first path segment.
    :ivar uploads: tells whether a request may bring a large body.
    :ivar parts: what has to be started and stopped.
    """

    def __init__(
        self,
        reactor: Any,
        board: Switchboard,
        desks: Callable[[], Sequence[Approvals]],
        reports: Mapping[str, Report],
        instance: str = "",
    ) -> None:
        self._board = board
        url = board.wiring.config.storage.url
        self.reader = None if url == "none" else ReaderProcess(reactor, url)
        self.live = Live(
            reactor,
            lambda: [forward.exchange for forward in board.running],
            lambda: board.wiring.config.storage.bodies == "metadata",
        )
        if self.reader is not None and not url.startswith("sqlite:"):
            self.live.on_watching = Remote(reactor, self.reader, instance, self.live.tell).watch
        gate = self._gate = Gate(reactor, lambda: board.wiring.config.dashboard.password)
        status = Status(
            {
                "version": lambda: __version__,
                "draining": lambda: board.drain.draining,
                "in_flight": lambda: board.drain.in_flight,
                "providers": self._providers,
                "dashboard": self._state,
                **reports,
            }
        )
        local: dict[str, Local] = {
            "/api/live": self.live.answer,
            "/api/status": status.answer,
            "/api/approvals": ApprovalCalls(desks).answer,
            "/api/send": Sender(board, self.reader).answer,
        }
        backstage = Backstage(gate, Login(gate, reactor), self.reader, local)
        self.pages: dict[bytes, IResource] = {b"api": backstage, b"ui": backstage}
        self.parts: list[Live | ReaderProcess] = [self.live]
        if self.reader is not None:
            self.parts.append(self.reader)

    def uploads(self, request: Any) -> bool:
        """Tell whether a request sends another again, for somebody who may well do so."""
        path = request.uri.partition(b"?")[0].lstrip(b"/")
        return path == b"api/send" and self._gate.expects(facts_of(request))

    def _providers(self) -> list[dict[str, object]]:
        circuits = self._board.circuits
        return [
            {"name": name, "kind": each.kind, "circuit": circuits.get(name, "closed")}
            for name, each in self._board.wiring.config.providers.items()
        ]

    def _state(self) -> dict[str, object]:
        reader = None if self.reader is None else self.reader.state
        return {"watchers": self.live.watchers, "reader": reader}
