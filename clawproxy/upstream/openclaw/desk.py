"""Where approvals are decided: by a user in the chat, or by an operator in the dashboard.

:class:`ApprovalDesk` is what ``GET /api/approvals`` and ``POST /api/approvals/{id}`` use. It asks
the gateway, which has the last word: an approval may have been decided elsewhere, or have expired.
"""

from __future__ import annotations

from twisted.logger import Logger

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.core.timestamp import rfc3339
from clawproxy.upstream.openclaw.approvals import (
    Approval,
    ApprovalBook,
    Decision,
    Standing,
    read_approval,
)
from clawproxy.upstream.openclaw.connection import GatewayConnection
from clawproxy.upstream.openclaw.faults import refused
from clawproxy.upstream.openclaw.frames import JSON, sequence, text
from clawproxy.upstream.provider import Wire


def _moment(seconds: float) -> str | None:
    return rfc3339(seconds) if seconds > 0 else None


class ApprovalDesk:
    """Decide a gateway's approvals.

    :param provider: the provider's name, which goes with each approval.
    """

    log = Logger()

    def __init__(self, provider: str, connection: GatewayConnection, book: ApprovalBook) -> None:
        self._provider = provider
        self._connection = connection
        self.book = book

    def list(self) -> list[dict[str, object]]:
        """All approvals that wait, oldest first, as JSON has them."""
        return [self._plain(approval) for approval in self.book.pending()]

    def _plain(self, approval: Approval) -> dict[str, object]:
        return {
            "id": approval.id,
            "provider": self._provider,
            "agent": approval.agent or None,
            "command": approval.command,
            "cwd": approval.cwd or None,
            "host": approval.host or None,
            "warning": approval.warning or None,
            "session_key": approval.session_key or None,
            "run_id": approval.run_id or None,
            "decisions": list(approval.allowed),
            "standing": approval.standing.value,
            "created_at": _moment(approval.created),
            "expires_at": _moment(approval.expires),
        }

    async def resolve(self, approval_id: str, decision: str) -> dict[str, object]:
        """Decide an approval for an operator.

        :param decision: ``allow-once``, ``allow-always`` or ``deny``.
        :returns: the approval as it stands afterwards, as JSON has it.
        :raises ProxyError: ``NOT_FOUND``; ``INVALID_REQUEST`` for a decision that is not offered;
            ``CONFLICT`` where it is decided or expired already; whatever the connection raises.
        """
        approval = self.book.get(approval_id)
        if approval is None:
            raise ProxyError(Kind.NOT_FOUND, f"there is no approval {approval_id[:100]!r}")
        if approval.standing is not Standing.PENDING:
            raise ProxyError(Kind.CONFLICT, f"the approval is {approval.standing.value} already")
        offered = next((d for d in approval.allowed if d == decision), None)
        if offered is None:
            raise ProxyError(
                Kind.INVALID_REQUEST,
                f"expected one of {', '.join(approval.allowed)}, found {decision[:100]!r}",
                param="decision",
            )
        decided = await self.decide(approval_id, offered)
        if decided.standing is Standing.EXPIRED:
            raise ProxyError(Kind.CONFLICT, "the approval is expired already")
        return self._plain(decided)

    async def decide(
        self, approval_id: str, decision: Decision, wire: Wire | None = None
    ) -> Approval:
        """Decide an approval.

        :param wire: keeps question and answer for a call's record.
        :returns: it as it stands afterwards; ``EXPIRED`` where the gateway no longer knows it.
        :raises ProxyError: the gateway refuses, or is not there.
        """
        response = await self._connection.request(
            "exec.approval.resolve", {"id": approval_id, "decision": decision}, wire=wire
        )
        if response.error is not None:
            if "unknown" not in response.error.message:
                raise refused(response.error, "")
            self.book.expired(approval_id)
        else:
            self.book.resolved(approval_id, decision)
            self.log.info(
                "approval {approval} decided: {decision}", approval=approval_id, decision=decision
            )
        decided = self.book.get(approval_id)
        if decided is None:
            raise ProxyError(Kind.NOT_FOUND, f"there is no approval {approval_id[:100]!r}")
        return decided

    def read_all(self, payload: JSON, now: float) -> tuple[Approval, ...]:
        """Read the answer to ``exec.approval.list``; what it no longer names has ended meanwhile.

        :returns: the approvals that were not known.
        """
        found = [
            approval
            for item in sequence(payload, "items") or sequence(payload, "approvals")
            if isinstance(item, dict) and (approval := read_approval(item, now)) is not None
        ]
        ids = {approval.id for approval in found}
        for approval in self.book.pending():
            if approval.id not in ids:
                self.book.expired(approval.id)
        return tuple(approval for approval in found if self.book.enter(approval))

    def ended(self, payload: JSON) -> None:
        """Take the payload of ``exec.approval.resolved``."""
        self.book.resolved(text(payload, "id"), text(payload, "decision"))
