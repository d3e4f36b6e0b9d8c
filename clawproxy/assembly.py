"""What the service is made of: :func:`assemble` puts the parts together and has no behaviour of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from clawproxy import agents_dir, prices
from clawproxy.config.model import Config
from clawproxy.config.server import ServerConfig
from clawproxy.core.subagents import Definition
from clawproxy.dashboard.dashboard import Dashboard
from clawproxy.drain import Drain
from clawproxy.metrics import Collector
from clawproxy.metrics.lag import LagMeter
from clawproxy.relay.switchboard import Switchboard, Wiring, wire
from clawproxy.store.service import RecordingService
from clawproxy.upstream.providers import Providers
from clawproxy.web.bodies import Uploads, welcome_of
from clawproxy.web.gateways import AgentSearch, AgentSource, Tools
from clawproxy.web.models import Models
from clawproxy.web.openapi import OpenAPI
from clawproxy.web.operations import Health, Livez, Metrics, Report
from clawproxy.web.root import Root, counts_of
from clawproxy.web.site import ProxySite
from clawproxy.web.v1 import refusal, stamping

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
    providers: Providers
    recording: RecordingService
    parts: list[Part] = field(factory=list)
    _definitions: Sequence[Definition] = ()
    _log = Logger()

    def rewire(self, config: Config) -> None:
        """Use another configuration from now on; exchanges under way keep theirs."""
        before = dict(self.providers.by_name)
        self.providers.change(config)
        self.board.wiring = self._wired(config)
        self._limit(config.server)
        for name, provider in before.items():
            if self.providers.by_name.get(name) is not provider:
                self.board.forget(name)
        if config.subagents.enable:
            reading = Deferred.fromCoroutine(AgentFiles(self).start())
            reading.addErrback(self._unread)

    def _limit(self, server: ServerConfig) -> None:
        """Use other limits towards callers; open connections keep their idle timeout."""
        site, drain = self.site, self.drain
        site.max_body, site.max_bodies = server.max_body, server.max_bodies
        site.timeOut = server.idle_timeout
        site.send_timeout = server.send_timeout
        drain.timeout, drain.settle = server.drain.timeout, server.drain.settle
        drain.log_every = server.drain.log_every

    def _unread(self, failure: Failure) -> None:
        self._log.failure("the subagents' definitions could not be read", failure)

    def _wired(self, config: Config) -> Wiring:
        wiring = wire(config, self.providers.by_name, self._definitions)
        return evolve(wiring, router=wiring.router.with_agents(self.providers.agents))

    def agents_known(self) -> None:
        """Route what the gateways' agents are called from now on."""
        wiring = self.board.wiring
        router = wiring.router.with_agents(self.providers.agents)
        self.board.wiring = evolve(wiring, router=router)

    def subagents_known(self, definitions: Sequence[Definition]) -> None:
        """Recognise Claude Code's subagents by these definitions from now on."""
        self._definitions = definitions
        self.board.wiring = self._wired(self.board.wiring.config)


def assemble(config: Config, reactor: Any) -> Assembly:
    """Put a proxy together; nothing of it runs yet."""
    limits = config.server.drain
    drain = Drain(reactor, limits.timeout, limits.settle, limits.log_every)
    known: list[Assembly] = []
    providers = Providers(config, reactor, lambda: known[0].agents_known())
    board = Switchboard(reactor, wire(config, providers.by_name), drain)
    board.look_again = providers.look_again
    recording = RecordingService(config.storage, reactor)
    reports: dict[str, Report] = {}
    if recording.enabled:
        reports["recorder"] = lambda: _recorder_report(recording)
    reports["gateways"] = lambda: {
        name: gateway.health() for name, gateway in providers.gateways.items()
    }
    collector = Collector(
        board.counts,
        lambda: drain.in_flight,
        lambda: drain.draining,
        lambda: board.circuits,
        lambda: _recorder_numbers(recording),
    )
    pages: dict[bytes, IResource] = {
        b"health": Health(drain, reports),
        b"livez": Livez(drain, reactor),
        b"metrics": Metrics(collector),
        b"openapi.json": OpenAPI(reactor, "json", lambda: board.wiring.cors),
        b"openapi.yaml": OpenAPI(reactor, "yaml", lambda: board.wiring.cors),
    }
    shown: list[Part] = []
    uploads: Uploads | None = None
    if config.dashboard.enabled:
        dashboard = Dashboard(
            reactor,
            board,
            lambda: [gateway.approvals for gateway in providers.gateways.values()],
            {
                "health": lambda: {
                    name: told for name, report in reports.items() if (told := report())
                }
            },
            recording.instance,
        )
        board.observers.append(dashboard.live)
        pages.update(dashboard.pages)
        shown += dashboard.parts
        uploads = dashboard.uploads
    models = Models(
        board,
        lambda _: [AgentSource(each) for each in providers.gateways.values()],
        AgentSearch(board, providers),
    )
    tools = Tools(board, providers)
    root = Root(
        board,
        pages,
        {
            "/v1/models": models.answer,
            "/v1/models/*": models.answer,
            "/v1/tools": tools.answer,
        },
        models.of_provider,
    )
    site = ProxySite(
        root,
        root.api,
        reactor,
        drain,
        config.server.max_body,
        config.server.idle_timeout,
        counts_of(board),
        refusal(board),
        stamping(board),
        welcome_of(board, uploads),
        config.server.max_bodies,
        config.server.send_timeout,
    )
    drain.leaves(cut=board.cut, begun=site.close_waiting)
    assembly = Assembly(reactor, board, drain, site, providers, recording)
    known.append(assembly)
    assembly.parts = [
        Prices(board, reactor, config.storage.prices),
        Recording(recording, board),
        AgentFiles(assembly),
        providers,
        LagMeter(reactor, board.counts),
        *shown,
    ]
    return assembly


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


@frozen
class Prices:
    """The price table, read from disk at the start; until then nothing has a price."""

    board: Switchboard
    reactor: Any
    path: str | None

    async def start(self) -> None:
        """Read it, in a thread."""
        pool = self.reactor.getThreadPool()
        self.board.prices = await deferToThreadPool(self.reactor, pool, prices.load, self.path)

    async def stop(self) -> None:
        """Nothing is held."""


@frozen
class AgentFiles:
    """The definitions of Claude Code's subagents, read from disk at the start."""

    assembly: Assembly
    _log = Logger()

    async def start(self) -> None:
        """Read them, in a thread, where the configuration wants them."""
        subagents = self.assembly.board.wiring.config.subagents
        if not subagents.enable:
            return
        reactor = self.assembly.reactor
        definitions, problems = await deferToThreadPool(
            reactor, reactor.getThreadPool(), agents_dir.load, subagents.agents_dirs
        )
        for problem in problems:
            self._log.warn("subagents: {problem}", problem=problem)
        self.assembly.subagents_known(definitions)

    async def stop(self) -> None:
        """Nothing is held."""


def _recorder_numbers(recording: RecordingService) -> dict[str, float]:
    state = recording.state
    if state is None:
        return {}
    return {
        "queued_bytes": state.journal.queued_bytes,
        "segments": state.journal.segments,
        "segment_bytes": state.journal.segment_bytes,
        "dropped": state.journal.dropped,
        "dropped_pieces": state.journal.dropped_pieces,
        "indexer_running": float(state.indexer_running),
        "indexer_restarts": state.indexer_restarts,
    }


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
