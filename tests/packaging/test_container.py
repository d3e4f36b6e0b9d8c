"""The Dockerfile without a container engine: its rules are checked, its steps are run, what they
make is started.
"""

from __future__ import annotations

import fnmatch
import http.client
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.packaging.dockerfile import Stage, parse
from tests.packaging.environment import ROOT, bare, run


def stages() -> tuple[Stage, Stage]:
    """The stage that builds, and the one that is shipped."""
    build, ship = parse((ROOT / "Dockerfile").read_text())
    return build, ship


def ignored(path: str) -> bool:
    """Whether ``.dockerignore`` keeps a top-level name from the build: the last line that fits
    decides.
    """
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and fnmatch.fnmatch(path, line.lstrip("!")):
            verdict = not line.startswith("!")
    return verdict


class RulesTests(SynchronousTestCase):
    """What hadolint would say, and what the proxy needs."""

    def test_images_are_tagged(self) -> None:
        """No image that changes under the feet, and the stages share theirs, or the environment
        would not run.
        """
        build, ship = stages()
        self.assertRegex(build.image, r"^python:3\.\d+-slim-\w+$")
        self.assertEqual(build.image, ship.image)

    def test_words_not_shell(self) -> None:
        """``ENTRYPOINT`` and the health check are in exec form, or a shell would take the signals."""
        _, ship = stages()
        entry = ship.one("ENTRYPOINT").exec_form
        assert entry is not None
        self.assertEqual(entry[:2], ["twistd", "-n"])
        self.assertIn("--pidfile=", entry)
        check = ship.one("HEALTHCHECK").arguments
        self.assertTrue(check.startswith('CMD ["python", "-c", '), check)
        self.assertEqual(ship.all("CMD"), [])

    def test_nobody_special(self) -> None:
        """The last user is a number that is not root's, so that Kubernetes can see it."""
        _, ship = stages()
        user = ship.all("USER")[-1].arguments
        self.assertRegex(user, r"^[1-9]\d*:[1-9]\d*$")

    def test_small_rules(self) -> None:
        """Caches stay out, folders are absolute, nothing is added from elsewhere, pipes do not hide
        failures.
        """
        for stage in stages():
            self.assertEqual(stage.all("ADD"), [])
            for each in stage.all("WORKDIR"):
                self.assertTrue(each.arguments.startswith("/"), each)
            for each in stage.all("RUN"):
                self.assertNotRegex(each.arguments, r"\bsudo\b|\bcd |apt-get upgrade| \| ")
                if "pip install" in each.arguments:
                    self.assertIn("--no-cache-dir", each.arguments)
                if "apt-get install" in each.arguments:
                    self.assertIn("--no-install-recommends", each.arguments)
            for each in stage.all("COPY"):
                if "from" not in each.flags:
                    for name in each.arguments.split()[:-1]:
                        self.assertTrue((ROOT / name).exists(), name)
                        self.assertFalse(ignored(name), name)

    def test_context_is_small(self) -> None:
        """What the image does not need is not sent to the builder."""
        for name in (
            ".git",
            "tests",
            "docs",
            ".tox",
            "clawproxy.db",
            "clawproxy.yaml",
            "node_modules",
        ):
            self.assertTrue(ignored(name), name)

    def test_volume_and_signal(self) -> None:
        """Data has a volume, in which the proxy starts; the signal is the one that drains."""
        _, ship = stages()
        self.assertEqual(ship.one("VOLUME").exec_form, ["/data"])
        self.assertEqual(ship.one("WORKDIR").arguments, "/data")
        self.assertEqual(ship.one("STOPSIGNAL").arguments, "SIGTERM")
        self.assertEqual(ship.one("EXPOSE").arguments, "8080")


class StepsTests(TestCase):
    """Both stages, in an empty folder in place of an empty filesystem."""

    timeout = 900

    def setUp(self) -> None:
        """Have the folder."""
        super().setUp()
        self.root = Path(self.mktemp()).resolve()
        self.root.mkdir(parents=True)

    def inside(self, text: str) -> str:
        """Replace absolute paths of the image by those below the folder."""
        return re.sub(r"(?<![\w.])/(opt/clawproxy|src|data)\b", rf"{self.root}/\1", text)

    def build(self, stage: Stage) -> None:
        """Run the building stage."""
        work = self.root
        for each in stage.instructions:
            if each.name == "WORKDIR":
                work = Path(self.inside(each.arguments))
                work.mkdir(parents=True)
            elif each.name == "COPY":
                *names, target = each.arguments.split()
                for name in names:
                    source = ROOT / name
                    if source.is_dir():
                        skip = shutil.ignore_patterns("__pycache__", "*.pyc", "dropin.cache")
                        shutil.copytree(source, work / target, ignore=skip)
                    else:
                        shutil.copy2(source, work / target)
            elif each.name == "RUN":
                run("/bin/sh", "-ec", self.inside(each.arguments), cwd=work)
            else:
                self.fail(f"a step that this test does not know: {each}")

    def environment(self, stage: Stage) -> dict[str, str]:
        """The image's environment, and a free port."""
        env = bare()
        for each in stage.all("ENV"):
            for word in shlex.split(each.arguments):
                name, _, value = word.partition("=")
                env[name] = self.inside(value).replace("$PATH", env["PATH"])
        with socket.socket() as probe:
            probe.bind(("0.0.0.0", 0))
            env["CLAWPROXY_PORT"] = str(probe.getsockname()[1])
        return env

    def test_steps(self) -> None:
        """What the steps make starts, is healthy, answers from outside, ends with 0, and keeps its
        data in /data.
        """
        build, ship = stages()
        self.build(build)
        copied = [each for each in ship.all("COPY") if each.flags.get("from") == build.name]
        self.assertEqual([each.arguments for each in copied], ["/opt/clawproxy /opt/clawproxy"])
        caches = list(
            self.root.glob("opt/clawproxy/lib/*/site-packages/twisted/plugins/dropin.cache")
        )
        self.assertEqual(len(caches), 1, "the plugin cache is not warm")

        env = self.environment(ship)
        data = self.root / "data"
        data.mkdir()
        command = ship.one("ENTRYPOINT").exec_form
        assert command is not None
        log_file = self.root / "log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [str(self.root / "opt/clawproxy/bin" / command[0]), *command[1:]],
                cwd=data,
                env=env,
                stdout=log,
                stderr=log,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        check = ship.one("HEALTHCHECK").arguments.removeprefix("CMD ")
        words = parse(f"FROM x\nCMD {check}")[0].one("CMD").exec_form
        assert words is not None
        deadline = time.monotonic() + 60
        while subprocess.run(words, env=env, stderr=subprocess.DEVNULL).returncode:
            self.assertIsNone(process.poll(), log_file.read_text())
            self.assertLess(time.monotonic(), deadline, log_file.read_text())
            time.sleep(0.2)
        self.assertIn("0.0.0.0", log_file.read_text())

        connection = http.client.HTTPConnection("127.0.0.1", int(env["CLAWPROXY_PORT"]), timeout=30)
        connection.request("GET", "/health")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0, log_file.read_text())
        self.assertTrue((data / "clawproxy.db").exists(), sorted(data.iterdir()))
        self.assertNotIn("plugin cache", log_file.read_text())
        self.assertNotEqual(subprocess.run(words, env=env, stderr=subprocess.DEVNULL).returncode, 0)
