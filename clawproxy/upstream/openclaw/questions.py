"""Approvals as they come from the gateway, shown to the user whose agent wants them:
:class:`Questions`.

An approval of another client's is only listed, for operators.
"""

from __future__ import annotations

from collections.abc import Callable

from clawproxy.upstream.openclaw.approvals import Approval, read_approval
from clawproxy.upstream.openclaw.connection import GatewayConnection
from clawproxy.upstream.openclaw.conversation import Conversations
from clawproxy.upstream.openclaw.desk import ApprovalDesk
from clawproxy.upstream.openclaw.frames import Event
from clawproxy.upstream.openclaw.handshake import Hello
from clawproxy.upstream.openclaw.underway import RunsUnderway


class Questions:
    """Ask users.

    :param desk: where approvals are entered and decided.
    :param clock: gives seconds since the epoch.
    """

    def __init__(
        self,
        connection: GatewayConnection,
        desk: ApprovalDesk,
        conversations: Conversations,
        runs: RunsUnderway,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._desk = desk
        self._conversations = conversations
        self._runs = runs
        self._clock = clock

    def requested(self, event: Event) -> None:
        """Take an ``exec.approval.requested`` event."""
        approval = read_approval(event.payload, self._clock(), fresh=True)
        if approval is not None and self._desk.book.enter(approval):
            self._ask(approval, event.raw)

    async def catch_up(self, hello: Hello) -> None:
        """See which approvals wait on a new connection, where the gateway tells.

        :raises ProxyError: the connection is lost meanwhile.
        """
        if "exec.approval.list" not in hello.methods:
            return
        response = await self._connection.request("exec.approval.list", {})
        if response.error is None:
            for approval in self._desk.read_all(response.payload, self._clock()):
                self._ask(approval)

    def _ask(self, approval: Approval, raw: str = "") -> None:
        """Show an approval in the chat that it belongs to."""
        conversation = self._conversations.of_session(approval.session_key)
        if conversation is None:
            return
        # A run from before this proxy's start still holds up those queued behind it: their caller
        # is asked.
        run = self._runs.find(approval.run_id, approval.session_key)
        conversation.approvals.append(approval.id)
        if run is not None and run.waits:
            conversation.parked = run
        # All is noted before the user can see it, and answer.
        self._conversations.keep(conversation)
        conversation.shown.add(approval.id)
        if run is None or not run.ask(approval, self._clock(), raw):
            conversation.shown.discard(approval.id)
