"""Where the command-line clients come from: npm, once, into a cache folder outside the project."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SkipTest


def cache_folder() -> Path:
    """``$CLAWPROXY_TEST_CACHE``, else a folder in the user's cache."""
    given = os.environ.get("CLAWPROXY_TEST_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "clawproxy-tests"


@cache
def _installed(package: str, program: str) -> Path | str:
    """The program, or why there is none; asked once a run."""
    npm = shutil.which("npm")
    if npm is None:
        return f"npm is not installed, so there is no {package}"
    folder = cache_folder() / package.replace("/", "_").lstrip("@")
    found = folder / "node_modules" / ".bin" / program
    if not found.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), package]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return f"npm did not install {package} within 300 s"
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            return f"npm cannot install {package}: {lines[0] if lines else done.returncode}"
    return found


def npm_program(package: str, program: str) -> Path:
    """The path of *program* from *package*, installed when it is not.

    :raises SkipTest: where npm or the network is missing, with the reason.
    """
    found = _installed(package, program)
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
