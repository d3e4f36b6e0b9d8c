"""What the service is made of: :func:`assemble` puts the parts together and knows no behaviour of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from clawproxy.config.model import Config, DemoProviderConfig, HTTPProviderConfig
from clawproxy.drain import Drain
from clawproxy.relay.switchboard import AnyProvider, Switchboard, wire
from clawproxy.store.service import RecordingService
from clawproxy.upstream.demo import DemoProvider
from clawproxy.upstream.http import HTTPProvider
from clawproxy.web.models import Models
from clawproxy.web.operations import Health, Livez, Report
from clawproxy.web.root import Root, counts_of
from clawproxy.web.site import ProxySite
from clawproxy.web.v1 import too_large

if TYPE_CHECKING:
    from clawproxy.service import Part


@define
class Assembly:
    """The put-together proxy.

    :ivar parts: what has to be started and stopped, in the order of starting.
    """

    reactor: Any
    board: Switchboard
    drain: Drain
    site: ProxySite
    parts: list[Part] = field(factory=list)

    def rewire(self, config: Config) -> None:
        """Use another configuration from now on; exchanges under way keep theirs."""
        old = self.board.wiring
        providers = _providers(config, self.reactor, old.config, old.providers)
        self.board.wiring = wire(config, providers)
        for name, provider in old.providers.items():
            if providers.get(name) is not provider and isinstance(provider, HTTPProvider):
                provider.close()

    def close(self) -> None:
        """Close what is left open upstream."""
        for provider in self.board.wiring.providers.values():
            if isinstance(provider, HTTPProvider):
                provider.close()


def _providers(
    config: Config,
    reactor: Any,
    old: Config | None = None,
    made: dict[str, AnyProvider] | Any = None,
) -> dict[str, AnyProvider]:
    """Make the providers; one whose configuration is the same is kept with its connections."""
    providers: dict[str, AnyProvider] = {}
    for name, each in config.providers.items():
        if old is not None and old.providers.get(name) == each:
            providers[name] = made[name]
        elif isinstance(each, HTTPProviderConfig):
            providers[name] = HTTPProvider(each, reactor)
        elif isinstance(each, DemoProviderConfig):
            providers[name] = DemoProvider(each, reactor)
    return providers


def assemble(config: Config, reactor: Any) -> Assembly:
    """Put a proxy together; nothing of it runs yet."""
    drain = Drain(
        reactor,
        config.server.drain.timeout,
        config.server.drain.settle,
        config.server.drain.log_every,
    )
    board = Switchboard(reactor, wire(config, _providers(config, reactor)), drain)
    reports: dict[str, Report] = {}
    models = Models(board)
    root = Root(
        board,
        {b"health": Health(drain, reports), b"livez": Livez(drain, reactor)},
        {"/v1/models": models.answer, "/v1/models/*": models.answer},
    )
    site = ProxySite(
        root,
        reactor,
        drain,
        config.server.max_body,
        config.server.idle_timeout,
        counts_of(board),
        too_large(board),
    )
    drain.leaves(cut=board.cut, begun=site.close_idle)
    recording = RecordingService(config.storage, reactor)
    if recording.enabled:
        reports["recorder"] = lambda: _recorder_report(recording)
    return Assembly(reactor, board, drain, site, [Recording(recording, board)])


@frozen
class Recording:
    """The recording service as a part of the proxy: exchanges are recorded once it has started."""

    service: RecordingService
    board: Switchboard

    async def start(self) -> None:
        """Begin to record."""
        await self.service.start()
        self.board.recorder = self.service.recorder

    async def stop(self) -> None:
        """Bring everything to disk."""
        await self.service.stop()


def _recorder_report(recording: RecordingService) -> dict[str, object]:
    state = recording.state
    if state is None:
        return {"state": "starting"}
    return {
        "state": state.indexer.get("state", "starting"),
        "error": state.indexer.get("error") or state.journal.failure,
        "dropped": state.journal.dropped,
        "waiting_bytes": state.journal.queued_bytes + state.journal.segment_bytes,
    }
