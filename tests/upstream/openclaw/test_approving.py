"""Approvals: asked in the chat, decided by the next message, and never by themselves."""

from __future__ import annotations

import weakref
from typing import Any

from clawproxy.core.errors import Kind
from clawproxy.upstream.openclaw import underway
from clawproxy.upstream.openclaw.approvals import (
    Verdict,
    read_decision,
)
from clawproxy.upstream.openclaw.dispatch import Mission, prepare
from clawproxy.upstream.openclaw.errand import Errand
from clawproxy.upstream.openclaw.handshake import Hello
from tests.upstream.openclaw.approving import ApprovingTestCase, DecidingGateway
from tests.upstream.openclaw.calling import Sink


class Chat(ApprovingTestCase):
    """Gateways whose runs wait (2026.5 and later)."""

    def test_question(self) -> None:
        sink = self.asked()
        self.assertTrue(sink.done)
        self.assertEqual(
            sink.text,
            "Cleaning.\n\n**Approval needed.** The agent `main` wants to run:\n\n"
            "```\nrm -rf /tmp/x\n```\n\nFolder: `/home/agent`\nHost: `gateway`\n\n"
            "Reply **APPROVE** (once), **ALWAYS**, **DENY**. Anything else denies it.\n"
            "This question expires in 2 min.",
        )
        self.clock.advance(60)
        self.assertEqual(self.gateway.decisions, [])

    def test_waits_without_what_was_sent(self) -> None:
        """Nobody may ever answer; images are large."""
        sent: list[weakref.ref[Mission]] = []

        def preparing(errand: Errand, hello: Hello, run_id: str) -> Mission:
            mission = prepare(errand, hello, run_id)
            sent.append(weakref.ref(mission))
            return mission

        self.patch(underway, "prepare", preparing)
        self.asked()
        self.assertEqual(len(sent), 1)
        self.assertIsNone(sent[0]())
        self.go_on(self.reply("APPROVE"), "Cleaned.")

    def go_on(self, sink: Sink, said: str) -> None:
        self.gateway.says(self.request, said)
        self.gateway.finished(self.request, said)
        self.assertTrue(sink.done)
        self.assertEqual(sink.text, said)

    def test_approve(self) -> None:
        self.asked()
        sink = self.reply("Approve!")
        self.assertEqual(self.gateway.decisions, [("ap-1", "allow-once")])
        self.assertEqual(len(self.gateway.runs()), 1)
        self.go_on(sink, "Cleaned.")
        # Nothing is left open: the next message is a message.
        self.reply("APPROVE")
        self.assertEqual(self.params()["message"], "APPROVE")

    def test_said_twice_at_once(self) -> None:
        """A word that was sent twice: the first call shows the run, and both are answered."""
        self.asked()
        self.gateway.slow = True
        sink, again = self.reply("APPROVE"), self.reply("APPROVE")
        self.gateway.decide()
        self.assertTrue(again.done)
        self.assertEqual(again.text, "Approved: `rm -rf /tmp/x`")
        self.go_on(sink, "Cleaned.")

    def test_always(self) -> None:
        self.asked()
        sink = self.reply("always")
        self.assertEqual(self.gateway.decisions, [("ap-1", "allow-always")])
        self.go_on(sink, "Cleaned.")

    def test_always_not_offered(self) -> None:
        self.asked(allowedDecisions=["allow-once", "deny"])
        sink = self.reply("ALWAYS")
        self.assertEqual(self.gateway.decisions, [])
        self.assertIn("ALWAYS is not offered", sink.text)
        self.assertNotIn("**ALWAYS**", sink.text)
        self.reply("APPROVE")
        self.assertEqual(self.gateway.decisions, [("ap-1", "allow-once")])

    def test_deny(self) -> None:
        self.asked()
        sink = self.reply("DENY")
        self.assertEqual(self.gateway.decisions, [("ap-1", "deny")])
        self.go_on(sink, "Then not.")

    def test_anything_else(self) -> None:
        """It denies, and is sent on; the waiting run would only hold it up."""
        self.asked()
        sink = self.reply("What is the weather?")
        self.assertEqual(self.gateway.decisions, [("ap-1", "deny")])
        (abort,) = self.gateway.last.asked("chat.abort")
        self.assertEqual(abort["params"]["runId"], self.gateway.run_id(self.request))
        self.assertEqual(len(self.gateway.runs()), 2)
        self.assertEqual(self.params()["message"], "What is the weather?")
        self.gateway.play(self.gateway.runs()[-1], "Fine.")
        self.assertEqual(sink.text, "Denied: `rm -rf /tmp/x`\n\nFine.")

    def test_words_that_do_not_approve(self) -> None:
        for words in ("yes", "APPROVE it", "approve?", "I APPROVE", "ok", "", "👍", "DISAPPROVE"):
            self.assertIs(read_decision(words), Verdict.OTHER, words)
        for words in ("APPROVE", " approve.", "**Approve**", "`APPROVE`\n"):
            self.assertIs(read_decision(words), Verdict.APPROVE, words)

    def test_expired(self) -> None:
        """Its user is told that nothing was run, and by whom it was not allowed."""
        self.asked()
        self.clock.advance(20)
        self.gateway.last.event("tick", {})
        self.clock.advance(55)
        self.gateway.last.event("tick", {})
        self.clock.advance(50)
        self.gateway.says(self.request, "Nobody answered.")
        self.gateway.finished(self.request, "x")
        sink = self.reply("APPROVE")
        self.assertEqual(self.gateway.decisions, [])
        self.assertEqual(
            sink.text,
            "Nobody approved `rm -rf /tmp/x` in time, so it was not run.\n\nNobody answered.",
        )
        self.assertEqual(len(self.gateway.runs()), 1)

    def test_expired_at_the_gateway(self) -> None:
        self.asked()
        self.gateway.known.clear()
        sink = self.reply("APPROVE")
        self.gateway.says(self.request, "Too late.")
        self.gateway.finished(self.request, "x")
        self.assertIn("Nobody approved", sink.text)
        self.assertTrue(sink.text.endswith("Too late."))

    def test_expired_then_another_message(self) -> None:
        self.asked()
        self.gateway.known.clear()
        self.gateway.last.event("exec.approval.resolved", {"id": "ap-1", "decision": "deny"})
        self.gateway.says(self.request, "Then not.")
        self.gateway.finished(self.request, "x")
        sink = self.reply("Next.")
        self.gateway.play(self.gateway.runs()[-1], "Next it is.")
        self.assertEqual(sink.text, "Denied: `rm -rf /tmp/x`\n\nThen not.\n\nNext it is.")

    def test_two_questions(self) -> None:
        """A run that wants two things asks one after the other."""
        self.asked()
        self.gateway.wants(self.request, "ap-2", command="reboot")
        second = self.reply("APPROVE")
        self.assertEqual(self.gateway.decisions, [("ap-1", "allow-once")])
        self.assertIn("reboot", second.text)
        self.assertTrue(second.done)
        third = self.reply("DENY")
        self.assertEqual(self.gateway.decisions[1:], [("ap-2", "deny")])
        self.go_on(third, "Half done.")

    def test_asked_again_later(self) -> None:
        self.asked()
        second = self.reply("APPROVE")
        self.gateway.says(self.request, "And now.", item="b")
        self.gateway.wants(self.request, "ap-2", command="reboot")
        self.assertTrue(second.done)
        self.assertTrue(second.text.startswith("And now.\n\n**Approval needed.**"))
        self.assertNotIn("Cleaning", second.text)
        third = self.reply("APPROVE")
        self.go_on(third, "Done.")

    def test_other_conversations(self) -> None:
        """The word of one chat decides nothing in another."""
        self.asked()
        other = self.caller.ask("APPROVE", user="somebody else")
        self.assertEqual(self.gateway.decisions, [])
        self.assertEqual(self.params()["message"], "APPROVE")
        self.assertEqual(other.ends, [])

    def test_other_clients(self) -> None:
        """What other clients' runs want is listed, and never shown in a chat."""
        self.asked()
        stranger = {
            "params": {"idempotencyKey": "r", "sessionKey": "agent:main:telegram:1"},
        }
        self.gateway.wants(stranger, "ap-9", command="curl")
        self.assertEqual([a["id"] for a in self.provider.approvals.list()], ["ap-1", "ap-9"])
        sink = self.reply("APPROVE")
        self.assertEqual(self.gateway.decisions, [("ap-1", "allow-once")])
        self.assertNotIn("curl", sink.text)

    def test_question_that_nobody_saw(self) -> None:
        """The caller was gone: no word allows what was not shown."""
        gateway = DecidingGateway()
        self.gateway = gateway
        self.begin(gateway, abort_on_disconnect=False)
        _, run = self.caller.call("clean up", user="u")
        self.request = gateway.runs()[-1]
        gateway.accepted(self.request)
        run.cancel()
        gateway.wants(self.request)
        sink = self.reply("APPROVE")
        self.assertEqual(gateway.decisions, [])
        self.assertIn("rm -rf", sink.text)
        self.reply("APPROVE")
        self.assertEqual(gateway.decisions, [("ap-1", "allow-once")])

    def test_passthrough(self) -> None:
        """Each request has a session of its own there; the chat is still the same."""
        self.gateway = DecidingGateway()
        self.begin(self.gateway, session_mode="passthrough")
        self.caller.ask("clean up")
        self.request = self.gateway.runs()[0]
        self.gateway.accepted(self.request)
        self.gateway.wants(self.request)
        sink = self.caller.ask("clean up", "…", "APPROVE")
        self.assertEqual(self.gateway.decisions, [("ap-1", "allow-once")])
        self.go_on(sink, "Cleaned.")

    def test_off(self) -> None:
        self.gateway = DecidingGateway()
        self.begin(self.gateway, approvals=False)
        sink = self.caller.ask("clean up", user="u")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.wants(request)
        self.assertEqual((sink.text, sink.ends), ("", []))
        self.assertEqual(self.provider.approvals.list(), [])

    def test_gateway_restarted_meanwhile(self) -> None:
        self.asked()
        self.gateway.hello["server"]["bootId"] = "boot-2"
        self.gateway.last.drop()
        self.clock.advance(2)
        sink = self.reply("APPROVE")
        self.assertEqual(self.gateway.decisions, [])
        self.assertIn("not run", sink.text)
        self.assertIn("restarted", sink.error.message)

    def test_gateway_away(self) -> None:
        """A decision that cannot be brought to the gateway is an error, and the question stays."""
        self.asked()
        self.gateway.reachable = False
        self.gateway.last.drop()
        sink = self.reply("APPROVE")
        self.clock.advance(2)
        self.assertIs(sink.error.kind, Kind.UPSTREAM_UNREACHABLE)
        self.assertEqual(len(self.provider.approvals.list()), 1)


class Restarts(ApprovingTestCase):
    """The proxy was started anew while a run waits."""

    def restarted(self, **members: Any) -> None:
        self.gateway = DecidingGateway()
        session = "agent:main:clawproxy-user-u"
        request = {
            "command": "rm -rf /tmp/x",
            "sessionKey": session,
            "runId": "run-before",
            **members,
        }
        waiting = {"id": "ap-1", "request": request, "createdAtMs": 1, "expiresAtMs": 2**42}
        self.gateway.answers["exec.approval.list"] = [waiting]
        self.gateway.known.add("ap-1")
        self.begin(self.gateway)
        self.request = {"params": {"idempotencyKey": "run-before", "sessionKey": session}}

    def test_listed(self) -> None:
        self.restarted()
        (approval,) = self.provider.approvals.list()
        self.assertEqual((approval["id"], approval["agent"]), ("ap-1", "main"))

    def test_taken_up(self) -> None:
        self.restarted()
        self.assertIn("rm -rf", self.reply("APPROVE").text)
        sink = self.reply("APPROVE")
        self.assertEqual(self.gateway.decisions, [("ap-1", "allow-once")])
        self.gateway.says(self.request, "Cleaned.")
        (wait,) = self.gateway.last.asked("agent.wait")
        self.assertEqual(wait["params"]["runId"], "run-before")
        self.gateway.last.answer(wait, {"status": "ok"})
        (history,) = self.gateway.last.asked("chat.history")
        message = {"role": "assistant", "content": "Cleaned.", "usage": {"input": 1, "output": 2}}
        self.gateway.last.answer(history, {"messages": [message]})
        self.assertTrue(sink.done)
        self.assertEqual(sink.text, "Cleaned.")

    def test_no_longer_listed(self) -> None:
        self.asked()
        self.gateway.answers["exec.approval.list"] = []
        self.gateway.last.drop()
        self.clock.advance(2)
        self.assertEqual(self.provider.approvals.list(), [])


class OldGateways(ApprovingTestCase):
    """Gateways whose runs do not wait (up to 2026.3)."""

    def ended(self) -> Sink:
        sink = self.asked(DecidingGateway(3, methods=("agent",)))
        self.assertEqual(sink.ends, [])
        self.gateway.finished(self.request, "Cleaning.")
        return sink

    def test_question_stands_under_the_answer(self) -> None:
        sink = self.asked(DecidingGateway(3, methods=("agent",)))
        self.gateway.tell(self.request, "assistant", text="Cleaning. Wait.", delta=" Wait.")
        self.gateway.finished(self.request, "x")
        self.assertTrue(sink.done)
        self.assertTrue(sink.text.startswith("Cleaning. Wait.\n\n**Approval needed.**"))

    def test_another_run_in_the_session(self) -> None:
        self.ended()
        sink = self.reply("APPROVE")
        self.assertEqual(self.gateway.decisions, [("ap-1", "allow-once")])
        session = self.request["params"]["sessionKey"]
        other = {"params": {"idempotencyKey": "run-2", "sessionKey": session}}
        self.gateway.tell(other, "lifecycle", phase="start")
        self.gateway.says(other, "Cleaned", " all.")
        (wait,) = self.gateway.last.asked("agent.wait")
        self.gateway.last.answer(wait, {"status": "ok"})
        (history,) = self.gateway.last.asked("chat.history")
        message = {"role": "assistant", "content": "Cleaned all.", "stopReason": "stop"}
        self.gateway.last.answer(history, {"messages": [message]})
        self.assertTrue(sink.done)
        self.assertEqual(sink.text, "Approved: `rm -rf /tmp/x`\n\nCleaned all.")

    def test_heartbeat_in_the_main_session(self) -> None:
        """It is not this chat's to show; it tells that the command has ended, and the agent goes
        on."""
        self.ended()
        sink = self.reply("APPROVE")
        heartbeat = {"params": {"idempotencyKey": "hb", "sessionKey": "agent:main:main"}}
        self.gateway.tell(heartbeat, "lifecycle", phase="start")
        self.gateway.says(heartbeat, "private words")
        request = self.gateway.runs()[-1]
        self.assertIn("approved the command", request["params"]["message"])
        self.assertEqual(request["params"]["sessionKey"], self.request["params"]["sessionKey"])
        self.gateway.play(request, "It is clean.")
        self.assertEqual(sink.text, "Approved: `rm -rf /tmp/x`\n\nIt is clean.")

    def test_nothing_follows(self) -> None:
        self.ended()
        sink = self.reply("DENY")
        self.assertEqual(self.gateway.decisions, [("ap-1", "deny")])
        self.clock.advance(10)
        request = self.gateway.runs()[-1]
        self.assertIn("denied the command", request["params"]["message"])
        self.gateway.play(request, "Then not.")
        self.assertEqual(sink.text, "Denied: `rm -rf /tmp/x`\n\nThen not.")

    def test_expired(self) -> None:
        self.ended()
        self.clock.advance(50)
        self.gateway.last.event("tick", {})
        self.clock.advance(50)
        self.gateway.last.event("tick", {})
        self.clock.advance(50)
        sink = self.reply("APPROVE")
        self.assertTrue(sink.done)
        self.assertIn("was not run", sink.text)
        self.assertEqual(self.gateway.decisions, [])
        self.assertEqual(len(self.gateway.runs()), 1)

    def test_cancelled_while_waiting(self) -> None:
        self.ended()
        _, run = self.caller.call("clean up", "…", "APPROVE", user="u")
        run.cancel()
        self.clock.advance(20)
        self.assertEqual(len(self.gateway.runs()), 1)
