"""A ClawProxy in a process of its own, started as an operator would: ``twistd -n clawproxy``."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TWISTD = Path(sys.executable).with_name("twistd")

#: Seconds for a start or an end that nothing delays, on a machine that is busy with other tests.
PATIENCE = 60


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a program under test: nothing of ours that could configure it, and a home
    of its own.
    """
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), **(more or {})}


class Proxy:
    """A running proxy, as a context manager.

    :param folder: its working directory and home.
    :param arguments: after ``twistd -n --pidfile= clawproxy``.
    :param settings: dotted keys and values, as for ``--set``.
    :param env: further environment.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        settings: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        sets = {"storage.url": "none", **(settings or {})}
        self.command = [str(TWISTD), "-n", "--pidfile=", "clawproxy"]
        self.command += ["--listen", f"tcp:{self.port}:interface=127.0.0.1"]
        self.command += [
            part for key, value in sets.items() for part in ("--set", f"{key}={value}")
        ]
        self.command += arguments
        self._env = environment(folder, env)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Proxy:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self._env, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.get("/livez")
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise AssertionError(f"the proxy did not start:\n{self.log}") from None
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self.folder / "proxy.log"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text(errors="replace")

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(seconds)

    def in_flight(self, number: int) -> None:
        """Wait until that many exchanges are in flight; fail if that never is."""
        deadline = time.monotonic() + PATIENCE
        while (seen := self.get("/livez")[1]["in_flight"]) != number:
            if time.monotonic() > deadline:
                raise AssertionError(f"{seen} in flight, not {number}\n{self.log}")
            time.sleep(0.05)
