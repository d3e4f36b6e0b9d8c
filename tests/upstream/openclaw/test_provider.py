"""Agents as models: calls and their failures, many at once, and what the other pages ask."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.internet.defer import Deferred

from clawproxy.core.dialects.events import MessageStarted, Stopped, TextDelta, TextStarted
from clawproxy.core.dialects.parts import TextPart
from clawproxy.core.dialects.turn import Reasoning
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.identity import DeviceIdentity
from tests.upstream.openclaw.calling import PIXEL, Caller
from tests.upstream.openclaw.gateway import AgentGateway
from tests.upstream.openclaw.providing import ProviderTestCase


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
        self.provider.agents.on_change = heard.append
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

    def test_lost_events(self) -> None:
        """A gateway that leaves out events for a slow client has the whole text at the end."""
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.says(request, "Hello", " wor", item="a")
        self.gateway.finished(request, "Hello world.")
        self.assertEqual(sink.text, "Hello world.")
        self.assertTrue(sink.done)

    def test_all_lost_since_the_tool(self) -> None:
        sink = self.begin().ask("hi")
        request = self.gateway.runs()[0]
        self.gateway.accepted(request)
        self.gateway.says(request, "Let me.", item="a")
        self.gateway.tell(request, "tool", phase="start", name="x", args={})
        self.gateway.finished(request, "Let me.", "Done.")
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

    def test_models_never_known(self) -> None:
        gateway = AgentGateway()
        gateway.reachable = False
        self.begin(gateway)
        waiting = Deferred.fromCoroutine(self.provider.models())
        self.clock.advance(2)
        self.failureResultOf(waiting, ProxyError)

    def test_models_of_a_gateway_that_comes(self) -> None:
        """What it is asked with its introduction is not asked twice."""
        gateway = AgentGateway()
        gateway.reachable = False
        self.begin(gateway)
        gateway.reachable = True
        waiting = Deferred.fromCoroutine(self.provider.models())
        self.clock.advance(2)
        self.assertEqual([a.id for a in self.successResultOf(waiting)], ["main", "dev"])
        self.assertEqual(len(gateway.last.asked("agents.list")), 1)

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
