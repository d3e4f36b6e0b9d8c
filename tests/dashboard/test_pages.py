"""The dashboard's pages, read as a browser reads them."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from urllib.parse import quote

from attrs import evolve
from msgspec import structs

from clawproxy.core.record import Exchange, Usage
from clawproxy.dashboard import view_layout
from clawproxy.dashboard.charts import COLOURS
from clawproxy.dashboard.pages_parts import command
from clawproxy.dashboard.view_compare import figures
from clawproxy.dashboard.view_said import LONG
from clawproxy.store import pieces
from clawproxy.store.parts import split
from clawproxy.store.pieces import Pieces
from clawproxy.store.plan import UPSTREAM_REQUEST
from tests.dashboard import stories
from tests.dashboard.pagecase import NOW, Document, PagesCase
from tests.dashboard.stories import JSON, Teller, result, stream, text

TABS = ("", "/timing", "/headers", "/raw")


class EveryPageCase(PagesCase):
    """Every page of every story is well-formed, and holds nothing that a browser would run or fetch."""

    def setUp(self) -> None:
        super().setUp()
        self.teller = Teller(NOW - 2000)

    def every(self) -> None:
        """Visit all pages of what was told."""
        self.keep(self.teller.told)
        ids = [each.entry.exchange.id for each in self.teller.told]
        for path in ("", "rows", "conversations", "stats", "status"):
            self.page(path)
        for id in ids:
            for tab in TABS:
                self.page(f"requests/{id}{tab}")
        for before, after in pairwise(ids):
            self.page("compare", f"a={before}&b={after}")
        for id in self.rows("SELECT DISTINCT conversation_id FROM exchange"):
            if id is not None:
                self.page(f"conversations/{id}")

    def test_ordinary(self) -> None:
        """What agents and people do every day."""
        for tell in (stories.coding, stories.chatting, stories.responding, stories.failing):
            tell(self.teller)
        self.every()

    def test_hostile(self) -> None:
        """Prompts that were made to break a page."""
        stories.hostile(self.teller)
        self.every()

    def test_empty(self) -> None:
        """A store in which there is nothing yet."""
        self.assertIn("Nothing has been recorded yet", self.page("").text)
        self.assertIn("No conversations yet", self.page("conversations").text)
        self.assertIn("Nothing in this range", self.page("stats", "range=all").text)


class ExchangeCase(PagesCase):
    """``/ui/requests/{id}``."""

    def tell(self) -> list[Exchange]:
        """Tell of the coding agent, and keep it."""
        teller = Teller(NOW - 2000)
        found = stories.coding(teller)
        self.keep(teller.told)
        return found

    def test_first_turn(self) -> None:
        """System, tools, the picture, thinking, the to-do list and calls stand there."""
        _, first, *_ = self.tell()
        page = self.page(f"requests/{first.id}")
        self.assertIn("Our rate limiter lets bursts through", page.text)
        self.assertIn("That smells of a token bucket", page.text)
        (image,) = page.all("img")
        self.assertTrue(image["src"].endswith("messages/0/content/1/source/data?as=image"))
        self.assertEqual(len(page.all("details", class_="tool-offer")), len(stories.TOOLS))
        self.assertEqual(len(page.all("li", class_="doing")), 1)
        self.assertIn("cache breakpoint, 5m", page.text)
        self.assertEqual(page.all("a", rel="prev"), [])

    def test_new_against_the_turn_before(self) -> None:
        """What the turn before had is history; the rest is marked new; results stand beside their calls."""
        found = self.tell()
        page = self.page(f"requests/{found[3].id}")
        self.assertEqual(page.all("a", rel="prev")[0]["href"], f"/ui/requests/{found[2].id}")
        self.assertEqual(page.all("a", rel="next")[0]["href"], f"/ui/requests/{found[4].id}")
        fresh = [each["id"] for each in page.all("article", class_="fresh")]
        self.assertEqual(fresh, ["m3"])
        self.assertIn("History 2 messages", page.text)
        self.assertIn("Read /home/kim/throttle/src/throttle/bucket.py result", page.text)

    def test_edit_is_a_difference(self) -> None:
        """An edit's strings are compared line by line and word by word."""
        found = self.tell()
        page = self.page(f"requests/{found[3].id}")
        self.assertEqual(len(page.all("tr", class_="del")), 1)
        self.assertIn("self._tokens = min(self.size, self._tokens + (now", page.text)
        self.assertNotIn("old_string", Document(self.answer_of(found[3])).text)

    def answer_of(self, x: Exchange) -> str:
        """Give the answer's part of a page."""
        html = self.get(f"requests/{x.id}").body.decode()
        return (
            html[html.index('id="answer"') - 40 : html.index("</main>")].rpartition("</section>")[0]
            + "</section>"
        )

    def test_cache(self) -> None:
        """What was read from the cache and what was written are told apart, and a miss has its reason."""
        found = self.tell()
        hit = self.page(f"requests/{found[4].id}")
        self.assertTrue(hit.all("rect", class_="read"))
        self.assertTrue(hit.all("rect", class_="written"))
        miss = next(x for x in found if x.usage and x.usage.cache_creation_input_tokens > 3000)
        page = self.page(f"requests/{miss.id}")
        self.assertFalse(page.all("rect", class_="read"))
        self.assertIn("cache miss", page.text)
        self.assertIn("a cache lasts five minutes", page.text)

    def test_running(self) -> None:
        """An answer under way has a place to grow in."""
        teller = Teller(NOW)
        ask = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
        x = teller.exchange(ask, [], outcome="running", finished_at=None, status=None)
        self.keep(teller.told)
        page = self.page(f"requests/{x.id}")
        self.assertEqual(page.all("div", class_="growing")[0]["data-grow"], x.id)
        self.assertIn("Hi", page.text)

    def test_without_bodies(self) -> None:
        """Where no text was kept, the page says so."""
        teller = Teller(NOW)
        x = teller.exchange(b"", [], request_bytes=900, model="m")
        self.keep(teller.told)
        self.assertIn("The request's text was not kept", self.page(f"requests/{x.id}").text)

    def test_what_is_no_prompt(self) -> None:
        """What a page cannot show as a prompt or an answer is one click away, where it was kept."""
        teller = Teller(NOW)
        plain = [(1.0, b"some words")]
        for request, sent, words, links in (
            (b"", [], "The request has no body. Answer empty", []),
            (b'{"model": oops', [], "The request is no JSON object. Its body", ["#request"]),
            ({"model": "m"}, [], "The request has no messages. Its body", ["#request"]),
            (
                {"model": "m", "messages": []},
                plain,
                "no message: its body",
                ["#request", "#response"],
            ),
            (b"", plain, "no body. Answer an answer that is no message", ["#response"]),
        ):
            kind = "text/plain" if sent else "application/json"
            x = teller.exchange(request, sent, kind=kind)
            self.keep(teller.told)
            page = self.page(f"requests/{x.id}")
            self.assertIn(words, page.text)
            found = [each["href"] for each in page.all("a")]
            raw = f"/ui/requests/{x.id}/raw"
            self.assertEqual(
                [each for each in found if each.startswith(f"{raw}#")],
                [raw + each for each in links],
            )
            for place in links:
                self.assertTrue(
                    [
                        e
                        for _, e in self.page(f"requests/{x.id}/raw").elements
                        if e.get("id") == place[1:]
                    ]
                )

    def test_by_request_id(self) -> None:
        """A link may name the request id that a client knows."""
        found = self.tell()
        self.assertIn("Our rate limiter", self.page(f"requests/{found[1].request_id}").text)

    def test_missing(self) -> None:
        """What is not there is said."""
        page = self.page("requests/nosuch", status=404)
        self.assertIn("There is no exchange 'nosuch'", page.text)
        self.assertNotIn("data-again", page.all("div", class_="empty")[0])

    def test_just_begun(self) -> None:
        """What has just begun is not recorded yet: its page tries again."""
        id = f"cp_{int(NOW * 1000) - 900:011x}{7:016x}"
        page = self.page(f"requests/{id}", status=202)
        self.assertIn("data-again", page.all("div", class_="empty")[0])
        old = f"cp_{int(NOW * 1000) - 60_000:011x}{7:016x}"
        self.page(f"requests/{old}", status=404)

    def test_errors_are_answers(self) -> None:
        """An error is shown in its own words, with its code."""
        teller = Teller(NOW)
        stories.failing(teller)
        self.keep(teller.told)
        ids = [each.entry.exchange.id for each in teller.told]
        self.assertIn("overloaded_error Overloaded", self.page(f"requests/{ids[0]}").text)
        refused = self.page(f"requests/{ids[3]}").text
        self.assertIn("invalid_request_error invalid_api_key Incorrect API key provided.", refused)
        self.assertIn("counts are incomplete", self.page(f"requests/{ids[1]}").text)

    def test_broken_answers(self) -> None:
        """What came of an answer is followed by why it ends there."""
        teller = Teller(NOW - 2000)
        _, left, broken, *_ = stories.failing(teller)
        self.keep(teller.told)
        self.assertIn("The caller left here.", self.page(f"requests/{left.id}").text)
        page = self.page(f"requests/{broken.id}")
        self.assertIn("Yes, I The answer breaks off here: the upstream failed.", page.text)
        self.assertIn("history 1 earlier message ", page.text)

    def test_timing(self) -> None:
        """The spans, the pieces and the long silence are drawn and said."""
        found = self.tell()
        page = self.page(f"requests/{found[1].id}/timing")
        for name in ("wf-connect", "wf-headers", "wf-first", "wf-stream"):
            self.assertEqual(len(page.all("rect", class_=name)), 1, name)
        self.assertIn("until the first token", page.text)
        page = self.page(f"requests/{found[4].id}/timing")
        self.assertIn("Long silences: 1.39 s at", page.text)

    def test_headers(self) -> None:
        """Headers of both sides, secrets masked."""
        found = self.tell()
        page = self.page(f"requests/{found[1].id}/headers")
        self.assertIn("x-api-key ***", page.text)
        self.assertIn(f"session {stories.SESSION}", page.text)

    def test_raw(self) -> None:
        """The request as JSON, the answer as text, each piece with its time."""
        found = self.tell()
        page = self.page(f"requests/{found[2].id}/raw")
        self.assertIn('"max_tokens": 32000', page.text)
        self.assertIn("event: message_start", page.text)
        self.assertIn("840 ms", page.text)

    def test_raw_of_a_gateway(self) -> None:
        """What was said on the wire to a gateway stands apart, frame by frame."""
        teller = Teller(NOW)
        x = teller.exchange({"model": "m", "messages": []}, stream([text("ok")], "m", {}))
        lines = b'{"type":"res","ok":true}\n{"type":"event","event":"agent"}\n'
        bodies = {**teller.told[-1].bodies, UPSTREAM_REQUEST: split(b'{"method":"agent"}\n')}
        answers = {**teller.told[-1].answers, 1: pieces.encode(Pieces((1.0,), (lines,)))}
        self.keep([evolve(teller.told[-1], bodies=bodies, answers=answers)])
        page = self.page(f"requests/{x.id}/raw")
        self.assertIn('"method": "agent"', page.text)
        self.assertIn("Response from upstream", page.text)
        self.assertIn('{"type":"event","event":"agent"}', page.text)


class PartCase(PagesCase):
    """What is fetched beside a page."""

    def setUp(self) -> None:
        super().setUp()
        self.teller = Teller(NOW)

    def ask(self, content: object, **more: object) -> Exchange:
        """Record a question."""
        messages = [{"role": "user", "content": content}]
        body = {"model": "m", "messages": messages, **more}
        x = self.teller.exchange(body, stream([text("ok")], "m", {"output_tokens": 1}))
        self.keep(self.teller.told)
        return x

    def test_image(self) -> None:
        """An image comes as what its bytes are, and runs nothing."""
        source = {"type": "base64", "media_type": "text/html", "data": stories.png()}
        x = self.ask([{"type": "image", "source": source}])
        at = f"requests/{x.id}/part/request/messages/0/content/0/source/data"
        answer = self.get(at, "as=image")
        self.assertEqual((answer.status, answer.kind), (200, "image/png"))
        self.assertTrue(answer.body.startswith(b"\x89PNG"))
        self.assertIn(("Content-Security-Policy", "default-src 'none'; sandbox"), answer.headers)

    def test_no_image(self) -> None:
        """What is none is not served as one, and no page asks for it."""
        source = {"type": "base64", "media_type": "image/png", "data": "PHNjcmlwdD4="}
        x = self.ask([{"type": "image", "source": source}])
        at = f"requests/{x.id}/part/request/messages/0/content/0/source/data"
        self.assertEqual(self.get(at, "as=image").status, 404)
        page = self.page(f"requests/{x.id}")
        self.assertEqual(page.all("img"), [])
        self.assertIn("an image that is none", page.text)
        download = self.get(at, "as=file")
        self.assertEqual(download.body, b"<script>")
        self.assertIn(("Content-Disposition", "attachment"), download.headers)

    def test_long_text(self) -> None:
        """A page shows the beginning of a long line; all of it is a link away."""
        line = "x" * 5_000_000
        x = self.ask(line)
        html = self.get(f"requests/{x.id}").body
        self.assertLess(len(html), 100_000)
        page = Document(html.decode())
        (link,) = [each for each in page.all("a") if "/part/request/" in each["href"]]
        answer = self.get(link["href"].removeprefix("/ui/"))
        self.assertEqual(answer.body, line.encode())
        self.assertEqual(answer.kind, "text/plain; charset=utf-8")

    def test_nowhere(self) -> None:
        """A pointer to nothing is 404."""
        x = self.ask("hi")
        for pointer in (
            "messages/7",
            "messages/0/content/0",
            "no/such",
            "messages/-1",
            "messages/²",
        ):
            self.assertEqual(self.get(f"requests/{x.id}/part/request/{pointer}").status, 404)

    def test_curl(self) -> None:
        """A shell reads the command as it was meant; a masked key is a variable."""
        x = self.ask('It\'s "quoted" $HOME `x` \\n', max_tokens=5)
        answer = self.get(f"requests/{x.id}/curl", "origin=http://localhost:9")
        words = shlex.split(answer.body.decode())
        self.assertEqual(words[:3], ["curl", "-N", "http://localhost:9/v1/messages"])
        body = words[words.index("--data-raw") + 1]
        self.assertEqual(json.loads(body)["messages"][0]["content"], 'It\'s "quoted" $HOME `x` \\n')
        self.assertIn("""-H 'x-api-key: '"$ANTHROPIC_API_KEY\"""", answer.body.decode())
        self.assertEqual(self.get(f"requests/{x.id}/curl", "origin=$(rm)").status, 400)
        # curl itself takes an @ in front for a file that is to be sent.
        self.assertIn("--data-raw '@/etc/passwd'", command(x, b"@/etc/passwd", "http://h"))

    def test_curl_of_hostile_headers(self) -> None:
        """A header that was made to break out of its quotes does not."""
        name = 'x"; touch /tmp/broken; "'
        x = self.teller.exchange(
            {"model": "m"}, [], request_headers=[(name, "*** `id` $(id)"), ("y", "'; id '")]
        )
        self.keep(self.teller.told)
        told = self.get(f"requests/{x.id}/curl").body.decode()
        self.assertEqual(shlex.split(told)[0], "curl")
        self.assertIn(f"{name}: $ANTHROPIC_API_KEY", shlex.split(told))
        self.assertIn("y: '; id '", shlex.split(told))

    def test_har(self) -> None:
        """A HAR file holds both sides and their times."""
        x = self.ask("hi")
        entry = json.loads(self.get(f"requests/{x.id}/har").body)["log"]["entries"][0]
        self.assertIn("hi", entry["request"]["postData"]["text"])
        self.assertIn("message_stop", entry["response"]["content"]["text"])
        self.assertAlmostEqual(sum(entry["timings"].values()), entry["time"], 3)

    def test_send(self) -> None:
        """The request stands in the editor with its numbers as they were."""
        big = 123456789012345678901234567890
        x = self.ask("hi", seed=big)
        page = self.page(f"requests/{x.id}/send")
        self.assertIn(f'"seed": {big}', page.text)
        self.assertEqual(page.all("form", id="send")[0]["data-id"], x.id)


class LiveCase(PagesCase):
    """``/ui/`` and its rows."""

    def setUp(self) -> None:
        super().setUp()
        teller = Teller(NOW - 2000)
        self.coding = stories.coding(teller)
        stories.chatting(teller)
        stories.failing(teller)
        self.keep(teller.told)

    def ids(self, page: Document) -> list[str]:
        """Give the rows' exchanges."""
        return [each["data-id"] for each in page.all("tr") if "data-id" in each]

    def test_rows(self) -> None:
        """The latest first, each with what was said last, who answered, and figures."""
        page = self.page("")
        told = self.rows("SELECT uid FROM exchange ORDER BY id DESC")
        self.assertEqual(self.ids(page), told)
        self.assertIn("Thanks. Please also say in the changelog", page.text)
        self.assertIn("title", page.text)
        self.assertIn("529 error", page.text)

    def test_failed(self) -> None:
        """A row says what failed; a caller that left is no failure."""
        teller = Teller(NOW - 2000)
        stories.failing(teller)
        self.keep(teller.told)
        text = self.page("", "").text
        self.assertIn("overloaded_error: Overloaded Are you there?", text)
        self.assertNotIn("the caller left", text)

    def test_filters(self) -> None:
        """Filters of the address narrow the rows, and stand in the form."""
        page = self.page("", "outcome=error&model=claude-sonnet-4-5")
        self.assertEqual(len(self.ids(page)), 2)
        chosen = [each for each in page.all("option") if "selected" in each]
        self.assertEqual(len(chosen), 2)
        self.assertIn("Found 2", page.text)

    def test_several_values(self) -> None:
        """Any of them will do; the form and the link to older rows keep all."""
        page = self.page("", "outcome=error,cut,interrupted")
        self.assertEqual(self.ids(page), self.ids(self.page("", "outcome=error")))
        chosen = [each["value"] for each in page.all("option") if "selected" in each]
        self.assertEqual(chosen, ["error,cut,interrupted"])
        query = "outcome=ok&outcome=client_gone&model=gpt-5-mini&model=claude-sonnet-4-5"
        page = self.page("", query)
        chosen = [each["value"] for each in page.all("option") if "selected" in each]
        self.assertEqual(len(chosen), 4)
        self.assertEqual([each["name"] for each in page.all("select")].count("model"), 2)
        teller = Teller(NOW - 1000)
        for _ in range(60):
            teller.exchange({"model": "m"}, stream([text("ok")], "m", {"output_tokens": 1}))
        self.keep(teller.told)
        (older,) = self.page("", "outcome=ok&outcome=error").all("a", id="older")
        self.assertIn("?outcome=ok&outcome=error&cursor=", older["href"])

    def test_search(self) -> None:
        """Words of prompts and answers find an exchange."""
        self.assertEqual(len(self.ids(self.page("", "q=changelog"))), 1)
        self.assertIn("Nothing was found", self.page("", "q=nosuchword").text)

    def test_wrong_filter(self) -> None:
        """A filter that makes no sense is said on the page, which shows all."""
        page = self.page("", "status=x")
        self.assertIn("status: found 'x'", page.text)
        self.assertEqual(len(self.ids(page)), len(self.rows("SELECT uid FROM exchange")))

    def test_paging(self) -> None:
        """Rows come page by page, none twice."""
        seen: list[str] = []
        query = "limit=5"
        while True:
            page = self.page("rows", query)
            seen += self.ids(page)
            (body,) = page.all("tbody")
            if not body["data-next"]:
                break
            query = f"limit=5&cursor={body['data-next']}"
        self.assertEqual(seen, self.rows("SELECT uid FROM exchange ORDER BY id DESC"))
        self.assertEqual(self.get("", "cursor=what").status, 400)


def _said(role: str, words: str) -> dict[str, str]:
    return {"role": role, "content": words}


def _talk(turns: int) -> list[dict[str, str]]:
    """Give the messages of a long talk."""
    return [
        _said(*each)
        for at in range(turns)
        for each in (("user", f"q{at}"), ("assistant", f"a{at}"))
    ]


class ConversationCase(PagesCase):
    """``/ui/conversations``."""

    def setUp(self) -> None:
        super().setUp()
        teller = Teller(NOW - 2000)
        self.coding = stories.coding(teller)
        stories.chatting(teller)
        stories.responding(teller)
        self.keep(teller.told)

    def test_list(self) -> None:
        """Each conversation once, by its title or first question."""
        page = self.page("conversations")
        self.assertIn("Cap the rate limiter's burst after idling", page.text)
        self.assertIn("What is in this picture?", page.text)
        self.assertIn("1 subagent", page.text)

    def test_thread(self) -> None:
        """Each message once, behind the outline; the subagent nested; the other branch and side calls folded."""
        page = self.page(f"conversations/{stories.SESSION}")
        for words in (
            "I should look at the code before I say so.",
            "Could you show me the final",
            "Thanks. Please also",
        ):
            # The outline before it gives of each the beginning.
            thread = page.text[page.text.index("As you answer") :]
            self.assertEqual(thread.count(words), 1, words)
        self.assertEqual(len(page.all("details", class_="subagent")), 1)
        self.assertEqual(len(page.all("details", class_="branch")), 1)
        self.assertIn("Side calls 1 title 1", page.text)
        turns = page.all("div", class_="turn-end")
        self.assertEqual(len(turns), len(self.coding) - 1)
        for x in self.coding[1:]:
            self.assertIn({"class": "turn-end", "id": x.id}, turns)

    def test_outline(self) -> None:
        """What was asked, what each turn called and how long it took, each leading to its place."""
        page = self.page(f"conversations/{stories.SESSION}")
        outline = page.text[page.text.index("user Our rate limiter") : page.text.index("As you")]
        self.assertRegex(outline, r"\d s TodoWrite, Grep")
        self.assertRegex(outline, r"\d m?s Read bucket\.py")
        self.assertIn("subagent Find every place", outline)
        ids = {found["id"] for _, found in page.elements if "id" in found}
        places = {link["href"][1:] for link in page.all("a") if link["href"].startswith("#")}
        self.assertLess(set(), places)
        self.assertEqual(places - ids, set())

    def test_sum(self) -> None:
        """The running sum ends in what all exchanges cost together."""
        page = self.page(f"conversations/{stories.SESSION}")
        whole = sum(x.cost_usd or 0 for x in self.coding)
        self.assertGreater(whole, 0)
        self.assertIn(f"cost ${whole:.3f}", page.text)
        self.assertIn(f"tokens, ${whole:.3f}", page.text)

    def test_image(self) -> None:
        """An image is fetched from the exchange that first had it."""
        page = self.page(f"conversations/{stories.SESSION}")
        (image,) = page.all("img")
        path, _, query = image["src"].removeprefix("/ui/").partition("?")
        answer = self.get(path, query)
        self.assertEqual((answer.status, answer.kind), (200, "image/png"))

    def test_long_result_beside_its_call(self) -> None:
        """What a provider's tool gave stands in the call's own item; the rest of a long one is found there, too."""
        teller = Teller(NOW - 1000)
        long = "".join(f"line {at}\n" for at in range(5000))
        item = {
            "type": "mcp_call",
            "id": "mcp_1",
            "name": "read",
            "arguments": "{}",
            "output": long,
        }
        request = {"model": "demo", "input": [{"role": "user", "content": "read"}, item]}
        teller.exchange(request, [], dialect="openai_responses", session_id="mcp")
        self.keep(teller.told)
        page = self.page("conversations/mcp")
        (rest,) = [each["href"] for each in page.all("a") if "/ui/said/" in each["href"]]
        answer = self.get(rest.removeprefix("/ui/"))
        self.assertEqual((answer.status, answer.body.decode()), (200, long))

    def test_rest_of_what_is_long(self) -> None:
        """The rest of anything that is cut is found by its link, be it by a little and of whatever kind."""
        long = "word " * (LONG // 5 + 1)
        source = {"type": "text", "media_type": "text/plain", "data": long}
        reminder = f"<system-reminder>\n{long}\n</system-reminder>"
        blocks: tuple[JSON, ...] = (
            text(long),
            text(reminder),
            {"type": "thinking", "thinking": long, "signature": "s"},
            {"type": "document", "source": source},
        )
        for at, block in enumerate(blocks):
            role = "assistant" if block["type"] == "thinking" else "user"
            teller = Teller(NOW - 1000 + at)
            request = {"model": "m", "messages": [{"role": role, "content": [block, text("So?")]}]}
            teller.exchange(request, [], session_id=f"long{at}")
            self.keep(teller.told)
            page = self.page(f"conversations/long{at}")
            (rest,) = [each["href"] for each in page.all("a") if "/ui/said/" in each["href"]]
            answer = self.get(rest.removeprefix("/ui/"))
            self.assertEqual(answer.status, 200, block["type"])
            self.assertIn(long, answer.body.decode())

    def test_where_a_branch_stands(self) -> None:
        """It stands where it leaves the way that ends last: behind what they share, before what was said instead."""
        teller = Teller(NOW - 1000)
        shared = [_said("user", "first?"), _said("assistant", "first.")]
        for last in ("left?", "kept?"):
            teller.exchange(
                {"model": "m", "messages": [*shared, _said("user", last)]}, [], session_id="fork"
            )
        self.keep(teller.told)
        page = self.page("conversations/fork").text
        places = [page.rindex(words) for words in ("first.", "another branch", "left?", "kept?")]
        self.assertEqual(places, sorted(places))

    def test_deep(self) -> None:
        """Neither histories without number nor branches out of branches are too deep for a page."""
        for ago, name, asked in (
            (1000, "anew", [[_said("user", f"question {at}")] for at in range(400)]),
            (500, "rewound", [_talk(400)[: 2 * at + 1] for at in reversed(range(400))]),
        ):
            teller = Teller(NOW - ago)
            for at, messages in enumerate(asked):
                request = {"model": "demo", "messages": messages}
                answer = {"type": "message", "content": [text(f"{name} {at}.")]}
                piece = json.dumps(answer).encode()
                kind = "application/json"
                teller.exchange(request, [(9.0, piece)], kind=kind, session_id=name)
            self.keep(teller.told)
            page = self.page(f"conversations/{name}")
            found = set(re.findall(rf" {name} (\d+)\. ", page.text))
            self.assertEqual(found, {str(at) for at in range(400)})

    def test_everything_anew(self) -> None:
        """Of a client that rewrites its first message each time the page shows the newest ways whole, and each turn."""
        self.patch(view_layout, "MOST_MESSAGES", 100)
        teller = Teller(NOW - 1000)
        told = []
        for at in range(30):
            now = _said("user", f"it is {at} o'clock")
            request = {"model": "demo", "messages": [now, *_talk(at), _said("user", f"q{at}")]}
            told.append(teller.exchange(request, [], session_id="clock").id)
        self.keep(teller.told)
        page = self.page("conversations/clock")
        ends = sorted(each["id"] for each in page.all("div", class_="turn-end"))
        self.assertEqual(ends, told)
        self.assertLess(len(page.all("article")), 200)
        self.assertIn(" more messages; the turn below ", page.text)
        last = page.text[page.text.rindex("it is 29 o'clock") :]
        self.assertEqual([last.count(f" q{at} ") for at in range(30)], [1] * 30)

    def test_missing(self) -> None:
        """A conversation that is none."""
        self.page("conversations/nosuch", status=404)


class CompareCase(PagesCase):
    """``/ui/compare``."""

    def test_turns(self) -> None:
        """Two turns: the same beginning in one line, what came after as added."""
        teller = Teller(NOW - 2000)
        found = stories.coding(teller)
        self.keep(teller.told)
        page = self.page("compare", f"a={found[1].id}&b={found[2].id}")
        self.assertIn("tools the same", page.text)
        self.assertIn("only on the right", page.text)
        self.assertIn("tokens from the cache 0", page.text)
        same = self.page("compare", f"a={found[1].id}&b={found[1].id}")
        self.assertIn("Answers the same", same.text)

    def test_noise(self) -> None:
        """A difference within what two runs of the same differ by is neither better nor worse."""
        teller = Teller(NOW - 2000)
        first, second, *_ = stories.coding(teller)
        second = structs.replace(second, ttft_ms=(first.ttft_ms or 0) * 1.015, cost_usd=1.0)
        found = {each.name: each for each in figures(first, second)}
        self.assertNotEqual(found["first token"].delta, "")
        self.assertEqual(found["first token"].better, "")
        self.assertEqual(found["cost"].better, "worse")

    def test_half(self) -> None:
        """One exchange is not enough."""
        self.assertEqual(self.get("compare", "a=1").status, 400)


class StatisticsCase(PagesCase):
    """``/ui/stats``."""

    def test_figures(self) -> None:
        """Sums, charts with axes, and a table behind each that adds up."""
        teller = Teller(NOW - 2000)
        stories.coding(teller)
        stories.failing(teller)
        self.keep(teller.told)
        page = self.page("stats", "range=1h&by=model")
        self.assertIn(f"requests {len(teller.told)}", page.text)
        self.assertEqual(len(page.all("svg", class_="plot")), 8)
        self.assertGreater(len(page.all("rect", class_="over")), 0)
        for by in ("provider", "agent"):
            self.assertIn(f"Cost by {by}", self.page("stats", f"range=all&by={by}").text)
        self.assertIn("Nothing in this range", self.page("stats", "range=1h&model=none").text)
        self.assertEqual(self.get("stats", "range=2h").status, 400)

    def test_agent_called_main(self) -> None:
        """An agent that is called as those without a name are takes nothing away from them."""
        teller = Teller(NOW - 100)
        for agent in (None, None, "main"):
            teller.exchange({"model": "m"}, [], agent_id=agent)
        self.keep(teller.told)
        page = self.page("stats", "range=1h&by=agent")
        self.assertRegex(page.text, r"Requests by agent 3\b")

    def test_many_names(self) -> None:
        """Names beyond the colours are one, unless there is but one of them."""
        teller = Teller(NOW - 2000)
        for number in range(COLOURS):
            teller.exchange({"model": f"m{number}"}, [])
        self.keep(teller.told)
        self.assertNotIn("other", self.page("stats").text)
        for number in range(COLOURS, COLOURS + 2):
            teller.exchange({"model": f"m{number}"}, [])
        self.keep(teller.told)
        self.assertIn("3 others", self.page("stats").text)

    def test_few(self) -> None:
        """A single error is one on its axis, and there is nothing between it and none."""
        stories.failing(teller := Teller(NOW - 2000))
        self.keep(teller.told[:1])
        errors = self.page("stats").text.partition("Errors by model")[2]
        self.assertRegex(errors, r"^ 1 0 1 ")

    def test_links(self) -> None:
        """What failed is one click away, within the range and the filters of the page."""
        teller = Teller(NOW - 2000)
        stories.failing(teller)
        body = {"model": stories.SONNET, "messages": []}
        for outcome in ("cut", "interrupted"):
            teller.exchange(body, [], outcome=outcome)
        self.keep(teller.told)
        model = stories.SONNET
        page = self.page("stats", f"range=24h&model={model}")
        links = [link["href"] for link in page.all("a")]
        every = f"/ui/?model={model}&since=24h"
        failed = f"{every}&outcome=error&outcome=cut&outcome=interrupted"
        self.assertEqual(links.count(failed), 2)
        self.assertIn(every, links)
        self.assertIn("errors 4 ", page.text)
        self.assertIn("Found 4 ", self.page("", failed.partition("?")[2]).text)


class StaticCase(PagesCase):
    """Files that come with the program."""

    def test_files(self) -> None:
        """Each has its type and a tag; nothing else of the disk is served."""
        answer = self.get("static/live.js")
        self.assertEqual(answer.kind, "text/javascript; charset=utf-8")
        self.assertIn("ETag", dict(answer.headers))
        for name in ("../pages.py", "..%2fpages.py", "nosuch.js", "login.html", ""):
            self.assertEqual(self.get(f"static/{quote(name)}").status, 404, name)

    def test_methods(self) -> None:
        """Pages are only read."""
        self.assertEqual(self.get("", method="POST").status, 405)

    def test_policy(self) -> None:
        """Every page allows its own files and nothing else."""
        (policy,) = [
            value for name, value in self.get("").headers if name == "Content-Security-Policy"
        ]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)


class ToolResultCase(PagesCase):
    """Results without calls, calls without results."""

    def test_lonely(self) -> None:
        """A result whose call is gone stands where it was."""
        teller = Teller(NOW)
        messages = [{"role": "user", "content": [result("99", "an orphan")]}]
        body = {"model": "m", "messages": messages}
        x = teller.exchange(body, stream([text("ok")], "m", {}), usage=Usage(1, 1))
        self.keep(teller.told)
        self.assertIn("result an orphan", self.page(f"requests/{x.id}").text)
