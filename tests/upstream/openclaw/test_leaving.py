"""What ends before its time: callers that leave, connections that go, providers that retire."""

from __future__ import annotations

from clawproxy.core.errors import Kind
from tests.upstream.openclaw.gateway import AgentGateway, JSONObject
from tests.upstream.openclaw.providing import ProviderTestCase


class Cancelling(ProviderTestCase):
    """The caller leaves, or reads slowly."""

    def test_abort(self) -> None:
        sink, run = self.begin().call("hi", user="u")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.says(request, "x")
        run.cancel()
        run.cancel()
        (abort,) = self.gateway.last.asked("chat.abort")
        self.assertEqual(
            abort["params"],
            {"sessionKey": "agent:main:clawproxy-user-u", "runId": self.gateway.run_id(request)},
        )
        self.gateway.says(request, "x", "y")
        self.gateway.last.answer(request, {"status": "timeout", "summary": "aborted"})
        self.assertEqual((sink.text, sink.ends), ("x", []))
        self.assertEqual(self.provider.health()["runs"], 0)

    def test_abort_before_it_was_accepted(self) -> None:
        """There is nothing to abort yet; it is aborted as soon as there is."""
        _, run = self.begin().call("hi")
        run.cancel()
        self.assertEqual(self.gateway.last.asked("chat.abort"), [])
        self.gateway.accepted(self.gateway.runs()[0])
        self.assertEqual(len(self.gateway.last.asked("chat.abort")), 1)

    def test_abort_while_the_connection_is_lost(self) -> None:
        _, run = self.begin().call("hi")
        self.gateway.accepted(self.gateway.runs()[0])
        self.gateway.last.drop()
        run.cancel()
        self.clock.advance(2)
        self.assertEqual(len(self.gateway.connections), 2)
        self.assertEqual(len(self.gateway.last.asked("chat.abort")), 1)

    def test_abort_that_was_lost_with_the_connection(self) -> None:
        """It is asked again on the next one."""
        _, run = self.begin().call("hi")
        self.gateway.accepted(self.gateway.runs()[0])
        run.cancel()
        self.assertEqual(len(self.gateway.last.asked("chat.abort")), 1)
        self.gateway.last.drop()
        self.clock.advance(2)
        self.assertEqual(len(self.gateway.connections), 2)
        self.assertEqual(len(self.gateway.last.asked("chat.abort")), 1)

    def test_runs_may_go_on(self) -> None:
        _, run = self.begin(abort_on_disconnect=False).call("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        run.cancel()
        self.gateway.says(request, "x")
        self.gateway.finished(request, "x")
        self.assertEqual(self.gateway.last.asked("chat.abort"), [])
        self.assertEqual(self.provider.health()["runs"], 0)

    def test_cancel_while_connecting(self) -> None:
        gateway = AgentGateway()
        gateway.reachable = None
        sink, run = self.begin(gateway).call("hi")
        run.cancel()
        self.clock.advance(60)
        self.assertEqual(sink.ends, [])

    def test_pause(self) -> None:
        sink, run = self.begin().call("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        run.pause()
        self.gateway.says(request, "a", "b")
        self.assertEqual(sink.got, [])
        run.resume()
        self.assertEqual(sink.text, "ab")
        run.pause()
        self.gateway.finished(request, "ab")
        self.assertEqual(sink.ends, [])
        run.resume()
        self.assertTrue(sink.done)

    def test_pause_is_bounded(self) -> None:
        sink, run = self.begin().call("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        run.pause()
        for _ in range(9):
            self.gateway.tell(request, "assistant", delta="x" * 1024 * 1024)
        self.assertIn("slowly", sink.error.message)
        self.assertEqual(len(self.gateway.last.asked("chat.abort")), 1)


class Losing(ProviderTestCase):
    """The connection goes in the middle of a run."""

    def lose(self, gateway: AgentGateway | None = None) -> JSONObject:
        self.sink = self.begin(gateway).ask("hi", user="u")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.says(request, "one")
        self.gateway.last.drop()
        return request

    def test_taken_up(self) -> None:
        """The same gateway is back: what was missed is told, and nothing twice."""
        request = self.lose()
        self.assertEqual(self.sink.ends, [])
        self.clock.advance(1)
        (wait,) = self.gateway.last.asked("agent.wait")
        self.assertEqual(wait["params"]["runId"], self.gateway.run_id(request))
        self.gateway.tell(request, "assistant", text="one two three", delta=" three")
        self.assertEqual(self.sink.text, "one two three")
        self.gateway.last.answer(wait, {"status": "ok"})
        (history,) = self.gateway.last.asked("chat.history")
        messages = [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "one two three four"}],
                "usage": {"input": 5, "output": 6},
                "stopReason": "stop",
            },
        ]
        self.gateway.last.answer(history, {"messages": messages})
        self.assertTrue(self.sink.done)
        self.assertEqual(self.sink.text, "one two three four")
        usage = self.sink.usage
        assert usage is not None
        self.assertEqual((usage.input_tokens, usage.output_tokens), (5, 6))

    def test_failed_meanwhile(self) -> None:
        self.lose()
        self.clock.advance(1)
        (wait,) = self.gateway.last.asked("agent.wait")
        self.gateway.last.answer(wait, {"status": "error", "error": "HTTP 500: boom"})
        self.assertIn("boom", self.sink.error.message)

    def test_waits_as_long_as_it_runs(self) -> None:
        self.lose()
        self.clock.advance(1)
        for number in range(3):
            waits = self.gateway.last.asked("agent.wait")
            self.assertEqual(len(waits), number + 1)
            self.gateway.last.answer(waits[-1], {"status": "timeout"})
        self.assertEqual(self.sink.ends, [])

    def test_restarted(self) -> None:
        """Another process answers: the run is gone, and its caller hears so at once."""
        self.lose()
        self.gateway.hello["server"]["bootId"] = "boot-2"
        self.clock.advance(1)
        self.assertIn("restarted", self.sink.error.message)
        self.assertEqual(self.gateway.last.asked("agent.wait"), [])

    def test_restarted_old(self) -> None:
        """Gateways before 2026.9 name no process; their uptime tells."""
        for uptime, alive in ((1000.0, True), (0.5, False)):
            self.lose(AgentGateway(protocol=4, boot="", uptime=900.0))
            self.clock.advance(10)
            self.gateway.last.drop()
            self.gateway.hello["snapshot"] = {"uptimeMs": int(uptime * 1000)}
            self.clock.advance(2)
            self.assertEqual(self.sink.ends == [], alive)

    def test_back_and_refusing(self) -> None:
        """What comes back does not take this proxy any more: there is nothing to wait for."""
        self.lose()
        self.gateway.refusal = {
            "code": "INVALID_REQUEST",
            "message": "unauthorized: token mismatch",
        }
        self.clock.advance(1)
        self.assertIn("token mismatch", self.sink.error.message)
        self.assertEqual(self.provider.health()["runs"], 0)

    def test_nonsense(self) -> None:
        """One frame that nobody understands costs a connection, and neither run nor gateway."""
        sink = self.begin().ask("hi", user="u")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.last.text("{what")
        self.assertFalse(self.provider.health()["connected"])
        self.assertEqual(self.provider.health()["obstacle"], "lost")
        self.clock.advance(1)
        self.assertTrue(self.provider.health()["connected"])
        self.gateway.tell(request, "assistant", text="one", delta="one")
        self.assertEqual(sink.text, "one")

    def test_shutdown(self) -> None:
        """A gateway that says goodbye takes its runs along."""
        sink = self.begin().ask("hi")
        self.gateway.accepted(self.gateway.runs()[0])
        self.gateway.last.event("shutdown", {"reason": "gateway stopping"})
        self.gateway.last.drop()
        self.assertIs(sink.error.kind, Kind.UPSTREAM_UNREACHABLE)

    def test_stopped_meanwhile(self) -> None:
        """Nobody connects again: the callers hear so at once, and no timer is left."""
        for connecting in (False, True):
            self.lose()
            if connecting:
                self.gateway.reachable = None
                self.clock.advance(1)
            self.provider.stopService()
            self.assertIs(self.sink.error.kind, Kind.UPSTREAM_UNREACHABLE)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_accepted(self) -> None:
        sink = self.begin().ask("hi")
        self.gateway.last.drop()
        self.assertIs(sink.error.kind, Kind.UPSTREAM_UNREACHABLE)

    def test_never_back(self) -> None:
        self.lose()
        self.gateway.reachable = False
        self.clock.pump([1] * 59)
        self.assertEqual(self.sink.ends, [])
        self.clock.pump([1] * 2)
        self.assertIs(self.sink.error.kind, Kind.UPSTREAM_UNREACHABLE)

    def test_no_last_response(self) -> None:
        """The run's work is over and its response does not come: the transcript ends it."""
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.says(request, "one")
        self.gateway.tell(request, "lifecycle", phase="end", executionSettled=True)
        self.clock.advance(16)
        (history,) = self.gateway.last.asked("chat.history")
        message = {"role": "assistant", "content": "one", "stopReason": "stop"}
        self.gateway.last.answer(history, {"messages": [message]})
        self.assertTrue(sink.done)
        self.assertEqual(sink.text, "one")


class Retiring(ProviderTestCase):
    """A new configuration names another gateway: what is under way is finished here."""

    def test_with_a_call(self) -> None:
        sink = self.begin().ask("hi")
        self.provider.retire()
        self.assertTrue(self.provider.running)
        self.gateway.play(self.gateway.runs()[0], "ok")
        self.assertTrue(sink.done)
        self.assertFalse(self.provider.running)
        self.assertEqual(self.gateway.last.closed, 1001)

    def test_with_a_caller_that_leaves(self) -> None:
        _, run = self.begin().call("hi")
        self.gateway.accepted(self.gateway.runs()[0])
        self.provider.retire()
        run.cancel()
        self.assertFalse(self.provider.running)
        self.assertEqual(len(self.gateway.last.asked("chat.abort")), 1)

    def test_idle(self) -> None:
        self.begin()
        self.provider.retire()
        self.assertFalse(self.provider.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])
