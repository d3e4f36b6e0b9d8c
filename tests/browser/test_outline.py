"""The outline of an exchange and of a conversation, beside the text and where there is no room for that."""

from __future__ import annotations

from typing import Any

from tests.browser.accessibility import violations
from tests.browser.case import PHONE, BrowserCase
from tests.browser.site import session
from tests.browser.stage import browsing
from tests.dashboard.stories import SESSION

TABLET = {"width": 900, "height": 700}
WIDE = {"width": 1300, "height": 400}
TOP = "(id) => document.getElementById(id).getBoundingClientRect().top"
BOTTOM = "() => document.querySelector('.contents').getBoundingClientRect().bottom"


class OutlineTests(BrowserCase):
    """``nav.outline``."""

    def narrow(self, page: Any, path: str) -> None:
        """It is one line, which unfolds, leads to a place that it does not cover, and folds again."""
        self.open(page, path)
        summary = page.locator(".contents > summary")
        line = page.locator(".contents a").last
        self.assertTrue(summary.is_visible())
        self.assertFalse(line.is_visible())
        summary.click()
        line.wait_for()
        self.nothing(violations(page))
        place = (line.get_attribute("href") or "#").removeprefix("#")
        line.click()
        line.wait_for(state="hidden")
        self.assertEqual(page.evaluate("() => location.hash"), f"#{place}")
        self.assertGreaterEqual(page.evaluate(TOP, place), page.evaluate(BOTTOM) - 1)
        self.assertLess(page.evaluate(TOP, place), page.viewport_size["height"])
        page.wait_for_function(
            "() => document.querySelector('.contents > summary .gist').textContent"
        )
        summary.focus()
        page.keyboard.press("Enter")
        line.wait_for()
        page.keyboard.press("Escape")
        line.wait_for(state="hidden")

    @browsing
    def test_narrow(self) -> None:
        """On a phone and on a tablet."""
        site = session()
        with self.page(site.url, viewport=PHONE, is_mobile=True, has_touch=True) as page:
            self.narrow(page, f"/ui/requests/{site.ids[4]}")
        with self.page(site.url, viewport=TABLET) as page:
            self.narrow(page, f"/ui/conversations/{SESSION}")

    @browsing
    def test_wide(self) -> None:
        """It stands open and follows the eye, its own line always in sight; so it does when a window grows."""
        site = session()
        with self.page(site.url, viewport=TABLET) as page:
            self.open(page, f"/ui/conversations/{SESSION}")
            page.set_viewport_size(WIDE)
            page.locator(".contents a").first.wait_for()
            self.assertFalse(page.locator(".contents > summary").is_visible())
            page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
            page.wait_for_function("() => document.querySelector('.here a[aria-current]')")
            page.wait_for_function(
                """() => {
                  const line = document.querySelector(".here").getBoundingClientRect();
                  return line.top >= 0 && line.bottom <= innerHeight;
                }"""
            )
            for _ in range(2):  # opens everything, then closes it
                page.keyboard.press("e")
                self.assertTrue(page.locator(".contents a").first.is_visible())

    @browsing
    def test_without_scripts(self) -> None:
        """It is there."""
        site = session()
        with self.page(site.url, viewport=PHONE, java_script_enabled=False) as page:
            self.open(page, f"/ui/requests/{site.ids[4]}")
            self.assertTrue(page.locator(".contents a").first.is_visible())
