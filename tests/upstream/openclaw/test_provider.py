"""Agents as models: calls, their sessions, their ends, and what the other pages ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.events import (
    MessageStarted,
    Stopped,
    TextDelta,
    TextStarted,
    UsageReported,
)
from clawproxy.core.dialects.turn import Reasoning, TextPart
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.identity import DeviceIdentity
from tests.upstream.openclaw.calling import PIXEL, Caller
from tests.upstream.openclaw.gateway import AgentGateway, JSONObject


class ProviderTestCase(SynchronousTestCase):
    """A provider and a gateway whose runs are played here."""

    def begin(self, gateway: AgentGateway | None = None, **config: Any) -> Caller:
        self.gateway = gateway or AgentGateway()
        self.caller = Caller.make(self.gateway, **config)
        self.clock = self.caller.clock
        self.provider = self.caller.provider
        self.addCleanup(self.end)
        return self.caller

    def end(self) -> None:
        if self.provider.running:
            self.provider.stopService()

    def params(self, number: int = -1) -> JSONObject:
        found: JSONObject = self.gateway.runs()[number]["params"]
        return found


class Calls(ProviderTestCase):
    """One turn, from the request to the answer."""

    def test_stream(self) -> None:
        """Each piece comes when it is told, not later."""
        caller = self.begin()
        sink = caller.ask("hello", user="u")
        (request,) = self.gateway.runs()
        self.assertEqual(
            {k: v for k, v in request["params"].items() if k != "idempotencyKey"},
            {"message": "hello", "agentId": "main", "sessionKey": "agent:main:clawproxy-user-u"},
        )
        self.gateway.accepted(request)
        self.gateway.tell(request, "lifecycle", phase="start")
        self.assertEqual(sink.got, [])
        self.gateway.tell(request, "assistant", text="He", delta="He")
        self.assertEqual(sink.got, [MessageStarted(), TextStarted(), TextDelta("He")])
        self.gateway.tell(request, "assistant", text="Hello", delta="llo")
        self.assertEqual(sink.got[-1], TextDelta("llo"))
        self.gateway.tell(request, "lifecycle", phase="end")
        self.assertEqual(sink.ends, [])
        self.gateway.finished(request, "Hello")
        self.assertTrue(sink.done)
        self.assertEqual(sink.text, "Hello")
        usage = sink.usage
        assert usage is not None
        self.assertEqual((usage.input_tokens, usage.output_tokens), (11, 7))
        self.assertEqual(sink.got[-1], Stopped("end_turn"))

    def test_another_agent(self) -> None:
        caller = self.begin()
        for number, model in enumerate(("dev", "openclaw/dev", "DEV", "openclaw:dev")):
            caller.ask("hi", model=model, user="u")
            self.assertEqual(self.params(number)["agentId"], "dev")
            self.assertEqual(self.params(number)["sessionKey"], "agent:dev:clawproxy-user-u")

    def test_default_agent(self) -> None:
        caller = self.begin(default_agent="dev")
        for number, model in enumerate(("gpt-4", "gpt-3.5-turbo", "default", "openclaw")):
            caller.ask("hi", model=model)
            self.assertEqual(self.params(number)["agentId"], "dev")

    def test_default_agent_that_is_not_there(self) -> None:
        """The gateway's own default stands in."""
        self.begin(default_agent="gone").ask("hi", model="default")
        self.assertEqual(self.params()["agentId"], "main")

    def test_unknown_agent(self) -> None:
        caller = self.begin()
        sink = caller.ask("hi", model="nosuch")
        self.assertIs(sink.error.kind, Kind.MODEL_NOT_FOUND)
        self.assertIn("main, dev", sink.error.message)
        self.assertEqual(self.gateway.runs(), [])

    def test_new_agent(self) -> None:
        """An agent that was added meanwhile is found, and the router hears of it."""
        caller = self.begin()
        heard: list[tuple[str, ...]] = []
        self.provider.on_agents = heard.append
        self.gateway.answers["agents.list"] = {"agents": [{"id": "main"}, {"id": "new"}]}
        caller.ask("hi", model="new")
        self.assertEqual(self.params()["agentId"], "new")
        self.assertEqual(heard, [("main", "new")])

    def test_system_and_thinking(self) -> None:
        caller = self.begin()
        caller.ask("hi", system=(TextPart("Be a pirate."),), reasoning=Reasoning(effort="low"))
        self.assertEqual(self.params()["extraSystemPrompt"], "Be a pirate.")
        self.assertEqual(self.params()["thinking"], "low")

    def test_image(self) -> None:
        self.begin().ask("look", image=True)
        (attachment,) = self.params()["attachments"]
        self.assertEqual(attachment["content"], PIXEL)

    def test_image_too_large(self) -> None:
        limits = {"maxBytes": 100, "maxImageBytes": 50}
        sink = self.begin(AgentGateway(attachments=limits)).ask("look", image=True)
        self.assertIs(sink.error.kind, Kind.TOO_LARGE)
        self.assertEqual(self.gateway.runs(), [])

    def test_image_not_taken(self) -> None:
        sink = self.begin().ask("look", image=True)
        self.gateway.last.answer(
            self.gateway.runs()[0],
            None,
            code="INVALID_REQUEST",
            message="UnsupportedAttachmentError: active model does not accept image inputs",
        )
        self.assertIs(sink.error.kind, Kind.UNSUPPORTED_PARAMETER)
        self.assertEqual(sink.error.http_status, 400)

    def test_history_too_long(self) -> None:
        """A history that the gateway would drop the connection for is refused, and hurts nobody
        else."""
        caller = self.begin(AgentGateway(maxPayload=3000), session_mode="passthrough")
        other = caller.ask("short")
        sink = caller.ask("x" * 2000, "y" * 2000, "z")
        self.assertIs(sink.error.kind, Kind.TOO_LARGE)
        self.assertEqual(sink.error.http_status, 413)
        self.gateway.play(self.gateway.runs()[0], "ok")
        self.assertTrue(other.done)

    def test_payloads_without_events(self) -> None:
        """A command is answered without a model, and so without an event."""
        sink = self.begin().ask("/status")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.finished(request, "All is", "well.", usage=False)
        self.assertEqual(sink.text, "All is\n\nwell.")

    def test_payloads_are_not_repeated(self) -> None:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.says(request, "Let me.", item="a")
        self.gateway.tell(request, "tool", phase="start", name="x", args={})
        self.gateway.says(request, "Done.", item="b")
        self.gateway.finished(request, "Done.")
        self.assertEqual(sink.text, "Let me.\n\nDone.")

    def test_preamble(self) -> None:
        """Words and a tool's call at once: the words come as an item alone."""
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        told = {"kind": "preamble", "progressText": "Let me.", "itemId": "commentary-0"}
        for phase in ("update", "update", "end"):
            self.gateway.tell(request, "item", phase=phase, **told)
        self.gateway.tell(request, "tool", phase="start", name="x", args={})
        self.gateway.says(request, "Do", "ne.", item="a:2")
        self.gateway.tell(request, "item", phase="end", kind="preamble", progressText="Done.")
        self.gateway.finished(request, "Done.")
        self.assertEqual(sink.text, "Let me.\n\nDone.")

    def test_stop_reasons(self) -> None:
        for told, reason in (("length", "max_tokens"), ("stop", "end_turn"), ("odd", "end_turn")):
            sink = self.begin().ask("hi")
            request = self.gateway.runs()[0]
            self.gateway.accepted(request)
            result = {"payloads": [{"text": "x"}], "meta": {"stopReason": told}}
            self.gateway.last.answer(request, {"status": "ok", "result": result})
            self.assertEqual(sink.got[-1], Stopped(reason))  # type: ignore[arg-type]

    def test_first_byte(self) -> None:
        """A caller that waits long is shown that something goes on."""
        sink = self.begin().ask("hi")
        self.gateway.accepted(self.gateway.runs()[0])
        self.clock.advance(4)
        self.assertEqual(sink.got, [])
        self.clock.advance(2)
        self.assertEqual(sink.got, [MessageStarted()])
        self.gateway.play(self.gateway.runs()[0], "x")
        self.assertTrue(sink.done)

    def test_unknown_things(self) -> None:
        """Streams, phases and events of other versions are passed over."""
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        for stream in ("plan", "patch", "compaction", ""):
            self.gateway.tell(request, stream, phase="start", text="no")
        self.gateway.tell(request, "assistant")
        self.gateway.tell(request, "assistant", text=5, delta=None)
        self.gateway.last.event("agent", {"runId": self.gateway.run_id(request)})
        self.gateway.last.event("agent", {"runId": 7, "stream": "assistant"})
        self.gateway.last.event("brand.new", {"x": 1})
        self.gateway.last.say({"type": "odd"})
        self.gateway.play(request, "fine")
        self.assertEqual(sink.text, "fine")

    def test_half_an_emoji(self) -> None:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.tell(request, "assistant", text="a \ud83d", delta="a \ud83d")
        self.gateway.tell(request, "assistant", text="a 😀", delta="\ude00")
        self.gateway.finished(request, "a 😀")
        self.assertEqual(sink.text, "a 😀")


class Thinking(ProviderTestCase):
    """Thinking and tools, shown as the config says."""

    def answer(self, **config: Any) -> tuple[str, str]:
        sink = self.begin(None, **config).ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.tell(request, "thinking", text="Hmm", delta="Hmm")
        self.gateway.tell(request, "thinking", text="Hmm.", delta=".")
        self.gateway.says(request, "Let me.", item="a")
        self.gateway.tell(request, "tool", phase="start", name="exec", args={"command": "ls"})
        result = {"content": [{"type": "text", "text": "no such\nfile"}]}
        self.gateway.tell(request, "tool", phase="result", name="exec", isError=True, result=result)
        self.gateway.says(request, "Done.", item="b")
        self.gateway.finished(request, "Done.")
        self.assertTrue(sink.done)
        return sink.text, sink.thinking

    def test_auto(self) -> None:
        self.assertEqual(
            self.answer(),
            ("Let me.\n\nDone.", "Hmm.exec: ls\n\nexec failed: no such file\n"),
        )

    def test_hidden(self) -> None:
        self.assertEqual(self.answer(thinking="hidden"), ("Let me.\n\nDone.", ""))

    def test_tags(self) -> None:
        text, thinking = self.answer(thinking="think_tags", tool_progress="hidden")
        self.assertEqual(text, "<think>\nHmm.\n</think>\n\nLet me.\n\nDone.")
        self.assertEqual(thinking, "")

    def test_tools_in_the_text(self) -> None:
        text, thinking = self.answer(tool_progress="text")
        self.assertEqual(text, "Let me.\n\n> exec: ls\n\n> exec failed: no such file\n\nDone.")
        self.assertEqual(thinking, "Hmm.")

    def test_tools_hidden(self) -> None:
        self.assertEqual(self.answer(tool_progress="hidden"), ("Let me.\n\nDone.", "Hmm."))

    def test_long_arguments(self) -> None:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.tell(request, "tool", phase="start", name="write", args={"x": "y" * 5000})
        self.gateway.play(request, "ok")
        self.assertLess(len(sink.thinking), 400)

    def test_tokens_while_it_runs(self) -> None:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.says(request, "x")
        self.gateway.tell(request, "usage", outputTokens=3)
        self.gateway.tell(request, "usage", outputTokens=2)
        reports = [e.usage.output_tokens for e in sink.got if isinstance(e, UsageReported)]
        self.assertEqual(reports, [3])


class Failures(ProviderTestCase):
    """Errors are errors."""

    def failed(self, **error: object) -> ProxyError:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.last.answer(request, {"status": "error"}, **error)
        self.assertEqual(sink.got, [])
        return sink.error

    def test_kinds(self) -> None:
        for words, kind, status in (
            ("FailoverError: HTTP 401: bad key", Kind.API, 502),
            ("HTTP 500: boom", Kind.API, 502),
            ("HTTP 429: slow down", Kind.RATE_LIMIT, 429),
            ("HTTP 529: overloaded", Kind.OVERLOADED, 529),
            ("prompt is too long: 1 > 0", Kind.INVALID_REQUEST, 400),
            ("LLM request timed out.", Kind.UPSTREAM_TIMEOUT, 504),
        ):
            error = self.failed(code="UNAVAILABLE", message=words)
            self.assertIs(error.kind, kind, words)
            self.assertEqual(error.http_status, status)
            self.assertIn(words.removeprefix("FailoverError: "), error.message)

    def test_refused(self) -> None:
        for error, kind, status in (
            ({"code": "UNAVAILABLE", "message": "busy", "retryAfterMs": 1600}, "UNAVAILABLE", 503),
            ({"code": "FORBIDDEN", "message": "missing scope: operator.write"}, "API", 502),
            ({"code": "INVALID_REQUEST", "message": "at /message: too short"}, None, 400),
        ):
            sink = self.begin().ask("hi")
            self.gateway.last.answer(self.gateway.runs()[0], None, **error)
            self.assertEqual(sink.error.http_status, status)
            if kind == "UNAVAILABLE":
                self.assertEqual(sink.error.headers, (("retry-after", "2"),))

    def test_after_text(self) -> None:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.says(request, "half")
        self.gateway.last.answer(request, None, code="UNAVAILABLE", message="HTTP 500: boom")
        self.assertEqual(sink.text, "half")
        self.assertIn("boom", sink.error.message)

    def test_timeout_of_the_run(self) -> None:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        result = {"payloads": [{"text": "Request timed out before a response was generated."}]}
        self.gateway.last.answer(request, {"status": "timeout", "result": result})
        self.assertIs(sink.error.kind, Kind.UPSTREAM_TIMEOUT)
        self.assertEqual(sink.text, "")

    def test_no_gateway(self) -> None:
        gateway = AgentGateway()
        gateway.reachable = False
        caller = self.begin(gateway)
        sink = caller.ask("hi")
        self.clock.advance(1)
        self.assertIs(sink.error.kind, Kind.UPSTREAM_UNREACHABLE)
        self.assertEqual(sink.error.http_status, 502)

    def test_stopped_provider(self) -> None:
        caller = self.begin()
        sink = caller.ask("hi")
        self.gateway.accepted(self.gateway.runs()[0])
        self.provider.stopService()
        self.assertIs(sink.error.kind, Kind.UPSTREAM_UNREACHABLE)


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

    def test_shutdown(self) -> None:
        """A gateway that says goodbye takes its runs along."""
        sink = self.begin().ask("hi")
        self.gateway.accepted(self.gateway.runs()[0])
        self.gateway.last.event("shutdown", {"reason": "gateway stopping"})
        self.gateway.last.drop()
        self.assertIs(sink.error.kind, Kind.UPSTREAM_UNREACHABLE)

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


class OldGateways(ProviderTestCase):
    """Protocol 3: only runs of chat.send can be aborted, and their end is in the transcript."""

    def chat(self, system: tuple[TextPart, ...] = ()) -> JSONObject:
        gateway = AgentGateway(3, boot="")
        self.sink, self.going = self.begin(gateway).call("hi", user="u", system=system)
        (request,) = self.gateway.runs("chat.send")
        self.gateway.accepted(request)
        self.gateway.tell(request, "lifecycle", phase="start")
        return request

    def history(self, **last: object) -> None:
        request = self.gateway.last.asked("chat.history")[-1]
        messages = [{"role": "user", "content": "hi"}, {"role": "assistant", **last}]
        self.gateway.last.answer(request, {"messages": messages})

    def test_answer(self) -> None:
        request = self.chat()
        self.assertEqual(self.gateway.runs("agent"), [])
        self.gateway.says(request, "Hel", "lo")
        self.gateway.tell(request, "lifecycle", phase="end")
        self.gateway.chat(request, "final")
        self.assertEqual(self.sink.ends, [])
        self.history(content="Hello", usage={"input": 3, "output": 4}, stopReason="stop")
        self.assertTrue(self.sink.done)
        self.assertEqual(self.sink.text, "Hello")
        self.assertEqual(len(self.gateway.runs("chat.send")), 1)

    def test_instructions(self) -> None:
        """chat.send has no place for instructions: they go with the first message."""
        request = self.chat(system=(TextPart("Be a pirate."),))
        self.assertEqual(
            request["params"]["message"], "[Instructions]\nBe a pirate.\n\n[Message]\nhi"
        )
        later = self.caller.ask("hi", "ho", "and?", system=(TextPart("Be a pirate."),), user="u")
        self.assertEqual(self.gateway.runs("chat.send")[1]["params"]["message"], "and?")
        self.assertEqual(later.ends, [])

    def test_asked_anew(self) -> None:
        """A final that is none: the provider failed, and is asked again under the same run."""
        request = self.chat()
        self.gateway.says(request, "one")
        self.gateway.chat(request, "final")
        failed = {"content": "one", "stopReason": "error", "errorMessage": "terminated"}
        self.history(**failed)
        again = self.gateway.runs("chat.send")[-1]
        self.assertEqual(again["params"], request["params"])
        self.gateway.last.answer(again, {"status": "in_flight"})
        self.assertEqual(self.sink.ends, [])
        self.gateway.tell(request, "lifecycle", phase="start")
        self.gateway.says(request, "one", " two")
        self.clock.advance(1)
        self.history(content="one two", stopReason="stop")
        self.assertTrue(self.sink.done)
        self.assertEqual(self.sink.text, "one two")

    def test_failed_for_good(self) -> None:
        request = self.chat()
        self.gateway.chat(request, "final")
        failed = {"content": "", "stopReason": "error", "errorMessage": "401 bad key"}
        self.history(**failed)
        self.gateway.last.answer(self.gateway.runs("chat.send")[-1], {"status": "ok"})
        self.history(**failed)
        self.assertIn("401 bad key", self.sink.error.message)

    def test_abort(self) -> None:
        request = self.chat()
        self.going.cancel()
        self.assertEqual(
            self.gateway.last.asked("chat.abort")[0]["params"]["runId"],
            self.gateway.run_id(request),
        )
        self.gateway.chat(request, "aborted")
        self.assertEqual(self.provider.health()["runs"], 0)

    def test_command(self) -> None:
        """The answer to a command is in the chat event alone."""
        request = self.chat()
        message = {"role": "assistant", "content": [{"type": "text", "text": "All is well."}]}
        self.gateway.chat(request, "final", message=message)
        self.history(content="", stopReason="injected")
        self.assertEqual(self.sink.text, "All is well.")

    def test_no_chat_send(self) -> None:
        gateway = AgentGateway(3, methods=("agent",))
        sink = self.begin(gateway).ask("hi")
        self.gateway.play(self.gateway.runs("agent")[0], "ok")
        self.assertEqual(sink.text, "ok")

    def test_failure_told_as_text(self) -> None:
        """2026.2: a good answer whose first payload nobody streamed, and not a token used."""
        gateway = AgentGateway(3, methods=("agent",))
        for payloads, streamed, failure in (
            (("HTTP 500: boom",), (), "HTTP 500: boom"),
            (("terminated", "one", "one"), ("one",), "terminated"),
            (("some new wording",), (), "some new wording"),
            (("one",), ("one",), None),
            (("one ",), ("one",), None),
        ):
            sink = self.begin(gateway).ask("hi")
            request = gateway.runs("agent")[-1]
            gateway.accepted(request)
            gateway.tell(request, "lifecycle", phase="start")
            gateway.says(request, *streamed)
            gateway.tell(request, "lifecycle", phase="end")
            gateway.finished(request, *payloads, usage=False)
            if failure is None:
                self.assertTrue(sink.done, payloads)
            else:
                self.assertIn(failure, sink.error.message)
            self.assertEqual(sink.text, "".join(streamed))


class Concurrency(ProviderTestCase):
    """Many runs over one connection, with strangers' runs in between."""

    def test_five_hundred(self) -> None:
        caller = self.begin()
        sinks = [caller.ask("hi", user=f"u{i}") for i in range(500)]
        requests = self.gateway.runs()
        self.assertEqual(len({self.gateway.run_id(r) for r in requests}), 500)
        self.assertEqual(len(self.gateway.connections), 1)
        for request in requests:
            self.gateway.accepted(request)
        for step in range(3):
            for index, request in enumerate(requests):
                text = " ".join(f"{index}.{s}" for s in range(step + 1))
                self.gateway.tell(request, "assistant", text=text, delta=text.split()[-1])
                stranger = {**request, "params": {**request["params"], "idempotencyKey": "other"}}
                if not index % 50:
                    self.gateway.says(stranger, "not for you")
        for request in reversed(requests):
            self.gateway.finished(request, "x")
        for index, sink in enumerate(sinks):
            self.assertTrue(sink.done)
            self.assertEqual(sink.text, f"{index}.0 {index}.1 {index}.2")
        self.assertEqual(self.provider.health()["runs"], 0)

    def test_same_session(self) -> None:
        """Two runs in one session stay apart by their ids."""
        caller = self.begin()
        first, second = (caller.ask(w, user="u") for w in ("a", "b"))
        one, two = self.gateway.runs()
        self.gateway.play(two, "second")
        self.gateway.play(one, "first")
        self.assertEqual((first.text, second.text), ("first", "second"))


class Pages(ProviderTestCase):
    """Models, tools, health."""

    def result(self, coroutine: object) -> object:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))  # type: ignore[arg-type]

    def test_models(self) -> None:
        self.begin()
        agents = self.result(self.provider.models())
        self.assertEqual([a.id for a in agents], ["main", "dev"])  # type: ignore[attr-defined]
        asked = len(self.gateway.last.asked("agents.list"))
        self.result(self.provider.models())
        self.assertEqual(len(self.gateway.last.asked("agents.list")), asked)
        self.clock.advance(20)
        self.gateway.last.event("tick", {})
        self.clock.advance(45)
        self.result(self.provider.models())
        self.assertEqual(len(self.gateway.last.asked("agents.list")), asked + 1)
        self.gateway.reachable = False
        self.gateway.last.drop()
        self.result(self.provider.models())

    def test_told_anew(self) -> None:
        """Agents come and go; a tick after a minute the router knows."""
        self.begin()
        heard: list[tuple[str, ...]] = []
        self.provider.on_agents = heard.append
        self.gateway.answers["agents.list"] = {"agents": [{"id": "new"}]}
        for _ in range(3):
            self.clock.advance(30)
            self.gateway.last.event("tick", {})
        self.assertEqual(heard, [("new",)])
        self.assertEqual(len(self.gateway.last.asked("agents.list")), 2)

    def test_remembered(self) -> None:
        """After a start the agents' names lead to the gateway although it is still away."""
        gateway = AgentGateway()
        path = Path(self.mktemp())
        before = Caller.make(gateway, identity=DeviceIdentity.load(path))
        before.provider.stopService()
        gateway.reachable = None
        after = Caller.make(gateway, identity=DeviceIdentity.load(path))
        self.addCleanup(after.provider.stopService)
        self.assertEqual(after.provider.agent_ids, ("main", "dev"))
        agents = self.result(after.provider.models())
        self.assertEqual([a.id for a in agents], ["main", "dev"])  # type: ignore[attr-defined]
        self.assertIsNone(self.result(after.provider.introduced(3)))

    def test_introduced(self) -> None:
        self.begin()
        self.assertIsNone(self.result(self.provider.introduced(3)))
        gateway = AgentGateway()
        gateway.reachable = None
        self.begin(gateway)
        waiting = Deferred.fromCoroutine(self.provider.introduced(3))
        self.assertNoResult(waiting)
        self.clock.advance(3)
        self.assertIsNone(self.successResultOf(waiting))

    def test_models_never_known(self) -> None:
        gateway = AgentGateway()
        gateway.reachable = False
        self.begin(gateway)
        waiting = Deferred.fromCoroutine(self.provider.models())
        self.clock.advance(2)
        self.failureResultOf(waiting, ProxyError)

    def test_tools(self) -> None:
        self.begin()
        skills = [
            {"name": "git hub", "description": "Use it.", "eligible": True},
            {"name": "off", "eligible": True, "disabled": True},
            {"name": "barred", "eligible": True, "blockedByAllowlist": True},
            {"name": "missing", "eligible": False},
            {"eligible": True},
            "odd",
        ]
        self.gateway.answers["skills.status"] = {"skills": skills}
        tools = self.result(self.provider.tools("dev"))
        self.assertEqual(self.gateway.last.asked("skills.status")[0]["params"], {"agentId": "dev"})
        function = {
            "name": "git_hub",
            "description": "Use it.",
            "parameters": {"type": "object", "properties": {}},
        }
        self.assertEqual(tools, [{"type": "function", "function": function}])
        waiting = Deferred.fromCoroutine(self.provider.tools("nosuch"))
        error = self.failureResultOf(waiting, ProxyError).value
        self.assertIs(error.kind, Kind.MODEL_NOT_FOUND)

    def test_health(self) -> None:
        self.begin()
        health = self.provider.health()
        json.dumps(health)
        self.assertEqual(health["connected"], True)
        self.assertEqual(health["agents"], 2)
        self.gateway.reachable = False
        self.gateway.last.close(1012, "service restart")
        health = self.provider.health()
        self.assertEqual(health["connected"], False)
        self.assertIn("service restart", str(health["reason"]))

    def test_scopes(self) -> None:
        """Who takes no part in approvals asks for no power over them."""
        self.begin(approvals=False)
        params = self.gateway.last.asked("connect")[0]["params"]
        self.assertEqual(params["scopes"], ["operator.read", "operator.write"])
        self.assertEqual(params["caps"], ["tool-events"])
