"""What the dashboard's tests have in common: a proxy as an operator starts it, a browser before it, and a
witness of everything that must not happen on a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.browser.stage import stage
from tests.integration.case import ProxyCase

DESKTOP = {"width": 1300, "height": 820}
PHONE = {"width": 390, "height": 844}

#: Milliseconds for what a page does by itself, on a machine that is busy with other tests.
PATIENCE = 20_000


class Witness:
    """Looks at a page and keeps what a dashboard must never do.

    :ivar faults: console errors, uncaught exceptions, dialogs, requests to other hosts, answers of 500 and above.
    """

    def __init__(self, page: Any, origin: str) -> None:
        self.faults: list[str] = []
        self._origin = origin
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text} {message.location}")

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if (
            parts.scheme not in ("data", "blob")
            and f"{parts.scheme}://{parts.netloc}" != self._origin
        ):
            self.faults.append(f"request to {request.url[:200]}")

    def _response(self, response: Any) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status} for {response.url[:200]}")


class BrowserCase(ProxyCase):
    """Opens pages and lets none of them misbehave."""

    @contextmanager
    def page(self, origin: str, expected: str | None = None, **options: Any) -> Iterator[Any]:
        """Give a page of a fresh context, and fail at its end if its witness saw anything.

        :param origin: the dashboard's.
        :param expected: words of faults that the test provokes.
        :param options: of Playwright's ``new_context``; a viewport is a desktop's if not said otherwise.
        """
        context = stage().browser.new_context(
            base_url=origin, **{"viewport": DESKTOP, "locale": "en-GB", **options}
        )
        try:
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            witness = Witness(page, origin)
            yield page
            faults = [each for each in witness.faults if expected is None or expected not in each]
            self.nothing(faults)
        finally:
            context.close()

    def nothing(self, found: Sequence[str]) -> None:
        """Fail with a line for each thing that was found."""
        if found:
            self.fail("\n".join(each[:800] for each in found[:40]))

    def open(self, page: Any, path: str, status: int = 200) -> Any:
        """Go to a page and look at what each must have; gives its answer."""
        answer = page.goto(path, wait_until="load")
        self.assertEqual(answer.status, status, path)
        policy = answer.headers.get("content-security-policy", "")
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        return answer
