"""Codex, headless, through the proxy to a scripted Responses API."""

from __future__ import annotations

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.clients import codex
from tests.integration.upstream import Answer, Asked


def script(asked: Asked) -> Answer:
    """Say one sentence; have no models to list."""
    if asked.method != "POST":
        return Answer([b'{"object":"list","data":[]}'])
    return answers.response(True, "Hello from the script.")


class CodexTests(ProxyCase):
    """A turn as ``codex exec`` makes it."""

    def test_turn(self) -> None:
        """The answer is printed, and the request arrived with the client's own headers."""
        upstream = self.upstream(script)
        said = codex(self.folder / "home", self.proxy(upstream).url, "Say hello.")
        self.assertIn("Hello from the script.", said)
        [asked] = [each for each in upstream.asked if each.method == "POST"]
        self.assertEqual(asked.target, "/v1/responses")
        self.assertEqual(asked.header("authorization"), "Bearer sk-mine")
        self.assertTrue(asked.header("originator"))
