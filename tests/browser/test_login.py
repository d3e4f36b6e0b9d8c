"""Getting in and out, with a password."""

from __future__ import annotations

from typing import Any

from tests.browser.accessibility import violations
from tests.browser.case import PHONE, BrowserCase
from tests.browser.stage import browsing
from tests.integration.proxy import Proxy

PASSWORD = "correct horse battery staple"
#: Failed tries of one address that a minute has room for.
TRIES = 10
#: What Chromium says of an answer that is an error, as a wrong password's is.
EXPECTED = "Failed to load resource"


class LoginTests(BrowserCase):
    """``/ui/login``."""

    def setUp(self) -> None:
        """Start a proxy whose dashboard has a password."""
        super().setUp()
        settings = {"dashboard.password": PASSWORD, "storage.url": "sqlite:clawproxy.db"}
        self.guarded = self.stack.enter_context(Proxy(self.folder, settings=settings))

    def enter(self, page: Any, password: str) -> None:
        """Fill in the form."""
        page.get_by_label("Password").fill(password)
        with page.expect_navigation():
            page.keyboard.press("Enter")

    @browsing
    def test_in_and_out(self) -> None:
        """A wrong password, the right one, the page that was wanted, and out again."""
        with self.page(self.guarded.url, expected=EXPECTED) as page:
            page.goto("/ui/stats?range=week")
            self.assertIn("/ui/login", page.url)
            self.enter(page, "password")
            self.assertEqual(page.get_by_role("alert").text_content(), "This is not the password.")
            self.enter(page, PASSWORD)
            page.wait_for_url("**/ui/stats?range=week")
            (cookie,) = page.context.cookies()
            self.assertTrue(cookie["httpOnly"])
            self.assertEqual(cookie["sameSite"], "Strict")
            page.get_by_role("button", name="Log out").click()
            page.wait_for_url("**/ui/login*")
            self.assertEqual(page.context.cookies(), [])
            page.goto("/ui/")
            self.assertIn("/ui/login", page.url)

    @browsing
    def test_tries(self) -> None:
        """After some failed tries even the right password has to wait."""
        with self.page(self.guarded.url, expected=EXPECTED) as page:
            self.open(page, "/ui/login")
            for _ in range(TRIES):
                self.enter(page, "guess")
            self.enter(page, PASSWORD)
            self.assertIn("/ui/login", page.url)
            self.assertNotIn("not the password", page.get_by_role("alert").text_content())
            self.assertEqual(page.context.cookies(), [])

    @browsing
    def test_form(self) -> None:
        """It is usable by everybody, in light and dark, on a phone, and the field has the focus."""
        for scheme in ("light", "dark"):
            with self.page(self.guarded.url, viewport=PHONE, color_scheme=scheme) as page:
                self.open(page, "/ui/login")
                self.nothing(violations(page))
                self.assertEqual(page.evaluate("() => document.activeElement.id"), "password")
                self.assertLessEqual(
                    page.evaluate("() => document.documentElement.scrollWidth"), PHONE["width"]
                )
