"""Makes the pictures of the dashboard in ``docs/images`` from a real run: ``python docs/screenshot.py``.

A proxy records a coding agent's session, a chat and what goes wrong, from an upstream that says what the story says;
then some of it is asked again and photographed while it streams. Needs the test requirements, Chromium and Playwright.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.browser.recording import Play, Script  # noqa: E402
from tests.browser.stage import QUIET  # noqa: E402
from tests.dashboard import stories  # noqa: E402
from tests.integration.browser import chromium  # noqa: E402
from tests.integration.proxy import Proxy  # noqa: E402
from tests.integration.upstream import Upstream  # noqa: E402

SIZE = {"width": 1280, "height": 860}
SCALE = 1.5
PACE, SLOW = 0.6, 7.0
"""How much longer than in the story answers take: before, and while they are photographed."""
SHOWN = (5, 17, 10, 6, 8, 15)
"""Parts of the story that are under way in the picture."""


def tell() -> Script:
    """Write the script; what comes last stands on top."""
    script = Script(time.time())
    stories.failing(script)
    stories.responding(script)
    stories.chatting(script)
    stories.coding(script)
    return script


def main() -> None:
    """Play, and take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    script = tell()
    play = Play(script.parts, PACE)
    again = Play(script.parts, SLOW)
    slow = threading.Event()

    def answer(asked: Any) -> Any:
        return (again if slow.is_set() else play).answer(asked)

    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        upstream = stack.enter_context(Upstream(answer))
        settings = {
            "providers.anthropic.base_url": upstream.url,
            "providers.openai.base_url": upstream.url,
            "storage.url": "sqlite:clawproxy.db",
        }
        proxy = stack.enter_context(Proxy(Path(folder), settings=settings))
        ids = play.act(proxy)
        browser = chromium(stack, QUIET)
        page = browser.new_page(viewport=SIZE, device_scale_factor=SCALE, color_scheme="light")
        edited = next(
            id
            for id, part in zip(ids, script.parts, strict=True)
            if part.body.count(b'"tool_use"') == 6
        )
        page.goto(f"{proxy.url}/ui/requests/{edited}")
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / "exchange.png")
        page.goto(f"{proxy.url}/ui/conversations/{stories.SESSION}")
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / "conversation.png")
        slow.set()
        page.goto(f"{proxy.url}/ui/")
        callers = [threading.Thread(target=again.ask, args=(proxy, part)) for part in SHOWN]
        for caller in callers:
            caller.start()
            time.sleep(0.3)
        # Past the first words of nearly all, before the end of any.
        for _ in range(150):
            if page.locator(".card:not(.over) .card-text p:not(.wait)").count() >= len(SHOWN) - 1:
                break
            page.wait_for_timeout(100)
        page.wait_for_timeout(300)
        page.screenshot(path=IMAGES / "dashboard.png")
        for caller in callers:
            caller.join()


if __name__ == "__main__":
    main()
