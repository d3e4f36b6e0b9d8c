"""Starts the program as operators do, with a configuration file, an environment and options."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.caller import ask

_BIN = Path(sys.executable).parent

#: Seconds for a start or an end that nothing delays, on a machine that is busy with other tests.
PATIENCE = 60


def free_port() -> int:
    """Find a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def other_address() -> str:
    """An address of this machine that is not the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return str(probe.getsockname()[0])


def clean(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make an environment in which nothing of ours configures the program."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), **(more or {})}


def check(
    folder: Path,
    config: object = None,
    *arguments: str,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``clawproxy check`` in a folder, with a ``clawproxy.yaml`` there where one is given."""
    _write(folder, config)
    return subprocess.run(
        [_BIN / "clawproxy", "check", *arguments],
        cwd=folder,
        env=clean(folder, env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def run(*command: str, folder: Path, env: Mapping[str, str] | None = None) -> Any:
    """Run one of the installed programs to its end."""
    return subprocess.run(
        [_BIN / command[0], *command[1:]],
        cwd=folder,
        env=clean(folder, env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def _write(folder: Path, config: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        text = config if isinstance(config, str) else yaml.safe_dump(config)
        (folder / "clawproxy.yaml").write_text(text)


class Program:
    """A running proxy, as a context manager.

    :param folder: its working directory and home.
    :param config: what ``clawproxy.yaml`` there says: text, or an object to write as YAML.
    :param arguments: behind ``clawproxy``.
    :param listen: add ``--listen`` with a free port; without, *port* has to say where it will be.
    """

    def __init__(
        self,
        folder: Path,
        config: object = None,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        listen: bool = True,
        port: int = 0,
        twistd: Sequence[str] = ("-n", "--pidfile="),
    ) -> None:
        _write(folder, config)
        self.folder = folder
        self.port = port or free_port()
        self.command = [str(_BIN / "twistd"), *twistd, "clawproxy"]
        if listen:
            self.command += ["--listen", f"tcp:{self.port}:interface=127.0.0.1"]
        self.command += arguments
        self.env = clean(folder, env)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Program:
        self.start()
        self.wait_for_start()
        return self

    def start(self) -> None:
        """Start it, without waiting for anything."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.env, stdout=log, stderr=log
            )

    def wait_for_start(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                ask(self.port, "GET", "/livez")
                return
            except OSError:
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.end()
                    raise AssertionError(f"the proxy did not start:\n{self.log}") from None
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self.folder / "output.log"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text(errors="replace")

    def wait_for_log(self, text: str, seconds: float = 10, start: int = 0) -> str:
        """Wait until a line of the log holds *text*; gives the line."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.log[start:].splitlines():
                if text in line:
                    return line
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} does not stand in the log:\n{self.log[start:]}")
            time.sleep(0.02)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for its end; gives the exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    @property
    def livez(self) -> Any:
        """What ``/livez`` says."""
        return json.loads(ask(self.port, "GET", "/livez").body)

    def until_in_flight(self, number: int, seconds: float = 10) -> None:
        """Wait until that many exchanges are in flight."""
        deadline = time.monotonic() + seconds
        while (seen := self.livez["in_flight"]) != number:
            if time.monotonic() > deadline:
                raise AssertionError(f"{seen} in flight, not {number}")
            time.sleep(0.02)
