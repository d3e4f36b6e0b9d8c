"""What the tests with real programs have in common: an upstream, a proxy before it, a folder."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.proxy import Proxy
from tests.integration.upstream import Answer, Script, Upstream


def refuse(_: object) -> Answer:
    """The script of a test that has set none."""
    return Answer([b"the test has no answer for this"], 500, [("content-type", "text/plain")])


class ProxyCase(SynchronousTestCase):
    """Starts what a test asks for and ends it afterwards, in reverse order.

    The tests are plain blocking code: client, proxy and upstream each run in a process or thread of
    their own.
    """

    def setUp(self) -> None:
        """Have a folder of this test's own."""
        super().setUp()
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def upstream(self, script: Script = refuse) -> Upstream:
        """Start an upstream."""
        return self.stack.enter_context(Upstream(script))

    def proxy(
        self,
        upstream: Upstream,
        *arguments: str,
        settings: Mapping[str, object] | None = None,
        name: str = "proxy",
    ) -> Proxy:
        """Start a proxy that takes *upstream* for both APIs."""
        ours = {
            "providers.anthropic.base_url": upstream.url,
            "providers.openai.base_url": upstream.url,
            **(settings or {}),
        }
        return self.stack.enter_context(Proxy(self.folder / name, *arguments, settings=ours))
