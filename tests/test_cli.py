"""Tests of :mod:`clawproxy.cli` and :mod:`clawproxy.config.command`."""

from __future__ import annotations

import argparse
import getpass
import io
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import yaml
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import clawproxy
from clawproxy import cli
from clawproxy.config import ConfigError, Mistake

SECRET = "sk-do-not-show-me"


class CommandTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        environ = {"HOME": str(self.folder), "PATH": os.environ.get("PATH", "")}
        self.patch(os, "environ", environ)

    def file(self, text: str) -> str:
        path = self.folder / "x.yaml"
        path.write_text(text)
        return str(path)

    def run_(self, *arguments: str) -> int:
        try:
            return cli.main(arguments)
        except SystemExit as error:
            assert isinstance(error.code, int)
            return error.code


class Check(CommandTestCase):
    def test_a_good_config(self) -> None:
        path = self.file(f"providers: {{openai: {{api_key: {SECRET}}}}}")
        code = self.run_("check", "--config", path, "--set", "log.level=debug", "--listen", "tcp:0")
        self.assertEqual(code, 0)
        shown = yaml.safe_load(self.out.getvalue())
        self.assertEqual(shown["server"]["listen"], ["tcp:0"])
        self.assertEqual(shown["log"]["level"], "debug")
        self.assertEqual(shown["providers"]["openai"]["api_key"], "***")
        self.assertNotIn(SECRET, self.out.getvalue() + self.err.getvalue())
        self.assertIn(f"from {path}\n", self.err.getvalue())
        self.assertIn("warning: any web page", self.err.getvalue())

    def test_addresses_as_they_were_written(self) -> None:
        """Whoever wrote /v1 would else look for a mistake where there is none."""
        for url in (
            "http://127.0.0.1:11434/v1",
            "http://127.0.0.1:11434",
            "https://h.example/a/v1/",
        ):
            self.out.truncate(0)
            self.out.seek(0)
            path = self.file(f"providers: {{local: {{kind: openai, base_url: '{url}'}}}}")
            self.assertEqual(self.run_("check", "--config", path), 0)
            shown = yaml.safe_load(self.out.getvalue())
            self.assertEqual(shown["providers"]["local"]["base_url"], url)
            self.assertEqual(
                shown["providers"]["anthropic"]["base_url"], "https://api.anthropic.com"
            )

    def test_a_wrong_config(self) -> None:
        path = self.file("servr: {}\nlog: {level: loud}\n")
        self.assertEqual(self.run_("check", "--config", path), 1)
        self.assertEqual(self.out.getvalue(), "")
        lines = self.err.getvalue().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[0].startswith(f"{path}:1: servr: "), lines[0])
        self.assertIn("did you mean server?", lines[0])
        self.assertTrue(lines[1].startswith(f"{path}:2: log.level: found 'loud', expected one of"))

    def test_a_terminal_that_knows_ascii_alone(self) -> None:
        raw = io.BytesIO()
        self.patch(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        self.assertEqual(self.run_("check", "--set", "routes=[{match: é, provider: demo}]"), 0)
        self.assertIn(rb"match: \xe9", raw.getvalue())

    def test_a_working_directory_that_is_gone(self) -> None:
        before = Path.cwd()
        self.addCleanup(os.chdir, before)
        gone = self.folder / "gone"
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
        self.assertEqual(self.run_("check"), 1)
        self.assertIn("a working directory that has been deleted", self.err.getvalue())

    def test_a_missing_file(self) -> None:
        self.assertEqual(self.run_("check", "--config", str(self.folder / "gone.yaml")), 1)
        self.assertIn("no such file", self.err.getvalue())


class Keys(CommandTestCase):
    def test_new_keys_differ_and_can_be_used(self) -> None:
        self.assertEqual(self.run_("keys", "new"), 0)
        self.assertEqual(self.run_("keys", "new"), 0)
        first, second = self.out.getvalue().split()
        self.assertNotEqual(first, second)
        self.assertEqual(self.run_("check", "--set", f"auth.api_keys=[{first}]"), 0)

    def test_hash(self) -> None:
        if find_spec("argon2") is None:
            self.patch(sys, "stdin", io.StringIO("x\n"))
            self.assertEqual(self.run_("keys", "hash"), 1)
            self.assertIn("argon2-cffi", self.err.getvalue())
            return
        from argon2 import PasswordHasher

        self.patch(sys, "stdin", io.StringIO("open sesame\nnot this\n"))
        self.assertEqual(self.run_("keys", "hash"), 0)
        hashed = self.out.getvalue().strip()
        self.assertTrue(PasswordHasher().verify(hashed, "open sesame"))
        self.assertEqual(self.run_("check", "--set", f"dashboard.password={hashed}"), 0)

    def test_a_password_that_is_no_text(self) -> None:
        if find_spec("argon2") is None:
            raise SkipTest("argon2-cffi is not installed")
        self.patch(sys, "stdin", io.StringIO("p\udcff\n"))
        self.assertEqual(self.run_("keys", "hash"), 1)
        self.assertIn("no text", self.err.getvalue())

    def test_the_end_of_input_at_the_terminal(self) -> None:
        if find_spec("argon2") is None:
            raise SkipTest("argon2-cffi is not installed")

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        def end(prompt: str) -> str:
            raise EOFError

        self.patch(sys, "stdin", Terminal())
        self.patch(getpass, "getpass", end)
        self.assertEqual(self.run_("keys", "hash"), 1)
        self.assertIn("an empty password", self.err.getvalue())

    def test_an_empty_password(self) -> None:
        self.patch(sys, "stdin", io.StringIO("\n"))
        self.assertEqual(self.run_("keys", "hash"), 1)
        self.assertEqual(self.out.getvalue(), "")


class Usage(CommandTestCase):
    def test_version(self) -> None:
        self.assertEqual(self.run_("--version"), 0)
        self.assertEqual(self.out.getvalue(), f"clawproxy {clawproxy.__version__}\n")

    def test_help_names_the_commands(self) -> None:
        self.assertEqual(self.run_("--help"), 0)
        for word in ("check", "keys", "twistd -n clawproxy"):
            self.assertIn(word, self.out.getvalue())

    def test_wrong_usage(self) -> None:
        for arguments in ((), ("chek",), ("check", "--nope"), ("keys",)):
            self.assertEqual(self.run_(*arguments), 2)


class Registry(CommandTestCase):
    def test_a_module_that_is_missing_adds_nothing(self) -> None:
        self.patch(cli, "COMMANDS", ("clawproxy.none:add", "clawproxy.none.deeper:add"))
        self.assertEqual(self.run_("--help"), 0)

    def test_a_module_that_misses_another_is_an_error(self) -> None:
        package = self.folder / "broken_command.py"
        package.write_text("import a_module_that_nobody_has\n")
        self.patch(sys, "path", [str(self.folder), *sys.path])
        self.patch(cli, "COMMANDS", ("broken_command:add",))
        self.assertRaises(ModuleNotFoundError, cli.main, ["--help"])

    def test_a_command_of_another_module(self) -> None:
        def raising(arguments: argparse.Namespace) -> int:
            raise ConfigError([Mistake("f", "k", "a", "b")])

        def interrupted(arguments: argparse.Namespace) -> int:
            raise KeyboardInterrupt

        def add(subparsers: cli.Subparsers) -> None:
            subparsers.add_parser("seven").set_defaults(run=lambda arguments: 7)
            subparsers.add_parser("wrong").set_defaults(run=raising)
            subparsers.add_parser("stop").set_defaults(run=interrupted)

        self.patch(cli, "COMMANDS", ("tests.test_cli:added",))
        self.patch(sys.modules[__name__], "added", add)
        self.assertEqual(self.run_("seven"), 7)
        self.assertEqual(self.run_("stop"), 130)
        self.assertEqual(self.run_("wrong"), 1)
        self.assertEqual(self.err.getvalue(), "f: k: found a, expected b\n")


added: object = None
"""Put in place by a test, as a module outside would have it."""


class Process(SynchronousTestCase):
    def test_a_reader_that_has_enough_gets_no_traceback(self) -> None:
        command = [sys.executable, "-m", "clawproxy.cli", "check"]
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w") as closed:
            done = subprocess.run(
                command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False
            )
        self.assertNotIn("Traceback", done.stderr)
        self.assertNotIn("Exception ignored", done.stderr)
        self.assertEqual(done.returncode, 1)

    def test_a_full_disk_is_told(self) -> None:
        if not Path("/dev/full").exists():
            raise SkipTest("there is no /dev/full")
        for words in (["check"], ["keys", "new"]):
            command = [sys.executable, "-m", "clawproxy.cli", *words]
            with Path("/dev/full").open("w") as full:
                done = subprocess.run(
                    command, stdout=full, stderr=subprocess.PIPE, text=True, check=False
                )
            self.assertEqual(
                done.stderr.splitlines()[-1:], ["standard output: No space left on device"]
            )
            self.assertNotIn("Traceback", done.stderr)
            self.assertEqual(done.returncode, 1)

    def test_without_streams(self) -> None:
        """Whoever closed them wants to read nothing, and has nothing to say."""
        for closing, words, code in (
            (">&-", "keys new", 0),
            ("2>&-", "check", 0),
            ("<&-", "keys hash", 1),
        ):
            done = subprocess.run(
                ["sh", "-c", f'"{sys.executable}" -m clawproxy.cli {words} {closing}'],
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertNotIn("Traceback", done.stderr)
            self.assertEqual((closing, done.returncode), (closing, code))
