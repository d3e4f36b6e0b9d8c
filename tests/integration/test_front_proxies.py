"""nginx and HAProxy in front, with the configurations that ``etc/`` ships."""

from __future__ import annotations

import getpass
import http.client
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.clients import system_program
from tests.integration.proxy import PATIENCE, Proxy, free_port
from tests.integration.upstream import Answer, Asked

ETC = Path(__file__).parents[2] / "etc"

NGINX = """\
daemon off; pid {folder}/nginx.pid; error_log stderr; {user}
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/clawproxy.conf;
}}
"""

PIECES = [b"data: %d\n\n" % number for number in range(12)]
WHOLE = b"".join(PIECES)


def slow_stream(_: Asked) -> Answer:
    """A stream of about three seconds."""
    return Answer(answers.paced(PIECES, 0.25), headers=answers.STREAM)


def stream(port: int) -> tuple[int, bytes, list[float]]:
    """Ask for a stream through *port*: status, body, and when each piece came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    message = {"role": "user", "content": "hi"}
    asked = {"model": "claude-x", "max_tokens": 9, "stream": True, "messages": [message]}
    body, times = b"", []
    try:
        connection.request("POST", "/v1/messages", json.dumps(asked))
        answer = connection.getresponse()
        while piece := answer.read1(65536):
            body += piece
            times.append(time.monotonic())
        return answer.status, body, times
    finally:
        connection.close()


class FrontCase(ProxyCase):
    """Starts a front proxy and waits until it answers."""

    def start(self, command: list[str], port: int) -> None:
        """Run *command* until the test's end; it must answer on *port*."""
        log = (self.folder / "front.log").open("wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.front = process
        deadline = time.monotonic() + PATIENCE
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            said = (self.folder / "front.log").read_text()
            self.assertIsNone(process.poll(), said)
            self.assertLess(time.monotonic(), deadline, said)
            time.sleep(0.1)

    def nginx(self, *proxies: Proxy) -> int:
        """Start nginx before the proxies; its port."""
        port, program = free_port(), system_program("nginx")
        text = (ETC / "nginx" / "clawproxy.conf").read_text()
        self.assertIn("    listen 80;\n", text)
        text = text.replace("    listen 80;\n", f"    listen 127.0.0.1:{port};\n")
        # With the second server that the file has in a comment, if there are two.
        if len(proxies) > 1:
            text = text.replace("# server 127.0.0.1:8081", "server 127.0.0.1:8081")
            text = text.replace("127.0.0.1:8081", f"127.0.0.1:{proxies[1].port}")
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{proxies[0].port}")
        (self.folder / "clawproxy.conf").write_text(text)
        user = "user root;" if getpass.getuser() == "root" else ""
        (self.folder / "nginx.conf").write_text(NGINX.format(folder=self.folder, user=user))
        file = self.folder / "nginx.conf"
        self.start([str(program), "-p", str(self.folder), "-c", str(file)], port)
        return port

    def haproxy(self, *proxies: Proxy) -> int:
        """Start HAProxy before two proxies; its port."""
        port, program = free_port(), system_program("haproxy")
        text = (ETC / "haproxy" / "haproxy.cfg").read_text()
        replacements = {
            "bind :80\n": f"bind 127.0.0.1:{port}\n",
            "127.0.0.1:8080": f"127.0.0.1:{proxies[0].port}",
            "127.0.0.1:8081": f"127.0.0.1:{proxies[1].port}",
        }
        for old, new in replacements.items():
            self.assertIn(old, text)
            text = text.replace(old, new)
        (self.folder / "haproxy.cfg").write_text(text)
        self.start([str(program), "-db", "-f", str(self.folder / "haproxy.cfg")], port)
        return port

    def check_instant(self, port: int) -> None:
        """Pieces come when they are sent, and not together."""
        status, body, times = stream(port)
        self.assertEqual((status, body), (200, WHOLE))
        self.assertGreaterEqual(len(times), len(PIECES) - 1)
        self.assertGreater(times[-1] - times[0], 2.0)

    def check_large_body(self, port: int) -> None:
        """A prompt of 20 MB passes whole."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        message = {"role": "user", "content": "x" * 20_000_000}
        asked = json.dumps({"model": "claude-x", "max_tokens": 9, "messages": [message]})
        connection.request("POST", "/v1/messages", asked)
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read()), (200, WHOLE))

    def check_drain(
        self, port: int, leaving: Proxy, staying: Proxy, take_out: Callable[[], None] = lambda: None
    ) -> None:
        """While one of two proxies leaves under load, every stream is whole.

        :param take_out: what an operator does before the signal, where the front does not notice.
        """
        stop = threading.Event()
        wrong: list[str] = []
        whole: list[float] = []

        def caller() -> None:
            while not stop.is_set():
                try:
                    status, body, times = stream(port)
                except (OSError, http.client.HTTPException) as error:
                    wrong.append(repr(error))
                    continue
                if (status, body) == (200, WHOLE):
                    whole.append(times[-1])
                else:
                    wrong.append(f"{status} {body!r}")

        callers = [threading.Thread(target=caller) for _ in range(16)]
        for thread in callers:
            thread.start()
            time.sleep(0.05)
        try:
            deadline = time.monotonic() + PATIENCE
            while not (
                leaving.get("/livez")[1]["in_flight"] and staying.get("/livez")[1]["in_flight"]
            ):
                self.assertLess(time.monotonic(), deadline, "both should have work")
                time.sleep(0.05)
            take_out()
            leaving.signal(signal.SIGTERM)
            code = leaving.wait()
            gone = time.monotonic()
            time.sleep(4)
        finally:
            stop.set()
            for thread in callers:
                thread.join()
        self.assertEqual(code, 0, leaving.log)
        self.assertEqual(wrong, [])
        self.assertTrue([at for at in whole if at > gone], "nothing was answered afterwards")


class NginxTests(FrontCase):
    """``etc/nginx/clawproxy.conf``."""

    def test_instant_tokens(self) -> None:
        """Nothing is held back on the way."""
        self.check_instant(self.nginx(self.proxy(self.upstream(slow_stream))))

    def test_large_body(self) -> None:
        """nginx's own limit of 1 MB is not in force."""
        self.check_large_body(self.nginx(self.proxy(self.upstream(lambda _: Answer(PIECES)))))

    def test_drain(self) -> None:
        """One of two is marked as down, nginx reloaded, and the proxy leaves."""
        upstream = self.upstream(slow_stream)
        pair = self.proxy(upstream, name="one"), self.proxy(upstream, name="two")
        port = self.nginx(*pair)

        def take_out() -> None:
            file = self.folder / "clawproxy.conf"
            server = f"server 127.0.0.1:{pair[0].port} "
            text = file.read_text()
            self.assertIn(server, text)
            file.write_text(text.replace(server, server + "down "))
            self.front.send_signal(signal.SIGHUP)

        self.check_drain(port, *pair, take_out)


class HAProxyTests(FrontCase):
    """``etc/haproxy/haproxy.cfg``."""

    def test_instant_tokens(self) -> None:
        """Nothing is held back on the way."""
        upstream = self.upstream(slow_stream)
        pair = self.proxy(upstream, name="one"), self.proxy(upstream, name="two")
        self.check_instant(self.haproxy(*pair))

    def test_drain(self) -> None:
        """One of two leaves; its health check takes it out of turn."""
        upstream = self.upstream(slow_stream)
        pair = self.proxy(upstream, name="one"), self.proxy(upstream, name="two")
        self.check_drain(self.haproxy(*pair), *pair)
