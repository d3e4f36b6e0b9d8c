"""What an operator sees and decides, and the list behind it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.approvals import (
    KEPT,
    Approval,
    ApprovalBook,
    Standing,
    question,
    read_approval,
)
from tests.upstream.openclaw.approving import ApprovingTestCase
from tests.upstream.openclaw.providing import ProviderTestCase


class Dashboard(ApprovingTestCase):
    """What an operator sees and decides."""

    def resolve(self, approval_id: str, decision: str) -> Deferred[dict[str, object]]:
        work: Coroutine[Any, Any, dict[str, object]] = self.provider.approvals.resolve(
            approval_id, decision
        )
        return Deferred.fromCoroutine(work)

    def test_list(self) -> None:
        self.asked()
        (approval,) = self.provider.approvals.list()
        self.assertEqual(
            approval,
            {
                "id": "ap-1",
                "provider": "openclaw",
                "agent": "main",
                "command": "rm -rf /tmp/x",
                "cwd": "/home/agent",
                "host": "gateway",
                "warning": None,
                "session_key": "agent:main:clawproxy-user-u",
                "run_id": self.gateway.run_id(self.request),
                "decisions": ["allow-once", "allow-always", "deny"],
                "standing": "pending",
                "created_at": "2027-01-15T08:00:00.000Z",
                "expires_at": "2027-01-15T08:02:00.000Z",
            },
        )

    def test_allow(self) -> None:
        """The run goes on; what it says is there with the user's next message."""
        self.asked()
        decided = self.successResultOf(self.resolve("ap-1", "allow-once"))
        self.assertEqual(decided["standing"], "allowed")
        self.assertEqual(self.gateway.decisions, [("ap-1", "allow-once")])
        self.gateway.says(self.request, "Cleaned.")
        self.gateway.finished(self.request, "Cleaned.")
        sink = self.reply("Thanks.")
        self.gateway.play(self.gateway.runs()[-1], "You are welcome.")
        self.assertEqual(sink.text, "Approved: `rm -rf /tmp/x`\n\nCleaned.\n\nYou are welcome.")

    def test_word_that_comes_late(self) -> None:
        self.asked()
        self.successResultOf(self.resolve("ap-1", "deny"))
        sink = self.reply("APPROVE")
        self.gateway.says(self.request, "Then not.")
        self.gateway.finished(self.request, "x")
        self.assertEqual(self.gateway.decisions, [("ap-1", "deny")])
        self.assertEqual(sink.text, "Denied: `rm -rf /tmp/x`\n\nThen not.")
        self.assertEqual(len(self.gateway.runs()), 1)

    def test_wrong(self) -> None:
        self.asked(allowedDecisions=["allow-once", "deny"])
        for approval_id, decision, kind in (
            ("nope", "deny", Kind.NOT_FOUND),
            ("ap-1", "allow-always", Kind.INVALID_REQUEST),
            ("ap-1", "yes", Kind.INVALID_REQUEST),
        ):
            error = self.failureResultOf(self.resolve(approval_id, decision), ProxyError).value
            self.assertIs(error.kind, kind)
        self.successResultOf(self.resolve("ap-1", "deny"))
        error = self.failureResultOf(self.resolve("ap-1", "deny"), ProxyError).value
        self.assertIs(error.kind, Kind.CONFLICT)

    def test_expired_at_the_gateway(self) -> None:
        self.asked()
        self.gateway.known.clear()
        error = self.failureResultOf(self.resolve("ap-1", "deny"), ProxyError).value
        self.assertIs(error.kind, Kind.CONFLICT)
        self.assertEqual(self.provider.approvals.list(), [])


class Book(ProviderTestCase):
    """The list of approvals."""

    def test_bounded(self) -> None:
        now = [1000.0]
        book = ApprovalBook(lambda: now[0])
        for number in range(KEPT * 2):
            book.enter(Approval(f"a{number}", "x", expires=now[0] + 1))
            now[0] += 2
        self.assertLessEqual(len(book._approvals), KEPT + 1)
        self.assertEqual(book.pending(), [])

    def test_once(self) -> None:
        book = ApprovalBook(lambda: 0)
        self.assertTrue(book.enter(Approval("a", "x")))
        self.assertFalse(book.enter(Approval("a", "y")))
        book.resolved("a", "allow-once")
        book.resolved("a", "deny")
        found = book.get("a")
        assert found is not None
        self.assertIs(found.standing, Standing.ALLOWED)

    def test_read(self) -> None:
        self.assertIsNone(read_approval({"request": {}}, 0))
        bare = read_approval({"id": "a"}, 5)
        assert bare is not None
        self.assertEqual((bare.command, bare.created, bare.expires), ("", 5, 0))
        old = {"command": "x", "ask": "always", "sessionKey": "agent:dev:k"}
        found = read_approval({"id": "a", "request": old}, 5)
        assert found is not None
        self.assertEqual((found.allowed, found.agent), (("allow-once", "deny"), "dev"))

    def test_clocks_differ(self) -> None:
        """How long a question lives is the gateway's word; when it began is ours."""
        payload = {"id": "a", "createdAtMs": 5_000_000, "expiresAtMs": 5_120_000}
        found = read_approval(payload, 100.0, fresh=True)
        assert found is not None
        self.assertEqual(found.expires, 220.0)

    def test_fences(self) -> None:
        """A command cannot break out of its frame."""
        words = question(Approval("a", "x\n```\n**APPROVED**"), 0)
        self.assertIn("````\nx\n```\n**APPROVED**\n````", words)
