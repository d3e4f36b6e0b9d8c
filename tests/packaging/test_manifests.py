"""What ``etc/`` ships for service managers, orchestrators and balancers, held against the proxy's
own figures.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from clawproxy.config import Config
from clawproxy.config.environment import VARIABLES
from tests.integration.test_systemd import UNITS, unit
from tests.packaging.environment import ROOT

ETC = ROOT / "etc"
DRAIN = Config().server.drain.timeout


def documents(path: Path) -> list[Any]:
    """The YAML documents of a file."""
    return list(yaml.safe_load_all(path.read_text()))


def seconds(text: str) -> float:
    """``1980s`` as a number."""
    match = re.fullmatch(r"(\d+)s", text)
    assert match, text
    return float(match[1])


class SystemdTests(SynchronousTestCase):
    """The units; :mod:`tests.integration.test_systemd` runs their command."""

    def test_grace(self) -> None:
        """systemd waits for longer than the drain, and signals the main process alone."""
        service = unit("clawproxy.service")["Service"]
        self.assertGreater(float(service["TimeoutStopSec"]), DRAIN)
        self.assertEqual((service["Type"], service["KillMode"]), ("notify", "mixed"))

    def test_socket_has_the_name_that_is_listened_on(self) -> None:
        """``FileDescriptorName=`` defaults to the socket unit's name."""
        service = unit("clawproxy.service")
        self.assertIn("systemd:domain=INET:name=clawproxy.socket", service["Service"]["ExecStart"])
        self.assertEqual(service["Unit"]["Requires"], "clawproxy.socket")
        self.assertIn("127.0.0.1:", unit("clawproxy.socket")["Socket"]["ListenStream"])
        self.assertNotIn("FileDescriptorName", unit("clawproxy.socket")["Socket"])

    def analyze(self, *arguments: str) -> str:
        """Run ``systemd-analyze``, which must find nothing wrong."""
        program = shutil.which("systemd-analyze")
        if program is None:
            raise SkipTest("systemd-analyze is not installed")
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        for name in ("clawproxy.service", "clawproxy.socket"):
            text = (UNITS / name).read_text().replace("/opt/clawproxy/bin/twistd", "/bin/true")
            (folder / name).write_text(text)
        done = subprocess.run(
            [program, *arguments, str(folder / "clawproxy.service")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_verify(self) -> None:
        """systemd understands every line."""
        self.assertEqual(self.analyze("verify", "--man=no").strip(), "")

    def test_hardening(self) -> None:
        """systemd's own measure of exposure (0 best, 10 worst) stays low."""
        self.analyze("security", "--offline=true", "--threshold=25", "--no-pager")


class OpenRCTests(SynchronousTestCase):
    """The init script."""

    def test_grace(self) -> None:
        """It waits for longer than the drain before it kills."""
        text = (ETC / "openrc" / "clawproxy").read_text()
        match = re.search(r'^retry="SIGTERM/(\d+)/SIGKILL/\d+"$', text, re.M)
        assert match
        self.assertGreater(float(match[1]), DRAIN)

    def test_syntax(self) -> None:
        """A POSIX shell can read it."""
        script = str(ETC / "openrc" / "clawproxy")
        done = subprocess.run(["/bin/sh", "-n", script], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class ComposeTests(SynchronousTestCase):
    """``docker-compose.yml``."""

    def setUp(self) -> None:
        """Read it."""
        super().setUp()
        [self.file] = documents(ROOT / "docker-compose.yml")
        self.service = self.file["services"]["clawproxy"]

    def test_grace(self) -> None:
        """Compose waits for longer than the drain."""
        self.assertGreater(seconds(self.service["stop_grace_period"]), DRAIN)

    def test_password_is_asked_for(self) -> None:
        """Without one, compose refuses to start."""
        self.assertRegex(
            self.service["environment"]["DASHBOARD_PASSWORD"], r"^\$\{DASHBOARD_PASSWORD:\?"
        )

    def test_environment_is_known(self) -> None:
        """Each variable is one that the proxy reads."""
        known = {variable.name for variable in VARIABLES}
        self.assertEqual(set(self.service["environment"]) - known, set())

    def test_closed_by_default(self) -> None:
        """Nothing but this machine reaches the published port, unless somebody says so."""
        [port] = self.service["ports"]
        self.assertTrue(port.startswith("${CLAWPROXY_BIND:-127.0.0.1}:"), port)

    def test_postgresql_is_optional(self) -> None:
        """The profile brings it, and the proxy waits for it only then."""
        self.assertEqual(self.file["services"]["postgres"]["profiles"], ["postgres"])
        needs = self.service["depends_on"]["postgres"]
        self.assertEqual((needs["condition"], needs["required"]), ("service_healthy", False))
        self.assertEqual(set(self.file["volumes"]), {"data", "postgres"})


class KubernetesTests(SynchronousTestCase):
    """``etc/kubernetes/clawproxy.yaml``."""

    def setUp(self) -> None:
        """Read it, by kind."""
        super().setUp()
        found = documents(ETC / "kubernetes" / "clawproxy.yaml")
        self.kinds = {each["kind"]: each for each in found}
        self.pod = self.kinds["Deployment"]["spec"]["template"]["spec"]
        [self.container] = self.pod["containers"]

    def test_grace_and_probes(self) -> None:
        """Ready is /health, alive is /livez, and the kubelet waits for longer than the drain."""
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], DRAIN)
        self.assertEqual(self.container["readinessProbe"]["httpGet"]["path"], "/health")
        self.assertEqual(self.container["livenessProbe"]["httpGet"]["path"], "/livez")

    def test_nobody_special(self) -> None:
        """The pod runs as the image's user, with nothing writable but its volumes."""
        self.assertEqual(self.pod["securityContext"]["runAsUser"], 10001)
        self.assertTrue(self.container["securityContext"]["readOnlyRootFilesystem"])
        mounts = {mount["name"] for mount in self.container["volumeMounts"]}
        self.assertEqual(mounts, {volume["name"] for volume in self.pod["volumes"]})

    def test_labels_fit(self) -> None:
        """Service, budget and deployment mean the same pods."""
        labels = self.kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(self.kinds["Deployment"]["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(
            self.kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], labels
        )
        self.assertEqual(self.kinds["Service"]["spec"]["selector"], labels)

    def test_configuration_is_valid(self) -> None:
        """The proxy accepts what the config map says."""
        from clawproxy.config import load

        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        file = folder / "clawproxy.yaml"
        file.write_text(self.kinds["ConfigMap"]["data"]["clawproxy.yaml"])
        loaded = load(str(file), environ={"PROXY_KEY": "sk-of-the-callers"})
        self.assertEqual(loaded.config.server.drain.timeout, DRAIN)
        self.assertLess(
            DRAIN + loaded.config.server.drain.settle, self.pod["terminationGracePeriodSeconds"]
        )


class TraefikTests(SynchronousTestCase):
    """``etc/traefik``; nginx and HAProxy are run in :mod:`tests.integration.test_front_proxies`."""

    def test_long_answers(self) -> None:
        """No clock of Traefik's ends an answer or holds a piece back."""
        [static] = documents(ETC / "traefik" / "traefik.yaml")
        transport = static["entryPoints"]["llm"]["transport"]
        self.assertEqual(transport["respondingTimeouts"]["readTimeout"], "0s")
        self.assertEqual(transport["respondingTimeouts"]["writeTimeout"], "0s")
        self.assertGreater(seconds(transport["lifeCycle"]["graceTimeOut"]), DRAIN)
        [dynamic] = documents(ETC / "traefik" / "clawproxy.yaml")
        balancer = dynamic["http"]["services"]["clawproxy"]["loadBalancer"]
        self.assertEqual(balancer["healthCheck"]["path"], "/health")
        self.assertEqual(balancer["responseForwarding"]["flushInterval"], "-1ms")
        transports = dynamic["http"]["serversTransports"]
        self.assertEqual(
            transports[balancer["serversTransport"]]["forwardingTimeouts"]["responseHeaderTimeout"],
            "0s",
        )
