"""Every page of the dashboard, on a recorded session and on hostile content."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.browser.accessibility import violations
from tests.browser.case import DESKTOP, PHONE, BrowserCase
from tests.browser.hostile import BREAKOUT, MARK
from tests.browser.site import Site, hostile, session
from tests.browser.stage import browsing

#: Nothing that stands in a page may make it wider than the window.
WIDTH = """
() => {
  const root = document.documentElement, most = root.clientWidth;
  if (root.scrollWidth <= most) return null;
  const wide = (each) => each.getBoundingClientRect().right > most + 1;
  const out = [...document.querySelectorAll("body *")].filter((each) => wide(each) && !each.closest(".list"));
  return [root.scrollWidth, ...out.slice(0, 6).map((each) => each.outerHTML.slice(0, 120))];
}
"""
#: What must not be in a page, whatever was recorded.
HARM = """
(mark) => {
  const harm = window[mark] === undefined ? [] : ["a script ran"];
  for (const name of ["iframe", "object", "embed", "base", "meta", "style", "link", "script"]) {
    if (document.querySelector(`main ${name}`)) harm.push(`an element ${name}`);
  }
  for (const each of document.querySelectorAll("*")) {
    for (const { name, value } of each.attributes) {
      if (name.startsWith("on")) harm.push(`${name}=${value}`);
      const loads = ["src", "href", "xlink:href", "action", "formaction", "data", "poster", "srcset"].includes(name);
      const there = loads && new URL(value, location.href);
      if (there && !["http:", "https:", "mailto:"].includes(there.protocol)) harm.push(`${name}=${value.slice(0, 99)}`);
      if (there && there.origin !== location.origin && each.tagName !== "A") harm.push(`${name}=${value.slice(0, 99)}`);
    }
  }
  return harm;
}
"""
#: Words of an axis that touch the ones beside them.
TOUCHING = """
() => [...document.querySelectorAll(".wf-axis, .chart .x")].flatMap((axis) => {
  const boxes = [...axis.querySelectorAll("text")]
    .map((text) => ({ words: text.textContent, ...text.getBoundingClientRect().toJSON() }))
    .filter((box) => box.width)
    .sort((a, b) => a.left - b.left);
  return boxes.slice(1).flatMap((box, n) => (box.left < boxes[n].right + 2 ? [`${boxes[n].words}|${box.words}`] : []));
})
"""
TIMES = """
() => [...document.querySelectorAll(".c-time")].map((cell) => [cell.scrollWidth, cell.clientWidth, cell.textContent])
"""
#: Rows in which what was called leaves no room for what was said.
COVERED = """
() => [...document.querySelectorAll(".c-tools")]
  .filter((tools) => tools.offsetWidth > 0.62 * tools.parentElement.clientWidth)
  .map((tools) => tools.textContent)
"""
OPEN_ALL = "() => document.querySelectorAll('main details').forEach(each => { each.open = true; })"
TABS = ("", "/timing", "/headers", "/raw", "/send")


def every(site: Site) -> list[str]:
    """A path of each kind of page, and of each exchange and conversation."""
    first, last = site.ids[0], site.ids[-1]
    lists = [
        "/ui/",
        "/ui/?q=bucket",
        "/ui/conversations",
        "/ui/stats",
        "/ui/stats?range=all",
        "/ui/status",
    ]
    compared = [f"/ui/compare?a={first}&b={last}", f"/ui/compare?a={site.ids[1]}&b={site.ids[2]}"]
    return [*lists, *compared, *site.conversations(), *site.looks(*TABS)]


def kinds(site: Site) -> list[str]:
    """A path of each kind of page."""
    busy = site.ids[4]
    tabs = [f"/ui/requests/{busy}{tab}" for tab in TABS]
    lists = ["/ui/", "/ui/conversations", "/ui/stats", "/ui/status"]
    longest = f"/ui/conversations/{site.proxy.get(f'/api/requests/{busy}')[1]['conversation_id']}"
    return [*lists, longest, f"/ui/compare?a={site.ids[3]}&b={busy}", *tabs]


def settle(page: Any) -> None:
    """Wait for what a page's scripts fetch."""
    page.wait_for_timeout(60)


def too_wide(case: BrowserCase, page: Any, paths: list[str]) -> list[str]:
    """Give the pages that are wider than the window, each with its width and what sticks out."""
    found = []
    for path in paths:
        case.open(page, path)
        page.evaluate(OPEN_ALL)
        settle(page)
        if out := page.evaluate(WIDTH):
            found.append(f"{path}: {out}")
    return found


class SessionTests(BrowserCase):
    """A coding agent's session."""

    @browsing
    def test_every_page(self) -> None:
        """No error, no foreign request, and the policy, on each page with everything opened."""
        site = session()
        with self.page(site.url) as page:
            for path in every(site):
                self.open(page, path)
                page.evaluate(OPEN_ALL)
                settle(page)

    @browsing
    def test_content(self) -> None:
        """A turn shows its prompt as people read it."""
        site = session()
        with self.page(site.url) as page:
            self.open(page, f"/ui/requests/{site.ids[4]}")
            page.evaluate(OPEN_ALL)
            main = page.locator("main").text_content()
            for words in (
                "Line 23 adds tokens without a ceiling",
                "pytest -q",
                "Find where tokens are added",
            ):
                self.assertIn(words, main)
            picture = page.locator("main img").first
            picture.scroll_into_view_if_needed()  # it is loaded when it is looked at
            page.wait_for_function("() => document.querySelector('main img').naturalWidth > 0")

    @browsing
    def test_phone(self) -> None:
        """No page is wider than a phone."""
        site = session()
        with self.page(site.url, viewport=PHONE, is_mobile=True, has_touch=True) as page:
            self.nothing(too_wide(self, page, kinds(site)))

    @browsing
    def test_axes(self) -> None:
        """The words of an axis stand beside one another, on a phone as well."""
        site = session()
        paths = [*site.looks("/timing"), "/ui/stats", "/ui/stats?range=all"]
        found = []
        for window in (PHONE, DESKTOP):
            with self.page(site.url, viewport=window) as page:
                for path in paths:
                    self.open(page, path)
                    settle(page)
                    found += [f"{path}: {each}" for each in page.evaluate(TOUCHING)]
        self.nothing(found)

    @browsing
    def test_tablet(self) -> None:
        """Where there is less room, a row still shows what it was about and what it cost."""
        site = session()
        for width in (740, 870, 900, 1024, 1140):
            with self.page(site.url, viewport={"width": width, "height": 768}) as page:
                self.open(page, "/ui/")
                cost = page.locator("#rows tbody .c-cost:visible").first.bounding_box()
                self.assertLessEqual(cost["x"] + cost["width"], width)
                about = page.locator("#rows .c-gist").first.bounding_box()
                self.assertGreater(about["width"], 180)
                self.assertEqual(page.evaluate(COVERED), [], width)

    @browsing
    def test_old_rows(self) -> None:
        """A row of another day shows its whole day and time."""
        site = session()
        with self.page(site.url) as page:
            page.clock.set_fixed_time("2031-01-01T12:00:00Z")
            self.open(page, "/ui/")
            settle(page)
            for needed, given, words in page.evaluate(TIMES):
                self.assertRegex(words, r"\d+ \w{3} \d\d:\d\d")
                self.assertLessEqual(needed, given, words)

    @browsing
    def test_accessible_light(self) -> None:
        """Nothing serious on any page."""
        self._accessible("light")

    @browsing
    def test_accessible_dark(self) -> None:
        """Nothing serious on any page."""
        self._accessible("dark")

    def _accessible(self, scheme: str) -> None:
        site = session()
        found = []
        with self.page(site.url, color_scheme=scheme, reduced_motion="reduce") as page:
            for path in kinds(site):
                self.open(page, path)
                page.evaluate(OPEN_ALL)
                settle(page)
                found += [f"{path}: {each}" for each in violations(page)]
        self.nothing(found)


class HostileTests(BrowserCase):
    """An attack on whoever reads it."""

    @browsing
    def test_nothing_runs(self) -> None:
        """Not a script, not a link that is one, not a picture from elsewhere."""
        site = hostile()
        with self.page(site.url) as page:
            for path in every(site):
                self.open(page, path)
                page.evaluate(OPEN_ALL)
                settle(page)
                self.assertEqual(page.evaluate(HARM, MARK), [], path)

    @browsing
    def test_piled_marks(self) -> None:
        """Hundreds of marks upon one letter are drawn over nothing but the message that they stand in."""
        site = hostile()
        with self.page(site.url) as page:
            self.open(page, f"/ui/requests/{site.ids[0]}")
            settle(page)
            around = [page.locator(name).screenshot() for name in (".bar", ".title", ".tabs")]
            hide = "() => document.querySelectorAll('.msg .body').forEach(each => each.remove())"
            page.evaluate(hide)
            settle(page)
            for name, before in zip((".bar", ".title", ".tabs"), around, strict=True):
                self.assertEqual(page.locator(name).screenshot(), before, name)

    @browsing
    def test_search(self) -> None:
        """Filters come back as text."""
        site = hostile()
        with self.page(site.url) as page:
            for name in ("q", "model", "agent", "session", "provider"):
                page.goto(f"/ui/?{name}={quote(BREAKOUT)}")
                settle(page)
                self.assertEqual(page.evaluate(HARM, MARK), [], name)

    @browsing
    def test_phone(self) -> None:
        """No page is wider than a phone."""
        site = hostile()
        paths = [*kinds(site), *site.looks("", "/headers")]
        with self.page(site.url, viewport=PHONE, is_mobile=True, has_touch=True) as page:
            self.nothing(too_wide(self, page, paths))
