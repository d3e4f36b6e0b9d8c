"""A gateway's runs that this proxy shows to somebody: :class:`RunsUnderway`.

What the gateway tells goes to the run it is about, by run id alone: every connection hears of every
client's runs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from clawproxy.config.gateway import OpenClawProviderConfig
from clawproxy.core.errors import ProxyError
from clawproxy.upstream.openclaw.approvals import Approval
from clawproxy.upstream.openclaw.blocks import Showing
from clawproxy.upstream.openclaw.connection import GatewayConnection
from clawproxy.upstream.openclaw.conversation import Conversations
from clawproxy.upstream.openclaw.dispatch import Mission, prepare
from clawproxy.upstream.openclaw.errand import Errand
from clawproxy.upstream.openclaw.frames import Event, text
from clawproxy.upstream.openclaw.gateway_run import GatewayRun
from clawproxy.upstream.openclaw.handshake import Hello
from clawproxy.upstream.openclaw.runs import RunTranslator
from clawproxy.upstream.provider import Wire

_THINKING: dict[str, Showing] = {"think_tags": "text", "hidden": "hidden"}


class RunsUnderway:
    """Begin runs, take up others', and bring them what the gateway tells.

    :param conversations: hear which session each run is in.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        connection: GatewayConnection,
        config: OpenClawProviderConfig,
        conversations: Conversations,
    ) -> None:
        self._reactor = reactor
        self._connection = connection
        self._config = config
        self._conversations = conversations
        self._runs: dict[str, GatewayRun] = {}
        self._watchers: list[Callable[[str, str, Event], None]] = []

    def __len__(self) -> int:
        return len(self._runs)

    def find(self, run_id: str, session_key: str) -> GatewayRun | None:
        """Find a run by its id, else the oldest run of a session: a gateway does one at a time
        there."""
        if run_id in self._runs:
            return self._runs[run_id]
        for run in self._runs.values():
            if run.mission.session_key == session_key:
                return run
        return None

    # --- taking runs in

    def dispatch(self, errand: Errand, hello: Hello) -> GatewayRun:
        """Prepare a run, which its :meth:`~.gateway_run.GatewayRun.start` then starts.

        :raises ProxyError: the errand does not fit the gateway.
        """
        mission = prepare(errand, hello, str(uuid.uuid4()))
        return self._take(mission, errand, hello)

    def adopt(
        self, errand: Errand, approval: Approval, hello: Hello, wire: Wire | None = None
    ) -> GatewayRun | None:
        """Take up the run that waits for an approval, although it was started before this proxy.

        :param wire: for whose record.
        """
        if not approval.run_id or approval.run_id in self._runs:
            return self._runs.get(approval.run_id)
        session = approval.session_key or errand.session_key
        run = self._take(Mission("agent", approval.run_id, session, {}), errand, hello, wire)
        run.adopt()
        return run

    def _take(
        self, mission: Mission, errand: Errand, hello: Hello, wire: Wire | None = None
    ) -> GatewayRun:
        translator = RunTranslator(
            errand.agent,
            protocol=hello.protocol,
            thinking=_THINKING.get(self._config.thinking, "thinking"),
            progress=self._config.tool_progress,
        )
        run = GatewayRun(
            self._reactor, self._connection, mission, hello, translator, self._ended, wire
        )
        self._runs[mission.run_id] = run
        self._conversations.note_session(mission.session_key, errand.conversation)
        return run

    def _ended(self, run: GatewayRun) -> None:
        self._runs.pop(run.mission.run_id, None)

    async def follow_up(
        self,
        session_key: str,
        errand: Errand,
        hello: Hello,
        timeout: float,
        wire: Wire | None = None,
    ) -> GatewayRun | None:
        """Wait for what a gateway does after it ran a command whose run had not waited.

        Gateways from 2026.1 to 2026.3 start another run then: in the same session, which is taken
        up, or as a heartbeat in the agent's main session. That one is not shown, since it belongs
        to whoever else uses the main session; it only tells that the command has ended.

        :param wire: for whose record the run is taken up.
        :returns: the run in the same session, or ``None`` once there is no use in waiting.
        """
        heard: Deferred[GatewayRun | None] = Deferred()

        def watch(session: str, run_id: str, event: Event) -> None:
            if heard.called:
                return
            if session.lower() == session_key:
                run = self._take(Mission("agent", run_id, session_key, {}), errand, hello, wire)
                run.event(event)
                run.adopt()
                heard.callback(run)
            elif session.lower() == f"agent:{errand.agent}:main":
                heard.callback(None)

        self._watchers.append(watch)
        late = self._reactor.callLater(timeout, heard.callback, None)
        try:
            return await heard
        finally:
            self._watchers.remove(watch)
            if late.active():
                late.cancel()

    # --- what the gateway does

    def event(self, event: Event) -> None:
        """Take an ``agent`` or ``chat`` event."""
        run_id = text(event.payload, "runId")
        run = self._runs.get(run_id)
        if run is not None:
            run.event(event)
        elif self._watchers and event.name == "agent" and run_id:
            session = text(event.payload, "sessionKey")
            for watcher in list(self._watchers):
                watcher(session, run_id, event)

    def regained(self, hello: Hello) -> None:
        """Take up what the last connection left."""
        for run in list(self._runs.values()):
            run.regained(hello)

    def lost(self, error: ProxyError, *, final: bool) -> None:
        """Fail what is lost, and keep what may be taken up again.

        :param final: the gateway is going away, not only the connection.
        """
        for run in list(self._runs.values()):
            run.lost(error, final=final)
