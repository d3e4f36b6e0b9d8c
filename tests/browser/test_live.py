"""The live page while twenty answers stream."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

from tests.browser.accessibility import violations
from tests.browser.case import DESKTOP, PATIENCE, PHONE, BrowserCase
from tests.browser.stage import browsing
from tests.integration.proxy import Proxy

STREAMS = 20
CARDS = "() => document.querySelectorAll('.card').length"
#: The characters of all cards' answers: those that wait for their first are none.
TEXT = """
() => [...document.querySelectorAll(".card-text p:not(.wait)")]
  .reduce((sum, each) => sum + each.textContent.length, 0)
""".strip()
#: Notes when a page has shown words of an answer and shows none any more.
FORGOTTEN = """
setInterval(() => {
  const said = document.querySelector("#answer")?.textContent ?? "";
  if (said.includes("Hello!")) sessionStorage.setItem("said", said.length);
  else if (said && sessionStorage.getItem("said")) sessionStorage.setItem("forgotten", said);
}, 20);
"""
#: A page that somebody may look away from.
AWAY = """
Object.defineProperty(document, "hidden", { get: () => window.away === true });
"""
#: The exchange of a row in the middle of the window.
IN_SIGHT = "() => document.elementFromPoint(400, innerHeight / 2).closest('tr').dataset.id"
ROWS = "() => document.querySelectorAll('#rows tr[data-id]').length"


def ask(proxy: Proxy, number: int) -> None:
    """Have the demo answer, and read it to its end."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    message = {"role": "user", "content": f"Question number {number}: who are you?"}
    body = {"model": "demo", "max_tokens": 500, "stream": True, "messages": [message]}
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/messages", json.dumps(body), headers)
    connection.getresponse().read()
    connection.close()


def recorded(proxy: Proxy, count: int) -> None:
    """Wait until so many exchanges are in the store."""
    deadline = time.monotonic() + PATIENCE / 1000
    while proxy.get("/api/requests?outcome=ok&limit=1")[1]["total"] < count:
        if time.monotonic() > deadline:
            raise AssertionError(proxy.log)
        time.sleep(0.1)


class LiveTests(BrowserCase):
    """``/ui/``."""

    def demo(self, pace: int = 25) -> Proxy:
        """Start a proxy whose demo takes some seconds for an answer."""
        settings = {
            "providers.demo.kind": "demo",
            "providers.demo.tokens_per_second": pace,
            "routes": "[{match: demo, provider: demo}]",
            "storage.url": "sqlite:clawproxy.db",
        }
        return self.stack.enter_context(Proxy(self.folder, settings=settings))

    def stream(self, proxy: Proxy) -> None:
        """Begin all streams."""
        for number in range(STREAMS):
            thread = threading.Thread(target=ask, args=(proxy, number))
            thread.start()
            self.addCleanup(thread.join)

    @browsing
    def test_streams(self) -> None:
        """Each has a card at once, whose text grows; a row once it is over."""
        proxy = self.demo()
        with self.page(proxy.url) as page:
            self.open(page, "/ui/")
            self.assertTrue(page.locator("#empty").is_visible())
            self.stream(proxy)
            page.wait_for_function(f"() => ({CARDS})() === {STREAMS}")
            # What is under way stands above, and is not counted twice.
            page.locator("#empty").wait_for(state="detached")
            self.assertEqual(page.locator("#total").text_content(), "0")
            page.wait_for_function(f"() => ({TEXT})() > 0")
            before = page.evaluate(TEXT)
            page.wait_for_function(f"before => ({TEXT})() > before + 500", arg=before)
            page.wait_for_function(f"() => ({ROWS})() === {STREAMS} && ({CARDS})() === 0")
            self.assertEqual(page.locator("#total").text_content(), str(STREAMS))
            self.assertEqual(page.locator("#rows .pill").first.text_content(), "200")
            with page.expect_navigation(url="**/ui/?model=demo"):
                page.get_by_label("model").select_option("demo")
            page.locator("#pulse.on").wait_for()

    @browsing
    def test_later(self) -> None:
        """A page that is opened in the middle of an answer shows its beginning, too, and nothing twice."""
        proxy = self.demo(8)
        thread = threading.Thread(target=ask, args=(proxy, 7))
        thread.start()
        self.addCleanup(thread.join)
        # Its beginning may have to be asked for more than once.
        with self.page(proxy.url, expected="404") as page:
            page.wait_for_timeout(1500)
            self.open(page, "/ui/")
            text = "() => document.querySelector('.card-text')?.textContent ?? ''"
            page.wait_for_function(f"() => ({text})().startsWith('Hello!')")
            page.wait_for_function(f"() => /Hello!.*\\n\\nYou wrote/s.test(({text})())")
            self.assertEqual(page.evaluate(text).count("Hello!"), 1)
            page.locator(".card a").click()
            answer = "() => document.querySelector('#answer')?.textContent ?? ''"
            page.wait_for_function(f"() => ({answer})().includes('Hello!')")
            self.assertEqual(page.evaluate(answer).count("Hello!"), 1)
            for figure in ("took", "first"):
                shown = f"() => /^\\d/.test(document.querySelector('#{figure}').textContent)"
                page.wait_for_function(shown)

    @browsing
    def test_end(self) -> None:
        """What an exchange's page has shown of an answer stays until all of it is there, and then once."""
        proxy = self.demo(25)
        with self.page(proxy.url, expected="404") as page:
            page.add_init_script(FORGOTTEN)
            self.open(page, "/ui/")
            thread = threading.Thread(target=ask, args=(proxy, 9))
            thread.start()
            self.addCleanup(thread.join)
            page.locator(".card a").click()
            page.wait_for_url("**/requests/*")
            page.locator("[data-outcome=ok]").wait_for()
            answer = page.locator("#answer").text_content()
            self.assertEqual((answer.count("Hello!"), answer.count("real model.")), (1, 1))
            self.assertIsNone(page.evaluate("() => sessionStorage.getItem('forgotten')"))

    @browsing
    def test_lost(self) -> None:
        """The page of the proxy's state says how old it is when there is no answer, and says so once. While nobody
        looks it asks nothing."""
        proxy = self.demo()
        with self.page(proxy.url, expected="ERR_CONNECTION_REFUSED") as page:
            page.clock.install(time="2026-11-29T09:00:00")
            page.add_init_script(AWAY)
            self.open(page, "/ui/status")
            page.get_by_text("calls go through").first.wait_for()
            self.assertFalse(page.locator("#lost").is_visible())
            hour = page.evaluate("() => { window.away = true; return new Date().getHours(); }")
            assert proxy.process is not None
            proxy.process.kill()
            page.clock.fast_forward("03:00:00")
            page.evaluate("() => { window.away = false; }")
            page.locator("#lost").wait_for()
            words = page.locator("#lost").text_content()
            self.assertIn(f"What stands here is of {hour:02}:00:", words)
            page.wait_for_timeout(2500)
            self.assertEqual(page.locator("#lost").text_content(), words)
            self.assertEqual(page.locator("#said").text_content(), "")

    @browsing
    def test_back(self) -> None:
        """Whoever comes back from an exchange finds the list where it was left, however far down that was."""
        proxy = self.demo(0)
        for number in range(150):
            ask(proxy, number)
        recorded(proxy, 150)
        with self.page(proxy.url) as page:
            self.open(page, "/ui/")
            while page.locator("#older").count():
                page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
                page.wait_for_timeout(50)
            page.wait_for_timeout(300)
            id = page.evaluate(IN_SIGHT)
            row = page.locator(f"#rows tr[data-id={id}]")
            before = row.bounding_box()["y"]
            row.locator("a").click()
            page.wait_for_url(f"**/requests/{id}")
            page.go_back()
            page.wait_for_function(
                "id => document.activeElement.closest('tr')?.dataset.id === id", arg=id
            )
            self.assertAlmostEqual(row.bounding_box()["y"], before, delta=3)

    @browsing
    def test_several_outcomes(self) -> None:
        """A page that asks for what runs among others shows it, and only of the models asked for."""
        proxy = self.demo(8)
        thread = threading.Thread(target=ask, args=(proxy, 3))
        thread.start()
        self.addCleanup(thread.join)
        with self.page(proxy.url, expected="404") as page:
            self.open(page, "/ui/?outcome=error,running&model=none&model=demo")
            page.wait_for_function(f"() => ({CARDS})() === 1")
            page.locator("#rows tr.running").wait_for()
            page.set_viewport_size(PHONE)
            self.assertTrue(page.locator("#rows tr.running").is_visible())
            for query in ("outcome=error,cut", "outcome=running&model=none&model=other"):
                self.open(page, f"/ui/?{query}")
                page.locator("#pulse.on").wait_for()
                page.wait_for_timeout(600)
                self.assertEqual(page.evaluate(CARDS), 0, query)

    @browsing
    def test_many(self) -> None:
        """However many stream, the list below stays within reach."""
        proxy = self.demo()
        with self.page(proxy.url) as page:
            self.open(page, "/ui/")
            self.stream(proxy)
            page.wait_for_function(f"() => ({CARDS})() === {STREAMS}")
            top = "() => document.querySelector('#rows').getBoundingClientRect().top"
            self.assertLess(page.evaluate(top), DESKTOP["height"])
            self.nothing(violations(page))

    @browsing
    def test_nothing_recorded(self) -> None:
        """A proxy that records nothing says so on a page that looks like one, and what to do."""
        proxy = self.stack.enter_context(Proxy(self.folder, settings={"storage.url": "none"}))
        with self.page(proxy.url, expected="503") as page:
            self.open(page, "/ui/", 503)
            self.assertIn("storage.url is none", page.locator("main").text_content())
            width = page.evaluate("() => document.querySelector('main').offsetWidth")
            self.assertEqual(width, 460)
            self.nothing(violations(page))

    @browsing
    def test_pause(self) -> None:
        """Nothing moves while it is paused; afterwards all is there."""
        proxy = self.demo()
        with self.page(proxy.url) as page:
            self.open(page, "/ui/")
            self.stream(proxy)
            page.wait_for_function(f"() => ({TEXT})() > 0")
            page.keyboard.press("p")
            self.assertEqual(page.locator("#pause").get_attribute("aria-pressed"), "true")
            before = page.evaluate(TEXT)
            page.wait_for_timeout(400)
            self.assertEqual(page.evaluate(TEXT), before)
            page.keyboard.press("p")
            page.wait_for_function(f"before => ({TEXT})() > before", arg=before)
            page.wait_for_function(f"() => ({ROWS})() === {STREAMS}")

    @browsing
    def test_many_at_once(self) -> None:
        """Of more exchanges than one look at the list fetches none is out of reach, whatever the list held before."""
        proxy = self.demo(0)
        with self.page(proxy.url) as page:
            self.open(page, "/ui/")
            rows = 0
            for come in (80, 230):
                page.keyboard.press("p")
                for number in range(come):
                    ask(proxy, number)
                rows += come
                recorded(proxy, rows)
                page.keyboard.press("p")
                page.wait_for_function(
                    f"() => document.querySelector('#total').textContent === '{rows}'"
                )
                page.wait_for_function(
                    """known => {
                      scrollTo(0, document.body.scrollHeight);
                      const bodies = [...document.querySelectorAll('#rows tbody')];
                      const rows = bodies.flatMap((body) => body.held ?? [...body.rows]);
                      return new Set(rows.map((row) => row.dataset.id)).size === known;
                    }""",
                    arg=rows,
                )

    @browsing
    def test_send(self) -> None:
        """A recorded request, edited, is answered on its page and recorded as a child of the first."""
        proxy = self.demo()
        ask(proxy, 1)
        with self.page(proxy.url) as page:
            self.open(page, "/ui/")
            page.wait_for_function(f"() => ({ROWS})() === 1", timeout=PATIENCE)
            page.locator("#rows a").first.click()
            page.get_by_role("link", name="Send again").click()
            edited = (
                page.locator("#request")
                .input_value()
                .replace("Question number 1", "Another question")
            )
            page.locator("#request").fill(edited)
            page.get_by_role("button", name="Send").click()
            self._answered(page)
            self._child(proxy, page)

    def _answered(self, page: Any) -> None:
        page.locator("#sent-link").wait_for(timeout=PATIENCE)
        page.wait_for_function(
            "() => document.querySelector('#sent-text').textContent.includes('real model')"
        )
        self.assertIn("Another question", page.locator("#sent-text").text_content())

    def _child(self, proxy: Proxy, page: Any) -> None:
        page.locator("#sent-compare").click()
        page.wait_for_url("**/ui/compare?*")
        page.get_by_role("heading", name="Compare").wait_for()
        changed = page.locator("main").text_content()
        self.assertIn("Another question", changed)
        self.assertIn("Question number 1", changed)
