"""What one can do on the dashboard's pages: play, copy, scroll far, decide, delete."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from tests.browser.case import PHONE, BrowserCase
from tests.browser.site import Site, record, session
from tests.browser.stage import browsing
from tests.dashboard import stories
from tests.integration.proxy import Proxy
from tests.integration.records import Records

APPROVAL = {
    "id": "a1",
    "provider": "openclaw",
    "agent": "main",
    "command": "rm -rf build <script>window.pwned=1</script>",
    "cwd": "/srv",
    "host": "gateway",
    "warning": "this deletes files",
    "session_key": "agent:main:main",
    "run_id": "r1",
    "decisions": ["allow-once", "allow-always", "deny"],
    "standing": "pending",
    "created_at": "2026-11-21T09:30:00.000Z",
    "expires_at": "2026-11-21T09:35:00.000Z",
}

#: A page that came over plain HTTP has no clipboard.
PLAIN = """
window.board = navigator.clipboard;
Object.defineProperty(navigator, "clipboard", { value: undefined });
"""


def answered(site: Site) -> str:
    """Give an exchange whose answer is prose."""
    found = [each for each in Records(site.proxy).all(1) if each["usage"] and each["stream"]]
    wanted = [each for each in found if "sonnet" in each["model"] and each["outcome"] == "ok"]
    return str(max(wanted, key=lambda each: each["response_bytes"])["id"])


class ActionTests(BrowserCase):
    """On a recorded session."""

    @browsing
    def test_play(self) -> None:
        """The stream comes again, as far as one seeks, and to its end."""
        site = session()
        id = answered(site)
        with self.page(site.url) as page:
            self.open(page, f"/ui/requests/{id}/timing")
            page.locator("#speed").select_option("20")
            page.locator("#play").click()
            page.wait_for_function(
                "() => document.querySelector('#play').textContent === 'Play again'"
            )
            said = page.locator("#screen").inner_text()
            self.assertGreater(len(said), 100)
            self.assertGreater(page.locator("#wire li").count(), 0)
            page.locator("#seek").fill("0")
            page.wait_for_function(
                "() => document.querySelector('#screen').textContent.length < 100"
            )
            page.locator("#seek").fill("1000")
            page.wait_for_function(
                "most => document.querySelector('#screen').textContent.length >= most",
                arg=len(said.replace("\n", "")),
            )

    @browsing
    def test_back_to_other_filters(self) -> None:
        """The form says what the list is narrowed by, after the way back as well."""
        site = session()
        with self.page(site.url) as page:
            for path in ("/ui/", "/ui/conversations", "/ui/stats?range=all"):
                self.open(page, path)
                with page.expect_navigation(url="**provider=openai*"):
                    page.get_by_label("provider").select_option("openai")
                page.go_back()
                page.wait_for_timeout(100)
                self.assertEqual(page.get_by_label("provider").input_value(), "", path)

    @browsing
    def test_copy(self) -> None:
        """The curl command on the clipboard goes to where the dashboard is; a page from another machine, which has
        no clipboard without TLS, can copy, too."""
        site = session()
        allowed = ["clipboard-read", "clipboard-write"]
        for script in ("window.board = navigator.clipboard", PLAIN):
            with self.page(site.url, permissions=allowed) as page:
                page.add_init_script(script)
                self.open(page, f"/ui/requests/{answered(site)}")
                button = page.get_by_role("button", name="Copy as curl")
                button.click()
                page.wait_for_function(
                    "() => document.querySelector('#said').textContent === 'Copied.'"
                )
                command = page.evaluate("() => board.readText()")
                self.assertTrue(
                    command.startswith(f"curl -N '{site.url}/v1/messages"), command[:80]
                )
                self.assertIn('"$ANTHROPIC_API_KEY"', command)
                self.assertEqual(
                    page.evaluate("() => document.activeElement.textContent"), "Copy as curl"
                )
                page.evaluate("() => board.writeText('')")

    @browsing
    def test_link_into_something_closed(self) -> None:
        """A link to a message in the folded history opens it."""
        site = session()
        talked = [each for each in Records(site.proxy).all(1) if each["session_id"]]
        id = max(talked, key=lambda each: each["request_bytes"])["id"]
        with self.page(site.url, viewport=PHONE) as page:
            self.open(page, f"/ui/requests/{id}#m0")
            page.wait_for_function("() => document.querySelector('#history').open")
            self.assertTrue(page.locator("#m0").is_visible())

    @browsing
    def test_approvals(self) -> None:
        """What waits is shown on every page, and decided once."""
        site = session()
        decided: list[Any] = []

        def approvals(route: Any) -> None:
            if route.request.method == "POST":
                decided.append((route.request.url.rpartition("/")[2], route.request.post_data_json))
                route.fulfill(json={**APPROVAL, "standing": "denied"})
            else:
                route.fulfill(json={"approvals": [] if decided else [APPROVAL]})

        with self.page(site.url) as page:
            page.route("**/api/approvals**", approvals)
            self.open(page, "/ui/stats")
            page.locator("#waiting:not([hidden])").wait_for()
            self.assertEqual(page.locator("#waiting").text_content(), "1")
            self.open(page, "/ui/status")
            page.get_by_text("rm -rf build <script>").wait_for()
            page.get_by_role("button", name="Deny").click()
            page.locator("#no-approvals:not([hidden])").wait_for()
            self.assertEqual(decided, [("a1", {"decision": "deny"})])
            self.assertEqual(page.locator(".approval").count(), 0)


class ManyTests(BrowserCase):
    """On records of its own."""

    @browsing
    def test_clear(self) -> None:
        """Deleting asks first, and deletes what the filters let through."""
        site = record(self.stack, stories.failing)
        with self.page(site.url) as page:
            self.open(page, "/ui/?outcome=error")
            page.locator("#clear").click()
            self.assertEqual(page.locator("#clearing-count").text_content(), "3")
            page.get_by_role("button", name="Keep").click()
            page.locator("#clear").click()
            page.get_by_role("button", name="Delete").click()
            page.get_by_text("Nothing was found.").wait_for()
            self.open(page, "/ui/")
            self.assertEqual(page.locator("#rows tr[data-id]").count(), len(site.ids) - 3)

    @browsing
    def test_far(self) -> None:
        """Rows far out of sight leave the page, and come back in their place."""
        settings = {
            "providers.demo.kind": "demo",
            "providers.demo.tokens_per_second": 0,
            "routes": "[{match: demo, provider: demo}]",
            "storage.url": "sqlite:clawproxy.db",
        }
        proxy = self.stack.enter_context(Proxy(self.folder, settings=settings))
        many = 420
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
        body = {"model": "demo", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
        for _ in range(many):
            connection.request(
                "POST", "/v1/messages", json.dumps(body), {"content-type": "application/json"}
            )
            connection.getresponse().read()
        connection.close()
        deadline = time.monotonic() + 60
        while proxy.get("/api/requests?limit=1")[1]["total"] < many:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        with self.page(proxy.url) as page:
            self.open(page, "/ui/")
            first = page.locator("#rows tr[data-id]").first.get_attribute("data-id")
            end = "() => { scrollTo(0, document.body.scrollHeight); return !document.querySelector('#older'); }"
            while not page.evaluate(end):
                page.wait_for_timeout(50)
            page.wait_for_function(
                "() => document.querySelectorAll('#rows tr[data-id]').length < 300"
            )
            height = page.evaluate("() => document.querySelector('#rows').offsetHeight")
            self.assertGreater(height, many * 20)
            page.evaluate("() => scrollTo(0, 0)")
            page.locator(f"#rows tr[data-id='{first}']").wait_for()
            self.assertAlmostEqual(
                page.evaluate("() => document.querySelector('#rows').offsetHeight"),
                height,
                delta=60,
            )
