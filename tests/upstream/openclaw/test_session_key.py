"""In which session a caller speaks: never in the owner's, and never in another caller's."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clawproxy.core.dialects.turn import Turn
from clawproxy.upstream.openclaw.agents import Agent
from clawproxy.upstream.openclaw.errand import plan
from tests.upstream.openclaw.calling import turn
from tests.upstream.openclaw.planning import AGENT, RETRIEVAL, errand


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
