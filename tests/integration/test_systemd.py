"""The proxy under systemd, without systemd: inherited sockets, notifications, the unit's own
command.
"""

from __future__ import annotations

import configparser
import http.client
import json
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.integration import answers
from tests.integration.case import ProxyCase
from tests.integration.proxy import PATIENCE, TWISTD, environment

UNITS = Path(__file__).parents[2] / "etc" / "systemd"


def unit(name: str) -> configparser.ConfigParser:
    """A unit file, its names in their own letters."""
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",)
    )
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string((UNITS / name).read_text())
    return parser


#: Becomes the program that it is given, with a descriptor of this process as its third.
LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class SystemdTests(ProxyCase):
    """What systemd does for ``Type=notify`` with a socket unit."""

    def setUp(self) -> None:
        """Open the sockets that systemd would hold."""
        super().setUp()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.addCleanup(self.listener.close)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notify.close)
        # A path of a socket has room for 107 bytes only, so it is relative to the working
        # directory.
        self.path = self.folder / "notify"
        self.notify.bind(f"/proc/self/cwd/{self.path.relative_to(Path.cwd())}")
        self.notify.settimeout(PATIENCE)

    def start(self) -> subprocess.Popen[bytes]:
        """Run the unit's ``ExecStart`` as systemd would."""
        command = shlex.split(unit("clawproxy.service")["Service"]["ExecStart"])
        self.assertEqual(command[0], "/opt/clawproxy/bin/twistd")
        command[0] = str(TWISTD)
        command += ["--set", "storage.url=none"]
        command += ["--set", f"providers.anthropic.base_url={self.said.url}"]
        # The launcher puts the socket at descriptor 3 and has the process id that twistd will have. A
        # shell would not do: Debian's knows descriptors of one digit only.
        number = self.listener.fileno()
        passed = {
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "clawproxy.socket",
            "NOTIFY_SOCKET": str(self.path.relative_to(self.folder)),
        }
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, str(number), *command],
                cwd=self.folder,
                env=environment(self.folder, passed),
                pass_fds=(number,),
                stdout=log,
                stderr=log,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_for(self, state: str) -> None:
        """Read notifications until one says *state*."""
        while state not in self.notify.recv(4096).decode().splitlines():
            pass

    def forget(self) -> None:
        """Read what was notified so far."""
        self.notify.setblocking(False)
        try:
            while self.notify.recv(4096):
                pass
        except BlockingIOError:
            self.notify.settimeout(PATIENCE)

    def ask(self, connection: http.client.HTTPConnection) -> None:
        """Send a request, and do not wait for its answer."""
        message = {"role": "user", "content": "hi"}
        body = json.dumps({"model": "claude-x", "max_tokens": 9, "messages": [message]})
        connection.request("POST", "/v1/messages", body)

    def test_life(self) -> None:
        """Ready when it listens, stopping when told to, and no caller refused in between."""
        self.said = self.upstream(lambda _: answers.anthropic(False, answers.text("Hello.")))
        port = self.listener.getsockname()[1]
        waiting = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.addCleanup(waiting.close)
        self.ask(waiting)  # before anybody is there to answer
        first = self.start()
        self.wait_for("READY=1")
        self.assertEqual(waiting.getresponse().status, 200)
        first.send_signal(signal.SIGTERM)
        self.wait_for("STOPPING=1")
        log = self.folder / "log"
        self.assertEqual(first.wait(PATIENCE), 0, log.read_text())
        between = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.addCleanup(between.close)
        self.ask(between)
        self.forget()
        self.start()
        self.wait_for("READY=1")
        self.assertEqual(between.getresponse().status, 200)
