"""What is measured: nothing in between, nginx, HAProxy, and ClawProxy without and with recording.

Every peer is a program that forwards ``127.0.0.1:PORT`` to the upstream, pinned to one core with
its whole process tree.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

NGINX = """\
daemon off; pid {folder}/nginx.pid; error_log stderr error; user {user};
worker_processes 1; worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_max_body_size 64m; client_body_buffer_size 1m; keepalive_requests
  100000000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path
  {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; upstream up {{
  server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }} server {{
    listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://up; proxy_http_version
    1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""

HAPROXY = """\
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  default_backend out
backend out
  server up 127.0.0.1:{upstream}
"""


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(core: int | None) -> Callable[[], None] | None:
    """What a child process does first, so that it stays on a core."""
    return None if core is None else lambda: os.sched_setaffinity(0, {core})


def resident(pid: int) -> int:
    """KiB of memory that process *pid* and all below it hold (the sum of their resident sets)."""
    total = 0
    for process in tree(pid):
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except FileNotFoundError:  # it ended meanwhile
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line[:6] == "VmRSS:")
    return total


def tree(pid: int) -> list[int]:
    """*pid* and its descendants."""
    found = [pid]
    for process in found:
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def busy(pid: int) -> float:
    """Seconds of processor time that process *pid* and all below it have taken."""
    total = 0
    for process in tree(pid):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:  # it ended meanwhile
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


@dataclass
class Peer:
    """A running proxy; ``port`` is the upstream's own where there is none."""

    name: str
    port: int
    command: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self, folder: Path, core: int | None) -> None:
        """Start it, all on one *core* if one is named, and wait until an answer comes through."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.command:
            log: IO[bytes]
            with (folder / "log").open("ab") as log:
                self.process = subprocess.Popen(
                    self.command,
                    cwd=folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=pinned(core),
                )
        deadline = time.monotonic() + 30
        while True:
            try:
                if self.answers():
                    return
                trouble = "it answers something else than 200"
            except OSError as error:
                trouble = str(error)
            ended = self.process is not None and self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                log_file = folder / "log"
                said = log_file.read_text(errors="replace")[-2000:] if log_file.exists() else ""
                raise SystemExit(f"{self.name} did not start: {trouble}\n{said}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Ask for one message."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        body = (
            b'{"model":"claude-bench","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}'
        )
        headers = {"content-type": "application/json", "authorization": "Bearer sk-bench"}
        try:
            connection.request("POST", "/v1/messages", body, headers)
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def settle(self, most: float = 120.0) -> None:
        """Wait until it has nothing left to do: what is recorded is indexed afterwards, on the others' core."""
        deadline = time.monotonic() + most
        while self.process is not None and time.monotonic() < deadline:
            before = busy(self.process.pid)
            time.sleep(0.5)
            if abs(busy(self.process.pid) - before) < 0.02:  # less: a process ended
                return

    def memory(self) -> int:
        """KiB resident, 0 where there is no proxy."""
        return resident(self.process.pid) if self.process else 0

    def stop(self) -> None:
        """End it, at once where it does not end by itself."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def peers(upstream: int, folder: Path) -> list[Peer]:
    """Describe every peer that is installed; *folder* takes their files."""
    found = [Peer("no proxy", upstream)]
    for name, template, arguments in (
        ("nginx", NGINX, ("-p", "{folder}", "-c", "{file}")),
        ("HAProxy", HAPROXY, ("-db", "-f", "{file}")),
    ):
        program = shutil.which(name.lower(), path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            continue
        peer = Peer(name, free_port())
        own = folder / name
        own.mkdir(parents=True)
        file = own / "conf"
        values = {"folder": own, "upstream": upstream, "port": peer.port, "user": _user()}
        file.write_text(template.format(**values))
        peer.command = [program, *(each.format(folder=own, file=file) for each in arguments)]
        found.append(peer)
    for name, storage in (
        ("ClawProxy, not recording", "none"),
        ("ClawProxy", "sqlite:clawproxy.db"),
    ):
        port = free_port()
        command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "clawproxy"]
        command += ["--listen", f"tcp:{port}:interface=127.0.0.1:backlog=4096"]
        command += ["--set", f"providers.anthropic.base_url=http://127.0.0.1:{upstream}"]
        command += ["--set", f"storage.url={storage}"]
        found.append(Peer(name, port, command))
    return found


def _user() -> str:
    """Whom nginx's worker runs as: only root may choose, and then ourselves, who own the folder."""
    return "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
