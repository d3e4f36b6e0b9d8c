"""``etc/serve.py``, below which ``tox run -e serve`` runs the proxy: signals arrive once, and not
cut answers.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.clients import system_program
from tests.integration.proxy import Proxy
from tests.integration.upstream import Answer, Upstream

SERVE = Path(__file__).parents[2] / "etc" / "serve.py"
FRAMES = answers.anthropic_frames([answers.text("one two three four five six seven eight nine")])
WHOLE = b"".join(FRAMES)


class Served(Proxy):
    """A proxy whose process is the parent that forwards."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        super().__init__(folder, settings={"providers.anthropic.base_url": upstream.url})
        self.command[:1] = [sys.executable, str(SERVE)]


class ServeTests(ProxyCase):
    """A stream runs when the signals come."""

    def setUp(self) -> None:
        """Start a proxy below the script, and a stream of about four seconds through it."""
        super().setUp()
        upstream = self.upstream(
            lambda _: Answer(answers.paced(FRAMES, 0.25), headers=answers.STREAM)
        )
        self.proxy_ = self.stack.enter_context(Served(self.folder / "proxy", upstream))
        asked = {"model": "claude-x", "max_tokens": 9, "stream": True, "messages": []}
        command = [str(system_program("curl")), "-sSN", self.proxy_.url + "/v1/messages"]
        self.curl = subprocess.Popen(
            [*command, "-d", json.dumps(asked)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.addCleanup(self.curl.communicate)
        self.addCleanup(self.curl.kill)
        self.proxy_.in_flight(1)

    def test_echo_is_one_signal(self) -> None:
        """Ctrl-C comes from the terminal and from tox at once; the stream is whole, the exit code
        0.
        """
        self.proxy_.signal(signal.SIGINT)
        self.proxy_.signal(signal.SIGINT)
        time.sleep(0.1)
        self.proxy_.signal(signal.SIGINT)
        self.assertEqual(self.curl.communicate(timeout=30)[0], WHOLE)
        self.assertEqual(self.proxy_.wait(), 0, self.proxy_.log)

    def test_second_signal(self) -> None:
        """Another Ctrl-C, later, is meant: the stream is cut and the exit code is 1."""
        self.proxy_.signal(signal.SIGINT)
        time.sleep(1.2)
        self.proxy_.signal(signal.SIGINT)
        began = time.monotonic()
        self.assertEqual(self.proxy_.wait(), 1, self.proxy_.log)
        out, _ = self.curl.communicate(timeout=30)
        self.assertLess(time.monotonic() - began, 2)
        self.assertNotEqual(out, WHOLE)
        self.assertIn(b"event: error", out)

    def test_parent_killed(self) -> None:
        """When the parent is killed outright, the proxy drains and leaves; it is not left behind."""
        self.proxy_.signal(signal.SIGKILL)
        self.proxy_.wait()
        self.assertEqual(self.curl.communicate(timeout=30)[0], WHOLE)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.proxy_.get("/livez")
            except OSError:
                return
            self.assertLess(time.monotonic(), deadline, self.proxy_.log)
            time.sleep(0.1)


if not sys.platform.startswith("linux"):
    ServeTests.test_parent_killed.skip = "only Linux tells a process that its parent has died"  # type: ignore[attr-defined]
