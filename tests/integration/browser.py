"""A headless browser, and a page of another origin for it to show."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from twisted.trial.unittest import SkipTest

_PAGE = b"<!doctype html><meta charset=utf-8><title>A page</title>"


class Pages:
    """A server of an empty page on ``localhost``, as a context manager: no origin of the proxy's.

    :param headers: of the page.
    """

    def __init__(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                for name, value in (("content-type", "text/html"), *headers):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(_PAGE)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Pages:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def origin(self) -> str:
        """The page's origin."""
        return f"http://localhost:{self._server.server_port}"


def chromium(stack: ExitStack, options: Sequence[str] = ()) -> Any:
    """Start the system's Chromium, or the one that Playwright installed.

    :param stack: ends it.
    :param options: for its command line.
    :raises SkipTest: where Playwright or a browser is missing.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise SkipTest("the playwright package is not installed") from error
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    # A browser's sandbox wants to be run by somebody else than root.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    playwright = stack.enter_context(sync_playwright())
    try:
        browser = playwright.chromium.launch(executable_path=found, args=[*options, *sandbox])
    except Error as error:
        raise SkipTest(f"Chromium cannot be started: {str(error).splitlines()[0]}") from error
    stack.callback(browser.close)
    return browser
