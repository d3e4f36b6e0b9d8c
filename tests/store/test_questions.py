"""Conversations as trees, their list, and figures, out of both kinds of stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet import reactor
from twisted.trial.unittest import SkipTest, TestCase

from clawproxy.dashboard.api_conversations import plain
from clawproxy.store import conversation_list, statistics
from clawproxy.store.conversation_query import load
from clawproxy.store.conversation_tree import DEEPEST
from clawproxy.store.postgres import PostgresStore
from clawproxy.store.protocol import Filter, Store
from clawproxy.store.sqlite import SQLiteStore
from clawproxy.store.statistics import BYS, figures, report, total
from tests.store import server
from tests.store.samples import EPOCH
from tests.store.traffic import Traffic

LONG = "A heron is a wading bird with long legs, a long neck and much patience."


def texts(thread: dict[str, Any]) -> list[str]:
    """The texts of a thread's messages, in their order."""
    found = []
    for each in thread["messages"]:
        content = each["message"]["content"]
        if isinstance(content, list):
            content = "".join(block.get("text", block["type"]) for block in content)
        found.append(content)
    return found


def parents(thread: dict[str, Any]) -> list[str | None]:
    """What each message of a thread follows."""
    names = dict(zip([each["id"] for each in thread["messages"]], texts(thread), strict=True))
    return [names.get(each["parent"]) for each in thread["messages"]]


class Questions(TestCase):
    """Has traffic for a store, and asks it."""

    store: Store

    def begin(self) -> None:
        """Take the store that was opened."""
        self.traffic = Traffic(self.store)
        self.ask = self.traffic.ask

    async def tree(self, id: str | None) -> dict[str, Any]:
        """A conversation as the API gives it."""
        assert id is not None
        found = await load(self.store, id)
        assert found is not None
        value: dict[str, Any] = json.loads(msgspec.json.encode(plain(found)))
        return value


class SQLite(Questions):
    """On SQLite."""

    def setUp(self) -> Any:
        """Open a store."""
        folder = Path(self.mktemp())
        folder.mkdir()
        store = SQLiteStore(folder / "test.db")
        store.open_now()
        self.addCleanup(store.close_now)
        self.store = store
        self.begin()


class Postgres(Questions):
    """On PostgreSQL, where a server can be started."""

    async def setUp(self) -> None:  # type: ignore[override]
        """Open a store."""
        try:
            url = server.url()
        except RuntimeError as error:
            raise SkipTest(str(error)) from None
        server.execute("DROP SCHEMA IF EXISTS clawproxy CASCADE")
        store = PostgresStore(url, reactor)
        self.addCleanup(store.close)
        await store.open()
        self.store = store
        self.begin()


if TYPE_CHECKING:
    Mixin = Questions
else:
    Mixin = object


class Trees(Mixin):
    """What grows where."""

    async def test_each_message_once(self) -> None:
        """However often it was sent."""
        history: list[Any] = []
        for number in range(12):
            history.append(f"question {number}")
            last = await self.ask(history, f"answer {number}")
            history.append(f"answer {number}")
        tree = await self.tree(last.conversation_id)
        (thread,) = tree["threads"]
        self.assertEqual(texts(thread), history)
        self.assertEqual(parents(thread), [None, *history[:-1]])
        self.assertEqual(len(thread["requests"]), 12)
        self.assertEqual((thread["origin"], thread["branches"]), ("start", 0))
        words = json.dumps(tree)
        for text in history:
            self.assertEqual(words.count(f'"{text}"'), 1, text)
        self.assertEqual(thread["requests"][3]["tip"], "m7")
        self.assertEqual(thread["requests"][3]["answer"], ["m8"])
        self.assertEqual(thread["messages"][7]["answer"], True)
        self.assertEqual(tree["input_tokens"], 120)

    async def test_branches(self) -> None:
        """An edited and a retried turn grow beside the first one."""
        first = await self.ask(["one"], "1")
        await self.ask(["one", "1", "two"], "2")
        await self.ask(["one", "1", "deux"], "2!")
        await self.ask(["one", "1", "two"], "II")
        (thread,) = (await self.tree(first.conversation_id))["threads"]
        self.assertEqual(texts(thread), ["one", "1", "two", "2", "deux", "2!", "II"])
        self.assertEqual(parents(thread), [None, "one", "1", "two", "1", "deux", "two"])
        self.assertEqual(thread["branches"], 2)

    async def test_the_same_answer_is_one_message(self) -> None:
        """A retry that says the same is no branch."""
        first = await self.ask(["one"], "1")
        await self.ask(["one"], "1")
        (thread,) = (await self.tree(first.conversation_id))["threads"]
        self.assertEqual(texts(thread), ["one", "1"])
        self.assertEqual(len(thread["requests"]), 2)

    async def test_always_the_same_answer(self) -> None:
        """A model that repeats itself makes no circle."""
        history: list[Any] = []
        for _ in range(4):
            history.append("more")
            last = await self.ask(history, LONG)
            history.append(LONG)
        (thread,) = (await self.tree(last.conversation_id))["threads"]
        self.assertEqual(texts(thread), history)

    async def test_cache_marks_move(self) -> None:
        """Claude Code marks the last message and takes the mark away in the next turn."""

        def marked(text: str) -> dict[str, Any]:
            block = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
            return {"role": "user", "content": [block]}

        await self.ask([marked("one")], "1", session_id="s")
        await self.ask(["one", "1", marked("two")], "2", session_id="s")
        (thread,) = (await self.tree("s"))["threads"]
        self.assertEqual(texts(thread), ["one", "1", "two", "2"])

    async def test_thinking_that_is_dropped(self) -> None:
        """The answer with thinking and the copy without are one."""
        blocks = [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": "1"},
        ]
        await self.ask(["one"], blocks, session_id="s")
        await self.ask(["one", "1", "two"], "2", session_id="s")
        (thread,) = (await self.tree("s"))["threads"]
        self.assertEqual(texts(thread), ["one", "thinking1", "two", "2"])

    async def test_old_tool_results_that_are_dropped(self) -> None:
        """What follows a changed message is not said twice."""

        def call(id: str) -> list[Any]:
            return [{"type": "tool_use", "id": id, "name": "Read", "input": {"path": id}}]

        def result(id: str, text: str) -> dict[str, Any]:
            block = {"type": "tool_result", "tool_use_id": id, "content": text}
            return {"role": "user", "content": [block]}

        def answered(id: str) -> dict[str, Any]:
            return {"role": "assistant", "content": call(id)}

        await self.ask(["read"], call("a"), session_id="s")
        await self.ask(["read", answered("a"), result("a", "AAA")], call("b"), session_id="s")
        cleared = result("a", "[cleared]")
        await self.ask(
            ["read", answered("a"), cleared, answered("b"), result("b", "BBB")],
            "done",
            session_id="s",
        )
        (thread,) = (await self.tree("s"))["threads"]
        roles = [(each["role"], each["answer"]) for each in thread["messages"]]
        self.assertEqual(
            roles,
            [
                ("user", False),
                ("assistant", True),
                ("user", False),
                ("assistant", True),
                ("user", False),
                ("user", False),
                ("assistant", True),
            ],
        )
        ids = {each["id"]: each for each in thread["messages"]}
        last = ids[thread["requests"][2]["tip"]]
        self.assertEqual(last["message"]["content"][0]["content"], "BBB")
        self.assertEqual(last["parent"], thread["requests"][1]["answer"][0])

    async def test_system_messages_stand_aside(self) -> None:
        """Claude Code has one among the messages, and changes it."""
        for number in range(3):
            system = {"role": "system", "content": f"It is turn {number // 2}."}
            await self.ask([system, {"role": "user", "content": "one"}], "1", session_id="s")
        (thread,) = (await self.tree("s"))["threads"]
        self.assertEqual([each["aside"] for each in thread["messages"]], [False, True, False, True])

    async def test_subagents_are_children(self) -> None:
        """Below the call that started them, by header."""
        start = [
            {
                "type": "tool_use",
                "id": "toolu_1",
                "name": "Agent",
                "input": {"prompt": "Find the heron."},
            }
        ]
        main = await self.ask(["Where is it?"], start, session_id="s")
        await self.ask(["Find the heron."], "By the pond.", session_id="s", agent_id="a1")
        await self.ask(["Deeper"], "x", session_id="s", agent_id="a2", parent_agent_id="a1")
        done = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "By the pond."}
        again = [
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "content": start},
        ]
        await self.ask(
            [*again, {"role": "user", "content": [done]}], "By the pond!", session_id="s"
        )
        tree = await self.tree("s")
        (thread,) = tree["threads"]
        self.assertEqual(len(thread["requests"]), 2)
        (child,) = thread["children"]
        self.assertEqual((child["agent_id"], child["origin"]), ("a1", "subagent"))
        self.assertEqual(
            child["parent"], {"request": main.id, "message": "m2", "tool_call_id": "toolu_1"}
        )
        (deeper,) = child["children"]
        self.assertEqual((deeper["agent_id"], deeper["parent_agent_id"]), ("a2", "a1"))

    async def test_subagents_with_the_same_task(self) -> None:
        """Each is below a call of its own."""
        calls = [
            {"type": "tool_use", "id": f"toolu_{n}", "name": "Agent", "input": {"prompt": "Look."}}
            for n in (1, 2)
        ]
        await self.ask(["Look twice"], calls, session_id="s")
        for agent in ("a1", "a2"):
            await self.ask(["Look."], "Seen.", session_id="s", agent_id=agent)
        (thread,) = (await self.tree("s"))["threads"]
        found = {each["agent_id"]: each["parent"]["tool_call_id"] for each in thread["children"]}
        self.assertEqual(found, {"a1": "toolu_1", "a2": "toolu_2"})

    async def test_subagents_without_a_name(self) -> None:
        """Older clients do not name them; the prompt tells."""
        start = [
            {
                "type": "tool_use",
                "id": "toolu_1",
                "name": "Task",
                "input": {"prompt": "Find the heron."},
            }
        ]
        await self.ask(["Where is it?"], start, session_id="s")
        await self.ask(["Find the heron."], "By the pond.", session_id="s")
        (thread,) = (await self.tree("s"))["threads"]
        self.assertEqual([each["origin"] for each in thread["children"]], ["subagent"])

    async def test_compaction(self) -> None:
        """A history that was summed up goes on below the one that it sums up."""
        first = await self.ask(["one"], LONG, session_id="s")
        summary = (
            "This session is being continued from a previous conversation. They spoke of herons."
        )
        await self.ask([summary], "Go on.", session_id="s")
        tree = await self.tree("s")
        (thread,) = tree["threads"]
        (child,) = thread["children"]
        self.assertEqual(child["origin"], "compaction")
        self.assertEqual(child["parent"]["request"], first.id)

    async def test_many_histories(self) -> None:
        """A session whose every question begins anew is no pit: it stays a tree that can be written down."""
        for at in range(40):
            await self.ask([f"question {at}"], f"answer {at}", session_id="s")
        (thread,) = (await self.tree("s"))["threads"]
        sources = []
        depth, level = 0, [thread]
        while level:
            depth += 1
            sources += [each["parent"] and each["parent"]["request"] for each in level]
            level = [child for each in level for child in each["children"]]
        self.assertEqual((depth, len(sources)), (DEEPEST, 40))
        self.assertEqual(len(set(sources)), 40, "each names what it came out of")

    async def test_side_calls_are_apart(self) -> None:
        """Their messages are none of the conversation's; a title is its name."""
        schema = {"type": "json_schema", "schema": {"properties": {"title": {"type": "string"}}}}
        titled = {"output_config": {"format": schema}}
        await self.ask(["one"], '{"title": "About one"}', titled, session_id="s")
        await self.ask(["one"], "1", session_id="s")
        await self.ask(["one"], "", session_id="s", path="/v1/messages/count_tokens")
        tree = await self.tree("s")
        self.assertEqual([each["kind"] for each in tree["side_calls"]], ["title", "count_tokens"])
        self.assertEqual(tree["title"], "About one")
        self.assertEqual(texts(tree["threads"][0]), ["one", "1"])
        page = await conversation_list.page(self.store, Filter())
        (summary,) = page.items
        self.assertEqual((summary.title, summary.requests, summary.turns), ("About one", 3, 1))

    async def test_what_codex_says_first_is_no_title(self) -> None:
        """Nor are its developer's messages, of which there may be several."""
        told = [
            ("developer", "You are a coding agent."),
            ("developer", "<skills_instructions>\n## Skills"),
            ("user", "# AGENTS.md instructions for /home/kim\n\nUse tabs."),
            ("user", "<environment_context>\n  <cwd>/home/kim</cwd>\n</environment_context>"),
            ("user", "What is in this folder?"),
        ]
        items = [{"role": role, "content": text} for role, text in told]
        body = json.dumps({"input": items}).encode()
        path, dialect = "/v1/responses", "openai_responses"
        await self.traffic.bring(body, b"", path=path, dialect=dialect, session_id="s")
        (summary,) = (await conversation_list.page(self.store, Filter())).items
        self.assertEqual(summary.title, "What is in this folder?")

    async def test_responses(self) -> None:
        """The Responses API: text as input, items, and histories that the API keeps."""
        path, dialect = "/v1/responses", "openai_responses"

        def response(id: str, text: str) -> bytes:
            content = [{"type": "output_text", "text": text, "annotations": []}]
            item = {"type": "message", "id": f"{id}_m", "role": "assistant", "content": content}
            return json.dumps(
                {
                    "id": id,
                    "object": "response",
                    "status": "completed",
                    "model": "gpt-5",
                    "output": [{"type": "reasoning", "summary": []}, item],
                }
            ).encode()

        first = await self.traffic.bring(
            b'{"input":"one"}', response("resp_1", "1"), path=path, dialect=dialect
        )
        await self.traffic.bring(
            b'{"input":"two","previous_response_id":"resp_1"}',
            response("resp_2", "2"),
            path=path,
            dialect=dialect,
        )
        items = [
            {"role": "user", "content": "one"},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "1"}],
            },
            {"role": "user", "content": "three"},
        ]
        await self.traffic.bring(
            json.dumps({"input": items}).encode(),
            response("resp_3", "3"),
            path=path,
            dialect=dialect,
        )
        (thread,) = (await self.tree(first.conversation_id))["threads"]
        self.assertEqual(texts(thread), ["one", "1", "two", "2", "three", "3"])
        self.assertEqual(parents(thread), [None, "one", "1", "two", "1", "three"])

    async def test_odd_bodies(self) -> None:
        """Bodies that are no JSON are exchanges without messages."""
        await self.traffic.bring(b"{broken", b"also broken", session_id="s")
        await self.traffic.bring(b'"text"', b"[]", session_id="s")
        await self.traffic.bring(b'{"messages": 3, "system": {"a": 1}}', b"{}", session_id="s")
        tree = await self.tree("s")
        self.assertEqual(tree["requests"], 3)
        self.assertEqual(
            [thread["messages"] for thread in tree["threads"]], [[]] * len(tree["threads"])
        )

    async def test_nothing_there(self) -> None:
        """An unknown conversation is none."""
        self.assertIsNone(await load(self.store, "nobody"))


class Lists(Mixin):
    """The list of conversations."""

    async def test_the_newest_first_in_pages(self) -> None:
        """Each once, by its last exchange."""
        for number in (0, 1, 2, 3, 0, 2, 4):
            await self.ask([f"question {number}"], session_id=f"s{number}")
        seen, cursor = [], None
        for _ in range(3):
            page = await conversation_list.page(self.store, Filter(), cursor, 2)
            self.assertEqual(page.total, 5)
            seen += [(each.id, each.title) for each in page.items]
            cursor = page.cursor
        self.assertIsNone(cursor)
        self.assertEqual(seen, [(f"s{number}", f"question {number}") for number in (4, 2, 0, 3, 1)])

    async def test_filters(self) -> None:
        """A conversation is listed if one of its exchanges passes."""
        await self.ask(["one"], session_id="s1", model="gpt-5", routed_model="gpt-5")
        await self.ask(["two"], session_id="s1")
        await self.ask(["three"], session_id="s2")
        page = await conversation_list.page(self.store, Filter(model="gpt-5"))
        self.assertEqual([each.id for each in page.items], ["s1"])
        self.assertEqual(page.items[0].requests, 2)
        self.assertEqual(page.items[0].models, ["claude-sonnet-4-5", "gpt-5"])

    async def test_search(self) -> None:
        """By words, in pages."""
        for number in range(5):
            await self.ask([f"a heron, number {number}"], session_id=f"s{number % 3}")
        await self.ask(["a stork"], session_id="s9")
        first = await conversation_list.page(self.store, Filter(text="heron"), None, 2)
        self.assertEqual(([each.id for each in first.items], first.total), (["s1", "s0"], 3))
        second = await conversation_list.page(self.store, Filter(text="heron"), first.cursor, 2)
        self.assertEqual(([each.id for each in second.items], second.cursor), (["s2"], None))


class Recalls(Mixin):
    """A restarted indexer goes on with what is in the store."""

    async def test_after_a_restart(self) -> None:
        """The next turn belongs to the conversation that began before."""
        first = await self.ask(["What is a heron?"], "A bird.")
        self.traffic.restart()
        second = await self.ask(["What is a heron?", "A bird.", "How tall?"], "A metre.")
        self.assertEqual(second.conversation_id, first.conversation_id)

    async def test_only_by_the_answer(self) -> None:
        """The same question with another answer is another conversation."""
        first = await self.ask(["What is a heron?"], "A bird.")
        self.traffic.restart()
        second = await self.ask(["What is a heron?", "No idea.", "How tall?"], "A metre.")
        self.assertNotEqual(second.conversation_id, first.conversation_id)


class Statistics(Mixin):
    """Figures."""

    async def test_groups(self) -> None:
        """Sums, percentiles, and no group that nobody is in."""
        for number in range(100):
            await self.ask(
                [f"question {number}"],
                session_id="s",
                agent_id="a1" if number % 4 == 0 else None,
                model="gpt-5" if number % 2 else "claude-sonnet-4-5",
                routed_model="gpt-5" if number % 2 else "claude-sonnet-4-5",
                outcome="error" if number % 10 == 0 else "ok",
                ttft_ms=float(number + 1),
                duration_ms=None if number % 2 else float(number + 1),
            )
        whole, groups = await report(self.store, Filter(), BYS)
        self.assertEqual((whole.requests, whole.errors, whole.outcomes["ok"]), (100, 10, 90))
        self.assertEqual((whole.tokens["input_tokens"], whole.tokens["output_tokens"]), (1000, 500))
        self.assertEqual(whole.ttft_ms, {50: 50.0, 90: 90.0, 95: 95.0, 99: 99.0})
        self.assertEqual(whole.duration_ms, {50: 49.0, 90: 89.0, 95: 95.0, 99: 99.0})
        self.assertGreater(whole.cost_usd, 0)
        self.assertEqual(whole.cache_hit_rate, 0.0)
        self.assertEqual(
            [(each.key, each.requests) for each in groups["model"]],
            [("claude-sonnet-4-5", 50), ("gpt-5", 50)],
        )
        self.assertEqual(
            [(each.key, each.requests) for each in groups["agent"]], [(None, 75), ("a1", 25)]
        )
        hour = int(EPOCH) // 3600 * 3_600_000
        self.assertEqual([(each.key, each.requests) for each in groups["hour"]], [(hour, 100)])
        self.assertEqual([each.key for each in groups["day"]], [int(EPOCH) // 86_400 * 86_400_000])
        self.assertEqual(await total(self.store, Filter()), whole)
        self.assertEqual(await figures(self.store, Filter(), "model"), groups["model"])
        few = await total(self.store, Filter(model="gpt-5", outcome="ok"))
        self.assertEqual((few.requests, few.duration_ms), (50, {}))

    async def test_nothing(self) -> None:
        """No exchange, no groups."""
        whole, groups = await report(self.store, Filter(), BYS)
        self.assertEqual((whole.requests, whole.cost_usd, whole.cache_hit_rate), (0, 0.0, None))
        self.assertEqual(groups, {by: [] for by in BYS})

    async def test_a_sample(self) -> None:
        """Of many exchanges the times of some are looked at; what is counted is counted."""
        self.patch(statistics, "RANKED", 50)
        for number in range(200):
            await self.ask([f"question {number}"], session_id="s", ttft_ms=float(number + 1))
        whole = await total(self.store, Filter())
        self.assertEqual(whole.requests, 200)
        self.assertLess(abs(whole.ttft_ms[50] - 100), 60)


class SQLiteTrees(Trees, SQLite):
    """Trees on SQLite."""


class SQLiteLists(Lists, SQLite):
    """Lists on SQLite."""


class SQLiteRecalls(Recalls, SQLite):
    """Recalls on SQLite."""


class SQLiteStatistics(Statistics, SQLite):
    """Figures on SQLite."""


class PostgresTrees(Trees, Postgres):
    """Trees on PostgreSQL."""


class PostgresLists(Lists, Postgres):
    """Lists on PostgreSQL."""


class PostgresRecalls(Recalls, Postgres):
    """Recalls on PostgreSQL."""


class PostgresStatistics(Statistics, Postgres):
    """Figures on PostgreSQL."""
