"""The manual builds without a warning, and its examples are what the program understands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from clawproxy import cli
from clawproxy.config import load
from clawproxy.core.errors import Kind
from clawproxy.tap import Options
from clawproxy.web.openapi_document import document
from clawproxy.web.openapi_fault import REASONS
from tests.docs.manual import ADDRESS, PAGES, ROOT, blocks, commands

ENVIRON = {"OPENCLAW_GATEWAY_TOKEN": "token"}


class BuildTests(SynchronousTestCase):
    def test_builds_without_a_warning(self) -> None:
        if find_spec("sphinx") is None or find_spec("furo") is None:
            raise SkipTest("sphinx and furo are not installed")
        folder = Path(self.mktemp())
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
        done = subprocess.run(
            [*command, "docs", str(folder.resolve())],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        errors = (folder / "errors.html").read_text()
        for kind in Kind:
            self.assertIn(f"<p>{kind.status}</p>", errors)
            self.assertIn(kind.openai_code or "", errors)
        self.assertEqual(errors.count("<tr class"), len(REASONS) + 2)
        metrics = (folder / "operations.html").read_text()
        for name in (
            "clawproxy_exchanges_total",
            "clawproxy_recorder_dropped",
            "clawproxy_gap_seconds",
        ):
            self.assertIn(name, metrics)

    def test_every_page_is_in_the_index(self) -> None:
        listed = set(re.findall(r"^   (\w+)$", (ROOT / "docs" / "index.rst").read_text(), re.M))
        self.assertEqual(listed, {page.stem for page in PAGES} - {"index"})


class ExampleTests(SynchronousTestCase):
    def test_configurations(self) -> None:
        """Each is valid as it stands, without a warning of its own."""
        checked = 0
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        for page, block in blocks("yaml"):
            file = folder / f"{checked}.yaml"
            file.write_text(block)
            loaded = load(str(file), environ=ENVIRON, cwd=folder, home=folder)
            self.assertEqual(loaded.file, file, page)
            checked += 1
        self.assertGreater(checked, 7)

    def test_json(self) -> None:
        for page, block in blocks("json"):
            self.assertIsInstance(json.loads(block), dict, page)

    def test_toml(self) -> None:
        for page, block in blocks("toml"):
            self.assertTrue(tomllib.loads(block), page)

    def test_python(self) -> None:
        for page, block in blocks("python"):
            compile(block, page, "exec")

    def test_commands_of_clawproxy(self) -> None:
        parser = cli.parser()
        found = list(commands("clawproxy"))
        self.assertGreater(len(found), 6)
        for _, words in found:
            parser.parse_args(words)

    def test_commands_of_twistd(self) -> None:
        """What stands behind the word clawproxy is what the plugin takes."""
        found = list(commands("twistd"))
        self.assertGreater(len(found), 3)
        for page, words in found:
            self.assertIn("clawproxy", words, page)
            options = Options()
            # The files that examples name are not there; which options there are is what counts.
            options.postOptions = lambda: None  # type: ignore[method-assign]
            options.parseOptions(words[words.index("clawproxy") + 1 :])

    def test_addresses(self) -> None:
        """Each path that is called is one that the API's description has."""
        templates = [
            re.compile(re.sub(r"\{(path|page)\}", ".+", path).replace("{id}", "[^/]+") + r"\Z")
            for path in document()["paths"]
            if "{provider}" not in path
        ]
        found = list(commands("curl"))
        self.assertGreater(len(found), 8)
        for page, words in found:
            [url] = [word for word in words if word.startswith(ADDRESS)]
            target = url.removeprefix(ADDRESS).partition("?")[0]
            self.assertTrue(any(each.match(target) for each in templates), f"{page}: {target}")

    def test_files_exist(self) -> None:
        for page in PAGES:
            for name in re.findall(r"``((?:etc|docs|bench)/[\w./-]*)``", page.read_text()):
                self.assertTrue((ROOT / name).exists(), f"{page.name}: {name}")

    def test_environment_names_exist(self) -> None:
        """Names that look like ours are ones that something reads."""
        reference = (ROOT / "docs" / "configuration.rst").read_text()
        for page in PAGES:
            for name in re.findall(r"``(CLAWPROXY_[A-Z_]+)``", page.read_text()):
                if name not in ("CLAWPROXY_CONFIG", "CLAWPROXY_BIND"):
                    self.assertIn(f"``{name}``", reference, page.name)
