"""Codex, headless, through the proxy to a scripted Responses API."""

from __future__ import annotations

import subprocess

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.clients import npm_program
from tests.integration.proxy import Proxy, environment
from tests.integration.upstream import Answer, Asked

CONFIG = """\
model = "gpt-5"
model_provider = "clawproxy"

[model_providers.clawproxy]
name = "ClawProxy"
base_url = "{url}/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
"""


def script(asked: Asked) -> Answer:
    """Say one sentence; have no models to list."""
    if asked.method != "POST":
        return Answer([b'{"object":"list","data":[]}'])
    return answers.response(True, "Hello from the script.")


class CodexTests(ProxyCase):
    """A turn as ``codex exec`` makes it."""

    def codex(self, proxy: Proxy, prompt: str) -> str:
        """Run one prompt; what it printed."""
        program = npm_program("@openai/codex", "codex")
        home = self.folder / "home"
        (home / ".codex").mkdir(parents=True)
        (home / ".codex" / "config.toml").write_text(CONFIG.format(url=proxy.url))
        done = subprocess.run(
            [str(program), "exec", "--skip-git-repo-check", prompt],
            cwd=home,
            env=environment(home, {"OPENAI_API_KEY": "sk-mine", "TERM": "dumb"}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + proxy.log)
        return done.stdout

    def test_turn(self) -> None:
        """The answer is printed, and the request arrived with the client's own headers."""
        upstream = self.upstream(script)
        said = self.codex(self.proxy(upstream), "Say hello.")
        self.assertIn("Hello from the script.", said)
        [asked] = [each for each in upstream.asked if each.method == "POST"]
        self.assertEqual(asked.target, "/v1/responses")
        self.assertEqual(asked.header("authorization"), "Bearer sk-mine")
        self.assertTrue(asked.header("originator"))
