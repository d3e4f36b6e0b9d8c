"""Chat front-ends: what they send is served, told apart and recorded as they mean it."""

from __future__ import annotations

import json
import threading
from typing import Any

from tests.integration import answers
from tests.integration.front_ends import MODELS, PIXEL, OpenWebUI, SillyTavern, post, said
from tests.integration.proxy import Proxy
from tests.integration.records import RecordedCase, Records, streamed
from tests.integration.upstream import Answer, Asked, Upstream

ANSWER = "It is a scripted answer, long enough to be recognised."


def script(asked: Asked) -> Answer:
    """Answer in the API that is asked."""
    if asked.method == "GET":
        model = "claude-x" if asked.header("anthropic-version") else "gpt-x"
        listed = {"data": [{"id": model, "type": "model"}], "has_more": False}
        return Answer([json.dumps(listed).encode()])
    stream = bool(asked.json.get("stream"))
    if asked.target.endswith("/messages"):
        return answers.anthropic(stream, answers.text(ANSWER))
    return answers.chat(stream, ANSWER)


def frames(asked: Asked) -> list[bytes]:
    """The frames of the answer, without the pauses."""
    return [piece for piece in script(asked).pieces if isinstance(piece, bytes)]


class FrontEndCase(RecordedCase):
    """A proxy with a key for Anthropic, which takes the caller's for OpenAI."""

    def setUp(self) -> None:
        super().setUp()
        self.up: Upstream = self.upstream(script)
        self.through: Proxy = self.recording_proxy(self.up, providers__anthropic__api_key="sk-a")
        self.records = Records(self.through)

    def ask(self, chat: OpenWebUI | SillyTavern, body: bytes) -> bytes:
        """The whole body of a good answer."""
        connection, answer = post(self.through, chat, body)
        try:
            found = answer.read()
        finally:
            connection.close()
        self.assertEqual(answer.status, 200, found)
        return found

    def conversations(self) -> dict[str, tuple[int, int]]:
        """Turns and side calls of each conversation."""
        listed = self.through.get("/api/conversations")[1]["conversations"]
        return {each["id"]: (each["turns"], each["side_calls"]) for each in listed}


class OpenWebUITests(FrontEndCase):
    """Open WebUI."""

    def test_models(self) -> None:
        """All providers' are there, whoever asks."""
        for headers in MODELS:
            status, listed = self.through.get("/v1/models", headers)
            self.assertEqual(status, 200)
            self.assertLessEqual(
                {"claude-x", "gpt-x", "demo"}, {each["id"] for each in listed["data"]}
            )

    def test_verbatim(self) -> None:
        """Not a byte is changed where it speaks to an API of its own kind."""
        chat = OpenWebUI("gpt-x")
        body = chat.turn(said("user", "Hello there"))
        found = self.ask(chat, body)
        self.assertEqual(self.up.asked[0].body, body)
        self.assertEqual(self.up.asked[0].header("authorization"), "Bearer sk-mine")
        self.assertEqual(found, b"".join(frames(self.up.asked[0])))

    def test_claude(self) -> None:
        """Its tools, a picture, and "continue"."""
        chat = OpenWebUI("claude-x")
        picture: list[Any] = [
            {
                "type": "text",
                "text": '<attached_files>\n<file type="file"/>\n</attached_files>\n\n',
            },
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": PIXEL}},
        ]
        found = self.ask(chat, chat.turn(said("user", picture)))
        self.assertEqual(streamed("openai_chat", found).text, ANSWER)
        sent = self.up.asked[0].json
        self.assertEqual(
            [tool["name"] for tool in sent["tools"]], [t["function"]["name"] for t in chat.tools]
        )
        self.assertEqual(
            [part["type"] for part in sent["messages"][0]["content"]], ["text", "text", "image"]
        )
        self.ask(chat, chat.turn(said("user", "Hello"), said("assistant", "I am")))
        # Newer Claudes refuse to go on with words of their own.
        self.assertEqual(self.up.asked[1].json["messages"][-1]["role"], "user")

    def test_side_calls(self) -> None:
        """With the chat's id in a header, titles and the like are of their chat, and two chats that begin alike stay
        apart; without it, they are side calls of none.
        """
        begun, replied = said("user", "What title has this?"), said("assistant", ANSWER)
        for chat_id in ("chat-1", "chat-2", None):
            chat = OpenWebUI("gpt-x", chat_id)
            self.ask(chat, chat.turn(begun))
            for kind in ("title", "tags", "follow_ups"):
                self.ask(chat, chat.task(kind, begun, replied))
            self.ask(chat, chat.turn(begun, replied, said("user", "And then?")))
        found = [self.records.detail(each["id"]) for each in self.records.all(15)]
        kinds = [None, "title", "tags", "follow_ups", None]
        # Exchanges of one millisecond are in no order.
        self.assertCountEqual([each["kind"] for each in found], kinds * 3)
        conversations = self.conversations()
        self.assertEqual(conversations.pop("chat-1"), (2, 3))
        self.assertEqual(conversations.pop("chat-2"), (2, 3))
        self.assertEqual(list(conversations.values()), [(2, 0)])


class SillyTavernTests(FrontEndCase):
    """SillyTavern."""

    def test_one_conversation(self) -> None:
        """Swipes, "continue" and what comes after are turns of one conversation, on any model."""
        hello, replied = said("user", "Hello there"), said("assistant", ANSWER)
        longer = said("assistant", f"{ANSWER} {ANSWER}")
        for number, model in enumerate(("gpt-x", "claude-x"), 1):
            chat = SillyTavern(model)
            hello = said("user", f"Hello, {model}")
            self.ask(chat, chat.turn(hello))
            self.ask(chat, chat.turn(hello))
            self.ask(chat, chat.turn(hello, replied, chat.going_on))
            self.ask(chat, chat.turn(hello, longer, said("user", "And then?")))
            self.records.all(number * 4)
            self.assertEqual(list(self.conversations().values()), [(4, 0)] * number)

    def test_claude(self) -> None:
        """What Claude would refuse of its settings is left out, and instructions in the middle stay there."""
        chat = SillyTavern("claude-x")
        body = chat.turn(said("user", "Hello"), said("assistant", "I am"), chat.going_on)
        self.assertEqual(streamed("openai_chat", self.ask(chat, body)).text, ANSWER)
        sent = self.up.asked[0].json
        self.assertEqual([each["role"] for each in sent["messages"]], ["user", "assistant", "user"])
        self.assertIn("[Continue", json.dumps(sent["messages"][-1]))
        self.assertEqual(
            (sent["max_tokens"], sent["temperature"], sent.get("top_p")), (300, 1.0, None)
        )
        self.assertNotIn("presence_penalty", sent)

    def test_stop(self) -> None:
        """Its stop button closes the connection, which lets go of the upstream and is recorded as that."""
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        self.up.script = lambda asked: Answer([*frames(asked)[:6], go_on], headers=answers.STREAM)
        for model in ("gpt-x", "claude-x"):
            chat = SillyTavern(model)
            connection, answer = post(self.through, chat, chat.turn(said("user", "Hello")))
            self.assertIn(b'"It "', b"".join(answer.readline() for _ in range(7)))
            answer.close()
            connection.close()
            self.through.in_flight(0)
        for each in self.records.all(2):
            self.assertEqual((each["status"], each["outcome"]), (499, "client_gone"))

    def test_error(self) -> None:
        """Without streaming it shows the status line's words and nothing else."""
        self.up.script = lambda asked: answers.anthropic_error(529, "overloaded_error", "Busy")
        chat = SillyTavern("claude-x")
        body = chat.turn(said("user", "Hello"), stream=False)
        connection, answer = post(self.through, chat, body)
        self.assertEqual((answer.status, answer.reason), (529, "Overloaded"))
        connection.close()
