"""Empty environments and clean copies of the project, as a person who installs it has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: What an installer reads.
SOURCES = ("pyproject.toml", "README.rst", "LICENSE", "clawproxy", "twisted")


def copy(folder: Path, names: tuple[str, ...] = SOURCES) -> Path:
    """Copy the project's sources to *folder*, without what running them has left behind."""
    folder.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "dropin.cache")
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)
    return folder


def bare(**more: str) -> dict[str, str]:
    """An environment without anything of this Python's; what leads to the package index stays."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE") or name.startswith("PIP_")
    }
    return {**kept, **more}


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command that must succeed; all that it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env or bare(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def empty(folder: Path) -> Path:
    """Make an empty virtual environment; the folder of its programs."""
    run(sys.executable, "-m", "venv", folder, cwd=ROOT)
    return folder / "bin"
