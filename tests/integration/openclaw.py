"""A real OpenClaw Gateway on loopback, offline, with a model provider that does as the message
says.

1. :func:`installation` finds or installs the npm packages ``node`` and ``openclaw`` (the newest) in
   the tests' cache folder: about 900 MB, once. ``CLAWPROXY_TEST_OPENCLAW=0`` skips that and every
   test that needs it.
2. :class:`GatewayProcess` writes a configuration with two agents and runs the gateway.
3. :class:`Model` is the provider behind its agents: words in the last user message say how it
   answers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration import answers
from tests.integration.clients import cache_folder, npm_install
from tests.integration.proxy import free_port
from tests.integration.upstream import Answer, Asked

#: Seconds for a gateway to start on a machine that is busy with other tests.
PATIENCE = 120

_CONTEXT = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"

TOKEN = "gateway-token-of-the-tests"


@cache
def _installed() -> tuple[Path, Path] | str:
    """The programs ``node`` and ``openclaw.mjs``, or why there are none; asked once a run."""
    if os.environ.get("CLAWPROXY_TEST_OPENCLAW") == "0":
        return "CLAWPROXY_TEST_OPENCLAW=0 leaves out the OpenClaw gateway"
    folder = cache_folder() / "openclaw"
    node = folder / "node_modules" / "node" / "bin" / "node"
    program = folder / "node_modules" / "openclaw" / "openclaw.mjs"
    if node.exists() and program.exists():
        return node, program
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed, so there is no OpenClaw gateway"
    folder.mkdir(parents=True, exist_ok=True)
    # The gateway wants a newer node than most systems have; its own install scripts are of no use
    # to tests.
    for package, more in (("node@26", ()), ("openclaw", ("--ignore-scripts",))):
        fault = npm_install(npm, folder, package, *more, timeout=300)
        if fault is not None:
            return fault
    if not (node.exists() and program.exists()):
        return "npm installed openclaw, but not where it is looked for"
    return node, program


def installation() -> tuple[Path, Path]:
    """The programs ``node`` and ``openclaw.mjs``.

    :raises SkipTest: where they cannot be had, with the reason.
    """
    found = _installed()
    if isinstance(found, str):
        raise SkipTest(found)
    return found


class GatewayProcess:
    """A gateway; its state outlives a restart.

    :param folder: where all of it is kept.
    :param model_url: the model provider's address.
    """

    def __init__(self, folder: Path, model_url: str) -> None:
        self.node, self.program = installation()
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("home", "workspace", "workspace-dev"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._configure(model_url)

    @property
    def url(self) -> str:
        """What to give the proxy."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "gateway.log").read_text(errors="replace")

    def _configure(self, model_url: str) -> None:
        model = {
            "id": "scripted",
            "name": "Scripted",
            "reasoning": True,
            "input": ["text"],
            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
            "contextWindow": 128000,
            "maxTokens": 4096,
        }
        provider = {
            "baseUrl": f"{model_url}/v1",
            "apiKey": "k",
            "api": "openai-completions",
            "models": [model],
        }
        folder = str(self.folder)
        config = {
            "gateway": {
                "mode": "local",
                "bind": "loopback",
                "port": self.port,
                "auth": {"mode": "token", "token": TOKEN},
            },
            "agents": {
                "defaults": {
                    "model": {"primary": "scripted/scripted"},
                    "skipBootstrap": True,
                    "workspace": f"{folder}/workspace",
                },
                "list": [
                    {
                        "id": "main",
                        "default": True,
                        "name": "Main Agent",
                        "workspace": f"{folder}/workspace",
                    },
                    {"id": "dev", "name": "Dev Agent", "workspace": f"{folder}/workspace-dev"},
                ],
            },
            "models": {
                "mode": "replace",
                "providers": {"scripted": provider},
                "catalogRefresh": {"enabled": False},
            },
            "tools": {"exec": {"host": "gateway", "security": "allowlist", "ask": "always"}},
            "discovery": {"mdns": {"mode": "off"}},
            "update": {"checkOnStart": False},
        }
        (self.folder / "openclaw.json").write_text(json.dumps(config))
        # A failing provider is asked once more, in place of eight times and a minute and a half.
        for agent in ("main", "dev"):
            settings = self.folder / "agents" / agent / "agent" / "settings.json"
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text(json.dumps({"retry": {"provider": {"maxRetries": 1}}}))

    @property
    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        quiet = ("CHANNELS", "BROWSER_CONTROL_SERVER", "CANVAS_HOST", "GMAIL_WATCHER", "CRON")
        return {
            "PATH": f"{self.node.parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": f"{folder}/home",
            "OPENCLAW_HOME": f"{folder}/home",
            "OPENCLAW_STATE_DIR": folder,
            "OPENCLAW_CONFIG_PATH": f"{folder}/openclaw.json",
            "OPENCLAW_DISABLE_BONJOUR": "1",
            "OPENCLAW_NO_RESPAWN": "1",
            "CI": "1",
            **{f"OPENCLAW_SKIP_{name}": "1" for name in quiet},
        }

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(self.node), str(self.program), "gateway", "run", "--port", str(self.port)]
        command += ["--bind", "loopback", "--token", TOKEN, "--allow-unconfigured"]
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{self.port}/healthz", timeout=5
                ) as answer:
                    answer.read()
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the gateway did not start:\n{self.log}") from None
                time.sleep(0.1)

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it, and wait until it has ended."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def command(self, *arguments: str) -> str:
        """Run the gateway's own command-line program, as its owner would."""
        done = subprocess.run(
            [str(self.node), str(self.program), *arguments],
            cwd=self.folder,
            env={**self._environment, "OPENCLAW_GATEWAY_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode:
            raise AssertionError(f"openclaw {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout


class Slowly:
    """Pieces with pauses that count how many were taken.

    :ivar taken: pieces that the reader let pass so far.
    """

    def __init__(self, pieces: list[bytes], pause: float) -> None:
        self._pieces = pieces
        self._pause = pause
        self.taken = 0

    def __iter__(self) -> Iterator[bytes | float]:
        for piece in self._pieces:
            yield piece
            self.taken += 1
            yield self._pause

    def __len__(self) -> int:
        return len(self._pieces)


def _said(messages: list[dict[str, Any]]) -> tuple[str, str | None]:
    """The last real user message, and the tool's result if one follows it."""
    result = None
    for message in reversed(messages):
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        words = "\n".join(str(p.get("text") or "") for p in parts if isinstance(p, dict))
        if message.get("role") == "tool":
            result = words if result is None else result
        # Newer gateways append their own context as a user message.
        elif message.get("role") == "user" and not words.lstrip().startswith(_CONTEXT):
            return words, result
    return "", result


class Model:
    """The script of the model provider.

    In the last user message, ``SAY(words)`` is said, ``THINK`` thinks first, ``EXEC(command)`` and
    ``READ(path)`` call a tool and then say its result, ``SLOW(n)`` says n words slowly,
    ``HTTP(status)`` fails and ``CUT`` breaks off. Anything else is answered with a greeting.

    :ivar slow: the newest slow answer.
    """

    GREETING = "Hello from the scripted model."

    def __init__(self) -> None:
        self.slow: Slowly | None = None

    def __call__(self, asked: Asked) -> Answer:
        if not asked.target.endswith("/chat/completions"):
            return Answer([b'{"object":"list","data":[{"id":"scripted","object":"model"}]}'])
        said, result = _said(asked.json.get("messages", []))
        found = re.search(r"(SAY|EXEC|READ|SLOW|HTTP)\((.*?)\)|(THINK|CUT)", said, re.DOTALL)
        word, value = (found[1] or found[3], found[2] or "") if found else ("", "")
        if result is not None:
            return self._stream([{"content": f"The tool said: {result.strip()[:200]}"}])
        match word:
            case "SAY":
                return self._stream(self._words(value))
            case "THINK":
                thoughts = [{"reasoning_content": w} for w in ("First", " I", " think.")]
                return self._stream([*thoughts, *self._words(self.GREETING)])
            case "EXEC":
                return self._call("exec", {"command": value})
            case "READ":
                return self._call("read", {"path": value})
            case "SLOW":
                pieces = self._words(" ".join(f"w{i}" for i in range(int(value))))
                frames = [answers.data(_chunk(p)) for p in pieces]
                frames += [answers.data(_chunk({}, "stop")), answers.data("[DONE]")]
                self.slow = Slowly(frames, 0.1)
                return Answer(self.slow, headers=answers.STREAM)  # type: ignore[arg-type]
            case "HTTP":
                return answers.openai_error(int(value), "scripted", f"scripted {value}")
            case "CUT":
                frames = [answers.data(_chunk(p)) for p in self._words("one two three")]
                return Answer(frames, headers=answers.STREAM, cut=True)
            case _:
                return self._stream(self._words(self.GREETING))

    @staticmethod
    def _words(text: str) -> list[dict[str, Any]]:
        return [{"content": word} for word in text.replace(" ", " \0").split("\0")]

    @staticmethod
    def _stream(deltas: list[dict[str, Any]], finish: str = "stop") -> Answer:
        frames = [answers.data(_chunk(delta)) for delta in deltas]
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        frames.append(answers.data(_chunk({}, finish)))
        frames.append(answers.data({**_chunk({}), "choices": [], "usage": usage}))
        return Answer([*frames, answers.data("[DONE]")], headers=answers.STREAM)

    def _call(self, name: str, arguments: dict[str, Any]) -> Answer:
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        return self._stream([{"content": "Let me see. "}, {"tool_calls": [call]}], "tool_calls")


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


class Header:
    """A TCP forwarder that puts one header line into each connection's HTTP request, as a reverse
    proxy would.

    :param port: where to forward to.
    """

    def __init__(self, port: int, line: str) -> None:
        self._to = port
        self._line = line.encode() + b"\r\n"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._open += [near, far]
            head = b""
            while b"\r\n" not in head:
                head += near.recv(65536)
            first, rest = head.split(b"\r\n", 1)
            far.sendall(first + b"\r\n" + self._line + rest)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        """Stop forwarding."""
        for each in (self._listener, *self._open):
            each.close()
