"""Leaving without cutting an answer, reading the configuration again, and the ways to run."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import time
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.caller import ANTHROPIC, OPENAI, Connection, ask, message, parsed, post
from tests.acceptance.case import AcceptanceCase
from tests.acceptance.program import Program, free_port, other_address, run
from tests.acceptance.upstream import End, Upstream, answer, stream

FRAME = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n'
LAST = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class LeavingCase(AcceptanceCase):
    def house(
        self, drain: dict[str, object] | None = None, **more: Any
    ) -> tuple[Upstream, Program]:
        upstream = self.upstream()
        config = {
            "server": {"drain": drain or {}},
            "providers": {
                "anthropic": {"base_url": upstream.url},
                "openai": {"base_url": upstream.url},
            },
            "storage": {"url": "none"},
            **more,
        }
        return upstream, self.program(config)

    def connection(self, proxy: Program) -> Connection:
        return self.stack.enter_context(Connection(proxy.port))

    def streaming(self, proxy: Program) -> Connection:
        """A caller in the middle of an answer."""
        caller = self.connection(proxy)
        caller.send("POST", "/v1/messages", message("claude-named", stream=True), ANTHROPIC)
        caller.until(FRAME)
        return caller

    def until_draining(self, proxy: Program) -> None:
        self.eventually(lambda: proxy.livez["draining"])


class DrainTests(LeavingCase):
    def test_a_drain_from_begin_to_end(self) -> None:
        """SIGTERM: `/health` turns 503 at once; the port stays open … the process ends with 0."""
        up, proxy = self.house({"log_every": 0.5})
        up.answers(stream(FRAME, 2.5, LAST))
        idle = self.connection(proxy)
        idle.send("GET", "/health")
        self.assertEqual(idle.reply().status, 200)
        callers = [self.streaming(proxy) for _ in range(5)]
        self.assertEqual(proxy.livez["in_flight"], 5)
        proxy.signal()
        self.until_draining(proxy)
        health = ask(proxy.port, "GET", "/health")
        self.assertEqual((health.status, parsed(health)["status"]), (503, "draining"))
        self.assertEqual(ask(proxy.port, "HEAD", "/health").status, 503)
        reply = ask(proxy.port, "GET", "/livez")
        said = parsed(reply)
        self.assertEqual(reply.status, 200)
        self.assertEqual(
            (said["status"], said["draining"], said["in_flight"]), ("draining", True, 5)
        )
        # Idle keep-alive connections are closed.
        idle.end()
        self.assertEqual(idle.data, b"")
        # Requests that still come are served, with `Connection: close`.
        up.answers(answer({"late": 1}))
        with Connection(proxy.port) as late:
            late.send("POST", "/v1/messages", message(), ANTHROPIC)
            late.end()
            head, _, body = late.data.partition(b"\r\n\r\n")
            self.assertIn(b"HTTP/1.1 200 ", head)
            self.assertIn(b"\r\nconnection: close", head.lower())
            self.assertEqual(body, b'{"late": 1}')
        for caller in callers:
            reply = caller.reply()
            self.assertEqual((reply.whole, reply.body), (True, FRAME + LAST))
        started = time.monotonic()
        self.assertEqual(proxy.wait(), 0)
        self.assertLess(time.monotonic() - started, 4)
        # It logs the count every `log_every` seconds.
        counts = [line for line in proxy.log.splitlines() if re.search(r"\b5\b.*in flight", line)]
        self.assertGreaterEqual(len(counts), 1, proxy.log)

    def test_nothing_in_flight(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            _, proxy = self.house()
            started = time.monotonic()
            proxy.signal(number)
            self.assertEqual(proxy.wait(), 0)
            self.assertLess(time.monotonic() - started, 4)

    def test_settling(self) -> None:
        """Once `settle` seconds have passed."""
        up, proxy = self.house({"settle": 2})
        up.answers(answer())
        started = time.monotonic()
        proxy.signal()
        self.until_draining(proxy)
        time.sleep(1)
        self.assertEqual(post(proxy.port, "/v1/messages", message(), ANTHROPIC).status, 200)
        self.assertEqual(proxy.wait(), 0)
        self.assertGreater(time.monotonic() - started, 1.9)

    def assertCutOff(self, callers: list[Connection], proxy: Program) -> None:
        for caller in callers:
            reply = caller.reply()
            self.assertFalse(reply.whole)
            self.assertRegex(reply.body, rb"\n\nevent: error\ndata: \{\"type\":\"error\".*\}\n\n\Z")
            # Saying in the log which they were.
            self.assertIn(str(reply["x-clawproxy-id"]), proxy.log)

    def test_the_ceiling(self) -> None:
        """It gives up after `timeout` with exit code 1, ending each cut stream with its `error` event."""
        up, proxy = self.house({"timeout": 1})
        up.answers(stream(FRAME, End.HANG))
        callers = [self.streaming(proxy) for _ in range(2)]
        waiting = self.connection(proxy)
        up.answers([End.HANG])
        waiting.send("POST", "/v1/chat/completions", message("gpt-x"), OPENAI)
        proxy.until_in_flight(3)
        started = time.monotonic()
        proxy.signal()
        self.assertEqual(proxy.wait(), 1)
        self.assertTrue(0.9 < time.monotonic() - started < 8)
        self.assertCutOff(callers, proxy)
        reply = waiting.reply()
        self.assertGreaterEqual(reply.status, 500)
        self.assertEqual(parsed(reply)["error"].keys(), {"message", "type", "param", "code"})

    def test_a_second_signal(self) -> None:
        """A second signal does that at once."""
        up, proxy = self.house()
        up.answers(stream(FRAME, End.HANG))
        callers = [self.streaming(proxy)]
        proxy.signal()
        self.until_draining(proxy)
        time.sleep(1.2)
        self.assertEqual(proxy.livez["in_flight"], 1)
        started = time.monotonic()
        proxy.signal()
        self.assertEqual(proxy.wait(), 1)
        self.assertLess(time.monotonic() - started, 4)
        self.assertCutOff(callers, proxy)
        self.assertNotIn("Traceback", proxy.log)

    def test_what_was_recorded_is_on_disk(self) -> None:
        """What was recorded is on disk before it exits."""
        up, proxy = self.house(storage={"url": "sqlite:records.db"})
        up.answers(answer({"kept": True}))
        replies = [post(proxy.port, "/v1/messages", message(), ANTHROPIC) for _ in range(20)]
        proxy.signal()
        self.assertEqual(proxy.wait(), 0)
        again = Program(proxy.folder)
        self.stack.enter_context(again)
        for reply in replies:
            target = f"/api/requests/{reply['x-clawproxy-id']}/response"
            self.eventually(partial(_there, again.port, target))
            self.assertEqual(ask(again.port, "GET", target).body, b'{"kept": true}')


class ReloadTests(LeavingCase):
    """SIGHUP: the config is read again."""

    def write(self, proxy: Program, change: Any) -> None:
        path = proxy.folder / "clawproxy.yaml"
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config))

    def reload(self, proxy: Program) -> None:
        start = len(proxy.log)
        proxy.signal(signal.SIGHUP)
        proxy.wait_for_log("configuration", start=start)

    def test_what_changes(self) -> None:
        """Routes, keys, providers and log level change without dropping a connection."""
        up, proxy = self.house()
        other = self.upstream()
        up.answers(stream(FRAME, 3.0, LAST))
        caller = self.streaming(proxy)
        idle = self.connection(proxy)
        idle.send("GET", "/health")
        idle.reply()

        def change(config: Any) -> None:
            config["auth"] = {"api_keys": ["pk"]}
            config["providers"]["anthropic"] = {"base_url": other.url, "api_key": "sk-new"}
            config["providers"]["third"] = {"kind": "openai", "base_url": other.url, "api_key": "k"}
            config["routes"] = [{"match": "new", "provider": "third", "model": "renamed"}]
            config["log"] = {"level": "error"}

        self.write(proxy, change)
        self.reload(proxy)
        idle.send("POST", "/v1/messages", message(), {"x-api-key": "nobody"})
        self.assertEqual(idle.reply().status, 401)
        idle.send("POST", "/v1/messages", message(), {"x-api-key": "pk"})
        self.assertEqual(idle.reply().status, 200)
        self.assertEqual(other.asked[0].header("x-api-key"), "sk-new")
        post(proxy.port, "/v1/chat/completions", message("new"), {"x-api-key": "pk"})
        self.assertEqual(other.asked[1].json["model"], "renamed")
        post(proxy.port, "/third/v1/chat/completions", message("m"), {"x-api-key": "pk"})
        self.assertEqual(len(other.asked), 3)
        time.sleep(0.2)
        start = len(proxy.log)
        post(proxy.port, "/third/v1/chat/completions", message("m"), {"x-api-key": "pk"})
        reply = caller.reply()
        self.assertEqual((reply.whole, reply.body), (True, FRAME + LAST))
        time.sleep(0.2)
        self.assertEqual(proxy.log[start:], "", "the log level has not changed")

    def test_a_file_that_is_gone(self) -> None:
        """It is a wrong file: the defaults do not take its place while somebody saves it."""
        up, proxy = self.house()
        (proxy.folder / "clawproxy.yaml").rename(proxy.folder / "elsewhere.yaml")
        start = len(proxy.log)
        proxy.signal(signal.SIGHUP)
        proxy.wait_for_log("unchanged", start=start)
        self.assertIn("clawproxy.yaml", proxy.log[start:])
        reply = post(proxy.port, "/v1/messages", message(), ANTHROPIC)
        self.assertEqual((reply.status, len(up.asked)), (200, 1))

    def test_a_wrong_file(self) -> None:
        """A wrong file changes nothing and says why."""
        up, proxy = self.house()
        for text in ("server: {max_boddy: 1}\nlog: {level: loud}", "server: ["):
            (proxy.folder / "clawproxy.yaml").write_text(text)
            start = len(proxy.log)
            proxy.signal(signal.SIGHUP)
            proxy.wait_for_log("clawproxy.yaml", start=start)
            if "loud" in text:
                self.assertIn("server.max_boddy", proxy.log[start:])
                self.assertIn("log.level", proxy.log[start:])
            self.assertNotIn("Traceback", proxy.log)
            self.assertEqual(post(proxy.port, "/v1/messages", message(), ANTHROPIC).status, 200)
        self.assertEqual(len(up.asked), 2)
        self.assertFalse(proxy.livez["draining"])


class RunningTests(LeavingCase):
    def test_as_a_daemon(self) -> None:
        """As a daemon with pidfile and log file, as every twistd plugin does."""
        folder = self.folder
        port = free_port()
        listen = f"tcp:{port}:interface=127.0.0.1"
        done = run(
            *("twistd", "--pidfile=the.pid", "--logfile=the.log", "clawproxy"),
            *("--listen", listen, "--set", "storage.url=none", "--set", "log.format=json"),
            folder=folder,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        pid = 0

        def answers() -> bool:
            try:
                return ask(port, "GET", "/health").status == 200
            except OSError:
                return False

        try:
            self.eventually(answers)
            pid = int((folder / "the.pid").read_text())
            os.kill(pid, signal.SIGTERM)
            self.eventually(lambda: not Path(f"/proc/{pid}").exists())
            pid = 0
        finally:
            if pid:
                os.kill(pid, signal.SIGKILL)
        self.assertFalse((folder / "the.pid").exists())
        lines = (folder / "the.log").read_text().splitlines()
        self.assertTrue(any("127.0.0.1" in line for line in lines))
        for line in lines:
            self.assertIsInstance(json.loads(line), dict)

    def test_endpoints(self) -> None:
        """`listen` takes Twisted endpoint strings, so `unix:`, `ssl:` … work."""
        folder = self.folder
        pem = folder / "both.pem"
        pem.write_bytes(certificate())
        # A path in the short folder /tmp: those of Unix sockets are limited to 107 bytes.
        path = f"/tmp/clawproxy-{os.getpid()}.sock"
        self.addCleanup(lambda: Path(path).unlink(missing_ok=True))
        tls = free_port()
        program = Program(
            folder,
            None,
            *("--listen", f"unix:{path}"),
            *("--listen", f"ssl:{tls}:privateKey={pem}:certKey={pem}:interface=127.0.0.1"),
            *("--set", "storage.url=none"),
        )
        self.stack.enter_context(program)
        said = parsed(post(path, "/v1/messages", message("demo")))
        self.assertEqual(said["type"], "message")
        context = ssl.create_default_context(cadata=pem.read_text().partition("-----BEGIN P")[0])
        with (
            socket.create_connection(("127.0.0.1", tls), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 200 "))

    def test_a_port_in_use(self) -> None:
        _, proxy = self.house()
        listen = f"tcp:{proxy.port}:interface=127.0.0.1"
        done = run(
            *("twistd", "-n", "--pidfile=", "clawproxy", "--listen", listen),
            *("--set", "storage.url=none"),
            folder=self.folder,
        )
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("Traceback", done.stdout + done.stderr)
        self.assertIn(str(proxy.port), done.stdout + done.stderr)

    def test_without_anything(self) -> None:
        """With no option and no file it starts … records into `clawproxy.db` … dashboard on."""
        folder = self.folder
        probe = free_port()
        # Only the port is said, since a test cannot have 8080.
        program = Program(folder, env={"PORT": str(probe)}, listen=False, port=probe)
        self.stack.enter_context(program)
        self.assertTrue((folder / "clawproxy.db").exists())
        self.assertIn(ask(probe, "GET", "/").status, (301, 302, 303, 307, 308))
        self.assertEqual(ask(probe, "GET", "/ui/").status, 200)
        reply = ask(probe, "GET", "/api/requests")
        self.assertEqual((reply.status, parsed(reply)["requests"]), (200, []))
        with socket.socket() as other:
            # Only on the loopback address.
            self.assertNotEqual(other.connect_ex((other_address(), probe)), 0)

    def test_json_log(self) -> None:
        """With `log.format: json` every line is a JSON object from the service's start on."""
        up, proxy = self.house(
            log={"format": "json", "level": "debug"}, storage={"url": "sqlite:records.db"}
        )
        up.answers(stream(FRAME, 0.05, end=End.RESET))
        post(proxy.port, "/v1/messages", message(stream=True), ANTHROPIC)
        post(proxy.port, "/v1/messages", b"\xff", ANTHROPIC)
        ask(proxy.port, "GET", "/v1/models")
        self.assertEqual(ask(proxy.port, "GET", "/ui/").status, 200)
        self.assertEqual(ask(proxy.port, "GET", "/api/requests").status, 200)
        proxy.signal(signal.SIGHUP)
        proxy.wait_for_log("again")
        proxy.signal()
        self.assertEqual(proxy.wait(), 0)
        lines = proxy.log.splitlines()
        self.assertGreater(len(lines), 4)
        objects = []
        for line in lines:
            said = json.loads(line)
            self.assertIsInstance(said, dict, line)
            objects.append(said)
        forwards = [each for each in objects if "forward_error" in json.dumps(each)]
        self.assertEqual(len(forwards), 1, forwards)


def _there(port: int, target: str) -> bool:
    return ask(port, "GET", target).status == 200


def certificate() -> bytes:
    """A certificate for localhost, and behind it its key."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - datetime.timedelta(1))
    builder = builder.not_valid_after(now + datetime.timedelta(1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    return signed.public_bytes(pem) + key.private_bytes(pem, form, serialization.NoEncryption())
