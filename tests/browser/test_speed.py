"""How long somebody waits for a big exchange."""

from __future__ import annotations

import http.client
import time

from tests.browser.case import BrowserCase
from tests.browser.recording import Script
from tests.browser.site import Site, record
from tests.browser.stage import browsing
from tests.dashboard.stories import JSON, call, result, text

MESSAGES = 400
SIZE = 1_000_000
#: Seconds for the page, on one core.
MOST = 0.5
#: It is measured so often; a machine that is busy with other tests makes some of them slow.
TIMES = 5


def _long(script: Script) -> None:
    messages: list[JSON] = []
    for number in range(MESSAGES // 2):
        lines = "\n".join(
            f"{n:5}\tvalue_{number}_{n} = compute({n}, clock)  # as before" for n in range(92)
        )
        asked = result(f"{number - 1}", lines) if number else text("Look at all of it.")
        read = call(f"{number}", "Read", file_path=f"/home/kim/throttle/src/part_{number}.py")
        messages.append({"role": "user", "content": [asked]})
        messages.append(
            {"role": "assistant", "content": [text(f"Now **part {number}**, `in full`."), read]}
        )
    messages[-1] = {"role": "assistant", "content": "That was all."}
    script.messages(messages[:-1], [text("Seen.")])
    script.messages([*messages, {"role": "user", "content": "And now?"}], [text("Done.")])


def fetch(site: Site, path: str) -> float:
    """Seconds until all of a page has come."""
    connection = http.client.HTTPConnection("127.0.0.1", site.proxy.port, timeout=60)
    begun = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    took = time.perf_counter() - begun
    connection.close()
    assert answer.status == 200, answer.status
    return took


class SpeedTests(BrowserCase):
    """An exchange of a megabyte and four hundred messages."""

    @browsing
    def test_page(self) -> None:
        """It comes within half a second, and can be read."""
        site = record(self.stack, _long)
        detail = site.proxy.get(f"/api/requests/{site.ids[1]}")[1]
        self.assertGreaterEqual(detail["request_bytes"], SIZE)
        self.assertGreaterEqual(len(detail["request"]["messages"]), MESSAGES)
        path = f"/ui/requests/{site.ids[1]}"
        took = [fetch(site, path) for _ in range(TIMES)]
        self.assertLessEqual(min(took), MOST, took)
        with self.page(site.url) as page:
            self.open(page, path)
            page.get_by_text("And now?").first.wait_for()
            # A message with nothing but a tool's result stands beside its call.
            self.assertGreaterEqual(page.locator(".msg").count(), MESSAGES // 2)
