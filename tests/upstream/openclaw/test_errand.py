"""What an agent is asked: messages, levels of thinking, and what is refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.parts import (
    FilePart,
    Message,
    PlainText,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from clawproxy.core.dialects.tools import FunctionTool, ToolChoice
from clawproxy.core.dialects.turn import OutputFormat, Reasoning, Sampling, Turn
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.errand import strip, thinking_level
from tests.upstream.openclaw.calling import turn
from tests.upstream.openclaw.planning import RETRIEVAL, errand, message


class Messages(SynchronousTestCase):
    """What is said to the agent."""

    def test_stateful(self) -> None:
        asked = turn("first", "answer", "second")
        planned = errand(asked)
        self.assertEqual(planned.message, "second")
        self.assertFalse(planned.opening)

    def test_passthrough(self) -> None:
        planned = errand(turn("first", "answer", "second"), passthrough=True)
        self.assertEqual(
            planned.message,
            "[Earlier in this conversation]\nUser: first\n\nAssistant: answer\n\n"
            "[Reply to this]\nsecond",
        )
        self.assertEqual(planned.said, "second")

    def test_passthrough_opening(self) -> None:
        self.assertEqual(errand(turn("first"), passthrough=True).message, "first")

    def test_parts(self) -> None:
        """Content as an array, as SDKs and front-ends send it."""
        asked = message(
            TextPart("a"), TextPart("b"), FilePart(PlainText("words"), name="notes.txt")
        )
        self.assertEqual(errand(asked).message, "a\nb\nnotes.txt:\nwords")

    def test_system(self) -> None:
        asked = Turn(
            dialect="anthropic",
            model="main",
            system=(TextPart("one"), TextPart(" ")),
            messages=(
                Message("system", (TextPart("two"),)),
                Message("developer", (TextPart("three"),)),
                Message("user", (TextPart("hi"),)),
            ),
        )
        self.assertEqual(errand(asked).system, "one\n\ntwo\n\nthree")

    def test_tools_of_the_past(self) -> None:
        asked = Turn(
            dialect="openai_chat",
            model="main",
            messages=(
                Message("user", (TextPart("weather?"),)),
                Message("assistant", (ToolCallPart("1", "weather", '{"at":"x"}'),)),
                Message("user", (ToolResultPart("1", (TextPart("rain"),)),)),
                Message("assistant", (TextPart("Rain."),)),
                Message("user", (TextPart("thanks"),)),
            ),
        )
        planned = errand(asked, passthrough=True)
        self.assertIn('[called weather with {"at":"x"}]', planned.message)
        self.assertIn("[a tool answered: rain]", planned.message)

    def test_nothing_to_say(self) -> None:
        for asked in (
            message(TextPart(" \n")),
            Turn(dialect="openai_chat", model="m", messages=()),
            Turn(
                dialect="openai_chat",
                model="m",
                messages=(Message("system", (TextPart("x"),)),),
            ),
        ):
            error = self.assertRaises(ProxyError, errand, asked)
            self.assertIs(error.kind, Kind.INVALID_REQUEST)
            self.assertEqual(error.param, "messages")


class Retrieval(SynchronousTestCase):
    """Text that a front-end's retrieval put around a prompt."""

    OPEN_WEBUI = (
        "### Task:\nRespond to the user query using the provided context, incorporating inline "
        "citations in the format [id] **only when the <source> tag includes an explicit id**.\n\n"
        "### Guidelines:\n- If you don't know the answer, clearly state that.\n\n"
        '<context>\n<source id="1" name="a.txt">facts</source>\n</context>\n\n'
        "<user_query>\nWhat is in the workspace?\n</user_query>"
    )

    def test_off(self) -> None:
        self.assertEqual(errand(turn(self.OPEN_WEBUI)).message, self.OPEN_WEBUI)

    def test_on(self) -> None:
        planned = errand(turn(self.OPEN_WEBUI), stripping=True)
        self.assertEqual(planned.message, "What is in the workspace?")

    def test_decision_within(self) -> None:
        """An approval's answer counts even with sources around it."""
        asked = turn("<context>facts</context>\nAPPROVE")
        self.assertEqual(errand(asked).said.strip(), "APPROVE")

    def test_nothing_left(self) -> None:
        self.assertEqual(strip("<context>x</context>", RETRIEVAL), "<context>x</context>")

    def test_plain(self) -> None:
        self.assertEqual(strip("a <b> c\n", RETRIEVAL), "a <b> c\n")


class Refusals(SynchronousTestCase):
    """What no agent can do for its caller."""

    def test_tools(self) -> None:
        tools = (FunctionTool("get_weather"),)
        error = self.assertRaises(ProxyError, errand, turn("hi", tools=tools))
        self.assertIs(error.kind, Kind.UNSUPPORTED_PARAMETER)
        self.assertEqual(error.param, "tools")
        errand(turn("hi", tools=tools, tool_choice=ToolChoice("none")))

    def test_tools_passed_over(self) -> None:
        """Where the operator says so, and Open WebUI's own, which come with every message of it."""
        tools = (FunctionTool("get_weather"),)
        own = (FunctionTool("get_current_timestamp"), FunctionTool("ask_user"), *tools)
        self.assertEqual(errand(turn("hi", tools=tools), ignoring=True).message, "hi")
        self.assertEqual(errand(turn("hi", tools=own)).message, "hi")
        for choice in (ToolChoice("required"), ToolChoice("tool", "get_weather")):
            asked = turn("hi", tools=own, tool_choice=choice)
            error = self.assertRaises(ProxyError, errand, asked, ignoring=True)
            self.assertEqual(error.param, "tools")

    def test_output_format(self) -> None:
        error = self.assertRaises(
            ProxyError, errand, turn("hi", output=OutputFormat("json_object"))
        )
        self.assertEqual(error.param, "response_format")
        errand(turn("hi", output=OutputFormat("text")))

    def test_hints_are_left_to_the_agent(self) -> None:
        errand(turn("hi", sampling=Sampling(temperature=0.1), max_tokens=5))


class Thinking(SynchronousTestCase):
    """How much the agent shall think."""

    def level(self, *offered: str, **reasoning: object) -> str | None:
        return thinking_level(Reasoning(**reasoning), offered)  # type: ignore[arg-type]

    def test_levels(self) -> None:
        self.assertIsNone(self.level())
        self.assertIsNone(self.level(enabled=True))
        self.assertEqual(self.level(enabled=False), "off")
        self.assertEqual(self.level(effort="none"), "off")
        self.assertEqual(self.level(effort="medium"), "medium")
        self.assertEqual(self.level(effort="xhigh"), "high")
        self.assertEqual(self.level("off", "xhigh", effort="xhigh"), "xhigh")
        self.assertEqual(self.level("off", "low", "high", effort="medium"), "low")
        self.assertEqual(self.level("medium", effort="low"), "medium")
        self.assertEqual(self.level(budget_tokens=1024), "low")
        self.assertEqual(self.level(budget_tokens=30000), "high")
