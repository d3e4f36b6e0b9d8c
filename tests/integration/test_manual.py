"""What the manual says to type, typed."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.docs.manual import ADDRESS, ROOT, blocks, commands
from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.clients import npm_program, system_program
from tests.integration.proxy import PATIENCE, Proxy, environment
from tests.integration.upstream import Answer, Asked

CLAWPROXY = str(Path(sys.executable).with_name("clawproxy"))
#: An id in examples, for which a test puts a real one.
EXAMPLE = "cp_1a1fc04e877028b4e1b1361f0e7"
QUICKSTART = [ROOT / "docs" / "quickstart.rst"]
KEYS = {"ANTHROPIC_API_KEY": "sk-mine", "OPENAI_API_KEY": "sk-mine"}


def script(asked: Asked) -> Answer:
    """Say hello in the dialect and the form that was asked in."""
    stream = bool(asked.json.get("stream"))
    if asked.target.startswith("/v1/messages"):
        return answers.anthropic(stream, answers.text("Hello from the script."))
    return answers.chat(stream, "Hello from the script.")


class ManualTests(ProxyCase):
    def run_command(
        self, words: list[str], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> str:
        done = subprocess.run(
            words,
            cwd=cwd or self.folder,
            env=environment(self.folder, env),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(done.returncode, 0, f"{words}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def recorded(self, proxy: Proxy) -> str:
        """Wait until an exchange is in the store, and give its id."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status, found = proxy.get("/api/requests")
            if status == 200 and found["total"]:
                id: str = found["requests"][0]["id"]
                return id
            if time.monotonic() > deadline:
                raise AssertionError(f"{status} {found}\n{proxy.log}")
            time.sleep(0.1)

    def test_curl(self) -> None:
        """Each call of curl is answered, and none by an error that the manual does not show."""
        curl = str(system_program("curl"))
        upstream = self.upstream(script)
        proxy = self.proxy(upstream, settings={"storage.url": "sqlite:clawproxy.db"})
        answered = 0
        for page, words in commands("curl"):
            asked = [word.replace(ADDRESS, proxy.url) for word in words]
            asked = [word.replace("$ANTHROPIC_API_KEY", "sk-mine") for word in asked]
            status = ["-sS", "-o", "answer", "-w", "%{http_code}"]
            said = self.run_command([curl, *status, *asked])
            about = f"{page}: {words}\n{(self.folder / 'answer').read_text()}"
            # There is no agent that asks anything here.
            self.assertEqual(said, "404" if asked[0].endswith("/approvals/ID") else "200", about)
            answered += 1
        self.assertGreater(answered, 8)
        self.assertEqual(upstream.asked[0].header("x-api-key"), "sk-mine")

    def test_tools(self) -> None:
        """The commands of export and import work beside a running proxy, and check shows what is in effect."""
        upstream = self.upstream(script)
        proxy = self.proxy(upstream, settings={"storage.url": "sqlite:clawproxy.db"})
        curl = [words for _, words in commands("curl", QUICKSTART)][-1]
        asked = [word.replace(ADDRESS, proxy.url) for word in curl]
        self.run_command([str(system_program("curl")), "-sS", *asked])
        real = self.recorded(proxy)
        work = proxy.folder
        (work / "config.yaml").write_text("server: {port: 3001}\nstorage: {db_path: old.db}\n")
        (work / "clawproxy.yaml").write_text("log: {level: info}\n")
        shutil.copy(work / "clawproxy.db", work / "requests.db")
        ran = 0
        for _, words in commands("clawproxy"):
            if words[0] == "keys" or "requests.db" in words:
                continue  # these have tests of their own
            self.run_command(
                [CLAWPROXY, *(word.replace(EXAMPLE, real) for word in words)], cwd=work
            )
            ran += 1
        self.assertGreater(ran, 5)
        [line] = (work / "week.jsonl").read_text().splitlines()
        self.assertEqual(json.loads(line)["id"], real)
        self.assertIn(real, (work / "month.csv").read_text())

    def test_python_sdks(self) -> None:
        upstream = self.upstream(script)
        proxy = self.proxy(upstream)
        said = []
        for _, snippet in blocks("python", QUICKSTART):
            self.assertIn(ADDRESS, snippet)
            scope: dict[str, Any] = {}
            out = io.StringIO()
            with patch.dict("os.environ", KEYS), contextlib.redirect_stdout(out):
                exec(compile(snippet.replace(ADDRESS, proxy.url), "quickstart.rst", "exec"), scope)
            scope["client"].close()
            said.append(out.getvalue())
        self.assertEqual(said, ["Hello from the script."] * 2)

    def test_javascript_sdks(self) -> None:
        node = str(system_program("node"))
        modules = {
            "@anthropic-ai/sdk": npm_program("@anthropic-ai/sdk", "anthropic-ai-sdk"),
            "openai": npm_program("openai", "openai"),
        }
        upstream = self.upstream(script)
        proxy = self.proxy(upstream)
        said = []
        for number, (_, snippet) in enumerate(blocks("javascript", QUICKSTART)):
            folder = self.folder / str(number)
            folder.mkdir()
            name = next(name for name in modules if f'"{name}"' in snippet)
            # The program lies in node_modules/.bin.
            (folder / "node_modules").symlink_to(modules[name].parent.parent)
            (folder / "snippet.mjs").write_text(snippet.replace(ADDRESS, proxy.url))
            said.append(self.run_command([node, "snippet.mjs"], KEYS, folder))
        self.assertEqual(said, ["Hello from the script."] * 2)
