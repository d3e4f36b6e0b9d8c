"""Runs that want something: the base of the tests of approvals."""

from __future__ import annotations

from typing import Any

from tests.upstream.openclaw.calling import Caller, Sink
from tests.upstream.openclaw.gateway import AgentGateway, Connection, JSONObject
from tests.upstream.openclaw.providing import ProviderTestCase


class DecidingGateway(AgentGateway):
    """A gateway that takes decisions.

    :ivar known: the ids that it would still decide.
    :ivar slow: it takes no decision before :meth:`decide`.
    """

    def __init__(self, protocol: int = 4, **granted: Any) -> None:
        super().__init__(protocol, **granted)
        self.known: set[str] = set()
        self.slow = False
        self._held: list[tuple[Connection, JSONObject]] = []
        self.decisions: list[tuple[str, str]] = []

    def wants(self, request: JSONObject, approval: str = "ap-1", **members: Any) -> None:
        self.known.add(approval)
        super().wants(request, approval, **members)

    def requested(self, connection: Connection, frame: JSONObject) -> None:
        if frame["method"] != "exec.approval.resolve":
            super().requested(connection, frame)
            return
        if self.slow:
            self._held.append((connection, frame))
        else:
            self._decide(connection, frame)

    def decide(self) -> None:
        """Take the decisions that it was slow to take."""
        held, self._held = self._held, []
        for connection, frame in held:
            self._decide(connection, frame)

    def _decide(self, connection: Connection, frame: JSONObject) -> None:
        params = frame["params"]
        if params["id"] not in self.known:
            connection.answer(
                frame, None, code="INVALID_REQUEST", message="unknown or expired approval id"
            )
            return
        self.known.discard(params["id"])
        self.decisions.append((params["id"], params["decision"]))
        connection.answer(frame, {"ok": True})
        connection.event("exec.approval.resolved", params)


class ApprovingTestCase(ProviderTestCase):
    """A run that wants something."""

    gateway: DecidingGateway

    def asked(self, gateway: DecidingGateway | None = None, **members: Any) -> Sink:
        """Start a run that says something and then wants its command run."""
        self.gateway = gateway or DecidingGateway()
        self.begin(self.gateway)
        sink = self.caller.ask("clean up", user="u")
        self.request = self.gateway.runs()[-1]
        self.gateway.accepted(self.request)
        self.gateway.says(self.request, "Cleaning.")
        self.gateway.wants(self.request, **members)
        return sink

    def reply(self, word: str, caller: Caller | None = None) -> Sink:
        """The user's next message."""
        return (caller or self.caller).ask("clean up", "…", word, user="u")
