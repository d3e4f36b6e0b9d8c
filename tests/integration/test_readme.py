"""The README, followed word by word, as far as it can be without an account."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clawproxy.config import load
from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.clients import npm_program, system_program
from tests.integration.proxy import environment
from tests.integration.upstream import Answer, Asked

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text()
ADDRESS = "http://127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    found = re.findall(rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", README, re.M)
    return [textwrap.dedent(block).strip() for block in found]


def commands() -> Iterator[str]:
    """What stands behind a prompt, continued lines included."""
    for block in blocks("console"):
        yield from re.findall(r"^\$ ((?:.*\\\n)*.*)$", block, re.M)


def script(asked: Asked) -> Answer:
    """Say hello in the dialect that was asked in."""
    if asked.target.startswith("/v1/messages"):
        return answers.anthropic(False, answers.text("Hello from the script."))
    return answers.chat(False, "Hello from the script.")


class ReadmeTests(ProxyCase):
    """What a new user types."""

    def test_commands_are_known(self) -> None:
        """Whoever adds a command sees to it that something runs it.

        The two that start the proxy, and the one that tests it, are what runs this test; Claude
        Code, Codex, OpenClaw, Open WebUI and SillyTavern have tests of their own or need a browser.
        """
        first = [command.split()[0] for command in commands()]
        known = "python3 python3 curl export claude export export open-webui curl"
        known += " export twistd python3"
        self.assertEqual(first, known.split())

    def test_curl(self) -> None:
        """Both calls: to the demo, which needs no account, and to a provider."""
        system_program("curl")
        upstream = self.upstream(script)
        proxy = self.proxy(upstream)
        demo, provider = (command for command in commands() if command.startswith("curl"))
        said = []
        for command in (demo, provider):
            self.assertIn(ADDRESS, command)
            done = subprocess.run(
                ["/bin/sh", "-c", command.replace(ADDRESS, proxy.url)],
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "ANTHROPIC_API_KEY": "sk-mine"},
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            said.append(done.stdout)
        self.assertIn("event: message_stop", said[0])
        self.assertEqual(json.loads(said[1])["content"][0]["text"], "Hello from the script.")
        self.assertEqual([asked.header("x-api-key") for asked in upstream.asked], ["sk-mine"])

    def test_sdks(self) -> None:
        """The snippets run as they are, but for the port."""
        upstream = self.upstream(script)
        proxy = self.proxy(upstream)
        snippets = blocks("python")
        self.assertEqual(len(snippets), 2)
        keys = {"ANTHROPIC_API_KEY": "sk-mine", "OPENAI_API_KEY": "sk-mine"}
        for snippet in snippets:
            self.assertIn(ADDRESS, snippet)
            scope: dict[str, Any] = {}
            with patch.dict("os.environ", keys), contextlib.redirect_stdout(io.StringIO()):
                exec(compile(snippet.replace(ADDRESS, proxy.url), "README.rst", "exec"), scope)
            scope["client"].close()
        targets = [asked.target for asked in upstream.asked]
        self.assertEqual(targets, ["/v1/messages", "/v1/chat/completions"])

    def test_codex(self) -> None:
        """The real program, with the configuration as it is shown, but for the port."""
        program = npm_program("@openai/codex", "codex")
        upstream = self.upstream(lambda _: answers.response(True, "Hello from the script."))
        proxy = self.proxy(upstream)
        [snippet] = blocks("toml")
        self.assertIn(ADDRESS, snippet)
        home = self.folder / "home"
        (home / ".codex").mkdir(parents=True)
        (home / ".codex" / "config.toml").write_text(snippet.replace(ADDRESS, proxy.url))
        done = subprocess.run(
            [str(program), "exec", "--skip-git-repo-check", "Say hello."],
            cwd=home,
            env=environment(home, {"OPENAI_API_KEY": "sk-mine", "TERM": "dumb"}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Hello from the script.", done.stdout)
        turns = [asked for asked in upstream.asked if asked.target == "/v1/responses"]
        self.assertEqual([turn.header("authorization") for turn in turns], ["Bearer sk-mine"])

    def test_configuration(self) -> None:
        """The example is valid, and does what is said of it."""
        [snippet] = blocks("yaml")
        file = self.folder / "clawproxy.yaml"
        file.write_text(snippet)
        loaded = load(str(file), environ={})
        first, second, *_ = loaded.config.routes
        self.assertEqual((first.provider, first.model), ("local", "qwen3:8b"))
        self.assertEqual((second.match, second.provider), ("claude-*", "anthropic"))

    def test_files_exist(self) -> None:
        """What the README names is there."""
        for name in re.findall(r"``((?:etc|docs|bench)/[\w./]*)``", README):
            self.assertTrue((ROOT / name).exists(), name)

    def test_module_runner(self) -> None:
        """``tox run -e tests -- NAME`` ends in this command."""
        done = subprocess.run(
            [sys.executable, "-m", "tests", "--help"], cwd=ROOT, capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stderr)
