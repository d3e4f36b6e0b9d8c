"""What an agent is asked: messages, sessions, images, levels of thinking, and what is refused."""

from __future__ import annotations

import re
from base64 import b64decode

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.config.gateway import DEFAULT_RETRIEVAL_PATTERNS
from clawproxy.core.dialects.parts import (
    FilePart,
    ImagePart,
    InlineData,
    Message,
    Part,
    PlainText,
    RemoteUrl,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from clawproxy.core.dialects.tools import FunctionTool, ToolChoice
from clawproxy.core.dialects.turn import OutputFormat, Reasoning, Sampling, Turn
from clawproxy.core.errors import Kind, ProxyError
from clawproxy.upstream.openclaw.agents import Agent
from clawproxy.upstream.openclaw.errand import Errand, plan, strip, thinking_level
from tests.upstream.openclaw.calling import PIXEL, turn

AGENT = Agent("main", thinking=("off", "low", "high"))
RETRIEVAL = tuple(re.compile(p) for p in DEFAULT_RETRIEVAL_PATTERNS)


def errand(
    asked: Turn,
    headers: dict[str, str] | None = None,
    *,
    passthrough: bool = False,
    stripping: bool = False,
    agent: Agent = AGENT,
    ignoring: bool = False,
) -> Errand:
    """Plan a turn."""
    return plan(
        asked,
        headers or {},
        agent,
        mode="passthrough" if passthrough else "stateful",
        retrieval=RETRIEVAL,
        stripping=stripping,
        once="once-1",
        ignoring_tools=ignoring,
    )


def message(*parts: Part, role: str = "user") -> Turn:
    """A turn of one message."""
    return Turn(dialect="openai_chat", model="main", messages=(Message("user", parts),))


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


class Sessions(SynchronousTestCase):
    """Which session a request speaks in."""

    def key(self, asked: Turn, headers: dict[str, str] | None = None) -> str:
        return errand(asked, headers).session_key

    def test_shape(self) -> None:
        for agent in ("main", "Dev"):
            key = errand(turn("hi"), agent=Agent(agent)).session_key
            self.assertRegex(key, rf"^agent:{agent.lower()}:clawproxy-hash-[0-9a-f]+$")

    def test_user(self) -> None:
        self.assertEqual(self.key(turn("hi", user="alice")), "agent:main:clawproxy-user-alice")
        first = self.key(turn("one", user="alice"))
        self.assertEqual(first, self.key(turn("two", "x", "three", user="alice")))

    def test_chat_header(self) -> None:
        headers = {"x-openwebui-chat-id": "c1-22"}
        self.assertEqual(self.key(turn("hi"), headers), "agent:main:clawproxy-chat-c1-22")
        self.assertEqual(
            self.key(turn("hi", user="alice"), headers), "agent:main:clawproxy-user-alice"
        )

    def test_beginning(self) -> None:
        """Without a name, a conversation is known by how it begins."""
        first = self.key(turn("hello there"))
        self.assertEqual(first, self.key(turn("hello there", "hi!", "and now?")))
        self.assertNotEqual(first, self.key(turn("hello you")))

    def test_beginning_with_sources(self) -> None:
        """A front-end puts retrieved text around the last message only."""
        sources = '<context>\n<source id="1">facts</source>\n</context>\n\n'
        self.assertEqual(
            self.key(turn(sources + "hello there")), self.key(turn("hello there", "hi!", "more"))
        )

    def test_callers_stay_apart(self) -> None:
        """Who presents another key has another conversation, however it is called."""
        keys = {
            plan(
                asked,
                {},
                AGENT,
                mode="stateful",
                retrieval=RETRIEVAL,
                stripping=False,
                once="x",
                caller=caller,
            ).session_key
            for asked in (turn("hi"), turn("hi", user="u"))
            for caller in (None, "one", "two")
        }
        self.assertEqual(len(keys), 6)

    def test_side_tasks(self) -> None:
        """A title is asked for beside the chat, and must not stand in the agent's memory of it."""
        headers = {"x-openwebui-chat-id": "c1"}
        title = "### Task:\nGenerate a concise, 3-5 word title\n### Chat History:\nUSER: hi"
        chat = self.key(turn("hi"), headers)
        self.assertNotEqual(self.key(turn(title), headers), chat)
        self.assertNotEqual(self.key(turn(title, user="u")), self.key(turn("hi", user="u")))
        retrieval = (
            "### Task:\nRespond to the user query using the provided context, …\n"
            "<user_query>\nhi\n</user_query>"
        )
        self.assertEqual(self.key(turn(retrieval), headers), chat)

    def test_nobody_speaks_in_the_owners_sessions(self) -> None:
        for user in ("main", "telegram:42", "agent:main:main", "../x", "a" * 500, "Ä ö"):
            key = self.key(turn("hi", user=user))
            self.assertRegex(key, r"^agent:main:clawproxy-user-[a-z0-9._-]{1,64}$")

    @settings(max_examples=100, deadline=None)
    @given(st.text(min_size=1), st.text(min_size=1))
    def test_users_stay_apart(self, one: str, two: str) -> None:
        keys = {self.key(turn("hi", user=user)) for user in (one, two)}
        self.assertEqual(len(keys), len({one, two}))
        self.assertEqual({k.count(":") for k in keys}, {2})

    def test_passthrough(self) -> None:
        """The history goes along, so the session must not remember it as well."""
        planned = errand(turn("hi", user="alice"), passthrough=True)
        self.assertEqual(planned.session_key, "agent:main:clawproxy-once-1")
        self.assertEqual(planned.conversation, "main/user-alice")


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


class Images(SynchronousTestCase):
    """Pictures go as attachments."""

    def test_image(self) -> None:
        planned = errand(turn("look", image=True))
        (attachment,) = planned.attachments
        self.assertEqual(
            attachment.params(),
            {
                "type": "image",
                "mimeType": "image/png",
                "fileName": "image-1.png",
                "content": PIXEL,
            },
        )
        self.assertEqual(attachment.size, len(b64decode(PIXEL)))
        self.assertNotIn(PIXEL, repr(planned))

    def test_image_alone(self) -> None:
        asked = message(ImagePart(InlineData("image/jpeg", PIXEL)))
        self.assertEqual(errand(asked).message, "(image attached)")

    def test_images_of_the_past(self) -> None:
        first = Message("user", (TextPart("a"), ImagePart(InlineData("image/png", PIXEL))))
        asked = Turn(
            dialect="openai_chat",
            model="m",
            messages=(first, Message("assistant", (TextPart("b"),)), first),
        )
        self.assertEqual(len(errand(asked).attachments), 1)
        self.assertEqual(len(errand(asked, passthrough=True).attachments), 2)

    def test_refused(self) -> None:
        for part in (
            ImagePart(RemoteUrl("https://x.test/a.png"), where="messages[0].content[1]"),
            ImagePart(InlineData("application/pdf", "eA=="), where="messages[0].content[1]"),
            FilePart(InlineData("application/pdf", "eA=="), where="messages[0].content[1]"),
        ):
            error = self.assertRaises(ProxyError, errand, message(TextPart("look"), part))
            self.assertIs(error.kind, Kind.UNSUPPORTED_PARAMETER)
            self.assertEqual(error.param, "messages[0].content[1]")


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
