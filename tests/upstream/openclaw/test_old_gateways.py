"""Protocol 3: gateways up to 2026.3, whose runs end and fail in other ways."""

from __future__ import annotations

from clawproxy.core.dialects.parts import TextPart
from tests.upstream.openclaw.gateway import AgentGateway, JSONObject
from tests.upstream.openclaw.providing import ProviderTestCase


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

    def test_made_good_between_two_looks(self) -> None:
        """The transcript is from before the end that is told behind it."""
        request = self.chat()
        self.gateway.chat(request, "final")
        self.history(content="", stopReason="error", errorMessage="terminated")
        self.gateway.last.answer(self.gateway.runs("chat.send")[-1], {"status": "ok"})
        self.history(content="one", stopReason="stop")
        self.assertTrue(self.sink.done)
        self.assertEqual(self.sink.text, "one")

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

    def command(self) -> JSONObject:
        """Send a command, which no model answers: there is no lifecycle."""
        gateway = AgentGateway(3, boot="", uptime=900.0)
        self.sink = self.begin(gateway).ask("hi", "Hello.", "/status", user="u")
        (request,) = self.gateway.runs("chat.send")
        self.gateway.accepted(request)
        return request

    def test_command_after_an_answer(self) -> None:
        """The transcript has it right behind the answer before, and the command not at all."""
        request = self.command()
        message = {"role": "assistant", "content": [{"type": "text", "text": "All is well."}]}
        self.gateway.chat(request, "final", message=message)
        self.assertEqual(self.gateway.last.asked("chat.history"), [])
        self.assertTrue(self.sink.done)
        self.assertEqual(self.sink.text, "All is well.")
        self.assertIsNone(self.sink.usage)

    def test_command_without_an_answer(self) -> None:
        request = self.command()
        self.gateway.chat(request, "final")
        self.assertTrue(self.sink.done)
        self.assertEqual(self.sink.text, "")

    def test_command_whose_connection_is_lost(self) -> None:
        """No lifecycle ends it for ``agent.wait``: whether it is over is asked in another way."""
        self.command()
        self.gateway.last.drop()
        self.clock.advance(2)
        for status in ("in_flight", "ok"):
            wait = self.gateway.last.asked("agent.wait")[-1]
            self.gateway.last.answer(wait, {"status": "timeout"})
            self.gateway.last.answer(self.gateway.runs("chat.send")[-1], {"status": status})
        self.history(content="All is well.", stopReason="injected")
        self.assertTrue(self.sink.done)
        self.assertEqual(self.sink.text, "All is well.")

    def test_failed_before_it_began(self) -> None:
        """No model was asked: the last turn of the transcript is the one before, and went well."""
        request = self.command()
        self.gateway.chat(request, "error", errorMessage="no room on the disk")
        self.assertIn("no room on the disk", self.sink.error.message)
        self.assertEqual(self.sink.text, "")

    def test_failed_before_a_word_was_written(self) -> None:
        request = self.chat()
        self.gateway.tell(request, "lifecycle", phase="error", error="no key for the provider")
        self.gateway.chat(request, "error", errorMessage="no key for the provider")
        (history,) = self.gateway.last.asked("chat.history")
        messages = {"messages": [{"role": "user", "content": "hi"}]}
        self.gateway.last.answer(history, messages)
        self.gateway.last.answer(self.gateway.runs("chat.send")[-1], {"status": "error"})
        self.gateway.last.answer(self.gateway.last.asked("chat.history")[-1], messages)
        self.assertIn("no key for the provider", self.sink.error.message)

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
