"""The command-line clients: where they come from (npm, once, into a cache folder outside the project),
and how they are run, headless and in a home of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration.proxy import environment

#: Seconds that a client may take for a session, on a busy machine.
SESSION = 120

#: Seconds that npm may take for a client of a few MB: a registry that is silent is not to hold up all other tests.
NPM_TIMEOUT = 150

#: What npm was not done with in time; such a registry is not asked a second time.
_waited_for: list[str] = []

_QUIET = {
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}
_TERMINAL = {"TERM": "dumb", "LANG": "C.UTF-8", "SHELL": "/bin/bash"}
_CODEX = """\
model = "{model}"
model_provider = "clawproxy"
chatgpt_base_url = "{url}/backend-api"

[analytics]
enabled = false

[model_providers.clawproxy]
base_url = "{url}/v1"
wire_api = "responses"
"""
_BY_KEY = """\
name = "ClawProxy"
env_key = "OPENAI_API_KEY"
"""
# Codex compresses what it sends to a provider of this name for somebody who has logged in with ChatGPT.
_BY_LOGIN = """\
name = "OpenAI"
requires_openai_auth = true
supports_websockets = false
"""


def cache_folder() -> Path:
    """``$CLAWPROXY_TEST_CACHE``, else a folder in the user's cache."""
    given = os.environ.get("CLAWPROXY_TEST_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "clawproxy-tests"


@cache
def _installed(package: str, path: str) -> Path | str:
    """A file below ``node_modules``, or why there is none; asked once a run."""
    npm = shutil.which("npm")
    if npm is None:
        return f"npm is not installed, so there is no {package}"
    folder = cache_folder() / package.replace("/", "_").lstrip("@")
    found = folder / "node_modules" / path
    folder.mkdir(parents=True, exist_ok=True)
    # Another run may be installing it, and npm leaves a file before it is whole.
    with (folder / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if found.exists():
            return found
        return npm_install(npm, folder, package) or found


def npm_install(
    npm: str, folder: Path, package: str, *more: str, timeout: int = NPM_TIMEOUT
) -> str | None:
    """Install *package* below *folder*; why not, if it cannot be.

    :param more: options of npm's.
    """
    if _waited_for:
        return f"{package} was not asked for: npm had not installed {_waited_for[0]}"
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *more, package]
    # What has been installed there may be the node that the next one wants.
    path = f"{folder / 'node_modules' / 'node' / 'bin'}:{os.environ.get('PATH', '')}"
    env = {**os.environ, "PATH": path}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env)
    except subprocess.TimeoutExpired:
        _waited_for.append(f"{package} within {timeout} s")
        return f"npm did not install {_waited_for[0]}"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return f"npm cannot install {package}: {lines[0] if lines else done.returncode}"
    return None


def npm_program(package: str, program: str) -> Path:
    """The path of *program* from *package*, installed when it is not.

    :raises SkipTest: where npm or the network is missing, with the reason.
    """
    return npm_file(package, f".bin/{program}")


def npm_file(package: str, path: str) -> Path:
    """A file below ``node_modules`` from *package*, installed when it is not.

    :raises SkipTest: where npm or the network is missing, with the reason.
    """
    found = _installed(package, path)
    if isinstance(found, str):
        raise SkipTest(found)
    return found


def system_program(name: str) -> Path:
    """The path of a program that the system has.

    :raises SkipTest: when it has not.
    """
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise SkipTest(f"{name} is not installed")
    return Path(found)


def _run(command: Sequence[str], home: Path, env: Mapping[str, str]) -> str:
    """Run a client to its end; what it printed.

    :raises AssertionError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=home,
        env=environment(home, env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SESSION,
    )
    if done.returncode:
        raise AssertionError(f"exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def claude_code(
    home: Path,
    url: str,
    prompt: str,
    *arguments: str,
    tools: str = "Bash",
    env: Mapping[str, str] | None = None,
) -> list[Any]:
    """Run one prompt of Claude Code; its events, of which the last is the result.

    :param home: its home and working directory; made if it is not there.
    :param url: where the API is.
    :param tools: what it may do without asking, with commas.
    :raises SkipTest: where it cannot be had.
    """
    program = npm_program("@anthropic-ai/claude-code", "claude")
    home.mkdir(exist_ok=True)
    command = [str(program), "-p", prompt, "--output-format", "stream-json", "--verbose"]
    command += ["--allowedTools", tools, *arguments]
    ours = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "sk-mine", **(env or {})}
    said = _run(command, home, {**_QUIET, **_TERMINAL, **ours})
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def codex(
    home: Path, url: str, prompt: str, *arguments: str, model: str = "gpt-5", login: bool = False
) -> str:
    """Run one prompt of Codex; what it printed.

    :param home: its home and working directory; made if it is not there.
    :param url: where the API is, without ``/v1``.
    :param login: be somebody who has logged in with ChatGPT, whose requests are compressed with zstd,
        in place of somebody with a key.
    :raises SkipTest: where it cannot be had.
    """
    program = npm_program("@openai/codex", "codex")
    folder = home / ".codex"
    folder.mkdir(parents=True, exist_ok=True)
    config = _CODEX.format(model=model, url=url) + (_BY_LOGIN if login else _BY_KEY)
    (folder / "config.toml").write_text(config)
    if login:
        (folder / "auth.json").write_text(json.dumps(_login()))
    command = [str(program), "exec", "--skip-git-repo-check", *arguments, prompt]
    return _run(command, home, {"OPENAI_API_KEY": "sk-mine", "TERM": "dumb"})


def _login() -> dict[str, Any]:
    """What Codex keeps of a login: tokens that look like it and open nothing."""

    def part(value: dict[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    account = {"chatgpt_plan_type": "pro", "chatgpt_account_id": "account"}
    claims = {"exp": 4102444800, "https://api.openai.com/auth": account}
    token = f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}.c2lnbmF0dXJl"
    tokens = {
        "id_token": token,
        "access_token": token,
        "refresh_token": "refresh",
        "account_id": "account",
    }
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": now}
