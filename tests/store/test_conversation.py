"""What makes messages the same, and a request a turn of a conversation."""

from __future__ import annotations

import json
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from clawproxy import prices
from clawproxy.core.message import read_message
from clawproxy.core.record import Exchange
from clawproxy.store.conversation import Said, answers, history, messages, said
from clawproxy.store.conversation_enrich import Enrichment
from clawproxy.store.conversation_link import Asked, Threads
from clawproxy.store.conversation_session import kind_of, session_of
from tests.store.samples import exchange, message


def digests(body: dict[str, Any]) -> list[int]:
    """The digests of a request's history."""
    return [each.digest for each in history(said(one) for one in messages(body))]


class SameMessage(SynchronousTestCase):
    """Messages that differ only in how they are written down have one digest."""

    def same(self, *several: Any) -> None:
        """Assert that all of these are the same message."""
        self.assertEqual(len({said(one).digest for one in several}), 1)

    def differ(self, *several: Any) -> None:
        """Assert that no two of these are the same message."""
        self.assertEqual(len({said(one).digest for one in several}), len(several))

    def test_string_or_list(self) -> None:
        """A string is a list with one text."""
        self.same(
            {"role": "user", "content": "hello  there\n"},
            {"role": "user", "content": [{"type": "text", "text": "hello there"}]},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "hello"},
                    {"type": "text", "text": "there"},
                ],
            },
            {"type": "message", "role": "user", "content": "hello there"},
        )

    def test_cache_marks_and_reminders(self) -> None:
        """Clients move both from turn to turn."""
        self.same(
            {"role": "user", "content": "hi"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>\nx\n</system-reminder>"},
                    {"type": "text", "text": "hi"},
                ],
            },
        )

    def test_reminders_without_end(self) -> None:
        """Beginnings that are never ended are text, and cost no minutes."""
        many = "<system-reminder>" * 20_000
        started = time.monotonic()
        self.same(
            {"role": "user", "content": f"a<system-reminder>x</system-reminder>{many}"},
            {"role": "user", "content": f"a {many}"},
        )
        self.assertLess(time.monotonic() - started, 5)

    def test_thinking_does_not_count(self) -> None:
        """It may be dropped from a history."""
        text = {"type": "text", "text": "Four."}
        self.same(
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "2+2", "signature": "s"}, text],
            },
            {"role": "assistant", "content": [text]},
        )
        self.assertTrue(said({"type": "reasoning", "id": "rs_1", "summary": []}).empty)

    def test_calls_by_id(self) -> None:
        """A call's arguments may be spelled anew, its id not."""
        self.same(
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"a": 1}}],
            },
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}],
            },
        )
        self.differ(
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}],
            },
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t2", "name": "Bash", "input": {}}],
            },
        )

    def test_what_differs(self) -> None:
        """Role, text and results do count."""
        self.differ(
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hi"},
            {"role": "user", "content": "ho"},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": "hi"}],
            },
            {"role": "tool", "tool_call_id": "u", "content": "hi"},
            {"role": "user", "content": [{"type": "image", "source": {"data": "AAAA"}}]},
        )

    def test_answers_are_what_comes_back(self) -> None:
        """An answer has the digest of the message that the next request has for it."""
        chat = {
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "Four.", "refusal": None}}
            ]
        }
        responses = {
            "output": [
                {"type": "reasoning"},
                {
                    "type": "message",
                    "id": "m",
                    "status": "completed",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Four.", "annotations": []}],
                },
            ]
        }
        anthropic = {
            "role": "assistant",
            "content": [{"type": "text", "text": "Four."}],
            "id": "msg_1",
        }
        want = digests({"messages": [{"role": "assistant", "content": "Four."}]})
        for dialect, finished in (
            ("openai_chat", chat),
            ("openai_responses", responses),
            ("anthropic", anthropic),
        ):
            told = history(said(one) for one in answers(dialect, finished))  # type: ignore[arg-type]
            self.assertEqual([each.digest for each in told], want, dialect)

    def test_anything_is_read(self) -> None:
        """Nothing that a body may hold raises."""
        odd: list[Any] = [
            None,
            1,
            "x",
            [],
            {},
            {"role": 3},
            {"content": {"a": [1e400]}},
            {"tool_calls": [1]},
            {"role": "user", "content": [1, None, {"type": 7}, {"type": "text", "text": 3}]},
            {"type": []},
        ]
        self.assertEqual(len([said(one) for one in odd]), len(odd))
        self.assertEqual(messages({"messages": "hi"}), [{"role": "user", "content": "hi"}])
        self.assertEqual(messages({"messages": 4}), [])


class Places(SynchronousTestCase):
    """What a request says of its session, and what kind it is."""

    def test_sessions(self) -> None:
        """By header, by metadata, by the API's own conversation."""
        user = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s-3"})
        uuid = "0b5a9f4e-7a44-4c8e-9f0a-2b7b5a1c6d11"
        for headers, body, want in (
            ([("X-Claude-Code-Session-Id", "s-1")], {}, "s-1"),
            ([("session-id", "s-2"), ("thread-id", "s-2")], {}, "s-2"),
            ([], {"metadata": {"user_id": user}}, "s-3"),
            ([], {"metadata": {"user_id": f"user_abc_account__session_{uuid}"}}, uuid),
            ([], {"conversation": {"id": "conv_1"}}, "conv_1"),
            ([], {"metadata": {"user_id": "{broken"}}, None),
            ([], {"metadata": {"user_id": "someone"}}, None),
            ([("session-id", "")], {}, None),
        ):
            found = session_of(headers, body)
            self.assertEqual(found.session_id if found else None, want)

    def test_threads_of_a_session(self) -> None:
        """Codex' threads beside the first one are agents of its session."""
        found = session_of([("session-id", "s"), ("thread-id", "t")], {})
        assert found is not None
        self.assertEqual((found.session_id, found.agent_id), ("s", "t"))

    def test_kinds(self) -> None:
        """Side calls are told apart from turns."""
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
        schema = {"type": "json_schema", "schema": {"type": "object", "properties": {"title": {}}}}
        search = {"type": "web_search_20250305", "name": "web_search"}
        task = "### Task:\nGenerate a concise, 3-5 word title with an emoji"
        titled = "Please write a 5-10 word title for the following conversation:\n\nUser: hi"
        post = "/v1/messages"
        for path, body, want in (
            (post, asked, None),
            ("/v1/messages/count_tokens", asked, "count_tokens"),
            (post, {**asked, "output_config": {"format": schema}}, "title"),
            (
                post,
                {**asked, "output_config": {"format": schema}, "tools": [{"name": "Bash"}]},
                None,
            ),
            (
                post,
                {**asked, "tools": [search], "tool_choice": {"type": "tool", "name": "web_search"}},
                "web_search",
            ),
            (post, {**asked, "tools": [search]}, None),
            (post, {**asked, "tools": [{"name": "Bash"}], "tool_choice": {"type": "any"}}, None),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": task}]}, "title"),
            (post, {"messages": [{"role": "user", "content": titled}]}, "title"),
            (post, {**asked, "max_tokens": 1}, "probe"),
            (post, {}, None),
            ("/v1/messages/batches", {"requests": []}, "other"),
        ):
            self.assertEqual(kind_of(path, "POST", body), want, (path, body))
        self.assertEqual(kind_of("/v1/models", "GET", {}), "other")

    def test_kinds_of_open_webui(self) -> None:
        """Its tasks are told apart by what they ask for, whatever the chat speaks of, and retrieval is no task."""
        chat = "### Chat History:\n<chat_history>\nUSER: a title, tags and queries\n</chat_history>"
        retrieval = "Respond to the user query using the provided context, incorporating …"
        for words, want in (
            ("Generate a concise title summarizing the chat history.\n", "title"),
            ("Generate 1-3 broad tags categorizing the main themes of …\n", "tags"),
            ('Predict 3-5 useful messages …\n{ "follow_ups": ["Suggested …"] }\n', "follow_ups"),
            ("Analyze the chat history … generating search queries …\n", "query"),
            ("You are an autocompletion system. … - **Search Query**: …\n", "autocomplete"),
            ("Generate a detailed prompt for am image generation task …\n", "task"),
            ("Summarize the conversation history that will be compacted …\n", "task"),
            (retrieval, None),
        ):
            asked = {"messages": [{"role": "user", "content": f"### Task:\n{words}{chat}"}]}
            self.assertEqual(kind_of("/v1/chat/completions", "POST", asked), want, words)


class Conversations(SynchronousTestCase):
    """Exchanges without a session find their conversation by what they repeat."""

    def setUp(self) -> None:
        """Have a fresh memory."""
        self.enrichment = Enrichment(prices.load())
        self.count = 0

    def turn(self, *texts: str, answer: str = "Yes.", **fields: Any) -> Exchange:
        """Bring in an exchange whose request has these texts, of user and assistant in turn."""
        self.count += 1
        body = {
            "model": "claude-sonnet-4-5",
            "messages": [
                {"role": ("user", "assistant")[at % 2], "content": text}
                for at, text in enumerate(texts)
            ],
        }
        each = exchange(self.count, **fields)
        finished = read_message("anthropic", message(answer)) if answer else None
        self.kind = self.enrichment(each, json.dumps(body).encode(), finished)
        return each

    def test_a_conversation_goes_on(self) -> None:
        """Each turn repeats the history."""
        first = self.turn("What is a heron?", answer="A bird.")
        second = self.turn("What is a heron?", "A bird.", "How tall?", answer="A metre.")
        third = self.turn("What is a heron?", "A bird.", "How tall?", "A metre.", "Thanks")
        self.assertEqual(first.conversation_id, first.id)
        self.assertEqual(second.conversation_id, first.id)
        self.assertEqual(third.conversation_id, first.id)

    def test_branches(self) -> None:
        """An edited turn and a retried one stay in their conversation."""
        first = self.turn("What is a heron?", answer="A bird.")
        self.turn("What is a heron?", "A bird.", "How tall?", answer="A metre.")
        edited = self.turn("What is a heron?", "A bird.", "How heavy?", answer="Two kilograms.")
        retried = self.turn("What is a heron?", "A bird.", "How tall?", answer="About a metre.")
        self.assertEqual({edited.conversation_id, retried.conversation_id}, {first.id})
        again = self.turn("What is a heron?", answer="A wader.")
        self.assertEqual(again.conversation_id, first.id)

    def test_the_same_beginning_is_not_the_same_conversation(self) -> None:
        """Two people may both begin with hi; the answers tell them apart."""
        anna = self.turn("hi", answer="Hello, Anna here.", client=client("10.0.0.1"))
        bert = self.turn("hi", answer="Good day, Bert speaking.", client=client("10.0.0.2"))
        self.assertNotEqual(anna.conversation_id, bert.conversation_id)
        second = self.turn("hi", "Hello, Anna here.", "who?", client=client("10.0.0.9"))
        self.assertEqual(second.conversation_id, anna.conversation_id)

    def test_the_same_greeting_is_not_the_same_conversation(self) -> None:
        """Even where the answers are the same, too, each caller goes on with their own, another one with the latest."""
        greeting = "Hello! How can I help you today?"
        callers = [client(f"10.0.0.{at}") for at in range(5)]
        begun = [self.turn("hi", answer=greeting, client=each) for each in callers]
        for each, caller in zip(begun, callers, strict=True):
            turn = self.turn("hi", greeting, "What is a heron?", answer="A bird.", client=caller)
            self.assertEqual(turn.conversation_id, each.id)
        for each, caller in zip(begun, callers, strict=True):
            turn = self.turn(
                "hi", greeting, "What is a heron?", "A bird.", "How tall?", client=caller
            )
            self.assertEqual(turn.conversation_id, each.id)
        again = self.turn("hi", answer=greeting, client=callers[0])
        self.assertEqual(again.conversation_id, begun[0].id)
        moved = self.turn("hi", greeting, "And an egret?", client=client("10.0.0.9"))
        self.assertEqual(moved.conversation_id, begun[0].id)

    def test_what_is_remembered_is_bounded(self) -> None:
        """However many callers have each history, and the latest are remembered best."""
        threads = Threads(100)
        answer = said({"role": "assistant", "content": "Hello!"})
        callers = [f"10.0.0.{at}" for at in range(20)]

        def asked(number: int, caller: str, *more: Said) -> Asked:
            question = said({"role": "user", "content": f"question {number}"})
            return Asked([question, *more], caller, "", 0)

        for number in range(50):
            for caller in callers:
                threads.note(asked(number, caller), f"{number} {caller}", [answer])
        own = [
            number
            for number in range(50)
            for caller in callers
            if threads.find(asked(number, caller, answer)) == f"{number} {caller}"
        ]
        self.assertEqual(own.count(49), 20)
        self.assertLessEqual(len(own), 100)

    def test_other_keys_never_share(self) -> None:
        """A history of another key's is another conversation."""
        first = self.turn("hi", answer="Hello.", key="anna")
        second = self.turn("hi", "Hello.", "more", key="bert")
        self.assertNotEqual(first.conversation_id, second.conversation_id)

    def test_no_endless_retries(self) -> None:
        """A program that asks the same thing all day has no conversation."""
        ids = {self.turn("status?", answer="fine").conversation_id for _ in range(100)}
        self.assertGreater(len(ids), 3)

    def test_a_cut_history(self) -> None:
        """A client that drops the beginning is recognised by the last answer."""
        long = "A heron is a wading bird with long legs and a long neck."
        first = self.turn("What is a heron?", answer=long)
        cut = self.turn("(earlier messages were left out)", long, "And a stork?")
        self.assertEqual(cut.conversation_id, first.id)

    def test_an_answer_that_was_rewritten(self) -> None:
        """The same caller's question is enough for a while."""
        first = self.turn("A question that nobody else asks", answer="An answer")
        second = self.turn("A question that nobody else asks", "Another answer", "next")
        self.assertEqual(second.conversation_id, first.id)

    def test_by_response_id(self) -> None:
        """An API that keeps the history is told the answer's id."""
        first = exchange(1, dialect="openai_responses", path="/v1/responses")
        done = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
        finished = read_message("openai_responses", json.dumps(done).encode())
        self.enrichment(first, b'{"input":"hi"}', finished)
        second = exchange(2, dialect="openai_responses", path="/v1/responses")
        self.enrichment(second, b'{"input":"more","previous_response_id":"resp_1"}', None)
        self.assertEqual(second.conversation_id, first.id)

    def test_sent_again(self) -> None:
        """A child of an exchange is of its conversation, whatever it asks."""
        first = self.turn("hi")
        child = self.turn("Something else altogether", parent_id=first.id)
        self.assertEqual(child.conversation_id, first.id)

    def test_sessions_come_first(self) -> None:
        """A session is a conversation, with all that is asked in it."""
        named = self.turn("hi", session_id="s-1")
        other = self.turn("ho", session_id="s-1", agent_id="a-1")
        self.assertEqual((named.conversation_id, other.conversation_id), ("s-1", "s-1"))

    def test_side_calls_belong_but_do_not_count(self) -> None:
        """Counting tokens is no turn."""
        first = self.turn("hi there")
        counted = self.turn("hi there", path="/v1/messages/count_tokens", answer="")
        self.assertEqual((self.kind, counted.conversation_id), ("count_tokens", first.id))
        lonely = self.turn("never seen", path="/v1/messages/count_tokens", answer="")
        self.assertIsNone(lonely.conversation_id)

    def test_cost(self) -> None:
        """The answer's own usage is priced; an unknown model's cost is unknown."""
        known = self.turn("hi")
        assert known.cost_usd is not None
        self.assertGreater(known.cost_usd, 0)
        self.assertIsNone(self.turn("hi", model="m", routed_model="nobody-knows-it").cost_usd)


def client(address: str) -> Any:
    """A caller at an address."""
    from clawproxy.core.record import Client

    return Client(address, "test")
