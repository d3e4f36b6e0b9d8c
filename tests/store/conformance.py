"""What every store has to do, as a mixin: each store's tests add it to a case that makes the store."""

from __future__ import annotations

import gzip
import json
import os
from typing import Any, Protocol

from clawproxy import prices
from clawproxy.store.conversation_enrich import Enrichment
from clawproxy.store.conversation_query import load
from clawproxy.store.entry import Entry
from clawproxy.store.pieces import Pieces, Side
from clawproxy.store.preparation import prepare
from clawproxy.store.protocol import Filter, Partial, Store
from tests.store.samples import EPOCH, asking, exchange, message, stored


class _Case(Protocol):
    store: Store

    async def count(self, table: str) -> int: ...
    def assertEqual(self, first: object, second: object, msg: str | None = None) -> Any: ...
    def assertIsNone(self, found: object) -> Any: ...
    def assertLess(self, first: float, second: float) -> Any: ...
    def assertTrue(self, found: object) -> Any: ...


class Conformance:
    """The suite. ``self.store`` is open and empty; ``self.count(table)`` counts rows."""

    async def test_an_exchange_comes_back(self: _Case) -> None:
        request = asking("What is a heron?", system="Be brief.")
        answer = message("A wading bird.", "look_up", "look_up")
        self.assertEqual(await self.store.ingest([stored(1, request, answer)]), 1)
        detail = await self.store.get("id000001")
        assert detail is not None
        want = exchange(1, request_bytes=len(request))
        self.assertEqual(detail.stored.exchange, want)
        self.assertEqual(detail.request, request)
        self.assertEqual(json.loads(detail.finished or b""), json.loads(answer))
        self.assertEqual(detail.tools, ["look_up"])
        by_request_id = await self.store.get("req_1")
        assert by_request_id is not None
        self.assertEqual(by_request_id.stored, detail.stored)
        self.assertEqual(await self.store.body("id000001", "request"), request)
        self.assertEqual(await self.store.body("req_1", "response"), answer)
        self.assertIsNone(await self.store.body("id000001", "upstream-request"))
        self.assertEqual(await self.store.events("id000001"), Pieces((1.5,), (answer,)))

    async def test_a_coded_answer_that_was_cut(self: _Case) -> None:
        """It decodes as far as it came, and is given as it is where nothing can be had of it."""
        answer = b"data: " + os.urandom(40_000).hex().encode()
        whole = gzip.compress(answer)
        for number, sent in enumerate((whole, whole[:-9_000], b"no gzip at all")):
            made = exchange(number, response_headers=[("content-encoding", "gzip")])
            entry = Entry(made, "1-a", True, b"{}", None, Pieces((1.5,), (sent,)), Pieces())
            await self.store.ingest([prepare(entry, b"{}")])
            self.assertEqual(await self.store.body(made.id, "response"), sent)
        self.assertEqual(await self.store.body("id000000", "response", decoded=True), answer)
        found = await self.store.body("id000001", "response", decoded=True)
        assert found is not None
        self.assertTrue(answer.startswith(found) and len(found) > 60_000)
        self.assertEqual(
            await self.store.body("id000002", "response", decoded=True), b"no gzip at all"
        )

    async def test_what_is_not_there(self: _Case) -> None:
        self.assertIsNone(await self.store.get("nobody"))
        self.assertIsNone(await self.store.body("nobody", "request"))
        self.assertIsNone(await self.store.events("nobody"))
        self.assertEqual((await self.store.list(Filter())).items, [])

    async def test_any_bytes_come_back(self: _Case) -> None:
        bodies = [
            b"",
            b"\0",
            b"\xff\xfe\0\0",
            b'{"messages":[{"\\ud800":NaN}, \0 ]',
            os.urandom(9000),
        ]
        for number, body in enumerate(bodies):
            entry = Entry(
                exchange(number, request_bytes=len(body)),
                "1-a",
                True,
                body,
                body + b"2",
                Pieces((1.0, 2.0), (body, body[::-1])),
                Pieces((0.5,), (body,)),
            )
            await self.store.ingest([prepare(entry, body)])
        for number, body in enumerate(bodies):
            id = f"id{number:06d}"
            self.assertEqual(await self.store.body(id, "request"), body)
            self.assertEqual(await self.store.body(id, "upstream-request"), body + b"2")
            self.assertEqual(await self.store.body(id, "response"), body + body[::-1])
            self.assertEqual(await self.store.body(id, "upstream-response"), body)

    async def test_odd_text_is_no_obstacle(self: _Case) -> None:
        odd = "nul \0 snowman ☃ astral 🜚 quote ' \" \\ %s ? $1"
        one = stored(1, asking(odd), message(odd), model=odd, path=odd, error=odd, id="odd'\"")
        await self.store.ingest([one])
        detail = await self.store.get("odd'\"")
        assert detail is not None
        self.assertEqual(detail.stored.exchange.error, odd)
        self.assertEqual(await self.store.body("odd'\"", "request"), asking(odd))
        self.assertEqual((await self.store.list(Filter(text="snowman astral"))).total, 1)

    async def test_deep_values_are_no_obstacle(self: _Case) -> None:
        """JSON may be nested deeper than Python's own frames may be."""
        for number, depth in enumerate((100, 600, 900, 5000, 200_000)):
            for opened, closed in (("[", "]"), ('{"content":', "}")):
                deep = f'{opened * depth}"heron"{closed * depth}'
                messages = (
                    f'[{{"role":"user","content":[{{"type":"odd","x":{deep}}}]}},'
                    f'{{"role":"user","content":{deep}}}]'
                )
                body = f'{{"system":{deep},"messages":{messages}}}'.encode()
                id = f"{opened[0]}{depth}"
                made = exchange(number, id=id, request_bytes=len(body))
                answer = message("heron").replace(b'"heron"', deep.encode())
                entry = Entry(made, "1-a", True, body, None, Pieces((1.5,), (answer,)))
                enrichment = Enrichment(prices.load())
                await enrichment.recall(self.store, made, body)
                self.assertEqual(await self.store.ingest([prepare(entry, body, enrichment)]), 1)
                self.assertEqual(await self.store.body(id, "request"), body)
                if made.conversation_id is not None:
                    await load(self.store, made.conversation_id)
        self.assertEqual((await self.store.list(Filter(text="heron"))).total, 6)
        self.assertEqual(await self.store.delete(Filter()), 10)
        self.assertEqual((await self.store.list(Filter(text="heron"))).total, 0)

    async def test_newest_first_in_pages(self: _Case) -> None:
        for numbers in ((5, 1, 9), (0, 7), (3, 8, 2, 6, 4)):
            await self.store.ingest([stored(number) for number in numbers])
        seen, cursor, pages = [], None, 0
        while True:
            page = await self.store.list(Filter(), cursor, 4)
            self.assertEqual(page.total, 10)
            seen += [item.exchange.id for item in page.items]
            cursor, pages = page.cursor, pages + 1
            if cursor is None:
                break
        self.assertEqual(seen, [f"id{number:06d}" for number in reversed(range(10))])
        self.assertEqual(pages, 3)

    async def test_many_in_one_millisecond(self: _Case) -> None:
        batch = [stored(1, id=f"same{number}") for number in range(150)]
        await self.store.ingest(batch[:70])
        await self.store.ingest(batch[70:])
        page = await self.store.list(Filter(), limit=200)
        self.assertEqual(
            {item.exchange.id for item in page.items}, {f"same{n}" for n in range(150)}
        )

    async def test_filters(self: _Case) -> None:
        await self.store.ingest(
            [
                stored(0, model="gpt-5", provider="openai", dialect="openai_chat"),
                stored(1, outcome="error", status=529),
                stored(2, session_id="s1", agent_id="a1", key="bob"),
                stored(3, routed_model="gpt-5", session_id="s1", path="/v1/responses"),
                stored(4, answer=message("ok", "Bash"), conversation_id="c1"),
            ]
        )
        cases: list[tuple[Filter, list[int]]] = [
            (Filter(model="gpt-5"), [3, 0]),
            (Filter(provider="openai"), [0]),
            (Filter(dialect="openai_chat"), [0]),
            (Filter(outcome="error"), [1]),
            (Filter(outcome=("error", "cut")), [1]),
            (Filter(outcome=("error", "ok"), model=("gpt-5", "gpt-6")), [3, 0]),
            (Filter(provider=("openai", "anthropic")), [4, 3, 2, 1, 0]),
            (Filter(agent_id=("a0", "a1")), [2]),
            (Filter(status=529), [1]),
            (Filter(session_id="s1"), [3, 2]),
            (Filter(session_id="s1", agent_id="a1"), [2]),
            (Filter(key="bob"), [2]),
            (Filter(path="/v1/responses"), [3]),
            (Filter(tool="Bash"), [4]),
            (Filter(conversation_id="c1", tool="Bash"), [4]),
            (Filter(side_call=""), [4, 3, 2, 1, 0]),
            (Filter(side_call="title"), []),
            (Filter(since=int(EPOCH * 1000) + 3000), [4, 3]),
            (Filter(until=int(EPOCH * 1000) + 3000), [2, 1, 0]),
            (Filter(since=int(EPOCH * 1000) + 1000, until=int(EPOCH * 1000) + 1001), [1]),
        ]
        for filter, numbers in cases:
            page = await self.store.list(filter)
            found = [item.exchange.id for item in page.items]
            self.assertEqual(found, [f"id{number:06d}" for number in numbers], repr(filter))
            self.assertEqual(page.total, len(numbers), repr(filter))

    async def test_text_is_found_where_it_was_said(self: _Case) -> None:
        system = "You are a librarian who knows everything."
        await self.store.ingest(
            [
                stored(
                    1, asking("Do herons migrate?", system=system), message("Most do, southwards.")
                ),
                stored(
                    2,
                    asking(
                        "Do herons migrate?", "Most do, southwards.", "And ospreys?", system=system
                    ),
                    message("They cross the Sahara.", "Atlas"),
                ),
                stored(3, asking("Do herons migrate?"), message("Yes.")),
            ]
        )
        cases = {
            "herons": [3, 1],
            "southwards": [1],
            "HERONS migrate": [3, 1],
            '"migrate herons"': [],
            '"herons migrate"': [3, 1],
            '"herons migrate" southwards': [1],
            "Herons-Mig*": [3, 1],
            "herons-mig": [],
            "erons-migrate": [],
            "ospreys": [2],
            "sahar*": [2],
            "sahar": [],
            "librarian": [1],
            "herons ospreys": [],
            "ospreys sahara": [2],
            "AND": [2],
            'heron* -"': [3, 1],
        }
        for words, numbers in cases.items():
            page = await self.store.list(Filter(text=words))
            found = [item.exchange.id for item in page.items]
            self.assertEqual(found, [f"id{number:06d}" for number in numbers], words)
            self.assertEqual(page.total, len(numbers), words)
        page = await self.store.list(Filter(text="sahara", tool="Atlas", model="claude-sonnet-4-5"))
        self.assertEqual(page.total, 1)
        first = await self.store.list(Filter(text="herons"), limit=1)
        second = await self.store.list(Filter(text="herons"), first.cursor, 1)
        self.assertEqual([item.exchange.id for item in second.items], ["id000001"])
        self.assertIsNone(second.cursor)

    async def test_phrases_are_of_whole_words(self: _Case) -> None:
        """Though the words are elsewhere in the same text."""
        await self.store.ingest([stored(1, asking("the grey herons, ochre rey, one heron"), b"")])
        cases = {
            '"grey herons"': 1, '"the grey"': 1, '"one heron"': 1, "grey-heron*": 1,
            '"grey heron"': 0, '"rey herons"': 0, "rey-heron*": 0,
        }  # fmt: skip
        for words, total in cases.items():
            self.assertEqual((await self.store.list(Filter(text=words))).total, total, words)

    async def test_accents_and_scripts(self: _Case) -> None:
        """Accents of Latin letters do not count; those of others are letters of their own."""
        await self.store.ingest(
            [stored(1, asking("Café ŌNAMI naïve Мой дом 한국어 日本語"), message("Übergröße"))]
        )
        cases = {
            "cafe": 1, "CAFÉ": 1, "cafe\u0301": 1, "onami": 1, "Naive": 1, "ubergroße": 1, "мой": 1, "мои": 0,
            "한국어": 1, "한국*": 1, "日本語": 1,
        }  # fmt: skip
        for words, total in cases.items():
            self.assertEqual((await self.store.list(Filter(text=words))).total, total, words)

    async def test_senseless_questions(self: _Case) -> None:
        for filter, cursor in ((Filter(text=' "-" * '), None), (Filter(), "x1")):
            try:
                await self.store.list(filter, cursor)
            except ValueError:
                continue
            raise AssertionError(f"{filter} {cursor} was taken")

    async def test_many_of_one_moment(self: _Case) -> None:
        """As an import brings them whose times are whole seconds: each has its place."""
        for first in range(0, 1200, 200):
            batch = [
                stored(0, asking(f"number {number}"), id=f"n{number}")
                for number in range(first, first + 200)
            ]
            self.assertEqual(await self.store.ingest(batch), 200)
        page = await self.store.list(Filter(), limit=1200)
        self.assertEqual(page.total, 1200)
        self.assertEqual(len({item.exchange.id for item in page.items}), 1200)
        for number in (0, 777, 1199):
            self.assertEqual(
                await self.store.body(f"n{number}", "request"), asking(f"number {number}")
            )

    async def test_a_batch_may_come_twice(self: _Case) -> None:
        one = stored(1, asking("once"), message("twice"))
        self.assertEqual(await self.store.ingest([one]), 1)
        self.assertEqual(await self.store.ingest([one, one]), 0)
        self.assertEqual((await self.store.list(Filter())).total, 1)
        self.assertEqual((await self.store.list(Filter(text="once"))).total, 1)

    async def test_running_then_final(self: _Case) -> None:
        request = asking("Wait for it")
        running = exchange(1, outcome="running", finished_at=None, status=None, usage=None)
        entry = Entry(running, "1-a", False, request)
        self.assertEqual(await self.store.ingest([prepare(entry, request)]), 0)
        self.assertEqual(await self.store.ingest([prepare(entry, request)]), 0)
        self.assertEqual([one.id for one in await self.store.running("1-a")], ["id000001"])
        self.assertEqual(await self.store.running("2-b"), [])
        self.assertEqual((await self.store.list(Filter(outcome="running"))).total, 1)
        self.assertEqual(await self.store.delete(Filter()), 0)
        first = Pieces((1.0,), (b"AB",))
        for _ in range(2):
            await self.store.keep_partial(
                [
                    Partial("id000001", 2, Side.SENT, Pieces((2.0,), (b"CD",))),
                    Partial("id000001", 1, Side.SENT, first),
                    Partial("id000001", 1, Side.ASKED, Pieces((0.0,), (b"up",))),
                ]
            )
        self.assertEqual(await self.store.body("id000001", "response"), b"ABCD")
        kept = await self.store.partials("id000001")
        self.assertEqual(kept[Side.SENT].times, (1.0, 2.0))
        self.assertEqual(kept[Side.ASKED].data, (b"up",))
        final = Entry(exchange(1), "1-a", True, None, b"up", kept[Side.SENT])
        self.assertEqual(await self.store.ingest([prepare(final, request)]), 1)
        self.assertEqual(await self.store.partials("id000001"), {})
        self.assertEqual(await self.store.running("1-a"), [])
        self.assertEqual(await self.store.body("id000001", "request"), request)
        self.assertEqual(await self.store.body("id000001", "upstream-request"), b"up")
        self.assertEqual(await self.store.body("id000001", "response"), b"ABCD")
        self.assertEqual((await self.store.list(Filter(text="wait"))).total, 1)
        self.assertEqual((await self.store.list(Filter())).total, 1)

    async def test_parts_are_kept_once(self: _Case) -> None:
        history = [f"message {number} " + "lorem ipsum " * 20 for number in range(40)]
        for turn in range(1, 41, 2):
            await self.store.ingest([stored(turn, asking(*history[:turn], system="s" * 400))])
        self.assertEqual(await self.count("part"), 40)
        self.assertLess(await self.count("span"), 60)
        for turn in range(1, 41, 2):
            body = await self.store.body(f"id{turn:06d}", "request")
            self.assertEqual(body, asking(*history[:turn], system="s" * 400))

    async def test_deleting_takes_all_that_nobody_needs(self: _Case) -> None:
        history = [f"message {number} " + "dolor sit " * 20 for number in range(30)]
        turns = [
            stored(turn, asking(*history[:turn]), message(f"answer{turn}", "Bash"))
            for turn in range(1, 30, 2)
        ]
        await self.store.ingest(turns)
        # The first turns go; everything that the later ones refer to stays.
        self.assertEqual(await self.store.delete(Filter(), 5), 5)
        page = await self.store.list(Filter())
        self.assertEqual((len(page.items), page.total), (10, 10))
        for turn in range(11, 30, 2):
            body = await self.store.body(f"id{turn:06d}", "request")
            self.assertEqual(body, asking(*history[:turn]))
        self.assertEqual((await self.store.list(Filter(text="answer1"))).total, 0)
        self.assertEqual((await self.store.list(Filter(text="answer11"))).total, 1)
        # What comes after a deletion finds no part that is gone.
        await self.store.ingest([stored(40, asking(*history))])
        self.assertEqual(await self.store.body("id000040", "request"), asking(*history))
        self.assertEqual(await self.store.delete(Filter(model="other")), 0)
        while await self.store.delete(Filter(), 4) == 4:
            pass
        for table in ("exchange", "record", "part", "span", "body", "answer", "finished", "tool"):
            self.assertEqual(await self.count(table), 0, table)
        self.assertEqual((await self.store.list(Filter(text="answer29"))).total, 0)
        await self.store.ingest([stored(41, asking(*history), message("phoenix"))])
        self.assertEqual(await self.store.body("id000041", "request"), asking(*history))
        self.assertEqual((await self.store.list(Filter(text="phoenix"))).total, 1)

    async def test_what_was_deleted_may_come_again(self: _Case) -> None:
        """An export is brought in again after the older turns of a session have gone."""
        said = [f"sentence {number} of a conversation" for number in range(9)]
        turns = [
            stored(at, asking(*said[: 2 * at + 1]), message(said[2 * at + 1])) for at in range(4)
        ]
        for turn in turns:
            await self.store.ingest([turn])
        self.assertEqual(await self.store.delete(Filter(until=int((EPOCH + 1.5) * 1000))), 2)
        self.assertEqual(await self.store.ingest(turns), 2)
        for at, turn in enumerate(turns):
            body = await self.store.body(turn.entry.exchange.id, "request")
            self.assertEqual(body, asking(*said[: 2 * at + 1]))
        self.assertEqual(await self.store.delete(Filter()), 4)
        for table in ("part", "span", "body"):
            self.assertEqual(await self.count(table), 0, table)

    async def test_deleting_by_filter(self: _Case) -> None:
        await self.store.ingest(
            [stored(number, asking(("red", "blue")[number % 2])) for number in range(6)]
        )
        self.assertEqual(await self.store.delete(Filter(text="red")), 3)
        page = await self.store.list(Filter())
        self.assertEqual(
            [item.exchange.id for item in page.items], ["id000005", "id000003", "id000001"]
        )

    async def test_interrupted_by_another_process(self: _Case) -> None:
        """A deletion elsewhere makes what this process remembers of parts invalid."""
        await self.store.ingest([stored(1, asking("remembered " * 9))])
        other = await self.other()  # type: ignore[attr-defined]
        self.assertEqual(await other.delete(Filter()), 1)
        await other.close()
        await self.store.ingest([stored(2, asking("remembered " * 9))])
        self.assertEqual(await self.store.body("id000002", "request"), asking("remembered " * 9))

    async def test_sizes(self: _Case) -> None:
        await self.store.ingest([stored(1)])
        sizes = await self.store.sizes()
        self.assertEqual(sizes.exchanges, 1)
        self.assertTrue(sizes.disk_bytes > 0)
