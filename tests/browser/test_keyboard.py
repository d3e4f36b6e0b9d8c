"""The dashboard without a mouse."""

from __future__ import annotations

from typing import Any

from tests.browser.case import BrowserCase
from tests.browser.site import session
from tests.browser.stage import browsing
from tests.browser.test_pages import kinds

FOCUS = "() => document.activeElement.id || document.activeElement.innerText.trim() || document.activeElement.tagName"
#: Whether something shows where the focus is: an outline, or a shadow.
RING = """
() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle !== "none" || style.boxShadow !== "none";
}
"""

#: The scripts that a page has run, by address.
MODULES = """
() => performance.getEntriesByType("resource").map((each) => each.name).filter((name) => name.includes(".js"))
"""


def tab(page: Any, times: int = 1) -> str:
    """Go on; gives where the focus is."""
    for _ in range(times):
        page.keyboard.press("Tab")
    return str(page.evaluate(FOCUS))


class KeyboardTests(BrowserCase):
    """Tab, and the keys that the help lists."""

    @browsing
    def test_order(self) -> None:
        """First the link to the content, then the bar, with a mark that is seen."""
        site = session()
        with self.page(site.url) as page:
            self.open(page, "/ui/")
            self.assertEqual(tab(page), "Skip to content")
            box = page.locator(".skip").bounding_box()
            self.assertGreaterEqual(box["y"], 0)
            seen = []
            for _ in range(8):
                seen.append(tab(page))
                self.assertTrue(page.evaluate(RING), seen)
            self.assertEqual(
                seen[:5], ["ClawProxy", "Live", "Conversations", "Statistics", "Status"]
            )
            self.assertEqual(seen[5:], ["theme", "help", "q"])

    @browsing
    def test_skip(self) -> None:
        """The link goes past the bar."""
        site = session()
        with self.page(site.url) as page:
            self.open(page, f"/ui/requests/{site.ids[4]}")
            tab(page)
            page.keyboard.press("Enter")
            self.assertEqual(page.evaluate(FOCUS), "main")
            tab(page)
            self.assertTrue(page.evaluate("() => document.activeElement.closest('main') !== null"))

    @browsing
    def test_rows(self) -> None:
        """j and k walk, Enter opens, ] goes to the turn after, g l goes back."""
        site = session()
        with self.page(site.url) as page:
            self.open(page, "/ui/")
            for key in "jjjk":
                page.keyboard.press(key)
            self.assertEqual(page.locator("tr.at").count(), 1)
            wanted = page.locator("tr.at").get_attribute("data-id")
            self.assertEqual(wanted, page.locator("tr[data-id]").nth(1).get_attribute("data-id"))
            page.keyboard.press("Enter")
            page.wait_for_url(f"**/ui/requests/{wanted}")
            self.open(page, f"/ui/requests/{site.ids[2]}")
            page.keyboard.press("]")
            page.wait_for_url(f"**/ui/requests/{site.ids[3]}")
            page.keyboard.press("g")
            page.keyboard.press("c")
            page.wait_for_url("**/ui/conversations")

    @browsing
    def test_filters(self) -> None:
        """A list is walked through with arrows without being taken away at the first step, and keeps the focus when the
        page comes that it asked for."""
        site = session()
        with self.page(site.url) as page:
            self.open(page, "/ui/stats?range=all")
            page.locator("select[name=model]").focus()
            # As a browser does that changes closed lists at each step.
            step = """(by) => {
              const list = document.activeElement;
              list.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
              list.selectedIndex = by;
              list.dispatchEvent(new Event("change", { bubbles: true }));
            }"""
            page.evaluate(step, 1)
            page.wait_for_timeout(300)
            with page.expect_navigation():
                page.evaluate(step, 2)
                chosen = page.locator("select[name=model]").input_value()
            self.assertIn(f"model={chosen}", page.url)
            page.wait_for_function("() => document.activeElement.name === 'model'")
            self.open(page, "/ui/stats?range=all&model=one&model=another")
            page.locator("select[name=model]").last.focus()
            with page.expect_navigation():
                page.evaluate(step, 1)
            page.wait_for_function("() => document.activeElement.name === 'model'")

    @browsing
    def test_menu(self) -> None:
        """Escape closes a menu and gives the focus back."""
        site = session()
        with self.page(site.url) as page:
            self.open(page, f"/ui/requests/{site.ids[4]}")
            page.locator(".menu summary").focus()
            page.keyboard.press("Enter")
            tab(page)
            page.keyboard.press("Escape")
            self.assertEqual(page.evaluate(FOCUS), "Download")
            self.assertFalse(page.locator(".menu ul").is_visible())

    @browsing
    def test_help_and_search(self) -> None:
        """? lists the keys and Escape closes the list; / goes to the search, which keeps its words in the address."""
        site = session()
        with self.page(site.url) as page:
            self.open(page, "/ui/")
            page.keyboard.press("?")
            page.locator("#keys").wait_for()
            page.keyboard.press("Escape")
            page.locator("#keys").wait_for(state="hidden")
            page.keyboard.press("/")
            self.assertEqual(page.evaluate(FOCUS), "q")
            page.keyboard.type("changelog")
            page.keyboard.press("Enter")
            page.wait_for_url("**/ui/?q=changelog")
            self.assertEqual(page.locator("#q").input_value(), "changelog")
            self.assertLess(page.locator("tr[data-id]").count(), len(site.ids))

    @browsing
    def test_theme(self) -> None:
        """t turns light to dark, for good; the button in the bar turns it back, on each kind of page."""
        site = session()
        ground = "() => getComputedStyle(document.documentElement).backgroundColor"
        with self.page(site.url, expected="404", color_scheme="light") as page:
            self.open(page, "/ui/")
            light = page.evaluate(ground)
            page.keyboard.press("t")
            dark = page.evaluate(ground)
            self.assertNotEqual(light, dark)
            self.open(page, "/ui/stats")
            self.assertEqual(page.evaluate(ground), dark)
            for path in (*kinds(site), "/ui/requests/none"):
                page.goto(path)
                before = page.evaluate(ground)
                page.locator("#theme").click()
                self.assertNotEqual(page.evaluate(ground), before, path)
                modules = [each.partition("?")[0] for each in page.evaluate(MODULES)]
                self.assertEqual(len(modules), len(set(modules)), modules)
