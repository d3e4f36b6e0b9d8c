"""The process around the proxy: its start, its mistakes, its log, its signals, its pid file."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.proxy import PATIENCE, TWISTD, Proxy, environment, free_port
from tests.integration.upstream import Answer
from tests.wire import ASK


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail if it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("what was waited for did not happen")
        time.sleep(0.05)


class ProcessCase(ProxyCase):
    def twistd(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run twistd to its end."""
        return subprocess.run(
            [str(TWISTD), *arguments],
            cwd=self.folder,
            env=environment(self.folder, env),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def short_folder(self) -> Path:
        """A folder whose path leaves room in the 108 bytes of a Unix socket's name."""
        return Path(self.stack.enter_context(tempfile.TemporaryDirectory()))


class StartTests(ProcessCase):
    def test_start_without_anything(self) -> None:
        """No file, no option but where to listen: a proxy, a store, a dashboard."""
        proxy = Proxy(self.folder / "bare", settings={"storage.url": "sqlite:clawproxy.db"})
        self.stack.enter_context(proxy)
        self.assertEqual(proxy.get("/health")[0], 200)
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait(), 0)
        self.assertNotIn("Traceback", proxy.log)

    def refused(self, run: subprocess.CompletedProcess[str], *words: str) -> None:
        said = run.stdout + run.stderr
        self.assertEqual(run.returncode, 1, said)
        self.assertNotIn("Traceback", said)
        for word in words:
            self.assertIn(word, said)

    def test_wrong_configuration(self) -> None:
        """Every mistake at once, and no traceback."""
        (self.folder / "bad.yaml").write_text(
            "server: {max_boody: 1}\nproviders: {x: {kind: nonsense}}\nstorage: [1]\n"
        )
        run = self.twistd("-n", "--pidfile=", "clawproxy", "--config", "bad.yaml")
        self.refused(run, "bad.yaml", "server.max_boody", "max_body", "providers.x", "storage")
        (self.folder / "broken.yaml").write_text("server: {\n")
        self.refused(self.twistd("-n", "--pidfile=", "clawproxy", "--config", "broken.yaml"))
        self.refused(self.twistd("-n", "--pidfile=", "clawproxy", "--config", "absent.yaml"))
        self.refused(self.twistd("-n", "--pidfile=", "clawproxy", "--set", "nonsense=1"))

    def test_unknown_option(self) -> None:
        run = self.twistd("-n", "--pidfile=", "clawproxy", "--nonsense")
        self.assertNotEqual(run.returncode, 0)
        self.assertNotIn("Traceback", run.stdout + run.stderr)

    def test_no_place_for_the_log(self) -> None:
        for more in (["-n"], []):
            run = self.twistd(*more, "--pidfile=d.pid", "--logfile=absent/d.log", "clawproxy")
            self.refused(run, "absent/d.log: no such file or directory")

    def test_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for arguments in (["-n", "--pidfile="], ["--pidfile=d.pid", "--logfile=d.log"]):
                run = self.twistd(
                    *arguments,
                    "clawproxy",
                    "--set",
                    "storage.url=none",
                    "--listen",
                    f"tcp:{port}:interface=127.0.0.1",
                )
                self.assertEqual(run.returncode, 1)
                said = run.stdout + run.stderr
                log = self.folder / "d.log"
                if log.exists():
                    said += log.read_text()
                self.assertNotIn("Traceback", said)
                self.assertIn(f"tcp:{port}:interface=127.0.0.1", said)
        self.assertFalse((self.folder / "d.pid").exists(), "a pid file was left behind")

    def test_endpoints_that_cannot_be(self) -> None:
        """A missing key file, a number that is no port: a sentence, not a traceback."""
        for endpoint in (
            "ssl:0:privateKey=/nowhere/key.pem",
            "tcp:notanumber",
            "tcp:99999",
            "unix:/proc/nowhere/proxy.sock",
            "systemd:domain=INET:name=absent",
        ):
            run = self.twistd(
                *("-n", "--pidfile=", "clawproxy", "--set", "storage.url=none"),
                *("--listen", endpoint),
            )
            self.refused(run, endpoint)

    def test_store_that_cannot_be(self) -> None:
        """No exchange would be recorded, so the process says so and ends."""
        run = self.twistd(
            *("-n", "--pidfile=", "clawproxy", "--set", "storage.url=sqlite:/proc/x.db"),
            *("--listen", f"tcp:{free_port()}:interface=127.0.0.1"),
        )
        self.refused(run, "cannot start: ", "/proc")

    def test_several_endpoints(self) -> None:
        path = self.short_folder() / "proxy.sock"
        self.proxy(self.upstream(), "--listen", f"unix:{path}")
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            caller.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            self.assertTrue(caller.recv(100).startswith(b"HTTP/1.0 200 "))

    def test_service_manager_is_told(self) -> None:
        path = str(self.short_folder() / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(PATIENCE)
            proxy = Proxy(self.folder / "told", env={"NOTIFY_SOCKET": path})
            self.stack.enter_context(proxy)
            ready = manager.recv(1000).decode()
            self.assertIn("READY=1", ready.splitlines())
            proxy.signal(signal.SIGHUP)
            self.assertIn("RELOADING=1", manager.recv(1000).decode().splitlines())
            self.assertIn("READY=1", manager.recv(1000).decode().splitlines())
            proxy.signal(signal.SIGTERM)
            self.assertIn("STOPPING=1", manager.recv(1000).decode().splitlines())
            self.assertEqual(proxy.wait(), 0)


class DaemonTests(ProcessCase):
    def test_daemon(self) -> None:
        """Pid file, log file, rotation on SIGUSR1 as of any twistd, an orderly end."""
        port = free_port()
        run = self.twistd(
            "--pidfile=d.pid",
            "--logfile=d.log",
            "clawproxy",
            *("--set", "storage.url=none", "--listen", f"tcp:{port}:interface=127.0.0.1"),
        )
        self.assertEqual((run.returncode, run.stdout + run.stderr), (0, ""))
        pid_file, log_file = self.folder / "d.pid", self.folder / "d.log"
        until(pid_file.exists)
        number = int(pid_file.read_text())
        self.addCleanup(self.kill, number)
        until(lambda: "listens on" in log_file.read_text())
        os.kill(number, signal.SIGUSR1)
        until(lambda: (self.folder / "d.log.1").exists())
        self.assertIn("listens on", (self.folder / "d.log.1").read_text())
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertIn(b" 200 ", caller.recv(100))
        os.kill(number, signal.SIGTERM)
        until(lambda: not pid_file.exists())
        until(lambda: "drained" in log_file.read_text())
        self.assertNotIn("Traceback", log_file.read_text())

    def kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


class ReloadTests(ProcessCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.folder / "clawproxy.yaml"

    def write(self, model: str, more: str = "") -> None:
        self.file.write_text(
            f"routes:\n  - {{match: fast, provider: anthropic, model: {model}}}\n{more}"
        )

    def test_good_and_bad(self) -> None:
        """A good file is in use at once, a bad one changes nothing and says why; nothing is cut."""
        upstream = self.upstream(
            lambda _: Answer([b"data: 1\n\n", 1.5, b"data: 2\n\n"], headers=answers.STREAM)
        )
        self.write("claude-one")
        proxy = self.proxy(upstream, "--config", str(self.file))
        running = self.start_stream(proxy)
        self.write("claude-two")
        proxy.signal(signal.SIGHUP)
        until(lambda: "the configuration was read again" in proxy.log)
        second = self.start_stream(proxy)
        self.write("claude-three", "nonsense: 1\n")
        proxy.signal(signal.SIGHUP)
        until(lambda: "the configuration is unchanged" in proxy.log)
        self.assertIn("nonsense", proxy.log)
        self.assertNotIn("Traceback", proxy.log)
        third = self.start_stream(proxy)
        for caller in (running, second, third):
            got = bytearray()
            while piece := caller.recv(10_000):
                got += piece
            self.assertTrue(got.endswith(b"data: 2\n\n"), got)
        models = [asked.json["model"] for asked in upstream.asked]
        self.assertEqual(models, ["claude-one", "claude-two", "claude-two"])

    def start_stream(self, proxy: Proxy) -> socket.socket:
        caller = socket.create_connection(("127.0.0.1", proxy.port))
        self.addCleanup(caller.close)
        caller.settimeout(PATIENCE)
        body = ASK.replace(b"claude-x", b"fast")
        caller.sendall(
            b"POST /v1/messages HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        self.assertIn(b" 200 ", caller.recv(10_000))
        return caller

    def test_warnings(self) -> None:
        """What a start warns of a reload warns of, once."""
        words = "the key of provider far travels unencrypted to far.test"
        upstream = self.upstream(lambda _: Answer([b"{}"]))
        self.write("claude-one")
        proxy = self.proxy(upstream, "--config", str(self.file))
        far = "providers: {far: {kind: openai, base_url: 'http://far.test', api_key: k}}\n"
        self.write("claude-one", f"{far}server: {{listen: ['tcp:9']}}\n")
        for times in (1, 2):
            proxy.signal(signal.SIGHUP)
            until(lambda: proxy.log.count("the configuration was read again") == times)  # noqa: B023
        proxy.signal(signal.SIGTERM)
        proxy.wait()
        self.assertEqual(proxy.log.count(words), 1)
        self.assertNotIn("anyone who reaches", proxy.log)

    def test_level(self) -> None:
        """The log's level follows."""
        self.write("claude-one", "log: {level: warn}\n")
        upstream = self.upstream(lambda _: Answer([b"{}"]))
        proxy = self.proxy(upstream, "--config", str(self.file))
        self.start_stream(proxy)
        time.sleep(0.5)
        self.assertNotIn("ttft=", proxy.log)
        self.write("claude-one", "log: {level: info}\n")
        proxy.signal(signal.SIGHUP)

        def shown() -> bool:
            self.start_stream(proxy)
            return "ttft=" in proxy.log

        until(shown)


class LogTests(ProcessCase):
    def test_json(self) -> None:
        """Every line is an object, from the first to the last."""
        upstream = self.upstream(
            lambda _: Answer([b"data: 1\n\n"], headers=answers.STREAM, cut=True)
        )
        proxy = self.proxy(upstream, settings={"log.format": "json"})
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
        connection.request("POST", "/v1/messages?api_key=sk-very-secret&beta=true", ASK)
        with contextlib.suppress(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()
        proxy.signal(signal.SIGHUP)
        until(lambda: "was read again" in proxy.log)
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait(), 0)
        lines: list[dict[str, Any]] = [json.loads(line) for line in proxy.log.splitlines()]
        for line in lines:
            self.assertLessEqual({"time", "level", "message"}, line.keys())
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        messages = "\n".join(line["message"] for line in lines)
        self.assertIn("starting up", messages)
        self.assertIn("forward_error request_id=", messages)
        self.assertIn("drained in", messages)
        self.assertNotIn("sk-very-secret", proxy.log)
        [access] = [line for line in lines if line.get("outcome") == "error" and "ttft_ms" in line]
        self.assertEqual((access["status"], access["provider"]), (200, "anthropic"))

    def test_text(self) -> None:
        """One access line an exchange, and no secret."""
        upstream = self.upstream(lambda _: Answer([b"{}"]))
        proxy = self.proxy(upstream)
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE)
        connection.request(
            "POST",
            "/v1/messages?key=sk-in-query",
            ASK.replace(b"[]", b'["sk-in-body"]'),
            {"x-api-key": "sk-in-header", "Authorization": "Bearer sk-in-bearer"},
        )
        answer = connection.getresponse()
        own = answer.headers["x-clawproxy-id"]
        answer.read()
        connection.close()
        until(lambda: "ttft=" in proxy.log)
        self.assertNotRegex(proxy.log, "sk-in-")
        [line] = [line for line in proxy.log.splitlines() if "ttft=" in line]
        self.assertRegex(
            line,
            rf"{re.escape(own)} POST /v1/messages anthropic claude-x anthropic 200 ok"
            r" ttft=[\d.]+ms duration=[\d.]+ms sent=2B got=\d+B",
        )
